import { type LogPosition, positionIn } from '../../core/model.js'
import { inPortions } from '../../router/requests/portions.js'
import { type Committed, findCommitted } from './commit-look-up.js'
import type { GroupRuntime } from './group-runtime.js'
import type { GroupStarts, TopicEnds } from './start-messages.js'

/**
 * How long one answer is waited for. All topics of the group stand still meanwhile, so an ailing leader of one partition must
 * not take long. A healthy broker tells an end within 300 ms of the first connection: this is several times as much, with
 * room for a change of leaders, so that a group of a merely slow cluster does not begin at its earliest records.
 */
const ANSWER_MS = 1_500
/** How long all answers are waited for, when there are so many partitions that they are asked about in portions. */
const DECISION_MS = 3_000
/** Most partitions whose ends fit into an assignment; members find the rest alone. */
const MAX_PARTITIONS = 20_000

export interface FirstAssigned {
  readonly topic: string
  /** Looked up before the partitions' ends, which are those of this incarnation or of a later one. */
  readonly topicId: string | undefined
  readonly partitions: readonly number[]
  /** Of them, those without a leader, whose ends no broker can tell. */
  readonly leaderless: ReadonlySet<number>
}

/**
 * Decides where a group begins in topics that no member has begun to read: at the ends of all partitions, as they are now,
 * before any member can answer a request; at the earliest records where the group has committed before.
 *
 * A partition whose end cannot be learnt begins at its earliest record as well: by the time that it can, records may have been
 * written that the group was to be offered. Each answer is waited for 1.5 s, and all of them for 3 s, less than first answers
 * wait for the group to begin.
 */
export function decideStarts(
  runtime: GroupRuntime,
  topics: readonly FirstAssigned[],
  onDecided: (starts: GroupStarts) => void
): void {
  const undecided = new Set<string>()
  const ends = new Map<string, TopicEnds>()
  let capacity = MAX_PARTITIONS
  const decisionEndsAt = runtime.clock() + DECISION_MS
  const leftMs = (): number => Math.min(ANSWER_MS, decisionEndsAt - runtime.clock())
  inPortions(
    topics,
    (first, answered) => {
      capacity -= first.partitions.length
      const partitions = first.partitions.map(partition => ({ topic: first.topic, partition }))
      if (capacity < 0) {
        undecided.add(first.topic)
        answered()
        return
      }
      const onCommitted = (committed: Committed): void => {
        if (committed === 'none') findEnds(runtime, first, leftMs, found)
        else {
          if (committed === 'unclear') undecided.add(first.topic)
          answered()
        }
      }
      findCommitted(runtime, partitions, onCommitted, leftMs)
      const found = (ofTopic: ReadonlyMap<number, LogPosition> | undefined): void => {
        if (ofTopic) ends.set(first.topic, { topicId: first.topicId, ends: ofTopic })
        else undecided.add(first.topic)
        answered()
      }
    },
    () => onDecided({ undecided, ends })
  )
}

/** `undefined`: the ends cannot be asked for, so each member looks for those of its partitions. */
function findEnds(
  runtime: GroupRuntime,
  { topic, partitions, leaderless }: FirstAssigned,
  leftMs: () => number,
  onFound: (ends: ReadonlyMap<number, LogPosition> | undefined) => void
): void {
  const ends = new Map<number, LogPosition>()
  let isRefused = false
  inPortions(
    partitions.filter(partition => !leaderless.has(partition)),
    (partition, answered) => {
      const timeoutMs = leftMs()
      if (timeoutMs <= 0) {
        answered()
        return
      }
      runtime.ask('fetchOffset', { topicPartition: { topic, partition }, offsetType: 'latest', timeoutMs }, result => {
        if (result.type === 'success') ends.set(partition, positionIn(result))
        else if (result.type === 'failed') isRefused = true
        answered()
      })
    },
    () => {
      const unknown = partitions.length - ends.size
      if (!isRefused && unknown > 0) {
        runtime.log.warn(
          { topic, partitions: unknown },
          'partitions whose ends are not known are read from the beginning'
        )
      }
      onFound(isRefused ? undefined : ends)
    }
  )
}
