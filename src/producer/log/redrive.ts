import { DeadLetters } from './dead-letters.js'
import { encodeEntry } from './entry.js'
import type { Refusal } from './log-error.js'
import { LogStore, type LogStoreOptions } from './log-store.js'

/** Which dead letters, by their sequences; absent: all. */
export type Selection = ReadonlySet<number> | undefined

export interface RedriveResult {
  readonly count: number
  /** Why the rest stays dead. */
  readonly refusal: Refusal | undefined
}

const READ_BYTES = 1024 * 1024

/**
 * Puts dead letters back into the log, to be delivered at the next start, behind what is there. Each is in the log before
 * it is forgotten: a crash in between leaves it in both.
 *
 * @param options of the log; its directory must belong to this process
 */
export function replayDeadLetters(
  options: LogStoreOptions,
  maxDeadLetterBytes: number,
  which: Selection
): RedriveResult {
  const store = new LogStore({ ...options, syncPuts: true })
  try {
    return redrive(options, maxDeadLetterBytes, which, letter => {
      const { destination, acceptedAtMs, body } = letter
      return store.commit(encodeEntry(destination, body, acceptedAtMs)).refusal
    })
  } finally {
    store.close()
  }
}

/** Forgets dead letters for good. */
export const discardDeadLetters = (
  options: LogStoreOptions,
  maxDeadLetterBytes: number,
  which: Selection
): RedriveResult => redrive(options, maxDeadLetterBytes, which, () => undefined)

function redrive(
  options: LogStoreOptions,
  maxDeadLetterBytes: number,
  which: Selection,
  take: (letter: ReturnType<DeadLetters['list']>['letters'][number]) => Refusal | undefined
): RedriveResult {
  const dead = new DeadLetters({ ...options, maxBytes: maxDeadLetterBytes })
  let count = 0
  try {
    for (let fromSequence = 1, isAtEnd = false; !isAtEnd; ) {
      const list = dead.list(fromSequence, READ_BYTES)
      for (const letter of list.letters) {
        if (which && !which.has(letter.sequence)) continue
        const refusal = take(letter)
        if (refusal) return { count, refusal }
        count += dead.forget([{ first: letter.sequence, count: 1 }])
      }
      fromSequence = list.nextSequence
      isAtEnd = list.isAtEnd
    }
    return { count, refusal: undefined }
  } finally {
    dead.close()
  }
}
