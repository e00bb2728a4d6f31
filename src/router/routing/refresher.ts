import type { ActorRef } from '../../core/actor/actor.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { BrokerAddress, Logger } from '../../core/model.js'
import type { BrokerClientFactory } from '../../kafka/broker-client.js'
import type { RouterNotice } from './messages.js'
import { MetadataSource } from './metadata-source.js'
import { type RefreshPlan, RefreshSchedule, type RefreshScheduleOptions } from './refresh-schedule.js'

export interface RefresherOptions extends RefreshScheduleOptions {
  readonly createClient: BrokerClientFactory
  readonly metadataTimeoutMs: number
  /** The addresses to ask, the best address first. */
  readonly addresses: (now: number) => BrokerAddress[]
  readonly metrics: MetricsLogger
  readonly log: Logger
  /** Gets `metadataAnswered`, `metadataFailed` and `refreshDue`. */
  readonly self: ActorRef<RouterNotice>
}

/** Makes the metadata calls of the schedule, one at a time, with a single timer. */
export class Refresher {
  readonly schedule: RefreshSchedule
  readonly #options: RefresherOptions
  readonly #source: MetadataSource
  #timer: NodeJS.Timeout | undefined
  #wakesAt = Number.POSITIVE_INFINITY
  #hasAnswer = false
  #lastError: Error | undefined

  constructor(options: RefresherOptions) {
    this.#options = options
    this.schedule = new RefreshSchedule(options)
    this.#source = new MetadataSource(options.createClient, options.metadataTimeoutMs)
  }

  /** True when a broker has answered and the last attempt did not fail. */
  get isInTouch(): boolean {
    return this.#hasAnswer && this.schedule.failures === 0
  }

  /** The last error while no broker answers; `undefined` while a broker answers. */
  get awayBecause(): Error | undefined {
    return this.isInTouch ? undefined : this.#lastError
  }

  /** Starts the next call if one is due, or else a timer for it. */
  pump(now: number): void {
    const plan = this.schedule.start(now)
    if (plan) this.#ask(plan, now)
    this.#wakeAt(this.schedule.nextAt(now) ?? Number.POSITIVE_INFINITY, now)
  }

  /** True when brokers have reported that they do not create missing topics. */
  get createsNone(): boolean {
    return this.#source.createsNone
  }

  /** Sets the timer. This is called after every message, so a timer with the right time is kept. */
  #wakeAt(at: number, now: number): void {
    if (at === this.#wakesAt) return
    clearTimeout(this.#timer)
    this.#wakesAt = at
    if (at === Number.POSITIVE_INFINITY) return
    const wake = (): void => {
      this.#wakesAt = Number.POSITIVE_INFINITY
      this.#options.self.tell({ type: 'refreshDue' })
    }
    this.#timer = setTimeout(wake, Math.max(1, at - now))
  }

  /** Notes an answer. Returns true if no broker had answered for a while. */
  answered(address: BrokerAddress): boolean {
    const wasAway = !this.isInTouch
    this.schedule.succeeded()
    this.#hasAnswer = true
    if (wasAway) this.#options.log.info({ host: address.host, port: address.port }, 'Kafka answers')
    return wasAway
  }

  failed(plan: RefreshPlan, error: Error, now: number): void {
    this.schedule.failed(plan, now)
    this.#lastError = error
    this.#options.log.warn({ err: error, failures: this.schedule.failures }, 'no broker answers')
  }

  /** Drops the connections to the former cluster, because answers of its brokers no longer count. */
  clusterChanged(): void {
    this.#source.disconnect()
  }

  stop(): void {
    clearTimeout(this.#timer)
    this.#source.close()
  }

  #ask(plan: RefreshPlan, askedAt: number): void {
    const { self, metrics, addresses } = this.#options
    metrics.count('router', 'metadata_refreshes')
    this.#source.ask(plan, addresses(askedAt), askedAt).then(
      ({ response, address }) => self.tell({ type: 'metadataAnswered', plan, response, address, askedAt }),
      error => self.tell({ type: 'metadataFailed', plan, error })
    )
  }
}
