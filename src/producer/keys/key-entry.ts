import type { Waiters } from '../../core/waiters.js'
import type { KeptAnswer, KeyName } from './key-frames.js'

/** A key whose request has no certain answer yet, or whose answer has to be on disk and is not. */
export interface Entry {
  readonly key: KeyName
  status: 'claimed' | 'open' | 'answered'
  /** The processes that have records; at first, that of the first claim. */
  holders: readonly string[]
  /** The process whose request is under way. */
  claimer: string
  /** The claim of that request, by the number that its process has given it; `undefined`: none is under way. */
  claim: number | undefined
  answer: KeptAnswer | undefined
  waiters: Waiters | undefined
  /** Called when the answer is on disk; `undefined`: it need not be, or is. */
  unwritten: (() => void)[] | undefined
}

/** @param holder the process that has the request, or its records */
export const newEntry = (key: KeyName, status: Entry['status'], holder: string): Entry => ({
  key,
  status,
  holders: [holder],
  claimer: holder,
  claim: undefined,
  answer: undefined,
  waiters: undefined,
  unwritten: undefined
})
