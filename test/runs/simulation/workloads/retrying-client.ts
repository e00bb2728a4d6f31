import { GATEWAY_PORT } from '../http-gateway.js'
import { filler } from '../record-text.js'
import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import { percent } from '../world/randomness.js'
import { certaintiesIn, neverRead, PERSISTED, RECEIPT, REPLAYED } from './certainties.js'
import { Client } from './client.js'
import { HttpConnection, type HttpResponse } from './http-connection.js'
import type { PusherDeps, PusherOptions } from './pusher-options.js'

export interface RetryingOptions extends Omit<PusherOptions, 'manners' | 'keys' | 'maxRecords'> {
  /** Keys may be forgotten when the process dies, though they are on disk. */
  readonly forgets?: boolean
}

/** A request that is sent under one key until its answer is known. */
interface Keyed {
  readonly id: string
  readonly isSync: boolean
  readonly text: string
  /** Each attempt so far was answered, and each answer said that the record is not in Kafka. */
  isRefused: boolean
}

/** One attempt; without an answer the client has left, or has been left. */
interface Attempt {
  readonly sentAt: number
  readonly process: Host
  readonly response: HttpResponse | undefined
}

const RETRY_MS = [50, 500] as const
/** A request whose answer is known comes once more after so long. */
const ONCE_MORE_MS = 6_000
const LEAVES_WITHIN_MS = 300
/** A request waits at most so long for an earlier one with the same key. */
const KEY_WAIT_MS = 30_000

/**
 * A client that sends each record under a key of its own: again when it gets no answer or is not told what became of it, at
 * times twice at once, and at times once more when it knows.
 */
export class RetryingClient extends Client<RetryingOptions, PusherDeps> implements Workload {
  readonly counts: Record<string, number> = { records: 0, attempts: 0, replayed: 0 }
  readonly #pending: string[] = []
  #isBusy = false
  /** Requests that come once more. */
  #late = 0

  start(): void {
    if (this.isStopped) return
    if (!this.#isBusy) this.#begin()
    setTimeout(() => this.start(), this.deps.random.between(...this.options.pauseMs))
  }

  get isFinished(): boolean {
    return this.isStopped && !this.#isBusy && this.#late === 0
  }

  override check(): readonly Violation[] {
    const { accepted, isInKafka, history } = this.deps
    const outcomes = accepted.outcomes(isInKafka)
    for (const id of this.#pending) history.complete(id, outcomes.get(id) ?? { type: 'ok' })
    return this.violations
  }

  #begin(): void {
    const { random, history } = this.deps
    const { api, topics, maxValueBytes, syncPercent } = this.options
    const id = `${this.name}.${++this.counts.records!}`
    const [topic, key] = [random.pick(topics), `${id}-key`]
    const value = `${id}|${filler(random.between(0, maxValueBytes), api.carriesText)}`
    history.invoke({ id, topic, key, value })
    const isSync = percent(random, syncPercent)
    const text = api.requestOf([{ topic, key, data: value }], isSync)
    this.#isBusy = true
    this.#attempt({ id, isSync, text: text.replace('\r\n', `\r\nidempotency-key: ${id}\r\n`), isRefused: true })
  }

  /** Sends it once, or twice at the same time. */
  #attempt(keyed: Keyed): void {
    const attempts: Attempt[] = []
    const count = percent(this.deps.random, 20) ? 2 : 1
    for (let nth = 0; nth < count; nth++) {
      this.#send(keyed, percent(this.deps.random, 15), attempt => {
        attempts.push(attempt)
        if (attempts.length === count) this.#attempted(keyed, attempts)
      })
    }
  }

  #send(keyed: Keyed, leaves: boolean, onOver: (attempt: Attempt) => void): void {
    const { answers, gateway, now, random } = this.deps
    const { host: process } = gateway
    const sentAt = now()
    const { answeredWithinMs = Number.POSITIVE_INFINITY, acceptedWithinMs = 0 } = this.options
    const dueMs = (keyed.isSync ? answeredWithinMs : acceptedWithinMs) + KEY_WAIT_MS
    const answered = answers.ask(`${keyed.id}, attempt ${++this.counts.attempts!}`, dueMs, process)
    let response: HttpResponse | undefined
    const connection = new HttpConnection('127.0.0.1', GATEWAY_PORT, {
      onResponse: received => {
        response = received
        connection.end()
      },
      onClose: () => {
        answered()
        onOver({ sentAt, process, response })
      }
    })
    connection.send(keyed.text)
    if (leaves) setTimeout(() => connection.destroy(), random.between(0, LEAVES_WITHIN_MS))
  }

  #attempted(keyed: Keyed, attempts: readonly Attempt[]): void {
    const certainties = attempts.map(attempt => this.#certaintyOf(keyed, attempt))
    const known = attempts[certainties.indexOf(keyed.isSync ? 'yes' : 'pending')]
    if (known !== undefined) {
      this.#settle(keyed, known)
      this.deps.trace.say(this.name, `${keyed.id} is known`)
      this.#isBusy = false
      if (percent(this.deps.random, 30)) {
        this.#late++
        setTimeout(() => this.#sendOnceMore(keyed, known), this.deps.random.between(0, ONCE_MORE_MS))
      }
      return
    }
    // A refusal that is kept for the key: its record is a dead letter, and no further attempt changes that.
    if (attempts.some(({ response }, at) => certainties[at] === 'no' && response?.headers.get(REPLAYED) === 'true')) {
      this.deps.history.complete(keyed.id, { type: 'fail' })
      this.#isBusy = false
      return
    }
    keyed.isRefused &&= certainties.every(certainty => certainty === 'no')
    if (keyed.isRefused && percent(this.deps.random, 50)) {
      this.deps.history.complete(keyed.id, { type: 'fail' })
      this.#isBusy = false
    } else setTimeout(() => this.#attempt(keyed), this.deps.random.between(...RETRY_MS))
  }

  #certaintyOf({ id, isSync }: Keyed, { process, response }: Attempt): string | undefined {
    if (response === undefined) return undefined
    const { status, headers, body } = response
    const persisted = headers.get(PERSISTED)
    this.#count(`${status} ${isSync ? 'sync' : 'async'}`)
    this.deps.trace.say(this.name, `${id} ${status} persisted ${persisted} ${body}`)
    if (persisted === undefined && neverRead.has(status)) return undefined
    const certainty = persisted === undefined ? undefined : certaintiesIn(persisted, 1)?.[0]
    if (certainty === undefined) this.violated('no certainty told', `${status} to ${id}: ${body}`)
    const receipt = headers.get(RECEIPT)
    const { isDurable = false } = this.options
    if (receipt !== undefined)
      this.deps.receipts.push({ id, receipt, index: 0, certainty, process, isDurable, isRetried: true })
    return certainty
  }

  #settle({ id, isSync }: Keyed, { sentAt, response }: Attempt): void {
    const { history, accepted } = this.deps
    if (isSync) {
      const { status, body } = response!
      const [{ partition, offset = -1 } = {}] = this.options.api.toldIn(status, body, 1).values()
      // -1: Kafka has it and has not said where.
      history.complete(id, offset < 0 ? { type: 'ok' } : { type: 'ok', partition: partition!, offset })
    } else if (this.options.isDurable === true) history.complete(id, { type: 'ok' })
    else {
      accepted.answered({ id, producer: id, sentAt, isPending: true })
      this.#pending.push(id)
    }
  }

  /** The same request gets the same answer, as long as its key is remembered. */
  #sendOnceMore(keyed: Keyed, known: Attempt): void {
    const { isDurable = false, forgets = false } = this.options
    this.#send(keyed, false, ({ process, response }) => {
      this.#late--
      if (response === undefined || response.status === 503) return
      if (process !== known.process && (!isDurable || forgets)) return
      const { status, headers, body } = known.response!
      this.counts.replayed!++
      const isSame =
        response.headers.get(REPLAYED) === 'true' &&
        response.status === status &&
        response.body === body &&
        [PERSISTED, RECEIPT].every(name => response.headers.get(name) === headers.get(name))
      if (!isSame)
        this.violated('not replayed', `${keyed.id}: ${status} ${body}, then ${response.status} ${response.body}`)
    })
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }
}
