import { CastellanError } from '../../core/errors.js'
import type { OffsetAndMetadata } from '../../core/model.js'
import type {
  AcquiredMessage,
  CommitOutcome,
  ConsumedMessage,
  ConsumedMessages,
  ConsumeManyResult,
  Gateway,
  GroupOffset,
  MessageId,
  MessageLimits,
  NoMessage
} from '../../gateway/gateway.js'
import type { Failure } from '../../router/messages/operations.js'
import { failureOf } from '../../router/requests/failures.js'
import type { Peers } from './peers.js'

/** So long messages that were passed on can be given back: until the answer is sent, or the client has left. */
const KEPT_MS = 60_000
const SWEEP_MS = 5_000
/** Most answers whose messages can be given back; those of older ones are offered again when they are not acknowledged. */
const MAX_KEPT = 10_000

/** Messages on their way to another worker, at least one. */
export interface MessagesOfOwner {
  readonly type: 'messages'
  readonly messages: readonly AcquiredMessage[]
  /** Stands for them where they are acknowledged together, or given back. */
  readonly token: number
}

/** What a worker asks for. With `limits` it asks for several messages at once. */
export interface AskedOfOwner {
  readonly groupId: string
  readonly topic: string
  readonly limits: MessageLimits | undefined
  readonly timeoutMs: number
  /** The client whose share of `consumer.maxGroups` a new group takes. */
  readonly client?: string | undefined
  /** The number of the request there, for its withdrawal. */
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

/** Offsets that the group is to have, by partition. */
export interface OffsetsOfOwner extends TopicOfGroup {
  readonly offsets: readonly (readonly [partition: number, OffsetAndMetadata])[]
}

export interface CommittedByOwner {
  readonly type: 'committed'
  readonly outcomes: readonly (readonly [partition: number, CommitOutcome])[]
}

/** Where a group stands. */
export interface ToldByOwner {
  readonly type: 'offsets'
  /** `undefined`: there is no such topic. */
  readonly offsets: readonly GroupOffset[] | undefined
}

interface Kept extends Pick<ConsumedMessages, 'ack' | 'release'> {
  readonly for: number
  /** Of the request, as in {@link AskedOfOwner}. */
  readonly id: number
  readonly at: number
}

/** Answers what other workers ask the owner of a group. */
export class GroupOwner {
  readonly #gateway: Gateway
  /** By worker and its number of the request. */
  readonly #cancels = new Map<string, () => void>()
  /** By token, the oldest first. */
  readonly #kept = new Map<number, Kept>()
  #lastToken = 0
  #sweeper: NodeJS.Timeout | undefined

  constructor(gateway: Gateway, cluster: string, peers: Peers) {
    this.#gateway = gateway
    const serve = <Body>(verb: string, handler: (body: Body, from: number) => unknown): void =>
      peers.serve(`${verb} ${cluster}`, (body, from) => handler(body as Body, from))
    serve('consume', (asked: AskedOfOwner, from) => this.#consume(asked, from))
    serve('cancel', ({ id }: { id: number }, from) => this.#cancel(id, from))
    serve('ack', ({ groupId, ...message }: MessageId & { groupId: string }) => gateway.ack(groupId, message))
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
    if (limits !== undefined) return this.#gateway.consumeMany(groupId, topic, limits, timeoutMs, { reply, client })
    return this.#gateway.consume(groupId, topic, timeoutMs, {
      client,
      reply: result => reply(result.type === 'message' ? together(result.message) : result)
    })
  }

  async #commit({ groupId, topic, offsets, timeoutMs }: OffsetsOfOwner): Promise<CommittedByOwner> {
    const outcomes = await this.#gateway.commit(groupId, topic, new Map(offsets), timeoutMs)
    return { type: 'committed', outcomes: [...outcomes] }
  }

  async #offsets({ groupId, topic, timeoutMs }: TopicOfGroup): Promise<ToldByOwner> {
    return { type: 'offsets', offsets: await this.#gateway.offsets(groupId, topic, timeoutMs) }
  }

  async #ackAll({ token, groupId, ids }: AcksOfOwner): Promise<void> {
    const kept = this.#take(token)
    if (kept !== undefined) kept.ack()
    else await Promise.all(ids.map(id => this.#gateway.ack(groupId, id)))
  }

  /** A request that has been answered is withdrawn when its answer came too late: its messages were not delivered. */
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

  /** A worker has ended: its requests are withdrawn, and the messages that it was given last may not have reached a client. */
  #gone(number: number): void {
    for (const [key, cancel] of [...this.#cancels]) if (key.startsWith(`${number}/`)) cancel()
    const given = [...this.#kept].filter(([, kept]) => kept.for === number)
    for (const [token] of given.reverse()) this.#take(token)?.release()
  }
}

/** An error of the gateway, as it is passed on. */
function failureIn(error: unknown): Failure {
  if (error instanceof CastellanError) return failureOf(error)
  throw error
}

const together = (message: ConsumedMessage): ConsumeManyResult => ({
  type: 'messages',
  messages: { messages: [message], ack: () => message.ack(), release: () => message.release() }
})

/** Without what only this process can call. */
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
