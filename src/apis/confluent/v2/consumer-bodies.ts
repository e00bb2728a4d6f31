import { z } from 'zod'
import { timeOf } from '../../../core/time-of.js'
import { ApiError } from '../../../http/api/api-answers.js'
import type { InstanceSettings } from '../../../verbs/verbs.js'
import { AUTO_COMMIT_MS, MAX_READ_BYTES } from '../../instance-routes.js'
import { schemaFormatOf } from '../media-types.js'
import { checked, unknownMember } from '../record-bytes.js'
import type { ConfluentSettings } from '../settings.js'

/** The name of the API in the settings of instances. */
export const CONFLUENT = 'confluent'

const INVALID_BYTES = 40001
const INVALID_SETTING = 42204
const NEEDS_REGISTRY = 42206
const MAX_FETCH_MIN_BYTES = 10_000_000
const MAX_WAIT_MS = 600_000

const text = z.string()
/** A number, or the number as a text. */
const whole = z.union([z.int(), z.string().regex(/^-?\d+$/)])
/** Settings of Kafka's consumer may be texts; Kafka reads them. */
const truth = z.union([z.boolean(), z.number(), text])
/** A number that names a partition or an offset, or the number as a text. */
const index = z.union([z.int().min(0), z.string().regex(/^\d{1,15}$/)], { error: 'expected a whole number from 0 on' })

const namedPartition = z.strictObject({ topic: text, partition: index })
const namedOffset = z.strictObject({ topic: text, partition: index, offset: index, metadata: text.nullish() })
const namedTime = z.strictObject({
  topic: text,
  partition: index,
  timestamp: z.union([text, z.number()]).describe('ISO 8601, or a number of seconds since 1970'),
  metadata: text.nullish()
})

/** The body that creates an instance. Other settings of Kafka's consumer are taken, and have no effect. */
export const createBody = z.looseObject({
  id: text.nullish().describe('a former spelling of `name`, which wins'),
  name: text.nullish(),
  format: text
    .nullish()
    .describe('`binary` (default), `json`, or with a schema registry `avro`, `jsonschema` or `protobuf`'),
  'auto.offset.reset': text.nullish().describe('`earliest`, `latest` or `none`'),
  'auto.commit.enable': truth.nullish().describe('true or false, also as a text'),
  'enable.auto.commit': truth.nullish().describe('another spelling'),
  'fetch.min.bytes': whole.nullish().describe('-1 to 10000000; -1: a read returns with the first records'),
  'consumer.request.timeout.ms': whole.nullish(),
  responseMinBytes: whole.nullish().describe('another spelling of `fetch.min.bytes`'),
  requestWaitMs: whole.nullish().describe('another spelling of `consumer.request.timeout.ms`')
})
export const subscriptionBody = z.strictObject({
  topics: z.array(text).nullish(),
  topic_pattern: text.nullish().describe("a regular expression in RE2's syntax that matches whole names")
})
export const partitionsBody = z.strictObject({ partitions: z.array(namedPartition) })
export const positionsBody = z.strictObject({
  offsets: z.array(namedOffset).nullish(),
  timestamps: z.array(namedTime).nullish()
})
export const commitBody = z.strictObject({ offsets: z.array(namedOffset).nullish() })

/** An instance that a client asks for. */
export interface WantedInstance {
  /** `undefined`: the API makes one up. */
  readonly name: string | undefined
  readonly settings: InstanceSettings
  /** Settings of Kafka's consumer that have no effect here. */
  readonly without: readonly string[]
}

/** Reads the body that creates an instance. @throws ApiError */
export function readWanted(
  json: unknown,
  defaults: ConfluentSettings['consumers'],
  hasRegistry: boolean
): WantedInstance {
  const body = checked(json ?? {}, createBody)
  const unknown = Object.keys(body).filter(name => !(name in createBody.shape))
  // Names of Kafka's settings have dots. Others are mistakes.
  const mistaken = unknown.find(name => !name.includes('.'))
  if (mistaken !== undefined) throw unknownMember(mistaken)
  const format = (body.format ?? 'binary').toLowerCase()
  const isOfSchemas = schemaFormatOf(format) !== undefined
  if (isOfSchemas && !hasRegistry)
    throw new ApiError(422, `format: ${format} needs a schema registry; expected binary or json`, {
      code: NEEDS_REGISTRY
    })
  if (!isOfSchemas && format !== 'binary' && format !== 'json')
    throw new ApiError(
      422,
      `format: expected binary, json, avro, jsonschema or protobuf, got ${JSON.stringify(format.slice(0, 100))}`
    )
  const start = (body['auto.offset.reset'] ?? defaults.start).toLowerCase()
  if (start !== 'earliest' && start !== 'latest' && start !== 'none')
    throw new ApiError(422, 'auto.offset.reset: expected earliest, latest or none', { code: INVALID_SETTING })
  const autoCommit = body['auto.commit.enable'] ?? body['enable.auto.commit'] ?? defaults.autoCommit
  const commits = String(autoCommit).trim().toLowerCase()
  if (commits !== 'true' && commits !== 'false')
    throw new ApiError(422, 'auto.commit.enable: expected true or false', { code: INVALID_SETTING })
  const minBytes = Number(body['fetch.min.bytes'] ?? body.responseMinBytes ?? defaults.minBytes)
  if (minBytes < -1 || minBytes > MAX_FETCH_MIN_BYTES)
    throw new ApiError(422, `fetch.min.bytes: expected -1 to ${MAX_FETCH_MIN_BYTES}`, { code: INVALID_BYTES })
  const maxWaitMs = Number(body['consumer.request.timeout.ms'] ?? body.requestWaitMs ?? defaults.maxWaitMs)
  if (maxWaitMs < 0 || maxWaitMs > MAX_WAIT_MS)
    throw new ApiError(422, `consumer.request.timeout.ms: expected 0 to ${MAX_WAIT_MS}`, { code: INVALID_SETTING })
  return {
    name: body.id ?? body.name ?? undefined,
    settings: {
      api: CONFLUENT,
      format,
      start,
      autoCommitMs: commits === 'true' ? AUTO_COMMIT_MS : undefined,
      minBytes: minBytes === -1 ? undefined : minBytes,
      maxWaitMs,
      maxBytes: MAX_READ_BYTES,
      idleMs: defaults.idleMs
    },
    without: unknown
  }
}

/** The milliseconds of a time in ISO 8601, or in seconds. @throws ApiError */
export function timestampIn(timestamp: string | number): number {
  const timestampMs = typeof timestamp === 'number' ? Math.round(timestamp * 1_000) : parsed(timestamp)
  // Kafka takes negative times for something else.
  if (!Number.isSafeInteger(timestampMs) || timestampMs < 0)
    throw new ApiError(
      400,
      `timestamp: expected ISO 8601 or seconds since 1970, got ${String(timestamp).slice(0, 100)}`
    )
  return timestampMs
}

const parsed = (timestamp: string): number => (/^\d{4}-\d\d-\d\dT/.test(timestamp) ? timeOf(timestamp) : Number.NaN)
