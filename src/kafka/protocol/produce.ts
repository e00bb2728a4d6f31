import type { ProduceCall, ProduceResponse } from '../calls.js'
import { type Api, describeApi, inVersions } from './api.js'
import type { ProtocolReader } from './encoding.js'
import * as t from './schema.js'

/** Why a broker refuses a batch, in its own words; `null`: it has none. Mostly there is nothing to read. */
function readWords(reader: ProtocolReader): string | null {
  const ofRecords = reader.array(() => {
    reader.int32()
    return reader.nullableString()
  })
  return reader.nullableString() || (ofRecords.find(words => words) ?? null)
}

/**
 * Versions 8, and 7 for Kafka 2.3.
 *
 * Request: `transactional_id?, acks i16, timeout_ms i32, [topic, [partition i32, records bytes]]`
 * Response: `[topic, [partition i32, error_code i16, base_offset i64, log_append_time i64, log_start_offset i64,
 *   (from version 8) [batch_index i32, message?], error_message?]], throttle_time_ms i32`
 */
export const [produceV8, produceV7] = inVersions(
  [8, 7],
  (version): Api<ProduceCall, ProduceResponse> => ({
    key: 0,
    version,
    name: 'Produce',
    encode(writer, { transactionalId = null, acks, brokerTimeoutMs, partitions }) {
      writer.nullableString(transactionalId)
      writer.int16(acks)
      writer.int32(brokerTimeoutMs)
      writer.groupedByTopic(partitions, ({ partition, bytes }) => {
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
        logAppendTimeMs: reader.int64(),
        logStartOffset: reader.safeInt64(),
        errorMessage: version === 8 ? readWords(reader) : null
      })
      // Brokers mostly answer in the order of the request.
      const partitions = reader.byTopic(read, undefined, at => asked[at]?.topic)
      return { partitions, throttleTimeMs: reader.int32() }
    }
  })
)

/** Must be positive, although it has no meaning without a transactional id. */
const TRANSACTION_TIMEOUT_MS = 60_000
export const producerId: t.Field<bigint> = { write() {}, read: reader => reader.bigInt64() }

/** Version 1, for an idempotent producer without transactions. */
export const initProducerIdV1 = describeApi({
  key: 22,
  version: 1,
  name: 'InitProducerId',
  request: t.struct({
    _transactionalId: t.constant(t.nullableString, null),
    _transactionTimeoutMs: t.constant(t.int32, TRANSACTION_TIMEOUT_MS)
  }),
  // A broker that has just started answers 14, with `producerId` -1.
  response: t.struct({ throttleTimeMs: t.int32, errorCode: t.int16, producerId, producerEpoch: t.int16 })
})
