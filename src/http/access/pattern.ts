/**
 * A test for names: `*` in a pattern stands for any characters, also for none; everything else stands for itself.
 *
 *   orders     exactly orders
 *   shop-*     every name that begins with shop-
 *   *-audit    every name that ends with -audit
 *
 * No regular expression is made of it, so that no pattern can take more than linear time per `*`.
 */
export function toMatcher(pattern: string): (name: string) => boolean {
  const parts = pattern.split('*')
  const first = parts[0]!
  if (parts.length === 1) return name => name === first
  const last = parts.at(-1)!
  const middle = parts.slice(1, -1).filter(part => part !== '')
  return name => matchesParts(name, first, middle, last)
}

function matchesParts(name: string, first: string, middle: readonly string[], last: string): boolean {
  if (name.length < first.length + last.length || !name.startsWith(first) || !name.endsWith(last)) return false
  const end = name.length - last.length
  let at = first.length
  for (const part of middle) {
    const found = name.indexOf(part, at)
    if (found < 0 || found + part.length > end) return false
    at = found + part.length
  }
  return true
}

/** True when any of the patterns matches. */
export function toAnyMatcher(patterns: readonly string[]): (name: string) => boolean {
  const matchers = patterns.map(toMatcher)
  return name => matchers.some(matches => matches(name))
}
