import type { BrokerAddress } from '../../core/model.js'
import type { BrokerClient, BrokerClientFactory, MetadataResponse } from '../../kafka/broker-client.js'
import { AutoCreation } from './auto-creation.js'
import type { RefreshPlan } from './refresh-schedule.js'

// Brokers are asked in turn, because a single one may lag. More connections than this would tell nothing more.
const MAX_CONNECTIONS = 3
const AVOID_FOR_MS = 10_000
// Requests wait for the answer, and asking a second broker costs less than waiting for a silent one.
const ASK_NEXT_AFTER_MS = 500

const nameOf = ({ host, port }: BrokerAddress): string => `${host}:${port}`

interface MetadataAnswer {
  readonly response: MetadataResponse
  readonly address: BrokerAddress
}

/**
 * The Router's own connections for metadata. They are separate from the control connections, because a refresh is needed
 * most when a broker does not answer, and must not wait behind other calls there.
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

  /** True when brokers have said that they create no topic that they are asked for. */
  get createsNone(): boolean {
    return this.#autoCreation.isOff
  }

  /**
   * Asks one address, and also the next one when the first fails or is silent for a while. The first answer counts. A slow
   * broker is still given its whole time-out, because logging in may take longer than a call.
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

  /** A broker that has just failed is asked last, because a broker that is still silent costs a whole time-out. */
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
