import { HttpConnection } from './http-connection.js'
import { LONGEST_LATENCY_MICROS, latencyHistogram, type Percentiles, percentiles } from './percentiles.js'

export interface HttpLoadOptions {
  readonly host: string
  readonly port: number
  /** Fixed number of keep-alive connections, each with one request on its way at a time. */
  readonly connections: number
  /** Written as it stands, over and over. */
  readonly request: Buffer
  /** Authority of the server's certificate; absent: no TLS. */
  readonly ca?: string | undefined
  /**
   * Absent: closed loop, every connection sends again as soon as it was answered. Given: open loop, requests are
   * meant to leave at this steady rate, and latency counts from that intended time, so a stall is charged in full.
   */
  readonly ratePerSecond?: number | undefined
  /** Open loop: a request whose time came while all connections were busy is given up and counted, not sent later. */
  readonly givesUp?: boolean | undefined
}

/** What was counted since the last {@link HttpLoad.mark}. */
export interface HttpLoadCounts extends Percentiles {
  readonly sent: number
  readonly answered: number
  /** Open loop: not sent, because all connections were busy. */
  readonly heldBack: number
  /** The same as the percentiles of all answers, of those with a 2xx. */
  readonly accepted: Percentiles
  /** On their way when their connection broke. */
  readonly lost: number
  /** Status code and answers that had it. */
  readonly statuses: readonly (readonly [number, number])[]
}

const MICROS_PER_MS = 1000
const PACE_MS = 1
/** The load generator itself may be late by so much. */
const GIVEN_UP_AFTER_MS = 20
// A server that refuses connections is asked again at this pace, not in a busy loop.
const RECONNECT_MS = 20

/** Sends one request over fixed connections, as fast or as steadily as told, and counts what comes back. */
export class HttpLoad {
  readonly #options: HttpLoadOptions
  readonly #latencyMicros = latencyHistogram()
  readonly #acceptedMicros = latencyHistogram()
  readonly #statuses = new Map<number, number>()
  readonly #connections = new Set<HttpConnection>()
  /** Connections without a request (open loop only). */
  readonly #free = new Set<HttpConnection>()
  #startedAtMs = 0
  /** Open loop: requests that were sent; the next one is meant for `startedAtMs + paced * spacing`. */
  #paced = 0
  #pacer: NodeJS.Timeout | undefined
  #sent = 0
  #answered = 0
  #lost = 0
  #heldBack = 0
  #onTheirWay = 0
  #sending = false
  #drained: () => void = () => {}

  constructor(options: HttpLoadOptions) {
    this.#options = options
  }

  /** Opens all connections, then lets the requests go. */
  async start(): Promise<void> {
    const connections = Array.from({ length: this.#options.connections }, () => this.#open())
    await Promise.all(connections.map(connection => connection.opened()))
    this.#sending = true
    this.#startedAtMs = performance.now()
    for (const connection of connections) this.#next(connection)
    if (this.#options.ratePerSecond !== undefined) this.#pacer = setInterval(this.#pace, PACE_MS)
  }

  /** Forgets what was counted so far: the warm-up is over. */
  mark(): void {
    this.#latencyMicros.reset()
    this.#acceptedMicros.reset()
    this.#statuses.clear()
    this.#sent = this.#answered = this.#lost = this.#heldBack = 0
  }

  counts(): HttpLoadCounts {
    return {
      sent: this.#sent,
      answered: this.#answered,
      lost: this.#lost,
      heldBack: this.#heldBack,
      accepted: percentiles(this.#acceptedMicros),
      statuses: [...this.#statuses],
      ...percentiles(this.#latencyMicros)
    }
  }

  /** Sends no more, waits for what is on its way (at most `timeoutMs`), closes the connections. */
  async stop(timeoutMs = 10_000): Promise<void> {
    this.#sending = false
    clearInterval(this.#pacer)
    if (this.#onTheirWay > 0) {
      await new Promise<void>(resolve => {
        const timer = setTimeout(resolve, timeoutMs)
        this.#drained = () => {
          clearTimeout(timer)
          resolve()
        }
      })
    }
    for (const connection of this.#connections) connection.close()
  }

  #open(): HttpConnection {
    const { host, port, ca } = this.#options
    const connection = new HttpConnection(host, port, { answered: this.#onAnswered, lost: this.#onLost }, ca)
    this.#connections.add(connection)
    return connection
  }

  #next(connection: HttpConnection): void {
    if (this.#options.ratePerSecond === undefined) {
      this.#send(connection, performance.now())
      return
    }
    if (this.#options.givesUp) this.#giveUp(this.#options.ratePerSecond)
    const intendedAtMs = this.#startedAtMs + (this.#paced * 1000) / this.#options.ratePerSecond
    if (intendedAtMs > performance.now()) {
      this.#free.add(connection)
      return
    }
    this.#paced++
    this.#free.delete(connection)
    this.#send(connection, intendedAtMs)
  }

  /** Leaves out what should have left before the last pace. */
  #giveUp(ratePerSecond: number): void {
    const due = Math.floor(((performance.now() - this.#startedAtMs - GIVEN_UP_AFTER_MS) * ratePerSecond) / 1000)
    if (due <= this.#paced) return
    this.#heldBack += due - this.#paced
    this.#paced = due
  }

  #send(connection: HttpConnection, intendedAtMs: number): void {
    this.#sent++
    this.#onTheirWay++
    connection.intendedAtMs = intendedAtMs
    connection.send(this.#options.request)
  }

  readonly #pace = (): void => {
    for (const connection of this.#free) {
      const before = this.#paced
      this.#next(connection)
      if (this.#paced === before) return
    }
  }

  readonly #onAnswered = (connection: HttpConnection, status: number): void => {
    this.#answered++
    this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + 1)
    const latencyMicros = (performance.now() - connection.intendedAtMs) * MICROS_PER_MS
    const recorded = Math.min(Math.round(latencyMicros), LONGEST_LATENCY_MICROS)
    this.#latencyMicros.recordValue(recorded)
    if (status >= 200 && status < 300) this.#acceptedMicros.recordValue(recorded)
    this.#settled()
    if (this.#sending) this.#next(connection)
  }

  /** A server may close a connection; a new one takes its place, so that their number stays fixed. */
  readonly #onLost = (connection: HttpConnection, unanswered: boolean): void => {
    this.#connections.delete(connection)
    this.#free.delete(connection)
    if (unanswered) {
      this.#lost++
      this.#settled()
    }
    if (this.#sending) setTimeout(this.#reopen, RECONNECT_MS)
  }

  readonly #reopen = (): void => {
    if (!this.#sending) return
    const connection = this.#open()
    connection.opened().then(
      () => this.#sending && this.#next(connection),
      () => {}
    )
  }

  #settled(): void {
    this.#onTheirWay--
    if (this.#onTheirWay === 0 && !this.#sending) this.#drained()
  }
}
