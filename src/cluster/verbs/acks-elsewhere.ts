import type { AckResult, GroupGateway, MessageId } from '../../gateway/gateway.js'
import { ownFailure } from '../../router/requests/failures.js'
import { isAway, type Peers } from '../calls/peers.js'

/** Time limit for an acknowledgement at another gateway. The owner answers in its next tick. */
const ACK_TIMEOUT_MS = 2_000
const MAX_ACKS_OF_CALL = 1_000
/** Calls with acknowledgements to one gateway at a time. Further acknowledgements wait and go together. */
const MAX_CALLS = 4
/** Acknowledgements that wait for a call to one gateway. Further ones are refused. */
const MAX_WAITING = 20_000
/** Partitions whose owners are remembered. */
const MAX_OWNERS = 50_000

const OVERLOADED = ownFailure('overloaded', 'too many acknowledgements wait for another gateway', true)
const NO_READER: AckResult = { type: 'notRead' }
const NOT_READ: AckResult = {
  type: 'notRead',
  reason: 'no gateway of this deployment that answers reads the partition for the group'
}

interface AskedAck extends MessageId {
  readonly groupId: string
}

/** Passes acknowledgements on to the process that reads the partition. */
export class AcksElsewhere<Id> {
  readonly #peers: Peers<Id>
  readonly #message: string
  /** The process that acknowledged the last message of a partition, least recently used first. */
  readonly #owners = new Map<string, Id>()
  readonly #queues = new Map<Id, AckQueue>()

  constructor(groups: GroupGateway, cluster: string, peers: Peers<Id>) {
    this.#peers = peers
    this.#message = `acks ${cluster}`
    // The own groups answer, so an acknowledgement is not passed on again.
    peers.serve(this.#message, body =>
      Promise.all((body as AskedAck[]).map(({ groupId, ...message }) => groups.ack(groupId, message)))
    )
    peers.onGone(id => this.#queues.delete(id))
  }

  /** Asks the process that acknowledged last in the partition, then all others. */
  async ack(groupId: string, message: MessageId): Promise<AckResult> {
    const key = JSON.stringify([groupId, message.topic, message.partition])
    const { others } = this.#peers
    const owner = this.#owners.get(key)
    this.#owners.delete(key)
    if (owner !== undefined && others.includes(owner)) {
      const result = await this.at(owner, groupId, message)
      if (result.type !== 'notRead') {
        this.#remember(key, owner)
        return result
      }
    }
    const ids = others.filter(id => id !== owner)
    return this.#askAll(ids, groupId, message, key)
  }

  /** Asks several processes. At most one of them reads the partition; the others need not answer then. */
  #askAll(ids: readonly Id[], groupId: string, message: MessageId, key: string): Promise<AckResult> {
    let without: AckResult = NOT_READ
    const asked = ids.map(async id => {
      const result = await this.at(id, groupId, message)
      if (result.type === 'failed') without = result
      if (result.type === 'failed' || result.type === 'notRead') throw result
      this.#remember(key, id)
      return result
    })
    return Promise.any(asked).catch(() => without)
  }

  /** Asks one process. Never rejects. */
  at(id: Id, groupId: string, { topic, partition, offset }: MessageId): Promise<AckResult> {
    let queue = this.#queues.get(id)
    if (queue === undefined) {
      queue = new AckQueue(acks => this.#peers.call(id, this.#message, acks, { timeoutMs: ACK_TIMEOUT_MS }))
      this.#queues.set(id, queue)
    }
    return queue.add({ groupId, topic, partition, offset })
  }

  #remember(key: string, owner: Id): void {
    this.#owners.delete(key)
    this.#owners.set(key, owner)
    if (this.#owners.size > MAX_OWNERS) this.#owners.delete(this.#owners.keys().next().value!)
  }
}

interface WaitingAck {
  readonly asked: AskedAck
  readonly resolve: (result: AckResult) => void
}

/** Acknowledgements for one process. Those that come while calls are under way go together in one call. */
class AckQueue {
  readonly #call: (acks: readonly AskedAck[]) => Promise<unknown>
  #waiting: WaitingAck[] = []
  #calls = 0

  constructor(call: (acks: readonly AskedAck[]) => Promise<unknown>) {
    this.#call = call
  }

  /** Never rejects. A process that does not answer counts as one that does not read the partition. */
  add(asked: AskedAck): Promise<AckResult> {
    if (this.#waiting.length >= MAX_WAITING) return Promise.resolve(OVERLOADED)
    return new Promise(resolve => {
      this.#waiting.push({ asked, resolve })
      // The acknowledgements of one tick go together.
      if (this.#waiting.length === 1) setImmediate(() => this.#send())
    })
  }

  #send(): void {
    while (this.#calls < MAX_CALLS && this.#waiting.length > 0) {
      this.#calls++
      const batch = this.#waiting.splice(0, MAX_ACKS_OF_CALL)
      void this.#settle(batch).then(() => {
        this.#calls--
        this.#send()
      })
    }
  }

  async #settle(batch: readonly WaitingAck[]): Promise<void> {
    let results: readonly AckResult[] = []
    try {
      results = (await this.#call(batch.map(({ asked }) => asked))) as readonly AckResult[]
    } catch (error) {
      const result = isAway(error) ? NO_READER : ownFailure('overloaded', (error as Error).message, true)
      results = batch.map(() => result)
    }
    for (const [at, { resolve }] of batch.entries()) resolve(results[at] ?? NO_READER)
  }
}
