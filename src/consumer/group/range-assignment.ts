import type { TopicPartition } from '../../core/model.js'

/** A member of a group, and the topics it reads. */
export interface Subscriber {
  readonly memberId: string
  /** Of a static member, which is sorted by it, so that a restart changes nothing. */
  readonly instanceId: string | null
  readonly topics: readonly string[]
}

/**
 * Which member gets which partitions: for each topic, its readers in order get equal runs of its partitions, and the first
 * ones get one more where the number cannot be divided.
 *
 *   7 partitions for a, b, c   =>   a: 0 1 2   b: 3 4   c: 5 6
 *
 * Every member is in the result; topics that do not exist are left out.
 */
export function assignRanges(
  subscribers: readonly Subscriber[],
  partitionsOf: (topic: string) => readonly number[]
): ReadonlyMap<string, readonly TopicPartition[]> {
  const assignments = new Map(subscribers.map(({ memberId }) => [memberId, [] as TopicPartition[]]))
  const readersOf = byTopic([...subscribers].sort((one, other) => compare(sortKey(one), sortKey(other))))
  for (const [topic, readers] of [...readersOf].sort(([one], [other]) => compare(one, other))) {
    const runs = divide(
      [...partitionsOf(topic)].sort((one, other) => one - other),
      readers.length
    )
    readers.forEach(({ memberId }, at) => {
      const assigned = assignments.get(memberId)!
      for (const partition of runs[at]!) assigned.push({ topic, partition })
    })
  }
  return assignments
}

/** Who reads each topic. Members of other clients may name thousands, and one twice. */
function byTopic(subscribers: readonly Subscriber[]): ReadonlyMap<string, readonly Subscriber[]> {
  const readersOf = new Map<string, Subscriber[]>()
  for (const subscriber of subscribers) {
    for (const topic of new Set(subscriber.topics)) {
      const readers = readersOf.get(topic)
      if (readers) readers.push(subscriber)
      else readersOf.set(topic, [subscriber])
    }
  }
  return readersOf
}

/** Contiguous runs, the first ones longer by one where needed: `divide([0, 1, 2, 3], 3)` is `[[0, 1], [2], [3]]`. */
export function divide<T>(items: readonly T[], runs: number): readonly (readonly T[])[] {
  const length = Math.floor(items.length / runs)
  const longer = items.length % runs
  const startOf = (run: number): number => run * length + Math.min(run, longer)
  return Array.from({ length: runs }, (_, run) => items.slice(startOf(run), startOf(run + 1)))
}

const sortKey = ({ instanceId, memberId }: Subscriber): string => instanceId ?? memberId

const compare = (one: string, other: string): number => (one < other ? -1 : one > other ? 1 : 0)
