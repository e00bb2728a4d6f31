import type { MonotonicClock } from '../../core/model.js'
import { inPortions } from '../../core/portions.js'
import { TopRows, weightOfTopic } from '../../http/status/merge.js'
import { MAX_ROWS, type Status, type TopicRow } from '../../http/status/status.js'
import type { LogView } from '../../producer/disk/durable-queue.js'
import type { TopicView } from '../../producer/memory/topic-view.js'
import type { KafkaCluster } from './kafka.js'

/** The part of a cluster whose topics are looked at. */
export type WatchedCluster = Pick<KafkaCluster, 'name' | 'delivery' | 'durable' | 'router'>

/** From the worst state to the best. */
const STATES: readonly TopicView['state'][] = ['refused', 'missing', 'stuck', 'lookingUp', 'flowing', 'idle']

/** A topic where records wait or do not flow, before its row is made: rows are made for the worst only. */
interface Candidate {
  readonly cluster: WatchedCluster
  readonly memory: TopicView | undefined
  readonly logged: LoggedTopic | undefined
}

const weightOf = ({ memory, logged }: Candidate): number =>
  weightOfTopic({ state: stateOf(memory, logged), bytes: memory?.bytes ?? 0, loggedRecords: logged?.records ?? 0 })

/** The topics of a process where records wait or do not flow, the worst first, and the age of the oldest record. */
export async function waitingTopics(
  clusters: readonly WatchedCluster[],
  backlog: LogView['backlog'],
  clock: MonotonicClock
): Promise<{ readonly topics: Status['topics']; readonly oldestAgeMs: number }> {
  const top = new TopRows<Candidate>(weightOf, MAX_ROWS)
  let oldestAgeMs = 0
  for (const cluster of clusters) {
    const durable = await durableTopics(cluster, backlog, clock)
    await inPortions(cluster.delivery.topicViews(), clock, memory => {
      if (memory === undefined) return
      const logged = durable.get(memory.topic)
      durable.delete(memory.topic)
      oldestAgeMs = Math.max(oldestAgeMs, memory.oldestAgeMs)
      if (memory.state !== 'idle' || logged !== undefined) top.add({ cluster, memory, logged })
    })
    await inPortions(durable.values(), clock, logged => top.add({ cluster, memory: undefined, logged }))
  }
  return { topics: { total: top.total, rows: top.rows.map(toRow) }, oldestAgeMs }
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

/** The worse of the states in memory and on disk. */
function stateOf(memory: TopicView | undefined, logged: LoggedTopic | undefined): TopicView['state'] {
  // Mostly there is one: nothing is allocated for each of ten thousand topics.
  const ofLog = logged?.view?.state
  if (memory !== undefined && ofLog === undefined) return memory.state
  const states = [memory?.state, ofLog]
  // Records of a topic without an object wait for a place among the topics that are looked up.
  return STATES.find(state => states.includes(state)) ?? 'lookingUp'
}

function toRow({ cluster, memory, logged }: Candidate): TopicRow {
  const { name, delivery, durable, router } = cluster
  const views = [memory, logged?.view].filter(view => view !== undefined)
  const topic = memory?.topic ?? logged!.topic
  const refusal = views.find(view => view.refusal !== undefined)?.refusal
  const troubled = [...delivery.troubledIn(topic), ...(durable?.troubledIn(topic) ?? [])]
  return {
    cluster: name,
    topic,
    state: stateOf(memory, logged),
    memory: {
      records: memory?.records ?? 0,
      bytes: memory?.bytes ?? 0,
      oldestAgeMs: Math.round(memory?.oldestAgeMs ?? 0)
    },
    log: logged && { records: logged.records, bytesInMemory: logged.view?.bytes ?? 0 },
    partitions: Math.max(0, ...views.map(({ partitions }) => partitions)),
    troubledPartitions: Math.max(0, ...views.map(({ troubledCount }) => troubledCount)),
    troubled: troubled.map(({ partition, state, attempts, obstacle }) => {
      const { error, message } = obstacle ?? {}
      return { partition, state, attempts, error, message, leader: router.leaderOf(topic, partition) }
    }),
    refusal: refusal && { code: refusal.code, message: refusal.message }
  }
}
