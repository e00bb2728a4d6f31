import { setTimeout as sleep } from 'node:timers/promises'
import type { SettleOutcome } from '../../../../src/verbs/verbs.js'
import type { QueueWord } from '../../../support/queue-history/queue-events.js'
import type { QueueHistory } from '../../../support/queue-history/queue-history.js'
import type { SeededRandom } from '../../../support/random.js'
import { type HttpAnswer, HttpClient, type NoAnswer } from '../../http-client.js'

/** Longer than any request takes, also at a gateway that stands still meanwhile. */
const TIMEOUT_MS = 75_000
/** Longer than the lock of Kafka, 15 s. */
const OVERSLEPT_MS = [16_000, 19_000] as const
/** Of a job that takes some time. */
const WORK_MS = [20, 400] as const
const RETRY_MS = 150
/** Of requests that did nothing: quotas, gateways and brokers that are away. */
const REFUSALS = [429, 503, 504]
const BYTES = 'application/octet-stream'
/** `none`: no answer came. `refused`: the whole request was answered with a problem. */
type Outcome = SettleOutcome | 'none' | 'refused'

const STATUS_OUTCOMES: Readonly<Record<number, Outcome>> = {
  204: 'done',
  404: 'invalid',
  410: 'lost',
  502: 'failed',
  504: 'unknown'
}

type Reply = HttpAnswer | NoAnswer

/** Most workers do what they are given; the others are there for the trouble that they make. */
export type Manner = 'diligent' | 'slow' | 'forgetful' | 'vanishing'

export interface Queue {
  readonly urls: readonly string[]
  /** `/queues/TOPIC/GROUP` */
  readonly path: string
  readonly history: QueueHistory
  readonly random: SeededRandom
  /** Messages that are always released. */
  isPoison(message: string): boolean
}

interface Held {
  readonly token: string
  readonly message: string
  /** What was told last about its token. */
  outcome: Outcome
}

/** A request to a gateway, and when it was sent. */
interface Asked {
  readonly gateway: string
  readonly at: number
}

interface Given {
  readonly token: string
  readonly value: string
  readonly deliveryCount: number
  readonly lockMs: number
}

interface Result {
  readonly token: string
  readonly outcome: Outcome
  readonly reason?: string
}

type Words = Readonly<Record<QueueWord, readonly Held[]>>
const NO_WORDS: Words = { accept: [], release: [], reject: [], renew: [] }

/** A client of the queue, which sends each request to one of the gateways by lot. */
export class Worker {
  readonly #queue: Queue
  readonly #manner: Manner
  readonly #client: HttpClient
  /** Tokens that count no more, or may not: to be tried again. */
  readonly #old = new Set<Held>()
  #isStopped = false

  constructor(queue: Queue, number: number, manner: Manner) {
    this.#queue = queue
    this.#manner = manner
    // It has an address of its own.
    const localAddress = `127.0.1.${number + 1}`
    this.#client = new HttpClient('', { timeoutMs: TIMEOUT_MS, localAddress })
  }

  stop(): void {
    this.#isStopped = true
  }

  /** Resolves after {@link stop}. */
  async run(): Promise<void> {
    const { random } = this.#queue
    let words: { readonly words: Words; readonly delayMs: number } | undefined
    while (!this.#isStopped) {
      const held = random.next() < 0.1 ? await this.#acquireBytes() : await this.#acquire(words)
      words = undefined
      if (held.length === 0) continue
      if (this.#manner === 'slow' && random.next() < 0.3) await sleep(random.between(...OVERSLEPT_MS))
      else if (random.next() < 0.2) await sleep(random.between(...WORK_MS))
      const kept = held.filter(() => this.#manner !== 'forgetful' || random.next() < 0.8)
      const renewed = kept.filter(() => random.next() < 0.1)
      if (renewed.length > 0) await this.#settle({ ...NO_WORDS, renew: renewed }, 0)
      const next = { words: this.#wordsFor(kept), delayMs: random.next() < 0.5 ? random.between(1, 3_000) : 0 }
      // They ride along with the next acquire.
      if (random.next() < 0.15) words = next
      else if (kept.length === 1 && next.words.accept.length === 1 && random.next() < 0.7) await this.#delete(kept[0]!)
      else await this.#settle(next.words, next.delayMs)
      if (next.words.release.length > 0 && random.next() < 0.5) {
        await sleep(random.between(5, 150))
        // Another client may be at work on them by now.
        await this.#tryAgain(next.words.release)
      } else if (random.next() < 0.2) await this.#tryAgain(this.#takeOld())
    }
    if (words !== undefined) await this.#settle(words.words, words.delayMs)
    this.#client.close()
  }

  #wordsFor(held: readonly Held[]): Words {
    const { random, isPoison } = this.#queue
    const words: Record<QueueWord, Held[]> = { accept: [], release: [], reject: [], renew: [] }
    for (const one of held) {
      const luck = random.next()
      const word = isPoison(one.message) || luck < 0.1 ? 'release' : luck < 0.13 ? 'reject' : 'accept'
      words[word].push(one)
    }
    return words
  }

  async #acquire(riding?: { readonly words: Words; readonly delayMs: number }): Promise<readonly Held[]> {
    const { random, history } = this.#queue
    const count = random.next() < 0.3 ? random.between(1, 3) : random.between(4, 25)
    const lockMs = [undefined, 15_000, 40_000][random.between(0, 2)]
    const settle = riding && { ...tokensOf(riding.words), delayMs: riding.delayMs }
    const body = { count, waitMs: random.between(0, 2_000), lockMs, encoding: 'text', start: 'earliest', settle }
    const asked = this.#picked()
    const reply = await this.#ask(asked, 'POST', '/acquire', body)
    const answer = isAnswer(reply) ? JSON.parse(reply.body) : {}
    if (riding !== undefined) this.#note(riding.words, reply, answer.settled, asked)
    if (isAnswer(reply) && reply.status === 200) return this.#given(answer.messages, asked)
    if (reply === 'lost') this.#notSeen(asked)
    if (isAnswer(reply) && !REFUSALS.includes(reply.status))
      history.problem('refused', `acquire was answered ${reply.status}: ${reply.body.slice(0, 300)}`)
    await sleep(RETRY_MS)
    return []
  }

  async #acquireBytes(): Promise<readonly Held[]> {
    const { random, history } = this.#queue
    const asked = this.#picked()
    const body = { waitMs: random.between(0, 1_000), start: 'earliest' }
    const reply = await this.#ask(asked, 'POST', '/acquire', body, BYTES)
    if (isAnswer(reply) && reply.status === 200) {
      const token = String(reply.headers['x-castellan-token'])
      const deliveryCount = Number(reply.headers['x-castellan-delivery-count'])
      const lockMs = Number(reply.headers['x-castellan-lock-ms'])
      return this.#given([{ token, value: reply.body, deliveryCount, lockMs }], asked)
    }
    if (reply === 'lost') this.#notSeen(asked)
    if (isAnswer(reply) && ![204, ...REFUSALS].includes(reply.status))
      history.problem('refused', `acquire was answered ${reply.status}: ${reply.body.slice(0, 300)}`)
    if (!isAnswer(reply) || reply.status !== 204) await sleep(RETRY_MS)
    return []
  }

  /** A gateway by lot, and when it is asked. */
  #picked(): Asked {
    const { random, urls } = this.#queue
    return { gateway: random.pick(urls), at: performance.now() }
  }

  #given(messages: readonly Given[], { gateway, at: askedAt }: Asked): readonly Held[] {
    const at = performance.now()
    return messages.map(({ token, value: message, deliveryCount, lockMs }) => {
      this.#queue.history.acquired({ message, token, gateway, deliveryCount, lockMs, askedAt, at })
      return { token, message, outcome: 'none' }
    })
  }

  /** It may have been given messages that it has not got. */
  #notSeen({ at }: Asked): void {
    this.#queue.history.disturbed({ from: at, to: performance.now(), unseen: 1, ends: 'nothing' })
  }

  /** Repeats words without a clear answer twice at most. */
  async #settle(words: Words, delayMs: number, repeats = 2): Promise<void> {
    const { random } = this.#queue
    if (Object.values(words).every(list => list.length === 0)) return
    const asked = this.#picked()
    const reply = await this.#ask(asked, 'POST', '/settle', { ...tokensOf(words), delayMs })
    const results = isAnswer(reply) && reply.status < 300 ? JSON.parse(reply.body).results : undefined
    this.#note(words, reply, results, asked)
    this.#keep(words)
    const again = reply === 'unsent' ? words : unclear(words)
    if (repeats === 0 || random.next() < 0.3 || Object.values(again).every(list => list.length === 0)) return
    await sleep(random.between(1, 500))
    await this.#settle(again, delayMs, repeats - 1)
  }

  async #delete(held: Held, repeats = 2): Promise<void> {
    const asked = this.#picked()
    const reply = await this.#ask(asked, 'DELETE', `/messages/${held.token}`)
    const told = isAnswer(reply) ? outcomeOfStatus(reply.status, reply.body) : 'none'
    if (reply !== 'unsent') this.#tell(held, 'accept', asked, told)
    const isUnclear = !isAnswer(reply) || told === 'unknown' || told === 'elsewhere' || told === 'refused'
    if (isUnclear && repeats > 0) {
      await sleep(RETRY_MS)
      await this.#delete(held, repeats - 1)
    }
  }

  #takeOld(): readonly Held[] {
    const old = [...this.#old].slice(0, 20)
    for (const one of old) this.#old.delete(one)
    return old
  }

  /** Tokens that count no more must settle nothing. */
  async #tryAgain(held: readonly Held[]): Promise<void> {
    const { random } = this.#queue
    const words: Record<QueueWord, Held[]> = { accept: [], release: [], reject: [], renew: [] }
    for (const one of held) words[random.pick(['accept', 'release', 'reject', 'renew'] as const)].push(one)
    await this.#settle(words, 0, 0)
  }

  #keep({ accept, release, reject }: Words): void {
    for (const one of [...accept, ...release, ...reject])
      if (this.#old.size < 100 && this.#queue.random.next() < 0.1) this.#old.add(one)
  }

  #note(words: Words, reply: Reply, results: readonly Result[] | undefined, asked: Asked): void {
    if (reply === 'unsent') return
    const byToken = new Map(results?.map(result => [result.token, result]))
    for (const [word, held] of Object.entries(words) as [QueueWord, readonly Held[]][]) {
      for (const one of held) {
        const result = byToken.get(one.token)
        const outcome = result?.outcome ?? (isAnswer(reply) ? 'refused' : 'none')
        this.#tell(one, word, asked, outcome, result?.reason)
      }
    }
    if (isAnswer(reply) && ![200, 207, ...REFUSALS].includes(reply.status))
      this.#queue.history.problem('refused', `words were answered ${reply.status}: ${reply.body.slice(0, 300)}`)
  }

  #tell(held: Held, word: QueueWord, { gateway, at: sentAt }: Asked, told: Outcome, reason?: string): void {
    const { history } = this.#queue
    if (told === 'invalid') history.problem('invalid', `a token of ${held.message}`)
    held.outcome = told
    const outcome = told === 'none' ? undefined : told
    history.said({ token: held.token, word, gateway, sentAt, answeredAt: performance.now(), outcome, reason })
  }

  async #ask({ gateway }: Asked, method: string, path: string, body?: object, accept?: string): Promise<Reply> {
    const { random, path: queue, history } = this.#queue
    const url = `${gateway}${queue}${path}`
    const vanishes = this.#manner === 'vanishing' && random.next() < 0.25
    const vanishesAfterMs = vanishes ? random.between(0, 60) ** 2 / 10 : undefined
    const headers = { 'content-type': 'application/json', ...(accept !== undefined && { accept }) }
    const text = body === undefined ? '' : JSON.stringify(body)
    const reply = await this.#client.try(method, url, { headers, body: text, vanishesAfterMs })
    if (isAnswer(reply) && method === 'POST' && accept === undefined && !isJson(reply.body)) {
      // The connection was refused, not the request: at a stop, or where a gateway stood still while the request came.
      if (![408, 503].includes(reply.status))
        history.problem('refused', `${path} was answered ${reply.status} without JSON`)
      return 'lost'
    }
    if (reply === 'late') history.problem('late', `${method} ${path.slice(0, 10)} was not answered`)
    if (isAnswer(reply) && reply.status === 503) await sleep(RETRY_MS)
    return reply
  }
}

const isAnswer = (reply: Reply): reply is HttpAnswer => typeof reply !== 'string'

function isJson(text: string): boolean {
  try {
    return typeof JSON.parse(text) === 'object'
  } catch {
    return false
  }
}

const tokensOf = (words: Words): Readonly<Record<QueueWord, readonly string[]>> => ({
  accept: words.accept.map(({ token }) => token),
  release: words.release.map(({ token }) => token),
  reject: words.reject.map(({ token }) => token),
  renew: words.renew.map(({ token }) => token)
})

/** What was not answered, or could not be asked. */
function unclear(words: Words): Words {
  const those = (list: readonly Held[]) =>
    list.filter(({ outcome }) => ['none', 'unknown', 'elsewhere', 'refused'].includes(outcome))
  return {
    accept: those(words.accept),
    release: those(words.release),
    reject: those(words.reject),
    renew: those(words.renew)
  }
}

/** A gateway that could not ask the holder, and one that shuts down, both answer 503. */
function outcomeOfStatus(status: number, body: string): Outcome {
  if (status === 503 && body.includes('the gateway that holds the message')) return 'elsewhere'
  return STATUS_OUTCOMES[status] ?? 'refused'
}
