import type { FindCoordinatorCall, FindCoordinatorResponse } from '../calls.js'
import type { Api } from './api.js'

const GROUP = 0

/**
 * Version 2.
 *
 * Request: `key, key_type i8`
 * Response: `throttle_time_ms i32, error_code i16, error_message?, node_id i32, host, port i32`
 */
export const findCoordinatorV2: Api<FindCoordinatorCall, FindCoordinatorResponse> = {
  key: 10,
  version: 2,
  name: 'FindCoordinator',
  encode(writer, { groupId }) {
    writer.string(groupId)
    writer.int8(GROUP)
  },
  decode: reader => ({
    throttleTimeMs: reader.int32(),
    errorCode: reader.int16(),
    errorMessage: reader.nullableString(),
    coordinator: { nodeId: reader.int32(), host: reader.name(), port: reader.int32(), rack: null }
  })
}
