import { createRequire } from 'node:module'
import { fileURLToPath } from 'node:url'
import { loadPackageDefinition, type ServiceClientConstructor, status } from '@grpc/grpc-js'
import { loadSync } from '@grpc/proto-loader'
import type protobuf from 'protobufjs'
import { errorCodeOf } from '../../../core/error-code-of.js'
import { CastellanError, type ErrorCode, type KafkaError } from '../../../core/errors.js'
import { packageFile } from '../../../core/package-file.js'
import type { ApiProducer } from '../../../http/api/api-producer.js'
import { type AnyFailure, CONSUMED, failureAnswerOf, isConsumedByOthers, NO_SUCH_TOPIC_TEXT } from '../pixy-answers.js'

const own = createRequire(import.meta.url)
/** The reader of the decoder that gRPC's package brings. Another version of it reads some numbers and tags otherwise. */
const { Reader } = createRequire(own.resolve('@grpc/proto-loader'))('protobufjs') as typeof protobuf

const REASONS: ReadonlyMap<status, ErrorCode> = new Map<status, ErrorCode>([
  [status.INVALID_ARGUMENT, 'invalidRequest'],
  [status.UNIMPLEMENTED, 'invalidRequest'],
  [status.DEADLINE_EXCEEDED, 'timedOut'],
  [status.INTERNAL, 'protocol']
])

/** A call that is answered with a status, and no message. */
export class StatusError extends Error {
  readonly code: status
  /** Why, for the counter of refused records. */
  readonly reason: ErrorCode

  constructor(code: status, details: string, reason = REASONS.get(code) ?? 'overloaded') {
    super(details)
    this.code = code
    this.reason = reason
  }
}

/** Counts a record whose call was refused. The status page shows calls that access or a limit refuses as such. */
export const countRefused = (producer: ApiProducer, { reason, message }: StatusError): void =>
  producer.countRefused({ code: reason, message }, 1, reason !== 'recordTooLarge' && reason !== 'invalidRequest')

/** Statuses of Castellan's errors. */
const STATUSES: Readonly<Record<ErrorCode, status>> = {
  invalidRequest: status.INTERNAL,
  invalidTopic: status.INTERNAL,
  invalidConfig: status.INTERNAL,
  recordTooLarge: status.INTERNAL,
  recordRejected: status.INTERNAL,
  batchTooLarge: status.INTERNAL,
  unknownTopic: status.INTERNAL,
  unknownPartition: status.INTERNAL,
  notAuthorized: status.INTERNAL,
  authenticationFailed: status.INTERNAL,
  unauthenticated: status.UNAUTHENTICATED,
  forbidden: status.PERMISSION_DENIED,
  quotaExceeded: status.RESOURCE_EXHAUSTED,
  issuerUnreachable: status.INTERNAL,
  registryUnreachable: status.INTERNAL,
  overloaded: status.RESOURCE_EXHAUSTED,
  logUnavailable: status.UNAVAILABLE,
  shuttingDown: status.UNAVAILABLE,
  peerAway: status.INTERNAL,
  brokerUnreachable: status.INTERNAL,
  clusterChanged: status.INTERNAL,
  noLeader: status.INTERNAL,
  timedOut: status.INTERNAL,
  aborted: status.INTERNAL,
  protocol: status.INTERNAL,
  kafka: status.INTERNAL
}

/**
 * The status of a failure of any method.
 *
 * @param unknownTopic the status where Kafka has no such topic
 * @param isReady whether any broker can be reached
 */
export function statusOf(failure: AnyFailure, unknownTopic: status, isReady: boolean): StatusError {
  const { status: httpStatus, text } = failureAnswerOf(failure, isReady)
  if (httpStatus === 409) return new StatusError(status.FAILED_PRECONDITION, text, errorCodeOf(failure))
  const code = text === NO_SUCH_TOPIC_TEXT ? unknownTopic : STATUSES[errorCodeOf(failure)]
  return new StatusError(code, text, errorCodeOf(failure))
}

/** The status of a thrown error; `undefined`: the error is a bug. */
export function statusOfError(error: unknown, isReady: boolean): StatusError | undefined {
  if (error instanceof StatusError) return error
  if (!(error instanceof CastellanError)) return undefined
  const { errorCode } = error as Partial<KafkaError>
  const failure: AnyFailure = { code: error.code, message: error.message, errorCode }
  if (isConsumedByOthers(failure)) return new StatusError(status.FAILED_PRECONDITION, CONSUMED)
  return statusOf(failure, status.NOT_FOUND, isReady)
}

/** Fields of requests in kafka-pixy.proto. A field that the client does not set has the default of its type. */
export interface GrpcRequestFields {
  /** Empty: the default one. */
  readonly cluster: string
  readonly topic: string
  readonly group: string
  readonly key_value: Buffer
  readonly key_undefined: boolean
  readonly message: Buffer
  readonly async_mode: boolean
  readonly headers: readonly { readonly key: string; readonly value: Buffer }[]
  readonly no_ack: boolean
  readonly auto_ack: boolean
  readonly ack_partition: number
  readonly ack_offset: number
  readonly partition: number
  readonly offset: number
  readonly offsets: readonly { readonly partition: number; readonly offset: number; readonly metadata: string }[]
  readonly with_partitions: boolean
}

/** The definition of the service; it is part of the package, for clients. */
const PROTO_FILE = fileURLToPath(packageFile('dist/apis/kafka-pixy/kafka-pixy.proto'))

export function loadDefinition(): ServiceClientConstructor {
  const definition = loadSync(PROTO_FILE, { keepCase: true, longs: Number, defaults: true, objects: true })
  return loadPackageDefinition(definition)['KafkaPixy'] as ServiceClientConstructor
}

const { service } = loadDefinition()

interface RepeatedField {
  /** The largest number of a field of the request. */
  readonly field: number
  readonly name: string
  readonly max: number
  /** Fields of the request that are truth values; all others begin with their length. */
  readonly booleans: readonly number[]
}
/** Repeated fields, by method. Over HTTP, a message has at most 100 headers; offsets have the same limit. */
const LISTS: ReadonlyMap<string, RepeatedField> = new Map([
  ['Produce', { field: 7, name: 'headers', max: 1_000, booleans: [4, 6] }],
  ['SetOffsets', { field: 4, name: 'offsets', max: 10_000, booleans: [] }]
])
/** More fields than any request needs. A megabyte may hold half a million fields, which would be decoded in one go. */
const MAX_FIELDS = 20_000
/** Memory that one element takes once it is an object, its texts and bytes not counted: they are in the request. */
const ELEMENT_BYTES = 256
/**
 * Decodes a request. Its elements are counted before, because a megabyte may hold half a million of them.
 *
 * @param hold counts memory, or refuses it
 * @throws StatusError
 */
export function decodeRequest(method: string, bytes: Buffer, hold: (sizeBytes: number) => void): GrpcRequestFields {
  try {
    hold(countElements(bytes, LISTS.get(method)) * ELEMENT_BYTES)
    return service[method]!.requestDeserialize(bytes) as GrpcRequestFields
  } catch (error) {
    if (error instanceof StatusError || error instanceof CastellanError) throw error
    throw new StatusError(status.INTERNAL, 'Error deserializing request')
  }
}

/**
 * Counts elements by the decoder's own reader, or throws. The decoder reads each field that it knows as of its own type,
 * whatever type the message says.
 */
function countElements(bytes: Buffer, list: RepeatedField | undefined): number {
  const reader = Reader.create(bytes)
  let elements = 0
  let fields = 0
  while (reader.pos < reader.len) {
    if (++fields > MAX_FIELDS) throw new StatusError(status.INVALID_ARGUMENT, `more than ${MAX_FIELDS} fields`)
    const key = reader.uint32()
    const [field, type] = [key >>> 3, key & 7]
    if (field === list?.field && ++elements > list.max) {
      throw new StatusError(status.INVALID_ARGUMENT, `more than ${list.max} ${list.name}`)
    }
    // The decoder cuts a value off at the end of the message.
    if (list === undefined || field > list.field) reader.skipType(type)
    else if (type !== (list.booleans.includes(field) ? 0 : 2)) throw new RangeError('a field of another type')
    else if (type === 0) reader.bool()
    else reader.skip(reader.uint32())
  }
  return elements
}
