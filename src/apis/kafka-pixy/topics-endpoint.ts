import { CastellanError } from '../../core/errors.js'
import type { TopicMetadata } from '../../gateway/gateway.js'
import type { Target } from '../../http/access/access.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { NO_SUCH_TOPIC } from './failure-texts.js'
import { goJson, type Json, withNumbersOnOneLine } from './go-json.js'
import { CONFIG_VERSION, configsOf, NoReadersError, readersOf, type TopicConfigs } from './groups.js'
import { ParameterError, textOf, type Values } from './parameters.js'
import type { PixyRequest, RouteParts } from './pixy-request.js'
import type { KafkaPixySettings } from './settings.js'

/** Kept for old clients, although ZooKeeper is not used. */
const NO_CONFIG = 'failed to fetch topic configuration: zk: node does not exist'
const NO_PARTITIONS = `failed to get partitions: ${NO_SUCH_TOPIC}`

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
      const configs = values.has('withConfig')
        ? await configsOf(gateway, [...topics.keys()], this.#timeoutMs)
        : undefined
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
      return describe(found, await configsOf(gateway, [topic], this.#timeoutMs), withPartitions)
    })
  }

  consumers(request: PixyRequest): void {
    const { topic, query } = request
    const group = groupAskedFor(query.values)
    const caller = this.#parts.access.callerOf(request.exchange.request)
    this.#answer(
      request,
      { topic, ...(typeof group === 'string' && { group }) },
      async ({ gateway }) => {
        if (group instanceof ParameterError) throw group
        const isVisible = (one: string): boolean => caller.allows('admin', { topic, group: one })
        return readersOf(gateway, { topic, group }, isVisible, this.#timeoutMs)
      },
      json => withNumbersOnOneLine(goJson(json))
    )
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
    if (error instanceof ParameterError || error instanceof NoReadersError) {
      answers.error(exchange, 400, error.message)
    } else if (error instanceof UnknownTopicError) answers.error(exchange, 500, error.message)
    else if (error instanceof CastellanError) answers.failure(exchange, error, gateway.isReady)
    else broken(request, error)
  }
}

/** The topic does not exist. The message is the text of the answer. */
class UnknownTopicError extends Error {}

/** The group that the request names, if any; it is an error to name several. */
function groupAskedFor(values: Values): string | undefined | ParameterError {
  const groups = values.get('group') ?? []
  if (groups.length > 1) return new ParameterError(`one consumer group is expected, but ${groups.length} provided`)
  return groups[0] ? textOf(groups[0]) : undefined
}

function describe(
  { topic, partitions }: TopicMetadata,
  configs: TopicConfigs | undefined,
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

const byBytes = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other))
