import { type Bytes, type KafkaRecord, type ProduceRecord, type RecordContent, sizeOfRecord } from './model.js'

export const KIB = 1024
export const MIB = 1024 * KIB

export const NOTHING = Buffer.alloc(0)

/** A Buffer of the same memory: a Buffer from another thread, or of a program, may be a plain Uint8Array. */
export const toBuffer = (bytes: Uint8Array): Buffer => Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)

type ViewClass = new (memory: ArrayBufferLike, offset: number, length: number) => Buffer

/** The class of Buffers that are views of other memory, as `Uint8Array.prototype.subarray` finds it. */
const species: unknown = Reflect.get(Buffer, Symbol.species)
const View = species as ViewClass
const makesBuffers = typeof species === 'function' && Buffer.isBuffer(new View(new ArrayBuffer(2), 1, 1))

/** Makes the same Buffer as `subarray`, in half the time: a loop looks up the memory of its bytes once, not for each view. */
export const viewOf = makesBuffers
  ? (memory: ArrayBufferLike, offset: number, length: number) => new View(memory, offset, length)
  : (memory: ArrayBufferLike, offset: number, length: number) => Buffer.from(memory, offset, length)

/** Memory of a header besides its bytes: its object, its key and its value. */
export const HEADER_OBJECT_BYTES = 250

/** Bytes that a record takes in memory. The object of a short header may take a hundred times as much as its content. */
export const memoryOfRecord = (record: RecordContent): number =>
  sizeOfRecord(record as KafkaRecord) + HEADER_OBJECT_BYTES * record.headers.length

/** Bytes of records as quotas count them. */
export const sizeOfRecords = (records: readonly KafkaRecord[]): number =>
  records.reduce((sum, record) => sum + sizeOfRecord(record), 0)

/** Bytes that records take in memory, with the objects of their headers. */
export const memoryOfRecords = (records: readonly KafkaRecord[]): number =>
  records.reduce((sum, record) => sum + memoryOfRecord(record), 0)

/** A copy of bytes in memory of their own; a text is returned as it is. */
const ownBytesOf = <T extends Bytes>(bytes: T): T => (bytes instanceof Uint8Array ? (Buffer.from(bytes) as T) : bytes)

/** A copy of a record with bytes of its own. */
export const ownCopyOf = <T extends Pick<ProduceRecord, 'key' | 'value' | 'headers'>>(record: T): T => ({
  ...record,
  key: ownBytesOf(record.key),
  value: ownBytesOf(record.value),
  headers: record.headers?.map(({ key, value }) => ({ key, value: ownBytesOf(value) }))
})

/** Copies a record that may wait long. Unlike the record, its copy does not keep the whole batch in memory. */
export const ownRecordOf = ({ offset, timestampMs, key, value, headers }: KafkaRecord): KafkaRecord => ({
  offset,
  timestampMs,
  key: ownBytesOf(key),
  value: ownBytesOf(value),
  headers: headers.map(header => ({ key: header.key, value: ownBytesOf(header.value) }))
})
