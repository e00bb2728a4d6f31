import { ProtocolError, ResponseTooLargeError } from '../../core/errors.js'
import type { Throttled } from '../calls.js'
import { errorCodes } from '../error-codes.js'
import type { RequestWriter, ResponseReader } from './encoding.js'

/** One call of Kafka's protocol in one version. */
export interface Api<Call, Response extends Throttled> {
  readonly key: number
  readonly version: number
  readonly name: string
  /** Requests and responses have the compact encoding and the tagged fields of KIP-482, also in their headers. */
  readonly isFlexible?: boolean
  /** The version to use when the broker does not support this version, or this version cannot express the call. */
  readonly older?: Api<Call, Response>
  /** False for a call that this version cannot express. Absent: this version can express every call. */
  canExpress?(call: Call): boolean
  /** @throws InvalidRequestError when the call cannot be expressed */
  encode(writer: RequestWriter, call: Call): void
  /** @throws ProtocolError when the bytes are not a response of this call */
  decode(reader: ResponseReader, call: Call): Response
}

/** The versions of each call that a broker supports, by the key of the call. */
export type ApiVersionRanges = ReadonlyMap<number, { readonly minVersion: number; readonly maxVersion: number }>
interface ApiVersionsResponse extends Throttled {
  /** After UNSUPPORTED_VERSION, the caller asks again in version 0. */
  readonly errorCode: number
  readonly ranges: ApiVersionRanges
}

/** `error_code i16, [api_key i16, min i16, max i16], (from version 1) throttle_time_ms i32` */
const apiVersions = (version: 0 | 1): Api<object, ApiVersionsResponse> => ({
  key: 18,
  version,
  name: 'ApiVersions',
  encode() {},
  decode(reader) {
    const errorCode = reader.int16()
    const ranges = reader.array(6, () => {
      const key = reader.int16()
      return [key, { minVersion: reader.int16(), maxVersion: reader.int16() }] as const
    })
    // A refusal is always in version 0.
    const throttleTimeMs = version === 0 || errorCode !== errorCodes.NONE ? 0 : reader.int32()
    return { throttleTimeMs, errorCode, ranges: new Map(ranges) }
  }
})

export const apiVersionsV1 = apiVersions(1)
export const apiVersionsV0 = apiVersions(0)

/**
 * Adds up the lengths of lists in a response, before their items are read. An item of a few bytes becomes an object of
 * many bytes, so a large response of small items could take all memory.
 */
type Count = (count: number) => void

/** Throws ResponseTooLargeError when the lists have more than `limit` items. */
export const atMost = (limit: number, what: string): Count =>
  counting(limit, () => new ResponseTooLargeError(`more than ${limit} ${what}`))

/** Throws ProtocolError when the lists have more than `asked` items. */
export const noMoreThanAsked = (asked: number, what: string): Count =>
  counting(asked, () => new ProtocolError(`more than the ${asked} ${what} that were asked for`))

function counting(limit: number, problem: () => Error): Count {
  let total = 0
  return count => {
    total += Math.max(0, count)
    if (total > limit) throw problem()
  }
}
