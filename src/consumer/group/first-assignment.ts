import { type LogPosition, positionIn } from '../../core/model.js'
import { inPortions } from '../../router/routing/ask-router.js'
import type { GroupRuntime } from './group-runtime.js'
import type { GroupStarts, TopicEnds } from './start-messages.js'
import { type Committed, findCommitted } from './topic-start.js'

/**
 * Time limit for one answer. All topics of the group wait for it, so one slow leader must not delay them for long. A
 * healthy broker answers within 300 ms of the first connection. The limit is several times that: it allows for a change
 * of leaders, so that groups of a slow cluster do not begin at the earliest records.
 */
const ANSWER_MS = 1_500
/** Time limit for all answers. Requests for many partitions are made in portions. */
const DECISION_MS = 3_000
/** An assignment has the ends of at most this many partitions. Members look up the ends of further partitions. */
const MAX_PARTITIONS = 20_000

export interface FirstAssigned {
  readonly topic: string
  /** The id was looked up before the ends of the partitions, so the ends belong to this incarnation or a later one. */
  readonly topicId: string | undefined
  readonly partitions: readonly number[]
  /** Partitions without a leader, whose ends no broker can report. */
  readonly leaderless: ReadonlySet<number>
}

/**
 * Decides where a group begins in topics that no member has begun to read. It begins at the present ends of all
 * partitions, which are looked up before any member can answer a request. In topics in which the group has committed
 * before, it begins at the earliest records.
 *
 * A partition whose end cannot be found is also read from its earliest record, because records that the group must get
 * may be written before its end is known. The time limit is 1.5 s for each answer and 3 s for all, less than the first
 * requests wait for the group to begin.
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

/**
 * Looks up the ends of a topic; `undefined`: this is not permitted, so each member looks up the ends of its own
 * partitions.
 */
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
