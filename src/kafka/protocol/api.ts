import type { CallTimeLimit, Throttled } from '../calls.js'
import { errorCodes } from '../error-codes.js'
import { atMost, type ProtocolReader, type ProtocolWriter } from './encoding.js'
import * as t from './schema.js'

/** One call of Kafka's protocol in one version. */
export interface Api<Call, Response extends Throttled> extends ApiHead<Call> {
  /** @throws InvalidRequestError when the call cannot be expressed */
  encode(writer: ProtocolWriter, call: Call): void
  /** @throws ProtocolError when the bytes are not a response of this call */
  decode(reader: ProtocolReader, call: Call): Response
  /** The version to use when the broker does not support this version, or this version cannot express the call. */
  readonly older?: Api<Call, Response>
}

export type ResponseOf<Of> = Of extends Api<never, infer Response> ? Response : never

interface ApiHead<Call> {
  readonly key: number
  readonly version: number
  readonly name: string
  /** Requests and responses have the compact encoding and the tagged fields of KIP-482, also in their headers. */
  readonly isFlexible?: boolean
  /** The feature that needs the call, and the Kafka version that has it. Absent: Castellan needs it, and Kafka 2.3 has it. */
  readonly requirement?: string
  /** False for a call that this version cannot express. Absent: this version can express every call. */
  canExpress?(call: Call): boolean
  /** The number of items that the call asks for, for the limit {@link noMoreThanAsked}; `undefined`: any number. */
  asked?(call: Call): number | undefined
}

type ToldOf<Of extends t.Fields> = Throttled & t.StructOf<Of>

/** A call whose messages are described by their fields. */
interface ApiSpec<Call, Request, Told extends t.Fields, Response> extends ApiHead<Call> {
  readonly request: t.Field<Request>
  /** The part of the response after the time for which the broker has throttled the client. */
  readonly response: Told
  /** Absent: the call has the fields of the request. */
  requestOf?(call: Call): Request
  /** Absent: callers get the fields of the response. */
  responseOf?(told: ToldOf<Told>, call: Call): Response
}

export function describeApi<
  Request,
  Told extends t.Fields,
  Call = Request & CallTimeLimit,
  Response extends Throttled = ToldOf<Told>
>({
  request,
  response,
  requestOf = call => call as Call & Request,
  responseOf = told => told as ToldOf<Told> & Response,
  ...head
}: ApiSpec<Call, Request, Told, Response>): Api<Call, Response> {
  const told = t.struct({ throttleTimeMs: t.int32, ...response }) as t.Field<ToldOf<Told>>
  return {
    ...head,
    encode: (writer, call) => request.write(writer, requestOf(call)),
    decode: (reader, call) => responseOf(told.read(reader), call)
  }
}

/** A call in several versions, the newest first. Each has the next one as its older version. */
export const inVersions = <const Versions extends readonly number[], Call, Response extends Throttled>(
  versions: Versions,
  describe: (version: Versions[number]) => Api<Call, Response>
): { readonly [At in keyof Versions]: Api<Call, Response> } => {
  const oldestFirst: Api<Call, Response>[] = []
  for (const version of versions.toReversed()) {
    const older = oldestFirst.at(-1)
    oldestFirst.push({ ...describe(version), ...(older && { older }) })
  }
  return oldestFirst.reverse() as { readonly [At in keyof Versions]: Api<Call, Response> }
}

/** The versions of each call that a broker supports, by the key of the call. */
export type ApiVersionRanges = ReadonlyMap<number, { readonly minVersion: number; readonly maxVersion: number }>
interface ApiVersionsResponse extends Throttled {
  /** After UNSUPPORTED_VERSION, the caller asks again in version 0. */
  readonly errorCode: number
  readonly ranges: ApiVersionRanges
}

/** The keys of calls have 16 bits; Kafka has fewer than a hundred. */
const callsInAll = atMost(10_000, 'calls')

/** `error_code i16, [api_key i16, min i16, max i16], (from version 1) throttle_time_ms i32` */
const apiVersions = (version: 0 | 1): Api<object, ApiVersionsResponse> => ({
  key: 18,
  version,
  name: 'ApiVersions',
  encode() {},
  decode(reader) {
    const errorCode = reader.int16()
    const ranges = reader.array(() => {
      const key = reader.int16()
      return [key, { minVersion: reader.int16(), maxVersion: reader.int16() }] as const
    }, callsInAll)
    // A refusal is always in version 0.
    const throttleTimeMs = version === 0 || errorCode !== errorCodes.NONE ? 0 : reader.int32()
    return { throttleTimeMs, errorCode, ranges: new Map(ranges) }
  }
})

export const apiVersionsV1 = apiVersions(1)
export const apiVersionsV0 = apiVersions(0)
