import { ForbiddenError } from '../../core/errors.js'
import type { Gateway, TopicMetadata } from '../../gateway/gateway.js'
import { admits, answerWork, type Params } from '../../http/api/endpoint.js'
import { type Exchange, hasBody } from '../../http/exchange/exchange.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { checked, type EndpointParts, partitionIn, withJson } from './endpoint-parts.js'
import { newTopicBody } from './operations.js'
import { ProblemError, RECORD_TYPES } from './strimzi-answers.js'

/** Requests about topics are answered within this. */
const TIMEOUT_MS = 10_000
const CREATED = 201

/** Whether a request came by the API's own port, which operators open for its clients. */
export const isOnOwnPort = ({ request }: Exchange): boolean =>
  (request as { originalUrl?: string }).originalUrl !== undefined

/** The routes that read topics and partitions, and create topics. */
export class TopicsEndpoint {
  readonly #gateway: Gateway
  readonly #parts: EndpointParts

  constructor(gateway: Gateway, parts: EndpointParts) {
    this.#gateway = gateway
    this.#parts = parts
  }

  /** `GET /topics` */
  list(exchange: Exchange): void {
    const caller = this.#parts.access.callerOf(exchange.request)
    this.#answer(exchange, undefined, async () => {
      const all = await this.#gateway.topics('all', TIMEOUT_MS)
      const names = [...all.values()].filter(
        ({ isInternal, topic }) => !isInternal && caller.allows('admin', { topic })
      )
      return names.map(({ topic }) => topic).sort()
    })
  }

  /** `GET /topics/{topicname}` */
  topic(exchange: Exchange, { topicname: name = '' }: Params): void {
    this.#answer(exchange, name, async () => {
      const { partitions } = await this.#find(name)
      const entries = await this.#gateway.admin.describeConfigs([{ type: 'topic', name }], TIMEOUT_MS)
      const configs = Object.fromEntries((entries.get(name) ?? []).map(entry => [entry.name, entry.value]))
      return { name, configs, partitions: partitions.map(partitionJson) }
    })
  }

  /** `GET /topics/{topicname}/partitions` */
  partitions(exchange: Exchange, { topicname: name = '' }: Params): void {
    this.#answer(exchange, name, async () => (await this.#find(name)).partitions.map(partitionJson))
  }

  /** `GET /topics/{topicname}/partitions/{partitionid}` */
  partition(exchange: Exchange, { topicname: name = '', partitionid = '' }: Params): void {
    this.#answer(exchange, name, async () => {
      const number = partitionIn(partitionid)
      return partitionJson(partitionOf(await this.#find(name), number))
    })
  }

  /** `GET /topics/{topicname}/partitions/{partitionid}/offsets` */
  offsets(exchange: Exchange, { topicname: topic = '', partitionid = '' }: Params): void {
    this.#answer(exchange, topic, async () => {
      const number = partitionIn(partitionid)
      const { partition } = partitionOf(await this.#find(topic), number)
      const [ends] = await this.#gateway.admin.logEnds([{ topic, partition }], TIMEOUT_MS)
      if (ends === undefined) throw noPartition(topic, partition)
      return { beginning_offset: ends.start, end_offset: ends.end }
    })
  }

  /**
   * `POST /admin/topics`. Where no rules say who may create topics, only those may who reach the API's own port, as in
   * the API of Confluent.
   */
  create(exchange: Exchange): void {
    const { access, answers } = this.#parts
    if (!isOnOwnPort(exchange) && !access.callerOf(exchange.request).isRuled) {
      const why = "topics are created on the API's own port (apis.strimzi.port), or where a rule of access allows it"
      answers.refuse(exchange, new ForbiddenError(why), !hasBody(exchange))
      return
    }
    withJson(this.#parts, exchange, RECORD_TYPES.json, json => {
      const { topic_name: name, partitions_count, replication_factor } = checked(json ?? {}, newTopicBody)
      if (!admits(this.#parts, exchange, 'create', { topic: name })) return
      const topic = {
        name,
        partitions: partitions_count ?? undefined,
        replicationFactor: replication_factor ?? undefined
      }
      answerWork(this.#parts, exchange, async () => {
        await this.#gateway.admin.createTopic(topic, { timeoutMs: TIMEOUT_MS })
        answers.send(exchange, CREATED, '{}')
      })
    })
  }

  async #find(name: string): Promise<TopicMetadata> {
    const found = (await this.#gateway.topics([name], TIMEOUT_MS)).get(name)
    const { NONE, UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, TOPIC_AUTHORIZATION_FAILED } = errorCodes
    const { errorCode = UNKNOWN_TOPIC_OR_PARTITION } = found ?? {}
    if (found !== undefined && errorCode === NONE) return found
    if (errorCode === UNKNOWN_TOPIC_OR_PARTITION || errorCode === INVALID_TOPIC_EXCEPTION) {
      throw new ProblemError(404, `there is no topic ${name}`)
    }
    const { message } = kafkaErrorOf(errorCode)
    throw new ProblemError(errorCode === TOPIC_AUTHORIZATION_FAILED ? 403 : 500, message)
  }

  #answer(exchange: Exchange, topic: string | undefined, work: () => Promise<unknown>): void {
    if (!admits(this.#parts, exchange, 'admin', { topic })) return
    answerWork(this.#parts, exchange, async () => this.#parts.answers.ok(exchange, await work()))
  }
}

type Partition = TopicMetadata['partitions'][number]

function partitionOf({ topic, partitions }: TopicMetadata, number: number): Partition {
  const found = partitions.find(({ partition }) => partition === number)
  if (found === undefined) throw noPartition(topic, number)
  return found
}

const noPartition = (topic: string, partition: number): ProblemError =>
  new ProblemError(404, `topic ${topic} has no partition ${partition}`)

const partitionJson = ({ partition, leaderId, replicas, isr }: Partition): object => ({
  partition,
  leader: leaderId,
  replicas: replicas.map(broker => ({ broker, leader: broker === leaderId, in_sync: isr.includes(broker) }))
})
