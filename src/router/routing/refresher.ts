import type { ActorRef } from '../../core/actor/actor.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { BrokerAddress, Logger } from '../../core/model.js'
import type { BrokerClient, BrokerClientFactory, MetadataResponse } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { valuesOf } from '../../kafka/protocol/administration.js'
import type { RouterNotice } from './messages.js'
import { type RefreshPlan, RefreshSchedule, type RefreshScheduleOptions } from './refresh-schedule.js'

// Limit of connections for metadata. Brokers are asked in turn, because a single broker may lag. More connections bring
// no further information.
const MAX_CONNECTIONS = 3
const AVOID_FOR_MS = 10_000
// Time limit of a call. A healthy broker answers within milliseconds.
const CALL_TIMEOUT_MS = 1_500
// After this time without an answer, the next broker is asked as well. Requests wait for the answer, and a second call
// costs less than the wait for a silent broker.
const ASK_NEXT_AFTER_MS = 500

const nameOf = ({ host, port }: BrokerAddress): string => `${host}:${port}`

interface MetadataAnswer {
  readonly response: MetadataResponse
  readonly address: BrokerAddress
}

/**
 * The Router's own connections for metadata. They are separate from the control connections, because a refresh is most
 * important when a broker does not answer, and must not wait for other calls to this broker.
 */
export class MetadataSource {
  readonly #createClient: BrokerClientFactory
  readonly #timeoutMs: number
  readonly #clients = new Map<string, BrokerClient>()
  readonly #failedAt = new Map<string, number>()
  readonly #autoCreation: AutoCreation
  #isClosed = false

  constructor(createClient: BrokerClientFactory, timeoutMs: number) {
    this.#createClient = createClient
    this.#timeoutMs = timeoutMs
    this.#autoCreation = new AutoCreation(timeoutMs)
  }

  /** True when brokers have reported that they do not create missing topics. */
  get createsNone(): boolean {
    return this.#autoCreation.isOff
  }

  /**
   * Asks one address. If it fails or is silent for a while, asks the next address as well. The first answer counts. A
   * slow broker still has its whole time-out, because a login may take longer than a call.
   *
   * @throws the last error when no broker answers
   */
  ask(plan: RefreshPlan, addresses: readonly BrokerAddress[], now: number): Promise<MetadataAnswer> {
    const waiting = this.#healthyFirst(addresses, now)
    return new Promise((resolve, reject) => {
      let asked = 0
      let timer: NodeJS.Timeout | undefined
      const askNext = (failure: unknown): void => {
        clearTimeout(timer)
        const address = this.#isClosed ? undefined : waiting.shift()
        if (address) {
          asked++
          timer = setTimeout(askNext, Math.min(ASK_NEXT_AFTER_MS, this.#timeoutMs), failure)
          this.#askOne(plan, address, now).then(answered, failed)
        } else if (asked === 0) reject(failure)
      }
      const answered = (answer: MetadataAnswer): void => {
        clearTimeout(timer)
        waiting.length = 0
        resolve(answer)
      }
      const failed = (failure: unknown): void => {
        asked--
        askNext(failure)
      }
      askNext(new Error('no broker is known'))
    })
  }

  async #askOne(
    { topics, allowAutoTopicCreation }: RefreshPlan,
    address: BrokerAddress,
    now: number
  ): Promise<MetadataAnswer> {
    try {
      const call = { topics, allowAutoTopicCreation, timeoutMs: this.#timeoutMs }
      const client = this.#client(address)
      const response = await client.metadata(call)
      if (allowAutoTopicCreation) this.#autoCreation.wasAsked(client, address, response, now)
      return { response, address }
    } catch (error) {
      this.#drop(address)
      this.#failedAt.set(nameOf(address), now)
      throw error
    }
  }

  /** Sorts the addresses. Brokers that have just failed come last, because a silent broker costs a whole time-out. */
  #healthyFirst(addresses: readonly BrokerAddress[], now: number): BrokerAddress[] {
    for (const [name, failedAt] of this.#failedAt) if (now - failedAt > AVOID_FOR_MS) this.#failedAt.delete(name)
    const hasFailed = (address: BrokerAddress): boolean => this.#failedAt.has(nameOf(address))
    return [...addresses.filter(address => !hasFailed(address)), ...addresses.filter(hasFailed)]
  }

  close(): void {
    this.#isClosed = true
    this.disconnect()
  }

  /** Closes all connections; the next call opens new ones. */
  disconnect(): void {
    this.#autoCreation.clear()
    for (const client of this.#clients.values()) void client.close()
    this.#clients.clear()
  }

  #client(address: BrokerAddress): BrokerClient {
    const name = nameOf(address)
    let client = this.#clients.get(name)
    if (client) return client
    for (const [oldest, other] of this.#clients) {
      if (this.#clients.size < MAX_CONNECTIONS) break
      this.#clients.delete(oldest)
      void other.close()
    }
    client = this.#createClient(address, 'metadata')
    this.#clients.set(name, client)
    return client
  }

  #drop(address: BrokerAddress): void {
    const name = nameOf(address)
    void this.#clients.get(name)?.close()
    this.#clients.delete(name)
  }
}

const SETTING = 'auto.create.topics.enable'
/** A broker changes this setting only by a restart. */
const BELIEVED_FOR_MS = 60_000

interface SaidByBroker {
  readonly askedAt: number
  /** `undefined`: the broker has not answered yet, or Castellan has no permission to ask. */
  creates: boolean | undefined
}

/**
 * Finds out whether brokers create missing topics. It asks each broker that was asked to create a topic for its setting
 * `auto.create.topics.enable`. This needs the permission `DescribeConfigs` on the cluster. A broker whose setting is
 * unknown may create topics.
 */
export class AutoCreation {
  readonly #timeoutMs: number
  readonly #byAddress = new Map<string, SaidByBroker>()

  constructor(timeoutMs: number) {
    this.#timeoutMs = timeoutMs
  }

  /** True when every broker that was lately asked to create a topic has reported that it creates none. */
  get isOff(): boolean {
    const all = [...this.#byAddress.values()]
    return all.length > 0 && all.every(({ creates }) => creates === false)
  }

  /** Notes that a broker was asked to create topics. Asks the broker for its setting, unless it was asked lately. */
  wasAsked(client: BrokerClient, { host, port }: BrokerAddress, { brokers }: MetadataResponse, now: number): void {
    for (const [name, { askedAt }] of this.#byAddress) {
      if (now - askedAt > 2 * BELIEVED_FOR_MS) this.#byAddress.delete(name)
    }
    const name = `${host}:${port}`
    const known = this.#byAddress.get(name)
    if (known !== undefined && now - known.askedAt <= BELIEVED_FOR_MS) return
    const said: SaidByBroker = { askedAt: now, creates: known?.creates }
    this.#byAddress.set(name, said)
    // A bootstrap address may belong to a proxy in front of several brokers.
    const node = brokers.find(broker => broker.host === host && broker.port === port)
    if (node === undefined) said.creates = undefined
    else {
      this.#ask(client, node.nodeId).then(
        creates => (said.creates = creates),
        () => (said.creates = undefined)
      )
    }
  }

  /** Forgets the settings of all brokers, because another cluster is connected. */
  clear(): void {
    this.#byAddress.clear()
  }

  async #ask(client: BrokerClient, nodeId: number): Promise<boolean | undefined> {
    const broker = { type: 'broker', name: String(nodeId) } as const
    const call = { resources: [broker], names: [SETTING], timeoutMs: this.#timeoutMs }
    const { resources } = await client.describeConfigs(call)
    const found = resources[0]?.errorCode === errorCodes.NONE ? resources[0].configs : []
    const value = valuesOf(found).get(SETTING)
    return value === 'true' ? true : value === 'false' ? false : undefined
  }
}

interface RefresherOptions extends RefreshScheduleOptions {
  readonly createClient: BrokerClientFactory
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
    this.#source = new MetadataSource(options.createClient, CALL_TIMEOUT_MS)
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
