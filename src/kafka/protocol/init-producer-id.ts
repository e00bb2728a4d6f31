import type { InitProducerIdCall, InitProducerIdResponse } from '../calls.js'
import type { Api } from './api.js'

/** Has no meaning without a transactional id, but must be positive. */
const TRANSACTION_TIMEOUT_MS = 60_000

/**
 * Version 1, for an idempotent producer without transactions.
 *
 * Request: `transactional_id?, transaction_timeout_ms i32`
 * Response: `throttle_time_ms i32, error_code i16, producer_id i64, producer_epoch i16`
 */
export const initProducerIdV1: Api<InitProducerIdCall, InitProducerIdResponse> = {
  key: 22,
  version: 1,
  name: 'InitProducerId',
  encode(writer) {
    writer.nullableString(null)
    writer.int32(TRANSACTION_TIMEOUT_MS)
  },
  decode: reader => ({
    throttleTimeMs: reader.int32(),
    errorCode: reader.int16(),
    producerId: reader.bigInt64(),
    producerEpoch: reader.int16()
  })
}
