import { CastellanError } from '../../core/errors.js'
import type { Gateway, GroupReader, ReadersOnly, TopicMetadata } from '../../gateway/gateway.js'
import type { Target } from '../../http/access/access.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { ParameterError } from './consume-parameters.js'
import { NO_SUCH_TOPIC } from './failure-texts.js'
import { goJson, type Json, withNumbersOnOneLine } from './go-json.js'
import { textOf, type Values } from './parameters.js'
import type { PixyRequest, RouteParts } from './pixy-request.js'
import { partitionsByClient } from './reader-names.js'
import type { KafkaPixySettings } from './settings.js'

/** Kept for old clients, although nothing is asked of ZooKeeper. */
const NO_CONFIG = 'failed to fetch topic configuration: zk: node does not exist'
const NO_PARTITIONS = `failed to get partitions: ${NO_SUCH_TOPIC}`
/** Of the document in which Kafka-Pixy found the settings of a topic. */
const CONFIG_VERSION = 1

type Configs = ReadonlyMap<string, ReadonlyMap<string, string>>

/** `GET /topics`, `GET /topics/{topic}` and `GET /topics/{topic}/consumers`. */
export class TopicsEndpoint {
  readonly #timeoutMs: number
  readonly #parts: RouteParts

  constructor({ lookUpTimeoutMs }: KafkaPixySettings, parts: RouteParts) {
    this.#timeoutMs = lookUpTimeoutMs
    this.#parts = parts
  }

  list(request: PixyRequest): void {
    const caller = this.#parts.access.callerOf(request.exchange.request)
    this.#answer(request, {}, async ({ gateway, query: { values, flaw } }) => {
      if (flaw !== undefined) throw new ParameterError(flaw)
      const all = await gateway.topics('all', this.#timeoutMs)
      const topics = new Map([...all].filter(([topic]) => caller.allows('admin', { topic })))
      if (!values.has('withPartitions') && !values.has('withConfig')) return [...topics.keys()].sort(byBytes)
      const configs = values.has('withConfig') ? await this.#configs(gateway, [...topics.keys()]) : undefined
      const described = [...topics.values()].map((topic): [string, Json] => [
        topic.topic,
        describe(topic, configs, values.has('withPartitions'))
      ])
      return new Map(described)
    })
  }

  describe(request: PixyRequest): void {
    const { topic } = request
    this.#answer(request, { topic }, async ({ gateway, query: { values, flaw } }) => {
      if (flaw !== undefined) throw new ParameterError(flaw)
      const withPartitions = values.has('withPartitions')
      const found = (await gateway.topics([topic], this.#timeoutMs)).get(topic)
      if (found === undefined || found.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION) {
        throw new UnknownTopicError(withPartitions ? NO_PARTITIONS : NO_CONFIG)
      }
      return describe(found, await this.#configs(gateway, [topic]), withPartitions)
    })
  }

  consumers(request: PixyRequest): void {
    const { topic, query } = request
    const group = groupAskedFor(query.values)
    const caller = this.#parts.access.callerOf(request.exchange.request)
    const only: ReadersOnly = { topic, includes: one => caller.allows('admin', { topic, group: one }) }
    this.#answer(
      request,
      { topic, ...(typeof group === 'string' && { group }) },
      async ({ gateway }) => {
        if (group instanceof ParameterError) throw group
        const groups = await gateway.consumers(group === undefined ? 'all' : [group], this.#timeoutMs, only)
        if (group !== undefined && !groups.has(group)) throw new ParameterError(`unknown consumer group ${group}`)
        const ofTopic = consumersOf(groups, topic)
        if (group !== undefined && ofTopic.size === 0) {
          throw new ParameterError(`topic ${topic} is not consumed by ${group}`)
        }
        return ofTopic
      },
      json => withNumbersOnOneLine(goJson(json))
    )
  }

  #configs(gateway: Gateway, topics: readonly string[]): Promise<Configs> {
    return topics.length === 0 ? Promise.resolve(new Map()) : gateway.topicConfigs(topics, this.#timeoutMs)
  }

  #answer(
    request: PixyRequest,
    target: Target,
    work: (request: PixyRequest) => Promise<Json>,
    write: (json: Json) => string = goJson
  ): void {
    const { access, answers } = this.#parts
    const { exchange } = request
    const refusal = access.callerOf(exchange.request).refusalOf('admin', target)
    if (refusal !== undefined) {
      answers.refuse(exchange, refusal, true)
      return
    }
    work(request).then(
      json => answers.ok(exchange, write(json)),
      error => this.#failed(request, error)
    )
  }

  #failed(request: PixyRequest, error: unknown): void {
    const { answers, broken } = this.#parts
    const { exchange, gateway } = request
    if (error instanceof ParameterError) answers.error(exchange, 400, error.message)
    else if (error instanceof UnknownTopicError) answers.error(exchange, 500, error.message)
    else if (error instanceof CastellanError) answers.failure(exchange, error, gateway.isReady)
    else broken(request, error)
  }
}

/** There is no such topic; the text is that of the answer. */
class UnknownTopicError extends Error {}

/** The group, where one is named; the error, where several are. */
function groupAskedFor(values: Values): string | undefined | ParameterError {
  const groups = values.get('group') ?? []
  if (groups.length > 1) return new ParameterError(`one consumer group is expected, but ${groups.length} provided`)
  return groups[0] ? textOf(groups[0]) : undefined
}

function describe(
  { topic, partitions }: TopicMetadata,
  configs: Configs | undefined,
  withPartitions: boolean
): { [name: string]: Json } {
  const config = configs && { version: CONFIG_VERSION, config: configs.get(topic) ?? {} }
  return {
    ...(config && { config }),
    ...(withPartitions && partitions.length > 0 && { partitions: partitions.map(partitionJson) })
  }
}

const partitionJson = ({ partition, leaderId: leader, replicas, isr }: TopicMetadata['partitions'][number]): Json => ({
  partition,
  leader,
  replicas,
  isr
})

/** Client -> partitions, by group; groups without a reader of the topic are left out. */
function consumersOf(
  groups: ReadonlyMap<string, readonly GroupReader[]>,
  topic: string
): ReadonlyMap<string, ReadonlyMap<string, Json>> {
  const found = [...groups].map(([group, readers]) => [group, partitionsByClient(readers, topic)] as const)
  return new Map(found.filter(([, clients]) => clients.size > 0))
}

const byBytes = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other))
