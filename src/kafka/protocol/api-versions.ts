import { errorCodes } from '../error-codes.js'
import type { Api } from './api.js'

/** Which versions of which calls a broker speaks: api key -> range. */
export type ApiVersionRanges = ReadonlyMap<number, { readonly minVersion: number; readonly maxVersion: number }>
export interface ApiVersionsResponse {
  readonly throttleTimeMs: number
  /** 35: ask again in version 0. */
  readonly errorCode: number
  readonly ranges: ApiVersionRanges
}

/** `error_code i16, [api_key i16, min i16, max i16], throttle_time_ms i32`; version 0 without the last one */
const create = (version: 0 | 1): Api<object, ApiVersionsResponse> => ({
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
    // A refusal comes in version 0, whatever was asked.
    const throttleTimeMs = version === 0 || errorCode !== errorCodes.NONE ? 0 : reader.int32()
    return { throttleTimeMs, errorCode, ranges: new Map(ranges) }
  }
})

export const apiVersionsV1 = create(1)
export const apiVersionsV0 = create(0)
