import type { Histogram } from 'hdr-histogram-js'
import { HttpConnection } from './http-connection.js'
import { LONGEST_LATENCY_MICROS, latencyHistogram, type Percentiles, percentiles } from './percentiles.js'

export interface HttpLoadOptions {
  readonly host: string
  readonly port: number
  /** The fixed number of keep-alive connections. Each has one request in flight at a time. */
  readonly connections: number
  /** The bytes of the request, which is sent again and again. */
  readonly request: Buffer
  /** Where each request has a number of its own, {@link NUMBER_DIGITS} long. Absent: all are the same. */
  readonly numberAt?: number | undefined
  /** Certificate authority of the server's certificate. Absent: no TLS. */
  readonly ca?: string | undefined
  /**
   * Absent: closed loop, in which every connection sends again as soon as it is answered. Given: open loop, in which
   * requests are due at this steady rate. Latency is measured from the due time, so it includes every stall.
   */
  readonly ratePerSecond?: number | undefined
  /** Open loop: a request that is due while all connections are busy is counted and never sent. */
  readonly givesUp?: boolean | undefined
}

/** Answers to others, which count turns on a machine of any speed. */
export interface Turns {
  readonly p99: number
  readonly max: number
}

/** The counts since the last {@link HttpLoad.mark}. */
export interface HttpLoadCounts extends Percentiles {
  readonly sent: number
  readonly answered: number
  /** Open loop: the number of requests that were not sent, because all connections were busy. */
  readonly heldBack: number
  /** Percentiles of the latency of answers with a 2xx status. */
  readonly accepted: Percentiles
  /** The number of requests in flight on connections that broke. */
  readonly lost: number
  /** How many answers to others came between a request and its answer: in fair turns, one for each connection. */
  readonly between: Turns
  /** Each status code with the number of its answers. */
  readonly statuses: readonly (readonly [number, number])[]
}

const MICROS_PER_MS = 1000
const PACE_MS = 1
/** A request that is late by at most this time is still sent, because the load generator may have caused the delay. */
const GIVEN_UP_AFTER_MS = 20
// Pause before the next attempt to connect to a server that refuses connections.
const RECONNECT_MS = 20

export const NUMBER_DIGITS = 12
/** Numbers go on from run to run. */
let lastNumber = 0

function numbered(request: Buffer, at: number): Buffer {
  const own = Buffer.from(request)
  own.write(String(++lastNumber).padStart(NUMBER_DIGITS, '0'), at, 'latin1')
  return own
}

const turnsOf = (between: Histogram): Turns => ({
  p99: between.getValueAtPercentile(99),
  max: between.maxValue
})

/** Sends one request over fixed connections, in a closed or an open loop, and counts the answers. */
export class HttpLoad {
  readonly #options: HttpLoadOptions
  readonly #latencyMicros = latencyHistogram()
  readonly #acceptedMicros = latencyHistogram()
  readonly #between = latencyHistogram()
  readonly #statuses = new Map<number, number>()
  readonly #connections = new Set<HttpConnection>()
  /** Connections without a request (open loop only). */
  readonly #free = new Set<HttpConnection>()
  #startedAtMs = 0
  /** Open loop: the number of requests that were due. The next request is due at `startedAtMs + paced * spacing`. */
  #paced = 0
  #pacer: NodeJS.Timeout | undefined
  #sent = 0
  #answered = 0
  #answeredInAll = 0
  #lost = 0
  #heldBack = 0
  #onTheirWay = 0
  #sending = false
  #drained: () => void = () => {}

  constructor(options: HttpLoadOptions) {
    this.#options = options
  }

  /** Opens all connections, then begins to send. */
  async start(): Promise<void> {
    const connections = Array.from({ length: this.#options.connections }, () => this.#open())
    await Promise.all(connections.map(connection => connection.opened()))
    this.#sending = true
    this.#startedAtMs = performance.now()
    for (const connection of connections) this.#next(connection)
    if (this.#options.ratePerSecond !== undefined) this.#pacer = setInterval(this.#pace, PACE_MS)
  }

  /** Resets the counts at the end of the warm-up. */
  mark(): void {
    this.#latencyMicros.reset()
    this.#acceptedMicros.reset()
    this.#between.reset()
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
      between: turnsOf(this.#between),
      statuses: [...this.#statuses],
      ...percentiles(this.#latencyMicros)
    }
  }

  /** Stops sending, waits at most `timeoutMs` for the requests in flight, and closes the connections. */
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

  /** Skips and counts requests that are overdue by more than `GIVEN_UP_AFTER_MS`. */
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
    connection.answersBefore = this.#answeredInAll
    const { request, numberAt } = this.#options
    connection.send(numberAt === undefined ? request : numbered(request, numberAt))
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
    this.#between.recordValue(this.#answeredInAll++ - connection.answersBefore)
    this.#statuses.set(status, (this.#statuses.get(status) ?? 0) + 1)
    const latencyMicros = (performance.now() - connection.intendedAtMs) * MICROS_PER_MS
    const recorded = Math.min(Math.round(latencyMicros), LONGEST_LATENCY_MICROS)
    this.#latencyMicros.recordValue(recorded)
    if (status >= 200 && status < 300) this.#acceptedMicros.recordValue(recorded)
    this.#settled()
    if (this.#sending) this.#next(connection)
  }

  /** Replaces a connection that the server has closed, so that the number of connections stays fixed. */
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
