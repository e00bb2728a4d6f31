import type { RecordBudget } from '../../core/record-budget.js'
import { fnv1a } from '../../producer/memory/partitioners.js'
import type { AckResult, AdminVerbs, DurableLogStats, GroupVerbs, MessageId, Verbs } from '../../verbs/verbs.js'
import { WrappedGroups, WrappedVerbs } from '../../verbs/wrapped.js'
import { callOthers, type Peers } from '../calls/peers.js'
import type { Lending } from '../lending/lending.js'
import { AcksElsewhere } from './acks-elsewhere.js'
import { OwnedGroups } from './group-owner.js'
import { OwnedQueues } from './owned-queues.js'
import { fixedOwner, hashedOwner, PeerInstances } from './peer-instances.js'
import { CHANGE_TIMEOUT_MS, PeerQueues } from './queues-elsewhere.js'

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
 * The cluster of one of several processes that read for the same consumer groups. All verbs that no other process has to carry
 * out are handled by the process that gets them.
 *
 * @param records memory for records of answers of this process
 * @param workers absent: the processes are gateways
 * @param lending of gateways. Absent: they lend each other no messages
 */
export function sharedVerbs<Id extends number | string>(
  own: Verbs,
  cluster: string,
  peers: Peers<Id>,
  records: RecordBudget,
  workers?: WorkersOfGateway,
  lending?: Lending<Id>
): Verbs {
  return workers === undefined
    ? verbsOfGateway(own, cluster, peers, records, lending)
    : new OwnedVerbs(own, cluster, peers, records, workers)
}

/**
 * The cluster of one of several gateways, which share the partitions of a group. Verbs of a consumer instance are passed on to
 * the owner of the instance, an acknowledgement to the gateway that reads the partition, and the settlement of a message of a
 * queue to the one that holds it.
 */
function verbsOfGateway<Id extends number | string>(
  own: Verbs,
  cluster: string,
  peers: Peers<Id>,
  records: RecordBudget,
  lending?: Lending<Id>
): Verbs {
  const acks = new AcksElsewhere(own.groups, cluster, peers)
  lending?.whenGiven((by, message) => acks.given(by, message))
  return new WrappedVerbs(own, {
    groups: new SharedGroups(own.groups, acks),
    instances: new PeerInstances(own, cluster, peers, hashedOwner(own.instances, cluster, peers), records),
    queues: new PeerQueues(own.queues, cluster, peers)
  })
}

/** Passes an acknowledgement on where this gateway does not read the partition. */
class SharedGroups<Id> extends WrappedGroups {
  readonly #acks: AcksElsewhere<Id>

  constructor(own: GroupVerbs, acks: AcksElsewhere<Id>) {
    super(own)
    this.#acks = acks
  }

  override async ack(groupId: string, message: MessageId): Promise<AckResult> {
    const result = await this.own.ack(groupId, message)
    return result.type === 'notRead' ? this.#acks.ack(groupId, message) : result
  }
}

/**
 * The cluster of one of several workers. One of them owns a group: it alone is a member, and the others pass all requests for
 * the group on to it, because each request of a client may reach another worker.
 */
class OwnedVerbs<Id extends number | string> extends WrappedVerbs {
  readonly #peers: Peers<Id>
  /** The name of the call for the counts of the durable log. */
  readonly #log: string

  constructor(own: Verbs, cluster: string, peers: Peers<Id>, records: RecordBudget, workers: WorkersOfGateway) {
    const { count, longPollMs } = workers
    const ownerAmong = (name: string): Id => ownerOf(cluster, name, count) as Id
    const owner = fixedOwner<Id>(({ groupId, name }) => ownerAmong(`${groupId} ${name}`))
    const acks = new AcksElsewhere(own.groups, cluster, peers)
    super(own, {
      groups: new OwnedGroups(own.groups, { cluster, peers, acks, ownerOf: ownerAmong, longPollMs }),
      instances: new PeerInstances(own, cluster, peers, owner, records),
      queues: new OwnedQueues(own.queues, cluster, peers, ownerAmong, records)
    })
    tellChanges(own.admin, cluster, peers)
    this.#peers = peers
    this.#log = `durableLog ${cluster}`
    peers.serve(this.#log, () => own.durableLog())
  }

  /** The sum of the counts of all workers. */
  override async durableLog(): Promise<DurableLogStats | undefined> {
    const answers = await callOthers(this.#peers, this.#log, undefined, { timeoutMs: STATS_TIMEOUT_MS })
    return sumOf([await this.own.durableLog(), ...(answers as (DurableLogStats | undefined)[])])
  }
}

/** Each worker changes topics by itself. The others take note of it before its client is answered. */
function tellChanges<Id>(admin: AdminVerbs, cluster: string, peers: Peers<Id>): void {
  const name = `topicChanged ${cluster}`
  peers.serve(name, (body: Parameters<AdminVerbs['topicChanged']>) => admin.topicChanged(...body))
  admin.tellOthers = (...change) => callOthers(peers, name, change, { timeoutMs: CHANGE_TIMEOUT_MS })
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
