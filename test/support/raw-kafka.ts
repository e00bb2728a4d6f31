import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import type { BrokerAddress } from '../../src/core/model.js'
import { BatchView, HEADER_BYTES } from '../../src/embedded-broker/protocol/record-batch.js'
import { ProtocolReader, ProtocolWriter } from '../../src/kafka/protocol/encoding.js'

const API_VERSIONS_KEY = 18

/** Speaks the protocol byte by byte, so that a test can say exactly what is sent and see exactly what comes back. */
export class RawKafka {
  readonly #socket: Socket
  #received = Buffer.alloc(0)
  readonly #waiting: ((frame: Buffer | undefined) => void)[] = []
  readonly #frames: Buffer[] = []
  #nextCorrelationId = 1
  #isClosed = false

  private constructor(socket: Socket) {
    this.#socket = socket
    socket.on('data', chunk => this.#read(chunk))
    socket.on('error', () => {})
    socket.on('close', () => {
      this.#isClosed = true
      for (const resolve of this.#waiting.splice(0)) resolve(undefined)
    })
  }

  static async connect({ host, port }: BrokerAddress): Promise<RawKafka> {
    const socket = connect(port, host)
    await once(socket, 'connect')
    return new RawKafka(socket)
  }

  /** A reader behind the response header. Rejects when the connection closes instead. */
  async call(key: number, version: number, write: (body: ProtocolWriter) => void): Promise<ProtocolReader> {
    const correlationId = this.send(key, version, write)
    const frame = await this.nextFrame()
    if (!frame) throw new Error('the connection was closed')
    const reader = new ProtocolReader(frame)
    if (reader.int32() !== correlationId) throw new Error('the answer belongs to another request')
    return reader
  }

  /** As `call`, for a version with compact lengths and tagged fields. */
  async callFlexible(key: number, version: number, write: (body: ProtocolWriter) => void): Promise<ProtocolReader> {
    const answer = await this.call(key, version, body => {
      body.becomeFlexible().tags()
      write(body)
      body.tags()
    })
    answer.becomeFlexible()
    if (key !== API_VERSIONS_KEY) answer.tags()
    return answer
  }

  send(key: number, version: number, write: (body: ProtocolWriter) => void): number {
    const correlationId = this.#nextCorrelationId++
    const body = new ProtocolWriter().int32(0).int16(key).int16(version).int32(correlationId).nullableString('raw')
    write(body)
    const frame = Buffer.concat(body.finish())
    frame.writeInt32BE(frame.length - 4, 0)
    this.write(frame)
    return correlationId
  }

  write(bytes: Buffer): void {
    this.#socket.write(bytes)
  }

  /** The next response without its length; undefined: closed. */
  nextFrame(): Promise<Buffer | undefined> {
    const frame = this.#frames.shift()
    if (frame || this.#isClosed) return Promise.resolve(frame)
    return new Promise(resolve => this.#waiting.push(resolve))
  }

  /** Resolves when the broker hangs up; `leftover`: bytes that make up no whole frame. */
  async closed(): Promise<{ readonly leftover: number }> {
    if (!this.#isClosed) await once(this.#socket, 'close')
    return { leftover: this.#received.length }
  }

  close(): void {
    this.#socket.destroy()
  }

  #read(chunk: Buffer): void {
    this.#received = Buffer.concat([this.#received, chunk])
    while (this.#received.length >= 4) {
      const end = 4 + this.#received.readInt32BE(0)
      if (this.#received.length < end) return
      const frame = this.#received.subarray(4, end)
      this.#received = this.#received.subarray(end)
      const resolve = this.#waiting.shift()
      if (resolve) resolve(frame)
      else this.#frames.push(frame)
    }
  }
}

export interface BatchOptions {
  readonly producerId?: number
  readonly producerEpoch?: number
  readonly baseSequence?: number
  readonly timestampMs?: number | bigint
  readonly isTransactional?: boolean
  readonly isControl?: boolean
  readonly recordCount?: number
}

interface PlainRecord {
  readonly key?: string | Buffer | null
  readonly value: string | Buffer | null
}

/** One uncompressed batch. Timestamps count up by one from record to record. */
export function batchOf(records: readonly (string | PlainRecord)[], options: BatchOptions = {}): Buffer {
  const plain = records.map(record => (typeof record === 'string' ? { value: record } : record))
  const payload = Buffer.concat(plain.map(recordOf))
  const bytes = Buffer.alloc(HEADER_BYTES + payload.length)
  payload.copy(bytes, HEADER_BYTES)
  const timestamp = BigInt(options.timestampMs ?? 1_700_000_000_000)
  bytes.writeInt32BE(bytes.length - 12, 8)
  bytes.writeInt8(2, 16)
  bytes.writeInt16BE((options.isTransactional ? 16 : 0) | (options.isControl ? 32 : 0), 21)
  bytes.writeInt32BE(records.length - 1, 23)
  bytes.writeBigInt64BE(timestamp, 27)
  bytes.writeBigInt64BE(timestamp + BigInt(Math.max(0, records.length - 1)), 35)
  bytes.writeBigInt64BE(BigInt(options.producerId ?? -1), 43)
  bytes.writeInt16BE(options.producerEpoch ?? (options.producerId === undefined ? -1 : 0), 51)
  bytes.writeInt32BE(options.baseSequence ?? -1, 53)
  bytes.writeInt32BE(options.recordCount ?? records.length, 57)
  new BatchView(bytes).sealCrc()
  return bytes
}

/** The marker a coordinator ends a transaction with. */
export const controlBatch = (type: 'abort' | 'commit', producerId: number): Buffer =>
  batchOf([{ key: Buffer.from([0, 0, 0, type === 'abort' ? 0 : 1]), value: Buffer.alloc(6) }], {
    producerId,
    isTransactional: true,
    isControl: true
  })

function recordOf({ key, value }: PlainRecord, index: number): Buffer {
  const body = Buffer.concat([Buffer.from([0]), varint(index), varint(index), field(key), field(value), varint(0)])
  return Buffer.concat([varint(body.length), body])
}

function field(value: string | Buffer | null | undefined): Buffer {
  if (value === null || value === undefined) return varint(-1)
  const bytes = Buffer.from(value)
  return Buffer.concat([varint(bytes.length), bytes])
}

function varint(value: number): Buffer {
  const bytes: number[] = []
  let left = ((value << 1) ^ (value >> 31)) >>> 0
  for (; left > 127; left >>>= 7) bytes.push((left & 127) | 128)
  return Buffer.from([...bytes, left])
}
