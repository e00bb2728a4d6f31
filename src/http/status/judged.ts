import type { Status, Trouble } from './status.js'

/** What a judgement needs to know. */
export type Judged = Omit<Status, 'trouble'>

/** Kinds from the worst to the least: what stops everything comes before what stops a part. */
export const RANKS = [
  'brokersAway',
  'logFailed',
  'logFull',
  'memoryFull',
  'heapFull',
  'eventLoopLate',
  'workerDied',
  'workerSilent',
  'certificateEnds',
  'notReady',
  'brokerDown',
  'noLeader',
  'notAuthorized',
  'partitionStuck',
  'topicMissing',
  'groupRefused',
  'recordsLost',
  'brokerGone',
  'quotaReached',
  'refusing',
  'groupLags',
  'lagUnknown',
  'deadLetters',
  'logDamaged',
  'recordsOld'
] as const
export type TroubleKind = (typeof RANKS)[number]

/** A trouble whose kind is one of the list. */
export type Row = Trouble & { readonly kind: TroubleKind }
