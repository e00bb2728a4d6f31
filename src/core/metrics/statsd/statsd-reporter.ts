import { createSocket, type Socket } from 'node:dgram'
import { isIPv6 } from 'node:net'
import { type StatsdValue, toDatagrams } from './statsd-line.js'

/** Where a StatsD server listens, and how often it is told. */
export interface StatsdTarget {
  readonly host: string
  readonly port: number
  readonly intervalMs: number
}

/** Asked for its values once per interval. */
export type StatsdSource = () => Iterable<StatsdValue> | Promise<Iterable<StatsdValue>>

/** Where rooms and APIs add what they report by StatsD. */
export interface StatsdSources {
  add(source: StatsdSource): void
}

/**
 * Sends metrics to a StatsD server by UDP, once per interval. UDP tells nothing about whether they arrive: a server that
 * is away, or whose name cannot be resolved, costs its metrics and nothing else.
 */
export class StatsdReporter implements StatsdSources {
  readonly #target: StatsdTarget
  readonly #warn: (error: Error, message: string) => void
  readonly #sources: StatsdSource[] = []
  readonly #socket: Socket
  readonly #timer: NodeJS.Timeout
  #hasFailed = false

  /** @param warn told once when metrics cannot be sent */
  constructor(target: StatsdTarget, warn: (error: Error, message: string) => void) {
    this.#target = target
    this.#warn = warn
    this.#socket = createSocket(isIPv6(target.host) ? 'udp6' : 'udp4')
    this.#socket.on('error', error => this.#failed(error))
    this.#socket.unref()
    this.#timer = setInterval(() => void this.report(), target.intervalMs)
    this.#timer.unref()
  }

  add(source: StatsdSource): void {
    this.#sources.push(source)
  }

  /** Asks every source and sends what they say. Never rejects. */
  async report(): Promise<void> {
    const { port, host } = this.#target
    try {
      const values = await Promise.all(this.#sources.map(source => source()))
      const sent = [...toDatagrams(values.flatMap(some => [...some]))].map(
        datagram =>
          new Promise<void>(resolve => this.#socket.send(datagram, port, host, error => resolve(this.#failed(error))))
      )
      await Promise.all(sent)
    } catch (error) {
      this.#failed(error as Error)
    }
  }

  /** Reports a last time. */
  async close(): Promise<void> {
    clearInterval(this.#timer)
    await this.report()
    this.#socket.close()
  }

  #failed(error: Error | null): void {
    if (error === null || this.#hasFailed) return
    this.#hasFailed = true
    const { host, port } = this.#target
    this.#warn(error, `metrics cannot be sent to the StatsD server ${host}:${port}`)
  }
}
