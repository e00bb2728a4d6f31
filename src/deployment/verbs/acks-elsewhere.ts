import { getOrAdd, setNewest } from '../../core/maps.js'
import type { TopicPartition } from '../../core/model.js'
import { messageOf } from '../../core/node-errors.js'
import { ownFailure } from '../../router/requests/failures.js'
import type { AckResult, GroupVerbs, MessageId } from '../../verbs/verbs.js'
import { type BatchedCalls, batchedCalls } from '../calls/batched-calls.js'
import { ask, type Call, inCluster, serve } from '../calls/call.js'
import { type AskedAck, MAX_ACKS_OF_CALL } from '../calls/group-calls.js'
import { askAll, isUnanswered, type Peers } from '../calls/peers.js'
import { CALLS } from '../calls/table.js'

/** Limits of the calls with acknowledgements to one gateway. */
const LIMITS = { maxCalls: 4, maxOfCall: MAX_ACKS_OF_CALL, maxWaiting: 20_000 }
/** Limit of remembered owners of partitions, and of remembered topic ids. */
const MAX_REMEMBERED = 50_000
/** The topic id in an acknowledgement whose sender knows none. No topic has it. */
const UNKNOWN_ID = ''

const OVERLOADED = ownFailure('overloaded', 'too many acknowledgements wait for another gateway', true)
const NO_READER: AckResult = { type: 'notRead' }
const NOT_READ: AckResult = {
  type: 'notRead',
  reason: 'no gateway of this deployment that answers reads the partition for the group'
}

const isOfReader = ({ type }: AckResult): boolean => type !== 'notRead' && type !== 'failed'

/** Passes acknowledgements on to the process that reads the partition. */
export class AcksElsewhere<Id> {
  readonly #peers: Peers<Id>
  readonly #call: Call<readonly AskedAck[], readonly AckResult[]>
  /** The process that acknowledged the last message of a partition, least recently used first. */
  readonly #owners = new Map<string, Id>()
  /** The ids of topics as other processes have told them, least recently used first. */
  readonly #topicIds = new Map<string, string>()
  readonly #calls = new Map<Id, BatchedCalls<AskedAck, AckResult>>()

  constructor(groups: GroupVerbs, cluster: string, peers: Peers<Id>) {
    this.#peers = peers
    this.#call = inCluster(CALLS.acks, cluster)
    // The own groups answer, so an acknowledgement is not passed on again.
    serve(peers, this.#call, asked => Promise.all(asked.map(({ groupId, ...message }) => groups.ack(groupId, message))))
    peers.onGone(id => this.#calls.delete(id))
  }

  /** A client has got a message that another process reads: acknowledgements in the partition are for that one first. */
  given(by: Id, { groupId, topic, partition, topicId }: MessageId & { readonly groupId: string }): void {
    setNewest(this.#owners, keyOf(groupId, { topic, partition }), by, MAX_REMEMBERED)
    if (topicId !== undefined) setNewest(this.#topicIds, topic, topicId, MAX_REMEMBERED)
  }

  /** Asks the process that acknowledged last in the partition, then all others. */
  async ack(groupId: string, message: MessageId): Promise<AckResult> {
    const key = keyOf(groupId, message)
    const { others } = this.#peers
    const owner = this.#owners.get(key)
    this.#owners.delete(key)
    if (owner !== undefined && others.includes(owner)) {
      const result = await this.at(owner, groupId, message)
      if (result.type !== 'notRead') {
        setNewest(this.#owners, key, owner, MAX_REMEMBERED)
        return result
      }
    }
    const further = others.filter(id => id !== owner)
    // At most one of them reads the partition; the others need not answer then.
    const told = await askAll(further, id => this.at(id, groupId, message), isOfReader)
    const { by, answer } = told.find(one => one.answer && isOfReader(one.answer)) ?? {}
    if (by === undefined) return told.findLast(one => one.answer?.type === 'failed')?.answer ?? NOT_READ
    setNewest(this.#owners, key, by, MAX_REMEMBERED)
    return answer!
  }

  /**
   * Asks one process. Never rejects. The acknowledgement names the topic by its id, so that it counts for no message of a
   * topic that is created again before it arrives. Where the process reads the topic with another id, it is asked once more.
   */
  async at(id: Id, groupId: string, { topic, partition, offset }: MessageId): Promise<AckResult> {
    const ack = (topicId: string) => this.#callsTo(id)({ groupId, topic, partition, offset, topicId })
    const result = await ack(this.#topicIds.get(topic) ?? UNKNOWN_ID)
    if (result.type !== 'notRead' || result.topicId === undefined) return result
    setNewest(this.#topicIds, topic, result.topicId, MAX_REMEMBERED)
    return ack(result.topicId)
  }

  #callsTo(id: Id): BatchedCalls<AskedAck, AckResult> {
    return getOrAdd(this.#calls, id, () => {
      return batchedCalls<AskedAck, AckResult>({
        ...LIMITS,
        name: 'calls with acknowledgements',
        call: acks => ask(this.#peers, id, this.#call, acks),
        // A process that does not answer counts as one that does not read the partition.
        failed: error => (isUnanswered(error) ? NO_READER : ownFailure('overloaded', messageOf(error), true)),
        full: OVERLOADED
      })
    })
  }
}

const keyOf = (groupId: string, { topic, partition }: TopicPartition): string =>
  JSON.stringify([groupId, topic, partition])
