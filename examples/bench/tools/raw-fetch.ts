import { RawConnection } from './raw-connection.js'

/**
 * The least a reader of Kafka can do: Fetch v11 for one partition over a bare socket, reading only where the record
 * batches end. Nothing is checked, nothing decoded.
 *
 *   request   size:i32 apiKey:i16 version:i16 correlationId:i32 clientId:string
 *             replicaId:i32 maxWaitMs:i32 minBytes:i32 maxBytes:i32 isolation:i8 sessionId:i32 sessionEpoch:i32
 *             topics[name partitions[partition:i32 leaderEpoch:i32 offset:i64 logStart:i64 maxBytes:i32]] forgotten[] rack:string
 *   response  size:i32 correlationId:i32 throttleMs:i32 error:i16 sessionId:i32 topics[name partitions[partition:i32
 *             error:i16 highWatermark:i64 lastStable:i64 logStart:i64 aborted[producerId:i64 offset:i64] replica:i32 records:bytes]]
 */
export interface RawFetchCall {
  readonly topic: string
  readonly partition: number
  readonly offset: number
  readonly maxBytes: number
  readonly maxWaitMs: number
}
export interface RawFetchAnswer {
  readonly errorCode: number
  /** Bytes of the record set. */
  readonly bytes: number
  readonly nextOffset: number
}

const API_FETCH = 1
const API_VERSION = 11
const CLIENT_ID = 'bench'
const BATCH_LENGTH_AT = 8
const LAST_OFFSET_DELTA_AT = 23
const BATCH_OVERHEAD_BYTES = 12

export class RawFetcher {
  readonly #connection: RawConnection

  private constructor(connection: RawConnection) {
    this.#connection = connection
  }

  static async open(host: string, port: number): Promise<RawFetcher> {
    return new RawFetcher(await RawConnection.open(host, port))
  }

  /** Fetches once. Only one call may be in flight. */
  async fetch(call: RawFetchCall): Promise<RawFetchAnswer> {
    return decode(await this.#connection.call(encode(call)), call)
  }

  close(): void {
    this.#connection.close()
  }
}

function encode({ topic, partition, offset, maxBytes, maxWaitMs }: RawFetchCall): Buffer {
  const frame = Buffer.alloc(256 + Buffer.byteLength(topic))
  let at = 4
  const int16 = (value: number) => (at = frame.writeInt16BE(value, at))
  const int32 = (value: number) => (at = frame.writeInt32BE(value, at))
  const int64 = (value: number) => (at = frame.writeBigInt64BE(BigInt(value), at))
  const string = (value: string) => (at = int16(Buffer.byteLength(value)) + frame.write(value, at))
  int16(API_FETCH)
  int16(API_VERSION)
  int32(1)
  string(CLIENT_ID)
  for (const value of [-1, maxWaitMs, 1, maxBytes]) int32(value)
  at = frame.writeInt8(0, at)
  for (const value of [0, -1, 1]) int32(value)
  string(topic)
  for (const value of [1, partition, -1]) int32(value)
  int64(offset)
  int64(-1)
  for (const value of [maxBytes, 0]) int32(value)
  string('')
  frame.writeInt32BE(at - 4, 0)
  return frame.subarray(0, at)
}

function decode(frame: Buffer, { topic, offset }: RawFetchCall): RawFetchAnswer {
  const topicsAt = 4 + 4 + 4 + 2 + 4
  const partitionAt = topicsAt + 4 + 2 + Buffer.byteLength(topic) + 4
  const errorCode = frame.readInt16BE(partitionAt + 4)
  const abortedAt = partitionAt + 4 + 2 + 3 * 8
  const aborted = Math.max(0, frame.readInt32BE(abortedAt))
  const recordsAt = abortedAt + 4 + aborted * 16 + 4
  const bytes = Math.max(0, frame.readInt32BE(recordsAt))
  return { errorCode, bytes, nextOffset: nextOffset(frame.subarray(recordsAt + 4, recordsAt + 4 + bytes), offset) }
}

/** The offset after the last whole batch. The broker may have cut the last batch. */
function nextOffset(records: Buffer, from: number): number {
  let next = from
  for (let at = 0; at + LAST_OFFSET_DELTA_AT + 4 <= records.length; ) {
    const end = at + BATCH_OVERHEAD_BYTES + records.readInt32BE(at + BATCH_LENGTH_AT)
    if (end > records.length) break
    next = Number(records.readBigInt64BE(at)) + records.readInt32BE(at + LAST_OFFSET_DELTA_AT) + 1
    at = end
  }
  return next
}
