import type { RecordBudget } from '../../core/record-budget.js'
import { fnv1a } from '../../producer/memory/partitioners.js'
import { over } from '../../verbs/over.js'
import type { AdminVerbs, DurableLogStats, Verbs } from '../../verbs/verbs.js'
import { callOthers, type Peers } from '../calls/peers.js'
import { AcksElsewhere } from './acks-elsewhere.js'
import { ownedGroups } from './group-owner.js'
import { ownedQueues } from './owned-queues.js'
import { fixedOwner, hashedOwner, peerInstances } from './peer-instances.js'
import { CHANGE_TIMEOUT_MS, peerQueues } from './queues-elsewhere.js'

const STATS_TIMEOUT_MS = 2_000

/** The workers of one gateway. Their number does not change, so each of them finds the same owner. */
interface WorkersOfGateway {
  readonly count: number
  /** How long a request for a message waits that does not say it. */
  readonly longPollMs: number
}

/**
 * The worker that owns a group or an instance, from 1.
 *
 *   ownerOf('default', 'billing', 2)   =>   2
 */
export function ownerOf(cluster: string, name: string, workers: number): number {
  return (fnv1a(Buffer.from(`${cluster}/${name}`)) % workers) + 1
}

/**
 * The gateway of one of several processes that read for the same consumer groups. Verbs that another process has to carry
 * out are passed on to it: those of consumer instances to the owner of the instance, and acknowledgements to the process
 * that reads the partition, and the settlement of a message of a queue to the process that holds it. Gateways share the partitions of a group. Of several workers one owns the group: it alone is a
 * member, and the others pass all requests for the group on to it, because a client cannot choose its worker. All other
 * requests are handled by the process that gets them.
 *
 * @param records memory for records of answers of this process
 * @param workers absent: the processes are gateways
 */
export function sharedVerbs<Id extends number | string>(
  own: Verbs,
  cluster: string,
  peers: Peers<Id>,
  records: RecordBudget,
  workers?: WorkersOfGateway
): Verbs {
  const { groups } = own
  const acks = new AcksElsewhere(groups, cluster, peers)
  if (workers === undefined) {
    return over(own, {
      groups: over(groups, {
        ack: async (groupId, message) => {
          const result = await groups.ack(groupId, message)
          return result.type === 'notRead' ? acks.ack(groupId, message) : result
        }
      }),
      instances: peerInstances(own, cluster, peers, hashedOwner(own.instances, cluster, peers), records),
      queues: peerQueues(own.queues, cluster, peers)
    })
  }
  const ownerAmong = (name: string): Id => ownerOf(cluster, name, workers.count) as Id
  const owner = fixedOwner<Id>(({ groupId, name }) => ownerAmong(`${groupId} ${name}`))
  return over(own, {
    groups: ownedGroups(groups, { cluster, peers, acks, ownerOf: ownerAmong, longPollMs: workers.longPollMs }),
    instances: peerInstances(own, cluster, peers, owner, records),
    queues: ownedQueues(own.queues, cluster, peers, ownerAmong, records),
    admin: toldToAll(own.admin, cluster, peers),
    durableLog: sumOfLogs(own, cluster, peers)
  })
}

function sumOfLogs<Id>(own: Verbs, cluster: string, peers: Peers<Id>): Verbs['durableLog'] {
  const log = `durableLog ${cluster}`
  peers.serve(log, () => own.durableLog())
  return async () => {
    const answers = await callOthers(peers, log, undefined, { timeoutMs: STATS_TIMEOUT_MS })
    return sumOf([await own.durableLog(), ...(answers as (DurableLogStats | undefined)[])])
  }
}

/** Each worker changes topics by itself. The others take note of it before its client is answered. */
function toldToAll<Id>(own: AdminVerbs, cluster: string, peers: Peers<Id>): AdminVerbs {
  const message = `topicChanged ${cluster}`
  peers.serve(message, (body: Parameters<AdminVerbs['topicChanged']>) => own.topicChanged(...body))
  const tell = async (topic: string, isDeleted: boolean): Promise<void> => {
    await callOthers(peers, message, [topic, isDeleted], { timeoutMs: CHANGE_TIMEOUT_MS })
  }
  return over(own, {
    createTopic: async (topic, options) => {
      await own.createTopic(topic, options)
      if (!options.validateOnly) await tell(topic.name, false)
    },
    deleteTopic: async (topic, timeoutMs) => {
      await own.deleteTopic(topic, timeoutMs)
      await tell(topic, true)
    },
    createPartitions: async (topic, total, options) => {
      await own.createPartitions(topic, total, options)
      if (!options.validateOnly) await tell(topic, false)
    }
  })
}

function sumOf(all: readonly (DurableLogStats | undefined)[]): DurableLogStats | undefined {
  return all.reduce((sum, one) => {
    if (sum === undefined || one === undefined) return sum ?? one
    return {
      segmentCount: sum.segmentCount + one.segmentCount,
      enqueued: sum.enqueued + one.enqueued,
      completed: sum.completed + one.completed,
      openEntries: sum.openEntries + one.openEntries,
      deadLetters: sum.deadLetters + one.deadLetters
    }
  })
}
