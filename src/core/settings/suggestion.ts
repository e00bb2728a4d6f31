import { distance } from 'fastest-levenshtein'

/** Two swapped letters count as two typos. */
const MAX_TYPOS = 2

/** Too many names share a shorter beginning. */
const MIN_COMMON_START = 3

/**
 * Returns `; did you mean port?` when a name differs from the written text in at most two letters, or when one of the
 * two begins with the other (`directory` and `dir`). Case is ignored. Returns an empty text when no name is similar.
 */
export function suggestion(written: string, names: readonly string[], prefix = ''): string {
  const lower = written.toLowerCase()
  const [best] = names
    .map(name => ({ name, typos: distance(name.toLowerCase(), lower) }))
    .filter(({ name, typos }) => typos <= MAX_TYPOS || beginAlike(name.toLowerCase(), lower))
    .sort((a, b) => a.typos - b.typos)
  return best === undefined ? '' : `; did you mean ${prefix}${best.name}?`
}

function beginAlike(one: string, other: string): boolean {
  const isLongEnough = Math.min(one.length, other.length) >= MIN_COMMON_START
  return isLongEnough && (one.startsWith(other) || other.startsWith(one))
}
