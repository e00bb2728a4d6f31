import { isUtf8 } from 'node:buffer'
import { randomUUID } from 'node:crypto'
import { shortened } from '../../../core/printable.js'
import type { InstanceGateway, InstanceName, InstancePosition } from '../../../gateway/gateway.js'
import type { ApiContext } from '../../../http/api/api.js'
import { decodeRecords } from '../../../http/api/decoded-records.js'
import type { Params } from '../../../http/api/endpoint.js'
import {
  type InstanceApi,
  InstanceRoutes,
  MAX_READ_BYTES,
  queryOf,
  topicNamesOf
} from '../../../http/api/instance-routes.js'
import { browserRefusalOf } from '../../../http/exchange/client.js'
import { type Exchange, hasBody, sentUrlOf } from '../../../http/exchange/exchange.js'
import { SchemaError } from '../../../schemas/schemas.js'
import { failedProblemOf, type Problem, ProblemError, problemOf, TOPIC_NOT_FOUND, UNAUTHORIZED } from '../failures.js'
import { answerAllowed, type ConfluentParts, readSmallBody } from '../look-up.js'
import {
  BINARY_TYPE,
  embeddedTypeOf,
  errorTypeOf,
  type Format,
  isConsumerBody,
  RECORD_TYPES,
  recordFormatsOf,
  schemaFormatOf
} from '../media-types.js'
import { BodyError, jsonIn } from '../record-bytes.js'
import type { ConfluentSettings } from '../settings.js'
import { baseUrlOf, part } from '../v3/resources.js'
import { CONFLUENT, readWanted } from './consumer-bodies.js'
import { NO_REGISTRY } from './produce-endpoint.js'

const UNSUPPORTED: Problem = {
  status: 415,
  code: 415,
  message: 'the content type must be application/vnd.kafka.v2+json'
}
const NO_INSTANCE: Problem = { status: 404, code: 40403, message: 'there is no such consumer instance' }
const NO_GROUP: Problem = { status: 404, code: 404, message: 'the path names no group' }
const NAME_TAKEN: Problem = { status: 409, code: 40902, message: 'the group has an instance of this name' }
const WRONG_FORMAT: Problem = {
  status: 406,
  code: 40601,
  message: 'the instance has another format than the one of Accept; without Accept it is binary'
}

/** The original's code for a record that is not JSON. */
const UNREADABLE = 40801

const apiOf = (parts: ConfluentParts, hasRegistry: boolean): InstanceApi => ({
  name: CONFLUENT,
  noun: 'instance',
  group: 'group',
  instance: 'instance',
  withBody(exchange, group, _, use) {
    const { answers } = parts
    const { headers } = exchange.request
    const refusal = parts.access.callerOf(exchange.request).refusalOf('consume', { group })
    if (refusal !== undefined) answers.refuse(exchange, refusal, !hasBody(exchange))
    else if (hasBody(exchange) && !isConsumerBody(headers['content-type'])) {
      answers.error(exchange, { ...UNSUPPORTED, type: errorTypeOf(headers.accept) }, { isRead: false })
    } else
      readSmallBody(parts, exchange, bytes => {
        if (!isUtf8(bytes)) throw new BodyError(400, 'the body is not JSON')
        use(jsonIn(bytes.toString()) ?? undefined)
      })
  },
  work(exchange, work) {
    const { answers } = parts
    answerAllowed(parts, exchange, 'v2', undefined, async () => {
      const result = await work()
      const type = embeddedTypeOf(exchange.request.headers.accept)
      if (result !== undefined && type === undefined) return result
      if (result === undefined) answers.noContent(exchange)
      else answers.send(exchange, 200, type!, JSON.stringify(result))
      return undefined
    })
  },
  unknown: () => new ProblemError(NO_INSTANCE),
  illegalState: message => new ProblemError({ status: 409, code: 40903, message }),
  otherFormat: format => new ProblemError(hasRegistry || isWithoutSchemas(format) ? WRONG_FORMAT : NO_REGISTRY),
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

/** What answers the routes of consumer instances. */
export class Consumers {
  readonly parts: ConfluentParts
  readonly routes: InstanceRoutes
  readonly #api: InstanceApi
  readonly #context: ApiContext<ConfluentSettings>
  readonly #prefix: string

  /** @param prefix of the API on the shared port */
  constructor(parts: ConfluentParts, context: ApiContext<ConfluentSettings>, prefix: string) {
    const { gateway, schemas, undecodable } = context
    this.parts = parts
    this.#context = context
    this.#prefix = prefix
    this.#api = apiOf(parts, schemas !== undefined)
    this.routes = new InstanceRoutes(this.#api, gateway, parts.access, undecodable)
  }

  get instances(): InstanceGateway {
    return this.#context.gateway.instances
  }

  create(exchange: Exchange, { group = '' }: Params): void {
    const { settings, schemas, log } = this.#context
    const { consumers } = settings
    if (group === '') {
      this.parts.answers.error(exchange, NO_GROUP, { isRead: !hasBody(exchange) })
      return
    }
    this.#api.withBody(exchange, group, 'mayHaveBody', json => {
      const wanted = readWanted(json, consumers, schemas !== undefined)
      if (wanted.without.length > 0)
        log.warn({ group: shortened(group), settings: wanted.without }, 'settings of an instance have no effect')
      const name = wanted.name ?? `rest-consumer-${randomUUID()}`
      this.#api.work(exchange, async () => {
        const instance = this.routes.named(exchange, { group, instance: name })
        if (!(await this.routes.create(exchange, instance, wanted.settings))) throw new ProblemError(NAME_TAKEN)
        const base = consumers.advertisedUrl?.replace(/\/+$/, '') ?? baseUrlOf(exchange.request, this.#prefix)
        return { instance_id: name, base_uri: `${base}/consumers/${part(group)}/instances/${part(name)}` }
      })
    })
  }

  async seek(exchange: Exchange, instance: InstanceName, positions: readonly InstancePosition[]): Promise<void> {
    this.routes.require(exchange, instance, topicNamesOf(positions))
    this.routes.done(await this.instances.seek(instance, positions))
  }

  receiveRead(exchange: Exchange, params: Params): void {
    const { answers, broken } = this.parts
    const instance = this.routes.named(exchange, params)
    const caller = this.parts.access.callerOf(exchange.request)
    const refusal = browserRefusalOf(exchange.request) ?? caller.refusalOf('consume', { group: instance.groupId })
    if (refusal !== undefined) {
      answers.refuse(exchange, refusal, !hasBody(exchange))
      return
    }
    this.#read(exchange, instance).catch(error => {
      const problem =
        error instanceof SchemaError ? { status: 500, code: 50003, message: error.message } : failedProblemOf(error)
      if (problem === undefined) broken(exchange, error)
      else answers.error(exchange, { ...problem, type: errorTypeOfRecords(exchange.request.headers.accept) })
    })
  }

  async #read(exchange: Exchange, instance: InstanceName): Promise<void> {
    const { request } = exchange
    const { schemas, clock } = this.#context
    const query = queryOf(sentUrlOf(request))
    const timeoutMs = aboveZero(query.get('timeout'))
    const maxBytes = Math.min(aboveZero(query.get('max_bytes')) ?? MAX_READ_BYTES, MAX_READ_BYTES)
    const read = await this.routes.read(exchange, instance, {
      timeoutMs,
      maxBytes,
      formats: recordFormatsOf(request.headers.accept).filter(format => schemas || isWithoutSchemas(format)),
      decode: (format, records) => {
        const schemaFormat = schemaFormatOf(format)
        return schemaFormat && decodeRecords(schemas!, schemaFormat, records, maxBytes, clock)
      }
    })
    if (read) this.parts.answers.send(exchange, 200, RECORD_TYPES[read.format as Format], read.body)
  }
}

const isWithoutSchemas = (format: string): boolean => schemaFormatOf(format) === undefined

/** Errors have the first type that the client names, else that of binary records. */
const errorTypeOfRecords = (accept: string | undefined): string =>
  /application\/vnd\.kafka\.(?:(?:json|avro|jsonschema|protobuf)\.)?v2\+json/i.exec(accept ?? '')?.[0].toLowerCase() ??
  BINARY_TYPE

const aboveZero = (text: string | null): number | undefined =>
  text && /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined
