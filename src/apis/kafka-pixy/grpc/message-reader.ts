import { gunzip, type InputType, inflate, type ZlibOptions } from 'node:zlib'
import { status } from '@grpc/grpc-js'
import type { CountedCall } from '../../../http/exchange/other-protocols.js'
import { StatusError } from './statuses.js'

/** A flag, and the length of the message. */
const PREFIX_BYTES = 5
const COMPRESSED = 1
/** Measured: memory that V8 and Node use for a chunk of one byte that waits in a stream. */
const CHUNK_BYTES = 320
/** Memory that is allocated for an announced length at first. It doubles as bytes arrive. */
const BELIEVED_BYTES = 16 * 1024
/** Largest expansion of one byte that zlib reads, and the memory of zlib itself. */
const MAX_EXPANSION = 1_032
const ZLIB_BYTES = 64 * 1024

type Decompress = (bytes: InputType, options: ZlibOptions, done: (error: Error | null, result: Buffer) => void) => void
const DECOMPRESS: ReadonlyMap<string, Decompress> = new Map<string, Decompress>([
  ['gzip', gunzip],
  ['deflate', inflate]
])

/**
 * Assembles the one message of a call. It counts all that it holds: chunks that wait to be read, bytes that were
 * read, and the largest size after decompression.
 *
 * Every method throws a {@link StatusError} when the call has to be refused.
 */
export class MessageReader {
  readonly #maxBytes: number
  readonly #encoding: string
  readonly #counted: CountedCall
  readonly #prefix = Buffer.alloc(PREFIX_BYTES)
  #prefixBytes = 0
  /** Announced size of the message. */
  #sizeBytes = 0
  #message: Buffer = Buffer.alloc(0)
  #receivedBytes = 0
  /** Counted for chunks that wait to be read. */
  #waitingBytes = 0

  /** @param encoding how a message is compressed that says it is */
  constructor(maxBytes: number, encoding: string, counted: CountedCall) {
    this.#maxBytes = maxBytes
    this.#encoding = encoding
    this.#counted = counted
  }

  /** A chunk has come, and waits until it is {@link read}. */
  arrived(chunk: Buffer): void {
    const sizeBytes = Math.max(chunk.length, CHUNK_BYTES)
    this.#take(sizeBytes)
    this.#waitingBytes += sizeBytes
  }

  read(chunk: Buffer): void {
    for (let at = 0; at < chunk.length; )
      at += this.#isPrefixed ? this.#addToMessage(chunk, at) : this.#addToPrefix(chunk, at)
    // The other chunks that wait are read right after this one, so all of them are given back at the first.
    this.#counted.give(this.#waitingBytes)
    this.#waitingBytes = 0
  }

  /** All chunks have been read. `undefined`: there was no message. */
  async end(): Promise<Buffer | undefined> {
    if (!this.#isPrefixed || this.#receivedBytes < this.#sizeBytes) return undefined
    return this.#prefix[0] === COMPRESSED ? this.#decompressed() : this.#message
  }

  get #isPrefixed(): boolean {
    return this.#prefixBytes === PREFIX_BYTES
  }

  #addToPrefix(chunk: Buffer, at: number): number {
    const copied = chunk.copy(this.#prefix, this.#prefixBytes, at)
    this.#prefixBytes += copied
    if (this.#isPrefixed) {
      this.#sizeBytes = this.#prefix.readUInt32BE(1)
      if (this.#sizeBytes > this.#maxBytes)
        throw tooLarge(`Received message larger than max (${this.#sizeBytes} vs ${this.#maxBytes})`)
    }
    return copied
  }

  #addToMessage(chunk: Buffer, at: number): number {
    const length = Math.min(chunk.length - at, this.#sizeBytes - this.#receivedBytes)
    if (length === 0) throw new StatusError(status.UNIMPLEMENTED, 'Received a second request message')
    this.#makeCapacity(this.#receivedBytes + length)
    // A copy, since a chunk keeps all the memory of one read from the socket.
    chunk.copy(this.#message, this.#receivedBytes, at, at + length)
    this.#receivedBytes += length
    return length
  }

  #makeCapacity(neededBytes: number): void {
    if (neededBytes <= this.#message.length) return
    const sizeBytes = Math.min(this.#sizeBytes, Math.max(BELIEVED_BYTES, 2 * neededBytes))
    const addedBytes = sizeBytes - this.#message.length
    this.#take(addedBytes)
    const larger = Buffer.allocUnsafeSlow(sizeBytes)
    this.#message.copy(larger, 0, 0, this.#receivedBytes)
    this.#message = larger
  }

  async #decompressed(): Promise<Buffer> {
    const decompress = DECOMPRESS.get(this.#encoding)
    const compressed = this.#message
    if (decompress === undefined) {
      const details = `Received message compressed with unsupported encoding "${this.#encoding}"`
      throw new StatusError(status.UNIMPLEMENTED, details)
    }
    const mostBytes = ZLIB_BYTES + Math.min(this.#maxBytes, compressed.length * MAX_EXPANSION)
    this.#take(mostBytes)
    const message = await new Promise<Buffer>((resolve, reject) =>
      decompress(compressed, { maxOutputLength: this.#maxBytes }, (error, result) => {
        if (error === null) resolve(result)
        else reject(failureOf(error, this.#maxBytes))
      })
    )
    this.#message = message
    this.#counted.give(compressed.length + mostBytes - message.length)
    return message
  }

  #take(sizeBytes: number): void {
    const refusal = this.#counted.take(sizeBytes)
    if (refusal !== undefined) throw new StatusError(status.RESOURCE_EXHAUSTED, refusal.message)
  }
}

const failureOf = (error: NodeJS.ErrnoException, maxBytes: number): StatusError =>
  error.code === 'ERR_BUFFER_TOO_LARGE'
    ? tooLarge(`Received message that decompresses to a size larger than ${maxBytes}`)
    : new StatusError(status.INTERNAL, 'Failed to decompress message')

const tooLarge = (details: string): StatusError => new StatusError(status.RESOURCE_EXHAUSTED, details, 'recordTooLarge')
