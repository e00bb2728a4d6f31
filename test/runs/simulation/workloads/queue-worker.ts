import { type Attempt, isUnheard, type QueueWord } from '../../../support/queue-history/queue-events.js'
import type { QueueHistory } from '../../../support/queue-history/queue-history.js'
import type { SeededRandom } from '../../../support/random.js'
import type { Answers } from '../answers.js'
import type { SimulatedProcess } from '../process.js'
import { recordText } from '../record-text.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import { percent } from '../world/randomness.js'
import type { Trace } from '../world/trace.js'
import { Client } from './client.js'
import { HttpConnection, type HttpResponse, requestText } from './http-connection.js'
import type { QueueAuditor } from './queue-auditor.js'

/** A gateway as its clients see it. */
export interface QueueGateway {
  readonly process: SimulatedProcess & { readonly port: number }
  /** Whether a request that was sent then may lose its connection now. */
  mayHangUp(sentAt: number): boolean
}

export interface QueueWorkerOptions {
  readonly name: string
  /** `/queues/TOPIC/GROUP`. */
  readonly path: string
  readonly lockMs: number
}

export interface QueueWorkerDeps {
  readonly host: Host
  readonly gateway: QueueGateway
  /** One that holds none of its messages. */
  readonly other: QueueGateway
  readonly answers: Answers
  readonly history: QueueHistory
  readonly auditor: QueueAuditor
  readonly random: SeededRandom
  readonly trace: Trace
  now(): number
  /** Does something on the client's host. */
  onHost(action: () => void): void
}

/** A message of an answer in JSON; bytes are in base64. */
interface Message {
  readonly token: string
  readonly partition: number
  readonly offset: number
  readonly timestamp: number
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly { readonly key: string; readonly value: string | null }[]
  readonly deliveryCount: number
  readonly lockMs: number
}

type Told = Pick<Message, 'token' | 'partition' | 'offset' | 'deliveryCount' | 'lockMs'>
type Lists = Partial<Record<QueueWord, readonly string[]>>

interface SettleAnswer {
  readonly token: string
  readonly outcome: string
  readonly reason?: string
}

const WORDS: readonly QueueWord[] = ['accept', 'release', 'reject', 'renew']
const WAITS_MS = [0, 300, 1_000, 3_000]
/** Of a queue that has not begun yet, beyond the wait of the client. */
const GRACE_MS = 11_000
/** A word waits behind a fetch, each of which is given up after ten seconds. */
const SETTLE_LIMIT_MS = 22_000
const AGAIN_AFTER_FAILURE_MS = 200
const PAUSE_MS = [0, 80] as const
const DELAYS_MS = [0, 0, 500, 3_000]
const LEAVES_WITHIN_MS = 400
/** Later than the lock of a message may last. */
const TOO_LATE_MS = [10_000, 24_000] as const
const OK = 200
const NOTHING = 204
const MULTI_STATUS = 207
/** A gateway or Kafka is away, or the token counts no more. */
const TROUBLE: ReadonlySet<number> = new Set([404, 410, 429, 502, 503, 504])
/** One message in so many is never accepted while there are faults. */
const POISONED = 13

/** Answers to DELETE, by status. */
const outcomes: Readonly<Record<number, string>> = {
  [NOTHING]: 'done',
  404: 'invalid',
  410: 'lost',
  502: 'failed',
  503: 'elsewhere',
  504: 'unknown'
}

/** The request was refused as a whole. */
const refused = ({ token }: Attempt): SettleAnswer => ({ token, outcome: 'refused' })

/** A client of a queue that acquires messages and accepts most of them; others it gives back, gives up, keeps too long or forgets. */
export class QueueWorker extends Client<QueueWorkerOptions, QueueWorkerDeps> implements Workload {
  readonly counts: Record<string, number> = { acquires: 0, messages: 0, again: 0 }
  #isBusy = false
  /** Requests that are open, and words that wait to be said. */
  #open = 0
  /** Said with the next acquire. */
  #riding: Lists | undefined

  start(): void {
    if (this.#isBusy) return
    this.#isBusy = true
    this.#acquire()
  }

  /** Goes on until nothing is left in the queue. */
  get isFinished(): boolean {
    const { isEmpty } = this.deps.auditor
    if (!this.#isBusy && !isEmpty) this.deps.onHost(() => this.start())
    return isEmpty && !this.#isBusy && this.#open === 0
  }

  #acquire(): void {
    const { random, auditor, gateway } = this.deps
    if (this.isStopped && auditor.isEmpty && this.#riding === undefined) {
      this.#isBusy = false
      return
    }
    this.counts.acquires!++
    const waitMs = random.pick(WAITS_MS)
    const riding = this.#riding
    this.#riding = undefined
    const isBytes = riding === undefined && percent(random, 20)
    const lock = percent(random, 50) ? { lockMs: this.options.lockMs } : {}
    const limits = isBytes ? {} : { count: random.between(1, 6) }
    const body = { ...limits, ...lock, waitMs, start: 'earliest', ...(riding && { settle: riding }) }
    const said = riding === undefined ? [] : this.#said(riding, gateway)
    const accept = isBytes ? '\r\naccept: application/octet-stream' : ''
    const text = requestText('POST', `${this.options.path}/acquire`, JSON.stringify(body)).replace(
      '\r\nhost',
      `${accept}\r\nhost`
    )
    const leaves = !auditor.isAtRest && percent(random, 5)
    const askedAt = this.deps.now()
    const limitMs = waitMs + GRACE_MS + (riding === undefined ? 0 : SETTLE_LIMIT_MS)
    this.#send(gateway, 'acquires', text, limitMs, leaves, response => this.#acquired(response, said, askedAt))
  }

  #acquired(response: HttpResponse | undefined, said: readonly Attempt[], askedAt: number): void {
    const { random } = this.deps
    const status = response?.status
    const answer = response === undefined || response.body === '' ? {} : bodyOf(response)
    if (response !== undefined && said.length > 0) this.#heard(said, answer.settled ?? said.map(refused))
    const messages = response === undefined ? [] : this.#messagesIn(response, answer)
    for (const message of messages) this.#told(message, askedAt)
    const isServed = status === OK || status === NOTHING
    const again = (): unknown => setTimeout(() => this.#acquire(), isServed ? 0 : AGAIN_AFTER_FAILURE_MS)
    if (messages.length === 0) return void again()
    setTimeout(() => this.#handle(messages, again), random.between(...PAUSE_MS))
  }

  #messagesIn({ status, headers }: HttpResponse, answer: Answer): readonly (Told & Partial<Message>)[] {
    if (status === OK && answer.messages !== undefined) return answer.messages
    if (status !== OK) return []
    const number = (name: string): number => Number(headers.get(`x-castellan-${name}`))
    const token = headers.get('x-castellan-token')!
    return [
      {
        token,
        partition: number('partition'),
        offset: number('offset'),
        deliveryCount: number('delivery-count'),
        lockMs: number('lock-ms')
      }
    ]
  }

  #told(message: Told & Partial<Message>, askedAt: number): void {
    const { history, gateway, now, trace } = this.deps
    const { token, partition, offset, deliveryCount, lockMs } = message
    this.counts.messages!++
    if (deliveryCount > 1) this.counts.again!++
    trace.say(this.name, `gets ${partition}@${offset}, delivery ${deliveryCount}, ${token.slice(-12)}`)
    const text = message.headers === undefined ? undefined : textOf(message as Message)
    const told = { message: `${partition}@${offset}`, token, deliveryCount, lockMs, text }
    history.acquired({ ...told, gateway: gateway.process.name, askedAt, at: now() })
  }

  /** Says something about each of them, or nothing. */
  #handle(messages: readonly Told[], done: () => void): void {
    const { random } = this.deps
    const words = new Map<string, QueueWord>()
    for (const message of messages) {
      const word = this.#wordFor(message)
      if (word !== undefined) words.set(message.token, word)
    }
    const listed = (word: QueueWord): readonly string[] => [...words.keys()].filter(token => words.get(token) === word)
    const lists = Object.fromEntries(WORDS.map(word => [word, listed(word)])) as Record<QueueWord, readonly string[]>
    // What is renewed is accepted later.
    for (const token of lists.renew) this.#later(random.between(1_000, 9_000), () => this.#settle({ accept: [token] }))
    if (words.size === 0) done()
    else if (words.size === 1 && lists.accept.length === 1) this.#delete(lists.accept[0]!, done)
    else if (percent(random, 30)) {
      this.#riding = lists
      done()
    } else this.#settle(lists, done)
  }

  #wordFor({ token, partition, offset }: Told): QueueWord | undefined {
    const { random, auditor } = this.deps
    const draw = random.next() * 100
    if (auditor.isAtRest) return 'accept'
    const isPoisoned = (offset * 7 + partition) % POISONED === 0
    if (isPoisoned) return draw < 80 ? 'release' : undefined
    if (draw < 74) return 'accept'
    if (draw < 84) return 'release'
    if (draw < 88) return 'reject'
    if (draw < 93) return 'renew'
    // The others are forgotten, or it is too late.
    if (draw < 97) this.#later(random.between(...TOO_LATE_MS), () => this.#settle({ accept: [token] }))
    return undefined
  }

  #later(ms: number, action: () => void): void {
    this.#open++
    setTimeout(() => {
      this.#open--
      action()
    }, ms)
  }

  #settle(lists: Lists, done: () => void = () => undefined, repeats = 2): void {
    const { random, auditor, gateway, other } = this.deps
    const isElsewhere = !auditor.isAtRest && percent(random, 4)
    const asked = isElsewhere ? other : gateway
    const said = this.#said(lists, asked)
    const body = JSON.stringify({ ...lists, delayMs: auditor.isAtRest ? 0 : random.pick(DELAYS_MS) })
    const text = requestText('POST', `${this.options.path}/settle`, body)
    this.#send(asked, 'settles', text, SETTLE_LIMIT_MS, percent(random, 2), response => {
      if (response !== undefined) this.#heard(said, bodyOf(response).results ?? said.map(refused))
      const isAnswered = said.every(one => one.outcome !== undefined && !isUnheard(one))
      if (repeats > 0 && (!isAnswered || percent(random, 5)))
        setTimeout(() => this.#settle(lists, done, repeats - 1), random.between(0, 1_000))
      else done()
    })
  }

  #delete(token: string, done: () => void, repeats = 2): void {
    const { random, gateway } = this.deps
    const said = this.#said({ accept: [token] }, gateway)
    const text = requestText('DELETE', `${this.options.path}/messages/${token}`)
    this.#send(gateway, 'deletes', text, SETTLE_LIMIT_MS, percent(random, 2), response => {
      if (response !== undefined) this.#heard(said, [{ token, outcome: outcomes[response.status] ?? 'odd' }])
      if (repeats > 0 && (response === undefined || percent(random, 5)))
        setTimeout(() => this.#delete(token, done, repeats - 1), random.between(0, 1_000))
      else done()
    })
  }

  /** Notes what is about to be said. */
  #said(lists: Lists, { process }: QueueGateway): readonly Attempt[] {
    const { history, now } = this.deps
    const sentAt = now()
    return WORDS.flatMap(word =>
      (lists[word] ?? []).map(token => {
        return history.said({ token, word, gateway: process.name, sentAt, answeredAt: Number.POSITIVE_INFINITY })
      })
    )
  }

  #heard(said: readonly Attempt[], told: readonly SettleAnswer[]): void {
    const { now, trace } = this.deps
    const order = (tokens: readonly { readonly token: string }[]): string => tokens.map(({ token }) => token).join()
    if (order(told) !== order(said)) this.violated('other results', `${order(told)} for ${order(said)}`)
    for (const [at, { token, outcome, reason }] of told.entries()) {
      const attempt = said[at]!
      attempt.answeredAt = now()
      attempt.outcome = outcome
      attempt.reason = reason
      const what = `${attempt.word} ${outcome}${reason === undefined ? '' : ` (${reason})`}`
      this.#count(what)
      trace.say(this.name, `${what} ${token.slice(-12)}`)
      if (outcome === 'invalid' || outcome === 'odd') this.violated('refused', `${what} of ${token.slice(-12)}`)
    }
  }

  /** @param leaves the client goes away before long */
  #send(
    { process, mayHangUp }: QueueGateway,
    what: string,
    text: string,
    limitMs: number,
    leaves: boolean,
    onOver: (response: HttpResponse | undefined) => void
  ): void {
    const { answers, now, random } = this.deps
    const sentAt = now()
    const answered = answers.ask(`${this.name} ${what}`, limitMs, process.host)
    let response: HttpResponse | undefined
    let hasLeft = false
    this.#open++
    const connection = new HttpConnection('127.0.0.1', process.port, {
      onResponse: received => {
        if (hasLeft) return
        if (response !== undefined) this.violated('answered twice', `${received.status} after ${response.status}`)
        response = received
        connection.end()
      },
      onClose: () => {
        this.#open--
        answered()
        this.#count(`${what} ${response?.status ?? 'without an answer'}`)
        if (response === undefined && !hasLeft && !mayHangUp(sentAt)) this.violated('hung up', `${what} at ${sentAt}`)
        if (response !== undefined) this.#checkStatus(what, response)
        onOver(response)
      }
    })
    connection.send(text)
    if (!leaves) return
    setTimeout(
      () => {
        if (response !== undefined) return
        hasLeft = true
        connection.destroy()
      },
      random.between(0, LEAVES_WITHIN_MS)
    )
  }

  #checkStatus(what: string, { status, body }: HttpResponse): void {
    if (status >= OK && status <= MULTI_STATUS) return
    if (!TROUBLE.has(status)) this.violated('refused', `${what}: ${status} ${body}`)
    this.deps.trace.say(this.name, `${what}: ${status} ${body}`)
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }
}

interface Answer {
  readonly messages?: readonly Message[]
  readonly settled?: readonly SettleAnswer[]
  readonly results?: readonly SettleAnswer[]
}

const bodyOf = ({ headers, body }: HttpResponse): Answer =>
  headers.get('content-type')?.includes('json') === true ? (JSON.parse(body) as Answer) : {}

const bytesOf = (base64: string | null): Buffer | null => (base64 === null ? null : Buffer.from(base64, 'base64'))

const textOf = ({ key, value, headers, timestamp }: Message): string =>
  recordText({
    key: bytesOf(key),
    value: bytesOf(value),
    headers: headers.map(header => ({ key: header.key, value: bytesOf(header.value) })),
    timestampMs: timestamp
  })
