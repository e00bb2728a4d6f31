import type { ConsumedMessage, ConsumeResult, Gateway, MessageId } from '../gateway/gateway.js'
import type { Peers } from './peers.js'

/** So long a message that was passed on can be given back: until its answer is sent, or the client has left. */
const KEPT_MS = 60_000
const SWEEP_MS = 5_000
/** Most messages that can be given back; of further ones the oldest is offered again when nobody acknowledges it. */
const MAX_KEPT = 10_000

/** A message on its way to another worker. */
export interface MessageOfOwner {
  readonly type: 'message'
  readonly message: Omit<ConsumedMessage, 'ack' | 'giveBack'>
  /** Stands for the message where it is given back. */
  readonly token: number
}

interface Kept {
  readonly for: number
  readonly at: number
  readonly giveBack: () => void
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
    serve('consume', (asked: Asked, from) => this.#consume(asked, from))
    serve('cancel', ({ id }: { id: number }, from) => this.#cancels.get(`${from}/${id}`)?.())
    serve('ack', ({ groupId, ...message }: MessageId & { groupId: string }) => gateway.ack(groupId, message))
    serve('giveBack', ({ token }: { token: number }) => this.#take(token)?.giveBack())
    serve('durableLog', () => gateway.durableLog())
    peers.onGone(number => this.#gone(number))
  }

  #consume({ groupId, topic, id, timeoutMs }: Asked, from: number): Promise<unknown> {
    const key = `${from}/${id}`
    return new Promise(resolve => {
      let isAnswered = false
      const reply = (result: ConsumeResult): void => {
        isAnswered = true
        this.#cancels.delete(key)
        resolve(result.type === 'message' ? this.#keep(result.message, from) : result)
      }
      const cancel = this.#gateway.consume(groupId, topic, timeoutMs, { reply })
      if (isAnswered) return
      this.#cancels.set(key, () => {
        this.#cancels.delete(key)
        cancel()
        resolve({ type: 'timedOut' } satisfies ConsumeResult)
      })
    })
  }

  #keep(message: ConsumedMessage, from: number): MessageOfOwner {
    const token = ++this.#lastToken
    this.#kept.set(token, { for: from, at: performance.now(), giveBack: () => message.giveBack() })
    if (this.#kept.size > MAX_KEPT) this.#kept.delete(this.#kept.keys().next().value!)
    this.#sweeper ??= setInterval(() => this.#sweep(), SWEEP_MS).unref()
    const { topic, partition, groupId, retries, offset, timestampMs, key, value, headers } = message
    return {
      type: 'message',
      message: { topic, partition, groupId, retries, offset, timestampMs, key, value, headers },
      token
    }
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

  /** What it waited for is not wanted any more, and what it was given last may not have reached a client. */
  #gone(number: number): void {
    for (const [key, cancel] of [...this.#cancels]) if (key.startsWith(`${number}/`)) cancel()
    const given = [...this.#kept].filter(([, kept]) => kept.for === number)
    for (const [token] of given.reverse()) this.#take(token)?.giveBack()
  }
}

interface Asked {
  readonly groupId: string
  readonly topic: string
  readonly id: number
  readonly timeoutMs: number
}
