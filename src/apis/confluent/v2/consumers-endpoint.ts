import { randomUUID } from 'node:crypto'
import { shortened } from '../../../core/printable.js'
import type { Gateway, InstanceName, InstancePosition, InstanceRecord } from '../../../gateway/gateway.js'
import type { ApiContext } from '../../../http/api/api.js'
import { decodeRecords } from '../../../http/api/decoded-records.js'
import type { Params } from '../../../http/api/endpoint.js'
import { type InstanceApi, InstanceRoutes, MAX_ANSWER_BYTES, queryOf } from '../../../http/api/instance-routes.js'
import { browserRefusalOf } from '../../../http/exchange/client.js'
import { type Exchange, hasBody, sentUrlOf } from '../../../http/exchange/exchange.js'
import { SchemaError } from '../../../schemas/schemas.js'
import { type EndpointParts, refusalOf } from '../endpoint-parts.js'
import { failedProblemOf, type Problem, ProblemError, problemOf, TOPIC_NOT_FOUND, UNAUTHORIZED } from '../failures.js'
import { answerAllowed, readSmallBody } from '../look-up.js'
import {
  BINARY_TYPE,
  embeddedTypeOf,
  errorTypeOf,
  isConsumerBody,
  recordTypeOf,
  recordTypesOf,
  schemaFormatOf
} from '../media-types.js'
import type { ConfluentSettings } from '../settings.js'
import { baseUrlOf, part } from '../v3/resources.js'
import { API, checked, jsonIn, readWanted, timestampIn } from './consumer-bodies.js'
import { commitBody, partitionsBody, positionsBody, subscriptionBody } from './consumer-operations.js'
import { NO_REGISTRY } from './produce-endpoint.js'

const UNSUPPORTED: Problem = {
  status: 415,
  code: 415,
  message: 'the content type must be application/vnd.kafka.v2+json'
}
const NO_INSTANCE: Problem = { status: 404, code: 40403, message: 'there is no such consumer instance' }
const NO_GROUP: Problem = { status: 404, code: 404, message: 'the path names no group' }
const NAME_TAKEN: Problem = { status: 409, code: 40902, message: 'the group has an instance of this name' }
const NO_PARTITIONS: Problem = {
  status: 404,
  code: 40402,
  message: 'name the partitions in a body, {"partitions":[{"topic":…,"partition":…}]}, or in the query'
}
const WRONG_FORMAT: Problem = {
  status: 406,
  code: 40601,
  message: 'the instance has another format than the one of Accept; without Accept it is binary'
}

/** The original's code for a record that is not JSON. */
const UNREADABLE = 40801

export interface ConsumersOptions extends Pick<ApiContext<unknown>, 'log' | 'clock' | 'undecodable' | 'schemas'> {
  readonly settings: ConfluentSettings['consumers']
  /** The prefix of the API on the shared port. */
  readonly prefix: string
}

const apiOf = (parts: EndpointParts): InstanceApi => ({
  name: API,
  noun: 'instance',
  group: 'group',
  instance: 'instance',
  withBody(exchange, group, _, use) {
    const { answers } = parts
    const { headers } = exchange.request
    const refusal = refusalOf(parts, exchange, 'consume', { group })
    if (refusal !== undefined) answers.refuse(exchange, refusal, !hasBody(exchange))
    else if (hasBody(exchange) && !isConsumerBody(headers['content-type'])) {
      answers.error(exchange, { ...UNSUPPORTED, type: errorTypeOf(headers.accept) }, { isRead: false })
    } else readSmallBody(parts, exchange, bytes => use(jsonIn(bytes)))
  },
  work(exchange, work) {
    const { answers } = parts
    answerAllowed(parts, exchange, 'v2', undefined, async () => {
      const result = await work()
      const type = embeddedTypeOf(exchange.request.headers.accept)
      if (result !== undefined && type === undefined) return result
      if (result === undefined) answers.noContent(exchange)
      else answers.typed(exchange, type!, JSON.stringify(result))
      return undefined
    })
  },
  unknown: () => new ProblemError(NO_INSTANCE),
  illegalState: message => new ProblemError({ status: 409, code: 40903, message }),
  failed(error) {
    const problem = problemOf(error)
    // The code for what Kafka does not have is here that of a missing instance: a client would create it again.
    return new ProblemError(problem.code === NO_INSTANCE.code ? { ...problem, code: TOPIC_NOT_FOUND } : problem)
  },
  unavailable: message => new ProblemError({ status: 503, code: 503, message }),
  forbidden: ({ message }) => new ProblemError({ status: 403, code: UNAUTHORIZED, message }),
  unreadable: message => new ProblemError({ status: 408, code: UNREADABLE, message }),
  unreadableCode: UNREADABLE,
  invalid: message => new ProblemError({ status: 400, code: 400, message })
})

/** The routes of consumer instances, by id. */
export function consumerRoutes(
  parts: EndpointParts,
  gateway: Pick<Gateway, 'instances'>,
  { settings, prefix, log, clock, undecodable, schemas }: ConsumersOptions
) {
  const api = apiOf(parts)
  const routes = new InstanceRoutes(api, gateway, parts.access, undecodable)
  const topicsOf = (places: readonly { readonly topic: string }[]): string[] => places.map(({ topic }) => topic)

  async function seek(exchange: Exchange, instance: InstanceName, positions: readonly InstancePosition[]) {
    routes.require(exchange, instance, topicsOf(positions))
    routes.done(await gateway.instances.seek(instance, positions))
  }

  const seekTo = (position: 'beginning' | 'end') =>
    routes.verb(
      'needsBody',
      (instance, json, exchange) => {
        const positions = partitionsIn(json).map(partition => ({ ...partition, position }))
        return seek(exchange, instance, positions)
      },
      'ofRequest'
    )

  async function read(exchange: Exchange, instance: InstanceName): Promise<void> {
    const { request } = exchange
    const wanted = await routes.settingsOf(instance)
    const type = recordTypeOf(wanted.format)
    const schemaFormat = schemaFormatOf(wanted.format)
    if (schemaFormat !== undefined && schemas === undefined) throw new ProblemError(NO_REGISTRY)
    if (!recordTypesOf(request.headers.accept).includes(type)) throw new ProblemError(WRONG_FORMAT)
    const query = queryOf(sentUrlOf(request))
    const timeoutMs = Math.min(aboveZero(query.get('timeout')) ?? wanted.maxWaitMs, wanted.maxWaitMs)
    const maxBytes = Math.min(aboveZero(query.get('max_bytes')) ?? MAX_ANSWER_BYTES, MAX_ANSWER_BYTES)
    const decode =
      schemaFormat &&
      ((records: readonly InstanceRecord[]) => decodeRecords(schemas!, schemaFormat, records, maxBytes, clock))
    const format = wanted.format === 'binary' ? 'binary' : 'json'
    const records = await routes.read(exchange, instance, { timeoutMs, maxBytes, format, decode })
    if (records !== undefined) parts.answers.typed(exchange, type, records)
  }

  return {
    createInstance(exchange: Exchange, { group = '' }: Params): void {
      if (group === '') {
        parts.answers.error(exchange, NO_GROUP, { isRead: !hasBody(exchange) })
        return
      }
      api.withBody(exchange, group, 'mayHaveBody', json => {
        const wanted = readWanted(json, settings, schemas !== undefined)
        if (wanted.without.length > 0)
          log.warn({ group: shortened(group), settings: wanted.without }, 'settings of an instance have no effect')
        const name = wanted.name ?? `rest-consumer-${randomUUID()}`
        api.work(exchange, async () => {
          const instance = routes.named(exchange, { group, instance: name })
          if (!(await routes.create(exchange, instance, wanted.settings))) throw new ProblemError(NAME_TAKEN)
          const base = settings.advertisedUrl?.replace(/\/+$/, '') ?? baseUrlOf(exchange.request, prefix)
          return { instance_id: name, base_uri: `${base}/consumers/${part(group)}/instances/${part(name)}` }
        })
      })
    },
    deleteInstance: routes.verb('noBody', async instance => routes.done(await gateway.instances.remove(instance))),
    subscribe: routes.verb('needsBody', async (instance, json, exchange) => {
      const { topics, topic_pattern: pattern } = checked(json, subscriptionBody)
      if (topics) await routes.subscribe(exchange, instance, { topics })
      else if (pattern) await routes.subscribe(exchange, instance, { pattern })
    }),
    getSubscription: routes.verb('noBody', async instance => ({
      topics: routes.done(await gateway.instances.subscription(instance))
    })),
    unsubscribe: routes.verb('noBody', async instance => routes.done(await gateway.instances.unsubscribe(instance))),
    assignPartitions: routes.verb('needsBody', async (instance, json, exchange) => {
      const partitions = partitionsIn(json)
      routes.require(exchange, instance, topicsOf(partitions))
      routes.done(await gateway.instances.assign(instance, partitions))
    }),
    getAssignments: routes.verb('noBody', async instance => ({
      partitions: routes.done(await gateway.instances.assignment(instance))
    })),
    seekPositions: routes.verb(
      'needsBody',
      (instance, json, exchange) => {
        const { offsets, timestamps } = checked(json, positionsBody)
        const positions: InstancePosition[] = [
          ...(offsets ?? []).map(({ topic, partition, offset }) => ({
            topic,
            partition: Number(partition),
            position: Number(offset)
          })),
          ...(timestamps ?? []).map(({ topic, partition, timestamp }) => ({
            topic,
            partition: Number(partition),
            position: { timestampMs: timestampIn(timestamp) }
          }))
        ]
        return seek(exchange, instance, positions)
      },
      'ofRequest'
    ),
    seekBeginning: seekTo('beginning'),
    seekEnd: seekTo('end'),
    commitOffsets: routes.verb('mayHaveBody', async (instance, json, exchange) => {
      const offsets = json === undefined ? undefined : checked(json, commitBody).offsets
      routes.require(exchange, instance, topicsOf(offsets ?? []))
      // Clients name the last record that they have processed; Kafka stores the next one.
      const next = offsets?.map(({ topic, partition, offset, metadata }) => ({
        topic,
        partition: Number(partition),
        offset: Number(offset) + 1,
        metadata: metadata ?? ''
      }))
      routes.done(await gateway.instances.commit(instance, next ?? 'accepted'))
      return []
    }),
    getCommitted: routes.verb(
      'mayHaveBody',
      async (instance, json, exchange) => {
        const partitions = json === undefined ? partitionsInQuery(exchange) : partitionsIn(json)
        routes.require(exchange, instance, topicsOf(partitions))
        return { offsets: routes.done(await gateway.instances.committed(instance, partitions)) }
      },
      'ofRequest'
    ),
    readRecords(exchange: Exchange, params: Params): void {
      const { answers, broken } = parts
      const instance = routes.named(exchange, params)
      const target = { group: instance.groupId }
      const refusal = browserRefusalOf(exchange.request) ?? refusalOf(parts, exchange, 'consume', target)
      if (refusal !== undefined) {
        answers.refuse(exchange, refusal, !hasBody(exchange))
        return
      }
      read(exchange, instance).catch(error => {
        const problem =
          error instanceof SchemaError ? { status: 500, code: 50003, message: error.message } : failedProblemOf(error)
        if (problem === undefined) broken(exchange, error)
        else answers.error(exchange, { ...problem, type: errorTypeOfRecords(exchange.request.headers.accept) })
      })
    }
  }
}

/** Errors have the first type that the client names, else that of binary records. */
const errorTypeOfRecords = (accept: string | undefined): string =>
  /application\/vnd\.kafka\.(?:(?:json|avro|jsonschema|protobuf)\.)?v2\+json/i.exec(accept ?? '')?.[0].toLowerCase() ??
  BINARY_TYPE

const aboveZero = (text: string | null): number | undefined =>
  text && /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined

/** The partitions in a body. @throws BodyError */
const partitionsIn = (json: unknown) =>
  checked(json, partitionsBody).partitions.map(({ topic, partition }) => ({ topic, partition: Number(partition) }))

/** @throws ProblemError when the query has none */
function partitionsInQuery(exchange: Exchange) {
  const query = queryOf(sentUrlOf(exchange.request))
  const topics = query.getAll('topic')
  const numbers = query.getAll('partition')
  const isComplete =
    topics.length > 0 && topics.length === numbers.length && numbers.every(text => /^\d{1,9}$/.test(text))
  if (!isComplete) throw new ProblemError(NO_PARTITIONS)
  return topics.map((topic, at) => ({ topic, partition: Number(numbers[at]) }))
}
