import type { Offset, TopicPartition } from '../model.js'
import { findCommitted, inPortions } from './commit-look-up.js'
import type { GroupHands } from './hands.js'
import type { GroupStarts, TopicEnds } from './start-messages.js'

/** A partition whose end is not told by then has no leader, or an ailing one. */
const TIMEOUT_MS = 5_000
/** Most partitions whose ends fit into an assignment; members find the rest alone. */
const MAX_PARTITIONS = 20_000

export interface FirstAssigned {
  readonly topic: string
  /** Looked up before the partitions' ends, which are those of this incarnation or of a later one. */
  readonly topicId: string | undefined
  readonly partitions: readonly number[]
}

/**
 * Decides where a group begins in topics that no member has begun to read: at the ends of all partitions, as they are now,
 * before any member can answer a request; at the earliest records where the group has committed before.
 *
 * A partition whose end cannot be learnt begins at its earliest record as well: by the time that it can, records may have been
 * written that the group was to be offered.
 */
export function decideStarts(
  hands: GroupHands,
  topics: readonly FirstAssigned[],
  onDecided: (starts: GroupStarts) => void
): void {
  const undecided = new Set<string>()
  const ends = new Map<string, TopicEnds>()
  let room = MAX_PARTITIONS
  inPortions(
    topics,
    (first, answered) => {
      room -= first.partitions.length
      const partitions = first.partitions.map(partition => ({ topic: first.topic, partition }))
      if (room < 0) {
        undecided.add(first.topic)
        answered()
        return
      }
      findCommitted(hands, partitions, committed => {
        if (committed === 'none') findEnds(hands, first.topic, partitions, found)
        else {
          if (committed === 'unclear') undecided.add(first.topic)
          answered()
        }
      })
      const found = (offsets: ReadonlyMap<number, Offset> | undefined): void => {
        if (offsets) ends.set(first.topic, { topicId: first.topicId, offsets })
        else undecided.add(first.topic)
        answered()
      }
    },
    () => onDecided({ undecided, ends })
  )
}

/** `undefined`: the ends cannot be asked for, so each member looks for those of its partitions. */
function findEnds(
  hands: GroupHands,
  topic: string,
  partitions: readonly TopicPartition[],
  onFound: (ends: ReadonlyMap<number, Offset> | undefined) => void
): void {
  const ends = new Map<number, Offset>()
  let isRefused = false
  inPortions(
    partitions,
    (topicPartition, answered) =>
      hands.ask('fetchOffset', { topicPartition, offsetType: 'latest', timeoutMs: TIMEOUT_MS }, result => {
        if (result.type === 'success') ends.set(topicPartition.partition, result.offset)
        else if (result.type === 'failed') isRefused = true
        answered()
      }),
    () => {
      const unknown = partitions.length - ends.size
      if (!isRefused && unknown > 0) {
        hands.log.warn(
          { topic, partitions: unknown },
          'partitions whose ends are not known are read from the beginning'
        )
      }
      onFound(isRefused ? undefined : ends)
    }
  )
}
