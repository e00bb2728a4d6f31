import { ForbiddenError } from '../../core/errors.js'
import type { Gateway, TopicMetadata } from '../../gateway/gateway.js'
import { admits, answerWork, type Params } from '../../http/api/endpoint.js'
import { type Exchange, hasBody, isOnOwnPort } from '../../http/exchange/exchange.js'
import { errorCodes, kafkaErrorOf } from '../../kafka/error-codes.js'
import { newTopicBody } from './operations.js'
import { checked, type EndpointParts, ProblemError, partitionIn, RECORD_TYPES, withJson } from './strimzi-answers.js'

/** Requests about topics are answered within this. */
const TIMEOUT_MS = 10_000
const CREATED = 201

/** The routes that read topics and partitions, and create topics, by id. */
export function topicRoutes(parts: EndpointParts, gateway: Gateway) {
  const answer = (exchange: Exchange, topic: string | undefined, work: () => Promise<unknown>): void => {
    if (!admits(parts, exchange, 'admin', { topic })) return
    answerWork(parts, exchange, async () => parts.answers.ok(exchange, await work()))
  }
  const find = async (name: string): Promise<TopicMetadata> =>
    topicNamed(name, (await gateway.topics([name], TIMEOUT_MS)).get(name))
  return {
    listTopics(exchange: Exchange): void {
      const caller = parts.access.callerOf(exchange.request)
      answer(exchange, undefined, async () => {
        const all = await gateway.topics('all', TIMEOUT_MS)
        const names = [...all.values()].filter(
          ({ isInternal, topic }) => !isInternal && caller.allows('admin', { topic })
        )
        return names.map(({ topic }) => topic).sort()
      })
    },
    getTopic(exchange: Exchange, { topicname: name = '' }: Params): void {
      answer(exchange, name, async () => {
        const { partitions } = await find(name)
        const entries = await gateway.admin.describeConfigs([{ type: 'topic', name }], TIMEOUT_MS)
        const configs = Object.fromEntries((entries.get(name) ?? []).map(entry => [entry.name, entry.value]))
        return { name, configs, partitions: partitions.map(partitionJson) }
      })
    },
    listPartitions(exchange: Exchange, { topicname: name = '' }: Params): void {
      answer(exchange, name, async () => (await find(name)).partitions.map(partitionJson))
    },
    getPartition(exchange: Exchange, { topicname: name = '', partitionid = '' }: Params): void {
      answer(exchange, name, async () => {
        const number = partitionIn(partitionid)
        return partitionJson(partitionOf(await find(name), number))
      })
    },
    getOffsets(exchange: Exchange, { topicname: topic = '', partitionid = '' }: Params): void {
      answer(exchange, topic, async () => {
        const number = partitionIn(partitionid)
        const { partition } = partitionOf(await find(topic), number)
        const [ends] = await gateway.admin.logEnds([{ topic, partition }], TIMEOUT_MS)
        if (ends === undefined) throw noPartition(topic, partition)
        return { beginning_offset: ends.start, end_offset: ends.end }
      })
    },
    /** Where no rules say who may create topics, only those may who reach the API's own port, as in the API of Confluent. */
    createTopic(exchange: Exchange): void {
      const { access, answers } = parts
      if (!isOnOwnPort(exchange) && !access.callerOf(exchange.request).isRuled) {
        const why = "topics are created on the API's own port (apis.strimzi.port), or where a rule of access allows it"
        answers.refuse(exchange, new ForbiddenError(why), !hasBody(exchange))
        return
      }
      withJson(parts, exchange, RECORD_TYPES.json, json => {
        const { topic_name: name, partitions_count, replication_factor } = checked(json ?? {}, newTopicBody)
        if (!admits(parts, exchange, 'create', { topic: name })) return
        const [partitions, replicationFactor] = [partitions_count ?? undefined, replication_factor ?? undefined]
        answerWork(parts, exchange, async () => {
          await gateway.admin.createTopic({ name, partitions, replicationFactor }, { timeoutMs: TIMEOUT_MS })
          answers.send(exchange, CREATED, '{}')
        })
      })
    }
  }
}

/** @throws ProblemError when there is none */
function topicNamed(name: string, found: TopicMetadata | undefined): TopicMetadata {
  const { NONE, UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, TOPIC_AUTHORIZATION_FAILED } = errorCodes
  const { errorCode = UNKNOWN_TOPIC_OR_PARTITION } = found ?? {}
  if (found !== undefined && errorCode === NONE) return found
  if (errorCode === UNKNOWN_TOPIC_OR_PARTITION || errorCode === INVALID_TOPIC_EXCEPTION) {
    throw new ProblemError(404, `there is no topic ${name}`)
  }
  const { message } = kafkaErrorOf(errorCode)
  throw new ProblemError(errorCode === TOPIC_AUTHORIZATION_FAILED ? 403 : 500, message)
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
