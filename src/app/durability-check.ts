import type { BrokerAddress, Logger } from '../model.js'
import type { BrokerClient, BrokerClientFactory } from '../wire/broker-client.js'

const SETTING = 'min.insync.replicas'
const SAFE_MINIMUM = 2

/** Topics asked about in one go; a cluster can have very many. */
const MAX_TOPICS = 500

/** Topics named in the line; the rest is a number. */
const MAX_NAMED = 5

/**
 * Warns of topics whose acknowledged records may exist in one copy only: acks=all waits for `min.insync.replicas`, and
 * Kafka's default for that is 1. Never fails: whoever may not describe topics is spared the warning.
 *
 * @param known topics that have been told before; what is found is added
 */
export async function warnOfThinTopics(
  connect: BrokerClientFactory,
  addresses: readonly BrokerAddress[],
  known: Set<string>,
  log: Logger
): Promise<void> {
  for (const address of addresses) {
    const client = connect(address, 'durability-check')
    try {
      const thin = (await thinTopics(client)).filter(topic => !known.has(topic))
      for (const topic of thin) known.add(topic)
      if (thin.length > 0) log.warn({ topics: thin.slice(0, MAX_NAMED), count: thin.length }, toLine(thin))
      return
    } catch (error) {
      log.debug({ err: error }, `could not look at ${SETTING}`)
    } finally {
      await client.close()
    }
  }
}

async function thinTopics(client: BrokerClient): Promise<string[]> {
  const { topics } = await client.metadata({ topics: null, allowAutoTopicCreation: false })
  const names = topics.filter(({ isInternal, errorCode }) => !isInternal && errorCode === 0).map(({ topic }) => topic)
  if (names.length === 0) return []
  const described = await client.describeTopicConfigs({ topics: names.slice(0, MAX_TOPICS), names: [SETTING] })
  return described.topics
    .filter(({ errorCode, configs }) => errorCode === 0 && Number(configs.get(SETTING) ?? SAFE_MINIMUM) < SAFE_MINIMUM)
    .map(({ topic }) => topic)
}

function toLine(topics: readonly string[]): string {
  const named = topics.slice(0, MAX_NAMED).join(', ')
  const rest = topics.length > MAX_NAMED ? ` and ${topics.length - MAX_NAMED} more` : ''
  return `${SETTING} is below ${SAFE_MINIMUM} for ${named}${rest}: an acknowledged record may exist in one copy only, and be lost with its broker`
}
