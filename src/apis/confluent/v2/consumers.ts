import { randomUUID } from 'node:crypto'
import type { IncomingMessage } from 'node:http'
import { shortened } from '../../../core/printable.js'
import type { ApiContext } from '../../../http/api/api.js'
import { ApiError } from '../../../http/api/api-answers.js'
import { decodeRecords } from '../../../http/api/decoded-records.js'
import type { Receive } from '../../../http/api/endpoint.js'
import { clientOf } from '../../../http/exchange/client.js'
import { type Exchange, hasBody, sentUrlOf } from '../../../http/exchange/exchange.js'
import { SchemaError, type Schemas } from '../../../schemas/schemas.js'
import { type InstanceApi, InstanceRoutes, MAX_READ_BYTES, queryOf, type ReadTerms } from '../../instance-routes.js'
import { detailed, failedProblemOf, problemOf, TOPIC_NOT_FOUND, UNAUTHORIZED } from '../failures.js'
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
import { jsonIn } from '../record-bytes.js'
import type { ConfluentSettings } from '../settings.js'
import { baseUrlOf, part } from '../v3/resources.js'
import { CONFLUENT, readWanted } from './consumer-bodies.js'
import { NO_REGISTRY } from './produce-endpoint.js'

const UNSUPPORTED = new ApiError(415, 'the content type must be application/vnd.kafka.v2+json')
const NO_INSTANCE = new ApiError(404, 'there is no such consumer instance', { code: 40403 })
const NO_GROUP = new ApiError(404, 'the path names no group')
const NAME_TAKEN = new ApiError(409, 'the group has an instance of this name', { code: 40902 })
const WRONG_FORMAT = new ApiError(
  406,
  'the instance has another format than the one of Accept; without Accept it is binary',
  { code: 40601 }
)

/** The original's code for a record that is not JSON. */
const UNREADABLE = 40801

/** Names of the API in texts, and its errors that do not depend on whether there is a registry. */
const words = {
  name: CONFLUENT,
  noun: 'instance',
  group: 'group',
  instance: 'instance',
  unknown: () => NO_INSTANCE,
  nameTaken: () => NAME_TAKEN,
  illegalState: message => new ApiError(409, message, { code: 40903 }),
  failed(error) {
    const problem = problemOf(error)
    // For a feature that Kafka does not have, the usual code would be that of a missing instance, and clients would create it
    // again.
    const { code } = problem.details
    return code === NO_INSTANCE.details.code ? detailed(problem, { code: TOPIC_NOT_FOUND }) : problem
  },
  unavailable: message => new ApiError(503, message),
  forbidden: ({ message }) => new ApiError(403, message, { code: UNAUTHORIZED }),
  unreadable: message => new ApiError(408, message, { code: UNREADABLE }),
  unreadableCode: UNREADABLE,
  invalid: message => new ApiError(400, message)
} satisfies Partial<InstanceApi>

const apiOf = (parts: ConfluentParts, hasRegistry: boolean): InstanceApi => ({
  ...words,
  parts,
  withBody(exchange, body, use) {
    const { headers } = exchange.request
    if (hasBody(exchange) && !isConsumerBody(headers['content-type'])) {
      parts.answers.fail(exchange, detailed(UNSUPPORTED, { type: errorTypeOf(headers.accept) }), false)
    } else if (body === 'noBody') use(undefined)
    else readSmallBody(parts, exchange, bytes => use(jsonIn(bytes) ?? undefined))
  },
  work(exchange, work) {
    const { answers } = parts
    answerAllowed(parts, exchange, 'v2', undefined, async () => {
      const result = await work()
      const type = embeddedTypeOf(exchange.request.headers.accept)
      if (result !== undefined && type === undefined) return result
      if (result === undefined) answers.noContent(exchange)
      else {
        const client = clientOf(exchange.request, parts.access.callerOf(exchange.request))
        await parts.longLists.answerObject(result as object, client, exchange.response, ({ body, held }) =>
          answers.send(exchange, 200, type!, body, { held })
        )
      }
      return undefined
    })
  },
  otherFormat: format => (hasRegistry || isWithoutSchemas(format) ? WRONG_FORMAT : NO_REGISTRY)
})

/** Parts that answer the routes of consumer instances. */
export interface Consumers {
  readonly routes: InstanceRoutes
  readonly create: Receive
  readonly read: Receive
}

/** @param prefix of the API on the shared port */
export function consumersOf(parts: ConfluentParts, context: ApiContext<ConfluentSettings>, prefix: string): Consumers {
  const { schemas, settings, log } = context
  const { consumers } = settings
  const routes = new InstanceRoutes(apiOf(parts, schemas !== undefined), context)
  const creates = routes.creates(
    (json, group) => {
      const { name, settings, without } = readWanted(json, consumers, schemas !== undefined)
      if (without.length > 0)
        log.warn({ group: shortened(group), settings: without }, 'settings of an instance have no effect')
      return { name: name ?? `rest-consumer-${randomUUID()}`, settings }
    },
    ({ request }, group, name) => {
      const base = consumers.advertisedUrl?.replace(/\/+$/, '') ?? baseUrlOf(request, prefix)
      return `${base}/consumers/${part(group)}/instances/${part(name)}`
    }
  )
  const termsOf = ({ request }: Exchange): ReadTerms =>
    termsIn(request, schemas, clientOf(request, parts.access.callerOf(request)))
  return {
    routes,
    create(exchange, params) {
      if (params.group) creates(exchange, params)
      else parts.answers.fail(exchange, NO_GROUP, !hasBody(exchange))
    },
    read: routes.reads(termsOf, format => RECORD_TYPES[format as Format], toReadError)
  }
}

/** How a request reads. @param owner the client whose share of the work with schemas it takes */
function termsIn(request: IncomingMessage, schemas: Schemas | undefined, owner: string | undefined): ReadTerms {
  const query = queryOf(sentUrlOf(request))
  const maxBytes = Math.min(aboveZero(query.get('max_bytes')) ?? MAX_READ_BYTES, MAX_READ_BYTES)
  return {
    timeoutMs: aboveZero(query.get('timeout')),
    maxBytes,
    formats: recordFormatsOf(request.headers.accept).filter(format => schemas || isWithoutSchemas(format)),
    decode: (format, records) => {
      const schemaFormat = schemaFormatOf(format)
      return schemaFormat && decodeRecords(schemas!, schemaFormat, records, maxBytes, owner)
    }
  }
}

function toReadError(error: unknown, { request }: Exchange): unknown {
  const problem =
    error instanceof SchemaError
      ? new ApiError(500, error.message, { code: 50003, cause: { code: 'registryUnreachable', retriable: true } })
      : failedProblemOf(error)
  return problem === undefined ? error : detailed(problem, { type: errorTypeOfRecords(request.headers.accept) })
}

const isWithoutSchemas = (format: string): boolean => schemaFormatOf(format) === undefined

/** Errors have the first type that the client names, else that of binary records. */
const errorTypeOfRecords = (accept: string | undefined): string =>
  /application\/vnd\.kafka\.(?:(?:json|avro|jsonschema|protobuf)\.)?v2\+json/i.exec(accept ?? '')?.[0].toLowerCase() ??
  BINARY_TYPE

const aboveZero = (text: string | null): number | undefined =>
  text && /^[1-9]\d{0,14}$/.test(text) ? Number(text) : undefined
