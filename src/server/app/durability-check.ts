import { KafkaError } from '../../core/errors.js'
import type { BrokerAddress, Logger } from '../../core/model.js'
import type { BrokerClient, BrokerClientFactory } from '../../kafka/broker-client.js'
import { codesOf, errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { valuesOf } from '../../kafka/protocol/administration.js'

const SETTING = 'min.insync.replicas'
/** Codes of brokers when the right is missing to see the settings of a topic or a broker. */
const refusing = codesOf('TOPIC_AUTHORIZATION_FAILED', 'CLUSTER_AUTHORIZATION_FAILED')
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
 * topic. Where brokers do not show their settings, {@link refusal} says so.
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
  #refusal: string | undefined

  constructor(createClient: BrokerClientFactory, addresses: readonly BrokerAddress[], log: Logger) {
    this.#createClient = createClient
    this.#addresses = addresses
    this.#log = log
    this.#timer = setInterval(() => void this.look(), LOOK_EVERY_MS)
    this.#timer.unref()
  }

  /** Why brokers do not show the settings of topics, or their own; `undefined`: they do, as far as is known. */
  get refusal(): string | undefined {
    return this.#refusal
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
        const { thin, refusal } = await thinTopics(client)
        this.#refusal = refusal
        this.#tell(thin)
        return
      } catch (error) {
        if (error instanceof KafkaError) this.#refusal = error.message
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

async function thinTopics(client: BrokerClient): Promise<{ readonly thin: string[]; readonly refusal?: string }> {
  const { brokers, topics } = await client.metadata({ topics: null, allowAutoTopicCreation: false })
  const names = topics
    .filter(({ isInternal, errorCode }) => !isInternal && errorCode === errorCodes.NONE)
    .map(({ topic }) => topic)
  const ofTopics = names.slice(0, MAX_TOPICS).map(name => ({ type: 'topic', name }) as const)
  // Another broker than the one that is asked answers with an error as well, but looks at the right first.
  const ofBrokers = brokers.slice(0, 1).map(({ nodeId }) => ({ type: 'broker', name: String(nodeId) }) as const)
  const described = await client.describeConfigs({ resources: [...ofTopics, ...ofBrokers], names: [SETTING] })
  const refused = described.resources.find(({ errorCode }) => refusing.has(errorCode))
  const thin = described.resources
    .slice(0, ofTopics.length)
    .filter(({ errorCode, configs }) => {
      const value = valuesOf(configs).get(SETTING) ?? SAFE_MINIMUM
      return errorCode === errorCodes.NONE && Number(value) < SAFE_MINIMUM
    })
    .map(({ name }) => name)
  return refused === undefined ? { thin } : { thin, refusal: kafkaErrorOf(refused.errorCode).message }
}

function toLine(topics: readonly string[]): string {
  const named = topics.slice(0, MAX_NAMED).join(', ')
  const rest = topics.length > MAX_NAMED ? ` and ${topics.length - MAX_NAMED} more` : ''
  return `${SETTING} is below ${SAFE_MINIMUM} for ${named}${rest}: an acknowledged record may exist in one copy only, and be lost with its broker`
}
