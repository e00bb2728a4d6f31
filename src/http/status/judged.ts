import type { Status, Trouble } from './status.js'

/** What a judgement needs to know. */
export type Judged = Omit<Status, 'trouble'>

/**
 * Kinds from the worst to the least: what stops everything comes before what stops a part, and a cause before its
 * effects, as a partition that is stuck before the log that fills up by it.
 */
export const RANKS = [
  'brokersAway',
  'logFailed',
  'heapFull',
  'eventLoopLate',
  'workerDied',
  'workerSilent',
  'certificateEnds',
  'notReady',
  'brokerDown',
  'brokerGone',
  'noLeader',
  'notAuthorized',
  'partitionStuck',
  'topicMissing',
  'logFull',
  'memoryFull',
  'recordsLost',
  'groupRefused',
  'quotaReached',
  'refusing',
  'keysRefused',
  'groupLags',
  'lagUnknown',
  'deadLetters',
  'logDamaged',
  'clockAhead',
  'recordsOld'
] as const
export type TroubleKind = (typeof RANKS)[number]

/** A trouble whose kind is one of the list. */
export type Row = Trouble & { readonly kind: TroubleKind }
