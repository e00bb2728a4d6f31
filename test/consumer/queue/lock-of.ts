import type { Lock } from '../../../src/consumer/queue/share-locks.js'
import { keyOf } from '../../../src/kafka/protocol/share.js'

/** A lock of a partition of one topic, which ends late. */
export function lockOf(more: Partial<Lock> = {}): Lock {
  const { topicId = 'AAAAAAAAAAAAAAAAAAAAAQ', partition = 0 } = more
  const key = keyOf({ topicId, partition })
  return { topicId, partition, key, offset: 0, deliveryCount: 1, session: {}, endsAt: 1e9, ...more }
}
