/** A class of Unicode takes as long to compile as so many parts, and so does a range of characters that are not ASCII. */
const UNICODE_CLASS_PARTS = 100
/** A quoted text, a class, an escaped character, a counted repetition, or any other character. */
const TOKEN = /\\Q.*?(?:\\E|$)|\[\^?\]?(?:\\.|\[:\^?\w+:\]|[^\]\\])*\]?|\\x\{[^}]*\}?|\\.?|\{(\d+)(?:,(\d*))?\}|./gsu
/** Finds the parts of a pattern that are not ASCII: a class, a character, or a range that ends with one. */
const UNICODE = /\\p|(?:(?:\\?[^\\]|\\x\{[^}]*\})-)?(?:[^\0-\x7f]|\\x\{)/giu

/**
 * The number of parts that a pattern in RE2's syntax has when its counted repetitions are written out; never less than RE2
 * makes of it. A few characters can make a program of any size.
 */
export function partsOf(text: string): number {
  const outside: number[] = []
  let parts = 0
  /** Parts of what a repetition repeats. */
  let last = 0
  let unicode = 0
  for (const [token, least, most] of text.matchAll(TOKEN)) {
    if (token === '(') {
      outside.push(parts)
      parts = 0
    } else if (token === ')') {
      last = parts + 1
      parts = last + (outside.pop() ?? 0)
    } else if (least !== undefined) {
      const copies = Math.max(1, Number(least), Number(most ?? 0))
      parts += last * (copies - 1) + 1
      last = last * copies + 1
    } else if (token === '*' || token === '+' || token === '?') {
      parts++
      last++
    } else {
      parts += token.startsWith('\\Q') ? token.length : 1
      last = 1
      // Compiled once, however often it is repeated.
      unicode += token.match(UNICODE)?.length ?? 0
    }
  }
  return outside.reduce((sum, more) => sum + more, parts) + UNICODE_CLASS_PARTS * unicode
}
