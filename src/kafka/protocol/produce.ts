import type { InitProducerIdCall, InitProducerIdResponse, ProduceCall, ProduceResponse } from '../calls.js'
import type { Api } from './api.js'

/**
 * Version 7.
 *
 * Request: `transactional_id?, acks i16, timeout_ms i32, [topic, [partition i32, records bytes]]`
 * Response: `[topic, [partition i32, error_code i16, base_offset i64, log_append_time i64, log_start_offset i64]],
 *   throttle_time_ms i32`
 */
export const produceV7: Api<ProduceCall, ProduceResponse> = {
  key: 0,
  version: 7,
  name: 'Produce',
  encode(writer, { acks, brokerTimeoutMs, partitions }) {
    writer.nullableString(null)
    writer.int16(acks)
    writer.int32(brokerTimeoutMs)
    writer.byTopic(partitions, ({ partition, bytes }) => {
      writer.int32(partition)
      writer.bytes(bytes)
    })
  },
  decode(reader, { partitions: asked }) {
    const read = (topic: string) => ({
      topic,
      partition: reader.int32(),
      errorCode: reader.int16(),
      baseOffset: reader.safeInt64(),
      logAppendTimeMs: reader.roundedInt64(),
      logStartOffset: reader.safeInt64()
    })
    // Brokers mostly answer in the order of the request.
    const partitions = reader.byTopic(30, read, undefined, at => asked[at]?.topic)
    return { partitions, throttleTimeMs: reader.int32() }
  }
}

/** Must be positive, although it has no meaning without a transactional id. */
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
