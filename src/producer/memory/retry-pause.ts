import { A_FIFTH_AROUND, backoffMs } from '../../core/backoff.js'
import type { PartitionProducerSettings } from './partition-producer-deps.js'

/** Pause before the first retry after a change of leader: the new one is known within moments, or not soon at all. */
const SOON_MS = 15

/**
 * How long a batch waits before it is tried again.
 *
 * @param attempts so far
 * @param soon the leader has changed
 */
export const retryPauseMs = (
  attempts: number,
  soon: boolean,
  { retryBackoffMs, retryBackoffMaxMs }: PartitionProducerSettings,
  random: () => number
): number =>
  soon && attempts === 1
    ? SOON_MS * (0.5 + random())
    : backoffMs(attempts - 1, retryBackoffMs, retryBackoffMaxMs, random, A_FIFTH_AROUND)
