import type { KeyName } from '../../producer/keys/key-frames.js'
import type { KeyHolder } from '../../producer/keys/key-holder.js'

/** Keys in one answer. */
const PAGE_KEYS = 4_096

/** A key whose records a process has. */
export interface HeldKey {
  readonly key: KeyName
  /** The request that is under way; absent: none is. */
  readonly claim: number | undefined
}

export interface HeldPage {
  readonly keys: readonly HeldKey[]
  readonly isLast: boolean
}

/**
 * Answers which keys of an owner have records here, in pages. The owner grants no claim before it has the last page, so no
 * further ones come in between.
 */
export function heldPage(
  holder: KeyHolder,
  ownerOf: (hash: string) => string
): (owner: string, from: number) => HeldPage {
  /** What is left to tell, by owner. */
  const listed = new Map<string, readonly HeldKey[]>()
  const keysOf = (owner: string): readonly HeldKey[] =>
    [...holder.all].filter(({ key }) => ownerOf(key.hash) === owner).map(({ key, claim }) => ({ key, claim }))
  return (owner, from) => {
    const keys = (from > 0 && listed.get(owner)) || keysOf(owner)
    const page = keys.slice(from, from + PAGE_KEYS)
    const isLast = from + page.length >= keys.length
    if (isLast) listed.delete(owner)
    else listed.set(owner, keys)
    return { keys: page, isLast }
  }
}
