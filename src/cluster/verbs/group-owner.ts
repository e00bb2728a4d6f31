import { CastellanError } from '../../core/errors.js'
import type { OffsetAndMetadata } from '../../core/model.js'
import type {
  AcquiredMessage,
  CommitOutcome,
  ConsumedMessage,
  ConsumedMessages,
  ConsumeManyResult,
  GroupGateway,
  GroupOffset,
  MessageId,
  MessageLimits,
  NoMessage
} from '../../gateway/gateway.js'
import type { Failure } from '../../router/messages/operations.js'
import { failureOf } from '../../router/requests/failures.js'
import type { WorkerPeers } from '../workers/worker-peers.js'

/**
 * For this time, messages that were passed to another worker can still be released. By then the worker has sent its
 * answer, or its client has disconnected.
 */
const KEPT_MS = 60_000
const SWEEP_MS = 5_000
/**
 * Maximum number of answers whose messages can be released. Messages of older answers can no longer be released; the
 * group offers them again if they are not acknowledged.
 */
const MAX_KEPT = 10_000

/** The messages of an answer to another worker: at least one. */
export interface MessagesOfOwner {
  readonly type: 'messages'
  readonly messages: readonly AcquiredMessage[]
  /** Identifies these messages when they are acknowledged together or released. */
  readonly token: number
}

/** A worker's request for one message, or with `limits` for several. */
export interface AskedOfOwner {
  readonly groupId: string
  readonly topic: string
  readonly limits: MessageLimits | undefined
  readonly timeoutMs: number
  /** The client to whose share of `advanced.consumer.maxGroups` a new group is counted. */
  readonly client?: string | undefined
  /** Number of the request, unique at the asking worker. It is used to cancel the request. */
  readonly id: number
}

export interface AcksOfOwner {
  readonly token: number
  readonly groupId: string
  readonly ids: readonly MessageId[]
}

export interface TopicOfGroup {
  readonly groupId: string
  readonly topic: string
  readonly timeoutMs: number
}

/** Offsets to commit, by partition. */
export interface OffsetsOfOwner extends TopicOfGroup {
  readonly offsets: readonly (readonly [partition: number, OffsetAndMetadata])[]
}

export interface CommittedByOwner {
  readonly type: 'committed'
  readonly outcomes: readonly (readonly [partition: number, CommitOutcome])[]
}

/** The offsets of a group. */
export interface OffsetsFromOwner {
  readonly type: 'offsets'
  /** `undefined`: there is no such topic. */
  readonly offsets: readonly GroupOffset[] | undefined
}

interface Kept extends Pick<ConsumedMessages, 'ack' | 'release'> {
  readonly for: number
  /** The `id` in {@link AskedOfOwner}. */
  readonly id: number
  readonly at: number
}

/** Answers the requests that other workers send to this worker as the owner of a group. */
export class GroupOwner {
  readonly #groups: GroupGateway
  /** Functions that cancel the open requests, by worker and id of the request. */
  readonly #cancels = new Map<string, () => void>()
  /** Messages that can be released, by token, oldest first. */
  readonly #kept = new Map<number, Kept>()
  #lastToken = 0
  #sweeper: NodeJS.Timeout | undefined

  constructor(groups: GroupGateway, cluster: string, peers: WorkerPeers) {
    this.#groups = groups
    const serve = <Body>(verb: string, handler: (body: Body, from: number) => unknown): void =>
      peers.serve(`${verb} ${cluster}`, (body, { from }) => handler(body as Body, from))
    serve('consume', (asked: AskedOfOwner, from) => this.#consume(asked, from))
    serve('cancel', ({ id }: { id: number }, from) => this.#cancel(id, from))
    serve('ack', ({ groupId, ...message }: MessageId & { groupId: string }) => groups.ack(groupId, message))
    serve('commit', (asked: OffsetsOfOwner) => this.#commit(asked).catch(failureIn))
    serve('offsets', (asked: TopicOfGroup) => this.#offsets(asked).catch(failureIn))
    serve('ackAll', (asked: AcksOfOwner) => this.#ackAll(asked))
    serve('release', ({ token }: { token: number }) => this.#take(token)?.release())
    peers.onGone(number => this.#gone(number))
  }

  #consume(asked: AskedOfOwner, from: number): Promise<MessagesOfOwner | NoMessage> {
    const key = `${from}/${asked.id}`
    return new Promise(resolve => {
      let isAnswered = false
      const cancel = this.#ask(asked, result => {
        isAnswered = true
        this.#cancels.delete(key)
        resolve(result.type === 'messages' ? this.#keep(result.messages, from, asked.id) : result)
      })
      if (isAnswered) return
      this.#cancels.set(key, () => {
        this.#cancels.delete(key)
        cancel()
        resolve({ type: 'timedOut' })
      })
    })
  }

  #ask(
    { groupId, topic, limits, timeoutMs, client }: AskedOfOwner,
    reply: (result: ConsumeManyResult) => void
  ): () => void {
    if (limits !== undefined) return this.#groups.consumeMany(groupId, topic, limits, timeoutMs, { reply, client })
    return this.#groups.consume(groupId, topic, timeoutMs, {
      client,
      reply: result => reply(result.type === 'message' ? together(result.message) : result)
    })
  }

  async #commit({ groupId, topic, offsets, timeoutMs }: OffsetsOfOwner): Promise<CommittedByOwner> {
    const outcomes = await this.#groups.commit(groupId, topic, new Map(offsets), timeoutMs)
    return { type: 'committed', outcomes: [...outcomes] }
  }

  async #offsets({ groupId, topic, timeoutMs }: TopicOfGroup): Promise<OffsetsFromOwner> {
    return { type: 'offsets', offsets: await this.#groups.offsets(groupId, topic, timeoutMs) }
  }

  async #ackAll({ token, groupId, ids }: AcksOfOwner): Promise<void> {
    const kept = this.#take(token)
    if (kept !== undefined) kept.ack()
    else await Promise.all(ids.map(id => this.#groups.ack(groupId, id)))
  }

  /**
   * Cancels an open request. If it was already answered, the answer came too late for the client, so its messages are
   * released.
   */
  #cancel(id: number, from: number): void {
    const cancel = this.#cancels.get(`${from}/${id}`)
    if (cancel) cancel()
    else for (const [token, kept] of this.#kept) if (kept.for === from && kept.id === id) this.#take(token)?.release()
  }

  #keep(given: ConsumedMessages, from: number, id: number): MessagesOfOwner {
    const token = ++this.#lastToken
    const kept = { for: from, id, at: performance.now(), ack: () => given.ack(), release: () => given.release() }
    this.#kept.set(token, kept)
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value!)
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref()
    return { type: 'messages', messages: given.messages.map(toAcquired), token }
  }

  #take(token: number): Kept | undefined {
    const kept = this.#kept.get(token)
    this.#kept.delete(token)
    return kept
  }

  #sweep(): void {
    const before = performance.now() - KEPT_MS
    for (const [token, { at }] of this.#kept) {
      if (at >= before) return
      this.#kept.delete(token)
    }
    clearInterval(this.#sweeper)
    this.#sweeper = undefined
  }

  /**
   * Called when a worker has ended. Cancels its requests, and releases the messages that may not have reached a client.
   */
  #gone(number: number): void {
    for (const [key, cancel] of [...this.#cancels]) if (key.startsWith(`${number}/`)) cancel()
    const given = [...this.#kept].filter(([, kept]) => kept.for === number)
    for (const [token] of given.reverse()) this.#take(token)?.release()
  }
}

/** Turns an error of the gateway into an answer. */
function failureIn(error: unknown): Failure {
  if (error instanceof CastellanError) return failureOf(error)
  throw error
}

const together = (message: ConsumedMessage): ConsumeManyResult => ({
  type: 'messages',
  messages: { messages: [message], ack: () => message.ack(), release: () => message.release() }
})

/** Copies a message without its functions, because only this process can call them. */
const toAcquired = ({
  topic,
  partition,
  groupId,
  retries,
  offset,
  timestampMs,
  key,
  value,
  headers
}: AcquiredMessage): AcquiredMessage => ({
  topic,
  partition,
  groupId,
  retries,
  offset,
  timestampMs,
  key,
  value,
  headers
})
