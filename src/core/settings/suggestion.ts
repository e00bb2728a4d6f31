import { distance } from 'fastest-levenshtein'

/** Two letters that changed places count as two. */
const MAX_TYPOS = 2

/** Shorter beginnings are shared by too many names. */
const MIN_COMMON_START = 3

/**
 * `; did you mean port?` when one of the names is at most two letters away from what was written, or one of the two
 * begins with the other (`directory` and `dir`), capital letters aside. Otherwise an empty text.
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
