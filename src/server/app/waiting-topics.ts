import type { MonotonicClock } from '../../core/model.js'
import { inPortions } from '../../core/portions.js'
import { weightOfTopic } from '../../http/status/merge.js'
import { MAX_ROWS, type PartitionRow, type Status, type TopicRow } from '../../http/status/status.js'
import { TopRows } from '../../http/status/top-rows.js'
import type { LogView } from '../../producer/disk/durable-queue.js'
import type { TopicView, TroubledPartition } from '../../producer/memory/topic-view.js'
import type { KafkaCluster } from './kafka.js'

/** The part of a cluster whose topics are looked at. */
export type WatchedCluster = Pick<KafkaCluster, 'name' | 'delivery' | 'durable' | 'router'>

/** From the worst state to the best. */
const STATES: readonly TopicView['state'][] = ['refused', 'missing', 'stuck', 'lookingUp', 'flowing', 'idle']

/** The topics of a process where records wait or do not flow, the worst first. */
export async function waitingTopics(
  clusters: readonly WatchedCluster[],
  backlog: LogView['backlog'],
  clock: MonotonicClock
): Promise<Status['topics']> {
  const top = new TopRows<TopicRow>(weightOfTopic, MAX_ROWS)
  for (const cluster of clusters) {
    const durable = await durableTopics(cluster, backlog, clock)
    await inPortions(cluster.delivery.topicViews(), clock, view => {
      const logged = durable.get(view.topic)
      durable.delete(view.topic)
      if (view.state !== 'idle' || logged !== undefined) top.add(toRow(cluster, view, logged))
    })
    await inPortions(durable.values(), clock, logged => top.add(toRow(cluster, undefined, logged)))
  }
  return { total: top.total, rows: top.rows }
}

/** A topic of the durable log: what is in memory of it, and how many records wait on disk. */
interface LoggedTopic {
  readonly topic: string
  readonly view: TopicView | undefined
  readonly records: number
}

async function durableTopics(
  { name, durable }: WatchedCluster,
  backlog: LogView['backlog'],
  clock: MonotonicClock
): Promise<Map<string, LoggedTopic>> {
  const logged = new Map<string, LoggedTopic>()
  await inPortions(backlog, clock, ([destination, { openEntries }]) => {
    const at = destination.lastIndexOf('/')
    const topic = destination.slice(at + 1)
    if (destination.slice(0, at) === name) logged.set(topic, { topic, view: undefined, records: openEntries })
  })
  await inPortions(durable?.topicViews() ?? [], clock, view => {
    const known = logged.get(view.topic)
    if (view.state === 'idle' && known === undefined) return
    logged.set(view.topic, { topic: view.topic, view, records: Math.max(known?.records ?? 0, view.records) })
  })
  return logged
}

function toRow(
  { name, router }: WatchedCluster,
  memory: TopicView | undefined,
  logged: LoggedTopic | undefined
): TopicRow {
  const views = [memory, logged?.view].filter(view => view !== undefined)
  const worst = views.reduce<TopicView | undefined>(
    (worse, view) => (worse !== undefined && STATES.indexOf(worse.state) <= STATES.indexOf(view.state) ? worse : view),
    undefined
  )
  const topic = memory?.topic ?? logged!.topic
  const refusal = views.find(view => view.refusal !== undefined)?.refusal
  return {
    cluster: name,
    topic,
    // Records of a topic without an object wait for a place among the topics that are looked up.
    state: worst?.state ?? 'lookingUp',
    memory: {
      records: memory?.records ?? 0,
      bytes: memory?.bytes ?? 0,
      oldestAgeMs: Math.round(memory?.oldestAgeMs ?? 0)
    },
    ...(logged !== undefined && { log: { records: logged.records, bytesInMemory: logged.view?.bytes ?? 0 } }),
    partitions: Math.max(0, ...views.map(({ partitions }) => partitions)),
    troubledPartitions: Math.max(0, ...views.map(({ troubledCount }) => troubledCount)),
    troubled: views.flatMap(({ troubled }) =>
      troubled.map(one => toPartitionRow(one, router.leaderOf(topic, one.partition)))
    ),
    ...(refusal !== undefined && { refusal: { code: refusal.code, message: refusal.message } })
  }
}

function toPartitionRow(
  { partition, state, attempts, obstacle }: TroubledPartition,
  leader: number | undefined
): PartitionRow {
  return {
    partition,
    state,
    attempts,
    ...(obstacle !== undefined && { error: obstacle.error, message: obstacle.message }),
    ...(leader !== undefined && { leader })
  }
}
