import { createRequire } from 'node:module'

const require = createRequire(import.meta.url)

/** A record as kafkajs decodes it. */
export interface KafkajsRecord {
  readonly offset: string
  readonly timestamp: string
  readonly key: Buffer | null
  readonly value: Buffer | null
  readonly headers: Record<string, Buffer | Buffer[] | null>
}

const Decoder = require('kafkajs/src/protocol/decoder.js') as new (bytes: Buffer) => object
const decodeRecordBatch = require('kafkajs/src/protocol/recordBatch/v0/decoder.js') as (
  decoder: object
) => Promise<Record<string, unknown> & { records: KafkajsRecord[] }>
const encodeRecord = require('kafkajs/src/protocol/recordBatch/record/v0/index.js') as (fields: object) => object
const { RecordBatch: encodeRecordBatch } = require('kafkajs/src/protocol/recordBatch/v0/index.js') as {
  RecordBatch: (fields: object) => Promise<{ buffer: Buffer }>
}
const { CompressionCodecs } = require('kafkajs') as { CompressionCodecs: Record<number, () => object> }

/** Reads a batch with kafkajs, which nobody here wrote. It does not look at the base offset's fields before the length. */
export const decodeWithKafkajs = (batch: Buffer) => decodeRecordBatch(new Decoder(batch))

/** What {@link encodeWithKafkajs} takes per record. */
export interface KafkajsMessage {
  readonly key: Buffer | string | null
  readonly value: Buffer | string | null
  readonly headers?: Record<string, Buffer | string>
  readonly offsetDelta: number
  readonly timestampDelta: number
}

/** Writes a batch with kafkajs. */
export async function encodeWithKafkajs(messages: readonly KafkajsMessage[], fields: object = {}): Promise<Buffer> {
  const encoder = await encodeRecordBatch({
    firstTimestamp: 1_700_000_000_000,
    maxTimestamp: 1_700_000_000_000,
    producerId: 7,
    producerEpoch: 1,
    firstSequence: 3,
    lastOffsetDelta: messages.length - 1,
    records: messages.map(encodeRecord),
    ...fields
  })
  return encoder.buffer
}

/** Gives kafkajs a codec it does not bring along. */
export function setKafkajsCodec(number: number, codec: object): void {
  CompressionCodecs[number] = () => codec
}
