import { isUtf8 } from 'node:buffer'

/** Bytes that are no message of protobuf. */
export class MalformedMessageError extends Error {}

/** Wire type of a field. */
export const WIRE = { varint: 0, fixed64: 1, bytes: 2, groupStart: 3, groupEnd: 4, fixed32: 5 } as const

const MAX_VARINT_BYTES = 10
const MAX_DEPTH = 100
/** Larger field numbers do not exist. */
const MAX_FIELD = 2 ** 29 - 1

/**
 * Reads the fields of a protobuf message one by one, without creating objects: a megabyte may hold half a million
 * fields. A varint is at most ten bytes long, and a group at most 100 levels deep.
 *
 * Every method throws a {@link MalformedMessageError} when the bytes are no message.
 *
 * Source: https://protobuf.dev/programming-guides/encoding
 */
export class FieldReader {
  readonly bytes: Buffer
  readonly #end: number
  #at: number
  /** The field that {@link next} has found. */
  field = 0
  wireType = 0
  /** The value that {@link readVarint} has read, in two halves without sign. */
  low = 0
  high = 0

  constructor(bytes: Buffer, start = 0, end = bytes.length) {
    this.bytes = bytes
    this.#at = start
    this.#end = end
  }

  get at(): number {
    return this.#at
  }

  /** Reads the number and kind of the next field; false: there is none. Its value has to be read or skipped. */
  next(): boolean {
    if (this.#at === this.#end) return false
    this.readVarint()
    this.wireType = this.low & 7
    this.field = this.low >>> 3
    if (this.high !== 0 || this.field === 0 || this.field > MAX_FIELD) throw malformed()
    return true
  }

  readVarint(): void {
    let low = 0
    let high = 0
    for (let at = 0; at < MAX_VARINT_BYTES && this.#at < this.#end; at++) {
      const byte = this.bytes[this.#at++]!
      const bits = byte & 0x7f
      if (at < 4) low |= bits << (7 * at)
      else if (at === 4) {
        low |= bits << 28
        high = bits >>> 4
      } else high |= bits << (7 * at - 32)
      if (byte < 0x80) {
        // Only one bit is left for the tenth byte.
        if (at === MAX_VARINT_BYTES - 1 && byte > 1) throw malformed()
        this.low = low >>> 0
        this.high = high >>> 0
        return
      }
    }
    throw malformed()
  }

  /** Skips a value that is written as its length and bytes; it ends at {@link at}. @returns where it starts */
  passBytes(): number {
    this.readVarint()
    const start = this.#at
    if (this.high !== 0) throw malformed()
    this.#pass(this.low)
    return start
  }

  /** Skips the value of the field, whatever its kind. */
  skip(): void {
    if (this.wireType === WIRE.groupStart) this.#skipGroup()
    else this.#passValue()
  }

  #skipGroup(): void {
    const open = [this.field]
    while (open.length > 0) {
      if (!this.next()) throw malformed()
      if (this.wireType === WIRE.groupStart) {
        if (open.push(this.field) > MAX_DEPTH) throw malformed()
      } else if (this.wireType === WIRE.groupEnd) {
        if (open.pop() !== this.field) throw malformed()
      } else this.#passValue()
    }
  }

  #passValue(): void {
    if (this.wireType === WIRE.varint) this.readVarint()
    else if (this.wireType === WIRE.bytes) this.passBytes()
    else if (this.wireType === WIRE.fixed64) this.#pass(8)
    else if (this.wireType === WIRE.fixed32) this.#pass(4)
    else throw malformed()
  }

  #pass(sizeBytes: number): void {
    if (sizeBytes > this.#end - this.#at) throw malformed()
    this.#at += sizeBytes
  }
}

/** @throws MalformedMessageError when the bytes are not UTF-8, as a field `string` has to be */
export function textOf(bytes: Buffer): string {
  if (!isUtf8(bytes)) throw malformed()
  return bytes.toString()
}

const malformed = (): MalformedMessageError => new MalformedMessageError('not a message of protobuf')
