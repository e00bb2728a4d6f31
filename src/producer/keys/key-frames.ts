import type { RecordOutcome } from '../../core/model.js'
import { FRAME_HEADER_BYTES, payloadAt, readUInt64, saltedCrc, writeUInt64 } from '../log/bytes.js'

/** Bytes of the hash of a key, and of the fingerprint of a request. */
export const HASH_BYTES = 16
export const FINGERPRINT_BYTES = 8

/** Which key a frame belongs to. Hash and fingerprint are texts of one byte per character. */
export interface KeyName {
  readonly hash: string
  readonly fingerprint: string
  /** When the key was claimed, epoch milliseconds. */
  readonly atMs: number
}

/** The answer to a request, as it is given again. */
export interface KeptAnswer {
  readonly status: number
  /** The headers of the API, as pairs in their order. */
  readonly headers: readonly (readonly [name: string, value: string])[]
  readonly body: Buffer
  /**
   * The headers as a connection takes them, each character one byte: `NAME: VALUE` and a line break each. Absent: they have
   * not been written so.
   */
  readonly lines?: string | undefined
}

const LINE_END = '\r\n'
const COLON = ': '

/** The pairs of {@link KeptAnswer.lines}. */
export function headersIn(lines: string): KeptAnswer['headers'] {
  const pairs: (readonly [string, string])[] = []
  for (let at = 0; at < lines.length; ) {
    const colon = lines.indexOf(COLON, at)
    const end = lines.indexOf(LINE_END, colon)
    pairs.push([lines.slice(at, colon), lines.slice(colon + COLON.length, end)])
    at = end + LINE_END.length
  }
  return pairs
}

/** One entry of the journal about a key. */
export type KeyNews =
  /** Consecutive records of the request are in the durable log. */
  | { readonly type: 'stored'; readonly index: number; readonly sequence: number; readonly count: number }
  | { readonly type: 'outcome'; readonly index: number; readonly outcome: RecordOutcome }
  | { readonly type: 'answered'; readonly answer: KeptAnswer }
  /** The records no longer matter: none of them was accepted, or the owner of the key keeps the answer. */
  | { readonly type: 'ended' }

export interface KeyFrame {
  readonly key: KeyName
  /** All records with a key and a lower sequence have frames up to this one. */
  readonly bound: number
  readonly news: KeyNews
}

/** A frame as it was read. An answer is read when it is asked for. */
export interface ReadFrame extends Omit<KeyFrame, 'news'> {
  readonly news: Exclude<KeyNews, { type: 'answered' }> | { readonly type: 'answered' }
  /** Position of the frame in its file, and its length. */
  readonly offset: number
  readonly sizeBytes: number
}

const MAGIC = Buffer.from('CASTKEYS')
const VERSION = 1
export const FILE_HEADER_BYTES = 20
const CRC_AT = 16
/** Type, bound, time, hash and fingerprint. */
const FIXED_BYTES = 1 + 8 + 8 + HASH_BYTES + FINGERPRINT_BYTES
const NEWS_AT = FRAME_HEADER_BYTES + FIXED_BYTES

/** Types of frames; the number of a type is its place, from 1. */
const types = ['stored', 'outcome', 'answered', 'ended'] as const

/** @returns `undefined`: a later release wrote the frame, or there is none */
const typeAt = (bytes: Buffer, offset = 0): KeyNews['type'] | undefined =>
  types[bytes[offset + FRAME_HEADER_BYTES]! - 1]

export function encodeFileHeader(salt: number): Buffer {
  const header = Buffer.alloc(FILE_HEADER_BYTES)
  MAGIC.copy(header)
  header.writeUInt16BE(VERSION, 8)
  header.writeUInt32BE(salt, 12)
  header.writeUInt32BE(saltedCrc(header.subarray(0, CRC_AT), 0), CRC_AT)
  return header
}

/** `undefined`: the file does not begin with a header of this version. */
export function saltIn(bytes: Buffer): number | undefined {
  const isOurs =
    bytes.length >= FILE_HEADER_BYTES &&
    bytes.subarray(0, MAGIC.length).equals(MAGIC) &&
    bytes.readUInt16BE(8) === VERSION &&
    saltedCrc(bytes.subarray(0, CRC_AT), 0) === bytes.readUInt32BE(CRC_AT)
  return isOurs ? bytes.readUInt32BE(12) : undefined
}

/**
 * Big-endian:
 *
 *   length u32 | crc u32 | type u8 | bound u64 | atMs u64 | hash 16 | fingerprint 8 | what the type says
 *
 *   1 stored     index u32 | sequence u64 | count u32
 *   2 outcome    index u32 | JSON of the outcome
 *   3 answered   status u16 | headBytes u32 | JSON of the headers | body
 *   4 ended
 */
export function encodeKeyFrame({ key, bound, news }: KeyFrame, salt: number): Buffer {
  const rest = restOf(news)
  const frame = Buffer.allocUnsafe(NEWS_AT + rest.length)
  frame.writeUInt32BE(frame.length - FRAME_HEADER_BYTES, 0)
  frame[FRAME_HEADER_BYTES] = types.indexOf(news.type) + 1
  writeUInt64(frame, bound, FRAME_HEADER_BYTES + 1)
  writeUInt64(frame, key.atMs, FRAME_HEADER_BYTES + 9)
  frame.write(key.hash, FRAME_HEADER_BYTES + 17, 'latin1')
  frame.write(key.fingerprint, FRAME_HEADER_BYTES + 17 + HASH_BYTES, 'latin1')
  rest.copy(frame, NEWS_AT)
  frame.writeUInt32BE(saltedCrc(frame.subarray(FRAME_HEADER_BYTES), salt), 4)
  return frame
}

function restOf(news: KeyNews): Buffer {
  if (news.type === 'stored') {
    const bytes = Buffer.allocUnsafe(16)
    bytes.writeUInt32BE(news.index, 0)
    writeUInt64(bytes, news.sequence, 4)
    bytes.writeUInt32BE(news.count, 12)
    return bytes
  }
  if (news.type === 'outcome') {
    const index = Buffer.allocUnsafe(4)
    index.writeUInt32BE(news.index)
    return Buffer.concat([index, Buffer.from(JSON.stringify(news.outcome))])
  }
  if (news.type === 'ended') return Buffer.alloc(0)
  const { status, headers, body } = news.answer
  const head = Buffer.from(JSON.stringify(headers))
  const lengths = Buffer.allocUnsafe(6)
  lengths.writeUInt16BE(status, 0)
  lengths.writeUInt32BE(head.length, 2)
  return Buffer.concat([lengths, head, body])
}

/** The frames of a file, up to the first one that is torn or damaged. */
export function* keyFramesIn(bytes: Buffer, salt: number): Generator<ReadFrame> {
  let offset = FILE_HEADER_BYTES
  for (let end = frameEnd(bytes, offset, salt); end !== undefined; end = frameEnd(bytes, offset, salt)) {
    const frame = bytes.subarray(offset, end)
    const news = newsIn(frame)
    if (news !== undefined) {
      const key = {
        hash: frame.toString('latin1', FRAME_HEADER_BYTES + 17, FRAME_HEADER_BYTES + 17 + HASH_BYTES),
        fingerprint: frame.toString('latin1', FRAME_HEADER_BYTES + 17 + HASH_BYTES, NEWS_AT),
        atMs: readUInt64(frame, FRAME_HEADER_BYTES + 9)
      }
      yield { key, bound: readUInt64(frame, FRAME_HEADER_BYTES + 1), news, offset, sizeBytes: frame.length }
    }
    offset = end
  }
}

/** Whether a whole frame begins at an offset or later: the bytes there are not merely the end of an interrupted write. */
export function hasKeyFrameFrom(bytes: Buffer, offset: number, salt: number): boolean {
  for (let at = offset; at + NEWS_AT <= bytes.length; at++)
    if (typeAt(bytes, at) !== undefined && frameEnd(bytes, at, salt) !== undefined) return true
  return false
}

/** `undefined`: no whole frame begins here. */
function frameEnd(bytes: Buffer, offset: number, salt: number): number | undefined {
  const { length = 0 } = payloadAt(bytes, offset, salt) ?? {}
  return length < FIXED_BYTES ? undefined : offset + FRAME_HEADER_BYTES + length
}

/** `undefined`: a later release wrote it. */
function newsIn(frame: Buffer): ReadFrame['news'] | undefined {
  const type = typeAt(frame)
  if (type === undefined || type === 'answered' || type === 'ended') return type && { type }
  const index = frame.readUInt32BE(NEWS_AT)
  if (type === 'outcome') return { type, index, outcome: JSON.parse(frame.toString('utf8', NEWS_AT + 4)) }
  return { type, index, sequence: readUInt64(frame, NEWS_AT + 4), count: frame.readUInt32BE(NEWS_AT + 12) }
}

/** The answer in a frame of the type `answered`. `undefined`: the frame is damaged. */
export function answerIn(frame: Buffer, salt: number): KeptAnswer | undefined {
  if (frameEnd(frame, 0, salt) !== frame.length || typeAt(frame) !== 'answered') return undefined
  const bodyAt = NEWS_AT + 6 + frame.readUInt32BE(NEWS_AT + 2)
  return {
    status: frame.readUInt16BE(NEWS_AT),
    headers: JSON.parse(frame.toString('utf8', NEWS_AT + 6, bodyAt)),
    body: Buffer.from(frame.subarray(bodyAt))
  }
}
