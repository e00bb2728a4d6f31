import type { BrokerAddress } from '../model.js'
import type { BrokerClient, BrokerClientFactory, MetadataResponse } from '../wire/broker-client.js'
import type { RefreshPlan } from './refresh-schedule.js'

// Brokers are asked in turn, so that a lagging one is not the only witness; more connections than this tell no more.
const MAX_CONNECTIONS = 3
const AVOID_FOR_MS = 10_000

const nameOf = ({ host, port }: BrokerAddress): string => `${host}:${port}`

/**
 * The Router's own connections for metadata. Apart from the control connections, because a refresh is most needed when
 * a broker does not answer, and must not wait behind a commit there.
 */
export class MetadataSource {
  readonly #createClient: BrokerClientFactory
  readonly #timeoutMs: number
  readonly #clients = new Map<string, BrokerClient>()
  readonly #failedAt = new Map<string, number>()

  constructor(createClient: BrokerClientFactory, timeoutMs: number) {
    this.#createClient = createClient
    this.#timeoutMs = timeoutMs
  }

  /**
   * Asks one address after another until one answers.
   *
   * @throws the last error when none does
   */
  async ask(
    { topics, allowAutoTopicCreation }: RefreshPlan,
    addresses: readonly BrokerAddress[],
    now: number
  ): Promise<{ readonly response: MetadataResponse; readonly address: BrokerAddress }> {
    let failure: unknown = new Error('no broker is known')
    for (const address of this.#healthyFirst(addresses, now)) {
      const client = this.#client(address)
      try {
        const response = await client.metadata({ topics, allowAutoTopicCreation, timeoutMs: this.#timeoutMs })
        return { response, address }
      } catch (error) {
        failure = error
        this.#drop(address)
        this.#failedAt.set(nameOf(address), now)
      }
    }
    throw failure
  }

  /** One that has just failed is asked last: finding out that it is still silent costs a whole time-out. */
  #healthyFirst(addresses: readonly BrokerAddress[], now: number): BrokerAddress[] {
    for (const [name, failedAt] of this.#failedAt) if (now - failedAt > AVOID_FOR_MS) this.#failedAt.delete(name)
    const hasFailed = (address: BrokerAddress): boolean => this.#failedAt.has(nameOf(address))
    return [...addresses.filter(address => !hasFailed(address)), ...addresses.filter(hasFailed)]
  }

  close(): void {
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
