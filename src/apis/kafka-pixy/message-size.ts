import type { RecordHeader } from '../../core/model.js'

const MESSAGE_BYTES = 36
const HEADER_BYTES = 10

/** What a message counts as against the limit. Source: sarama 1.23.1, ProducerMessage.byteSize. */
export function messageSizeOf(value: Buffer, key: Buffer | null, headers: readonly RecordHeader[]): number {
  const ofHeaders = headers.reduce((sum, header) => sum + sizeOfHeader(header), 0)
  return MESSAGE_BYTES + value.length + (key?.length ?? 0) + ofHeaders
}

const sizeOfHeader = ({ key, value }: RecordHeader): number =>
  HEADER_BYTES + Buffer.byteLength(key) + (value?.length ?? 0)
