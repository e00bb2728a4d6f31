import { topicPartitionKey } from '../../core/model.js'
import type { ProduceCall, ProduceResponse } from '../calls.js'
import { ProducedRows } from '../produced-rows.js'
import { type Api, describeApi, inVersions } from './api.js'
import type { ProtocolReader } from './encoding.js'
import * as t from './schema.js'

const LOG_START_OFFSET_BYTES = 8
const NO_OFFSET = -1

/** Why a broker refuses a batch, in its own words; `null`: it has none. Mostly there is nothing to read. */
function readWords(reader: ProtocolReader): string | null {
  let ofRecord: string | null = null
  for (let left = reader.count(); left > 0; left--) {
    reader.int32()
    const words = reader.nullableString()
    ofRecord ||= words
  }
  return reader.nullableString() || ofRecord
}

/** Reads the whole answer before a batch is told of it, so that one that ends early changes nothing. */
function readRows(reader: ProtocolReader, asked: ProduceCall['partitions'], hasWords: boolean): ProducedRows {
  const rows = new ProducedRows(asked.length)
  let places: ReadonlyMap<string, number> | undefined
  // Brokers mostly answer in the order of the call.
  let next = 0
  for (let topics = reader.count(); topics > 0; topics--) {
    const topic = reader.name(asked[next]?.topic)
    for (let left = reader.count(); left > 0; left--) {
      const partition = reader.int32()
      const isNext = asked[next]?.partition === partition && asked[next]!.topic === topic
      if (!isNext) places ??= new Map(asked.map((batch, at) => [topicPartitionKey(batch.topic, batch.partition), at]))
      const at = isNext ? next++ : places!.get(topicPartitionKey(topic, partition))
      const errorCode = reader.int16()
      const baseOffset = Math.max(reader.safeInt64() ?? NO_OFFSET, NO_OFFSET)
      const logAppendTimeMs = reader.int64()
      reader.skip(LOG_START_OFFSET_BYTES)
      const words = hasWords ? readWords(reader) : null
      if (at !== undefined) rows.add(at, errorCode, baseOffset, logAppendTimeMs, words)
    }
  }
  return rows
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
      return { rows: readRows(reader, asked, version === 8), throttleTimeMs: reader.int32() }
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
  response: { errorCode: t.int16, producerId, producerEpoch: t.int16 }
})
