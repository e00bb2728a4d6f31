import type { RecordFailure } from '../../core/model.js'
import { failures } from '../memory/failures.js'

/** What is known of the topic of a record. */
export type TopicStanding = 'known' | 'denied' | 'unknown'

/**
 * The share of `wal.maxBytes` up to which records are taken. Those of a topic that Kafka does not have may stay for ever, and must
 * not fill the log for all others. The same holds for topics that Kafka has not been asked about, while others are denied: their
 * names may be invented.
 */
const SHARES: Readonly<Record<TopicStanding, number>> = { known: 1, denied: 1 / 2, unknown: 3 / 4 }

/** @param usedShare of `wal.maxBytes` */
export function refusalFor(standing: TopicStanding, usedShare: number): RecordFailure | undefined {
  if (usedShare < SHARES[standing]) return undefined
  const [used, limit] = [usedShare, SHARES[standing]].map(share => `${Math.floor(share * 100)} %`)
  return failures.logUnavailable(
    `${used} of the durable log are in use (wal.maxBytes), and records of topics that kafka does not have are taken up to ${limit}`
  )
}
