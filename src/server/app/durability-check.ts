import type { BrokerAddress, Logger } from '../../core/model.js'
import type { BrokerClient, BrokerClientFactory } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { valuesOf } from '../../kafka/protocol/administration.js'

const SETTING = 'min.insync.replicas'
const SAFE_MINIMUM = 2

/** Maximum number of topics per check. Further topics are not checked. */
const MAX_TOPICS = 500

/** Maximum number of topics that a warning names. Further topics are only counted. */
const MAX_NAMED = 5

/** Interval of the checks. They are repeated because topics are created while the gateway runs. */
const LOOK_EVERY_MS = 300_000

/**
 * Warns of topics whose acknowledged records may exist in only one copy. With acks=all, Kafka waits for
 * `min.insync.replicas` copies, and its default is 1. The check runs on demand and at intervals, and warns once per
 * topic. There is no warning when the brokers do not allow describing topics.
 */
export class DurabilityCheck {
  readonly #createClient: BrokerClientFactory
  readonly #addresses: readonly BrokerAddress[]
  readonly #log: Logger
  readonly #warned = new Set<string>()
  readonly #timer: NodeJS.Timeout
  #looking: Promise<void> | undefined
  /** The connection of the current check. */
  #client: BrokerClient | undefined
  #isStopped = false

  constructor(createClient: BrokerClientFactory, addresses: readonly BrokerAddress[], log: Logger) {
    this.#createClient = createClient
    this.#addresses = addresses
    this.#log = log
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS)
    this.#timer.unref()
  }

  /** Checks now. A call during a check waits for this check instead of starting another. Never rejects. */
  look(): Promise<void> {
    this.#looking ??= this.#askFirstThatAnswers().finally(() => {
      this.#looking = undefined
    })
    return this.#looking
  }

  /** Stops checking, and ends the current check. */
  stop(): void {
    this.#isStopped = true
    clearInterval(this.#timer)
    void this.#client?.close()
  }

  async #askFirstThatAnswers(): Promise<void> {
    for (const address of this.#addresses) {
      if (this.#isStopped) return
      const client = this.#createClient(address, 'durability-check')
      this.#client = client
      try {
        this.#tell(await thinTopics(client))
        return
      } catch (error) {
        if (!this.#isStopped) this.#log.debug({ err: error }, `cannot read ${SETTING}`)
      } finally {
        this.#client = undefined
        await client.close()
      }
    }
  }

  #tell(topics: readonly string[]): void {
    const news = topics.filter(topic => !this.#warned.has(topic))
    for (const topic of news) this.#warned.add(topic)
    if (news.length > 0) this.#log.warn({ topics: news.slice(0, MAX_NAMED), count: news.length }, toLine(news))
  }
}

async function thinTopics(client: BrokerClient): Promise<string[]> {
  const { topics } = await client.metadata({ topics: null, allowAutoTopicCreation: false })
  const names = topics
    .filter(({ isInternal, errorCode }) => !isInternal && errorCode === errorCodes.NONE)
    .map(({ topic }) => topic)
  if (names.length === 0) return []
  const resources = names.slice(0, MAX_TOPICS).map(name => ({ type: 'topic', name }) as const)
  const described = await client.describeConfigs({ resources, names: [SETTING] })
  return described.resources
    .filter(({ errorCode, configs }) => {
      const value = valuesOf(configs).get(SETTING) ?? SAFE_MINIMUM
      return errorCode === errorCodes.NONE && Number(value) < SAFE_MINIMUM
    })
    .map(({ name }) => name)
}

function toLine(topics: readonly string[]): string {
  const named = topics.slice(0, MAX_NAMED).join(', ')
  const rest = topics.length > MAX_NAMED ? ` and ${topics.length - MAX_NAMED} more` : ''
  return `${SETTING} is below ${SAFE_MINIMUM} for ${named}${rest}: an acknowledged record may exist in one copy only, and be lost with its broker`
}
