import type { IncomingMessage } from 'node:http'
import * as zlib from 'node:zlib'
import { CastellanError, OverloadedError, UnreadableBodyError } from '../../core/errors.js'
import { codeOf, messageOf } from '../../core/node-errors.js'
import type { BodySource, OpenEnded } from '../engine/body-source.js'
import { type BodyEnd, type BufferPool, collectBody, READ, UNREAD } from './body-collector.js'
import { BodyThreads, type Decode, type LateBody, type MakeDecoder, type UnpackedBody } from './body-threads.js'
import type { ContentCodings } from './compressed-answer.js'
import { type Exchange, hasBody } from './exchange.js'

/** How a body is decoded. */
interface Coding {
  /** Absent: never at once. The window alone takes up to 40 ms, whatever the body becomes: brotli fills it with zeros first. */
  atOnce?(bytes: Buffer, options: zlib.ZlibOptions): unknown
  make: MakeDecoder
}
/** Adds the member `info` of a decoder, which Node's types leave out. */
const codingBy = (atOnce: Coding['atOnce'] | undefined, make: unknown): Coding => ({
  ...(atOnce && { atOnce }),
  make: make as MakeDecoder
})

const rawDeflate = codingBy(zlib.inflateRawSync, zlib.createInflateRaw)
const CODINGS = new Map([
  ['gzip', codingBy(zlib.gunzipSync, zlib.createGunzip)],
  ['deflate', codingBy(zlib.inflateSync, zlib.createInflate)],
  // Windows of more than 16 MiB are a setting of this decoder, which is off.
  ['br', codingBy(undefined, zlib.createBrotliDecompress)]
])
/** Codings of bodies that are decoded while they arrive. The others would need megabytes for each body. */
const OF_STREAMS = new Map([...CODINGS].filter(([, { atOnce }]) => atOnce !== undefined))
/** Node has it from version 22.15 on. */
const { createZstdDecompress }: Pick<typeof zlib, 'gzip'> & { createZstdDecompress?(options: object): unknown } = zlib
/** The parameter `ZSTD_d_windowLogMax`. Its value is the limit of RFC 9659 for this coding: windows of 8 MiB. */
const ZSTD_LIMITS = { params: { 100: 23 } }
if (createZstdDecompress !== undefined)
  CODINGS.set(
    'zstd',
    codingBy(undefined, (options: object) => createZstdDecompress({ ...ZSTD_LIMITS, ...options }))
  )

/**
 * The content coding of a body; `undefined`: it has none.
 *
 * @throws UnreadableBodyError with 415
 */
function codingOf<One>({ headers }: IncomingMessage, codings: ReadonlyMap<string, One>): One | undefined {
  const header = headers['content-encoding']
  if (header === undefined) return undefined
  const names = header.split(',').map(name => name.trim().toLowerCase())
  const [name, ...others] = names.filter(name => name !== '' && name !== 'identity')
  if (name === undefined) return undefined
  // Source: RFC 9110, section 8.4.1.3.
  const coding = others.length > 0 ? undefined : codings.get(name === 'x-gzip' ? 'gzip' : name)
  if (coding !== undefined) return coding
  const accepted = [...codings.keys()].join(', ')
  const what = others.length > 0 ? 'more than one content coding' : 'this content coding'
  throw new UnreadableBodyError(415, `a body with ${what} cannot be read; accepted are ${accepted}`, accepted)
}

/** Source: RFC 9112, section 6.1. @throws UnreadableBodyError with 501 */
function requireNoTransferCoding({ headers }: IncomingMessage): void {
  const header = headers['transfer-encoding']
  if (header === undefined || /^[\s,]*chunked[\s,]*$/i.test(header)) return
  throw new UnreadableBodyError(501, 'a body with a transfer coding beside chunked cannot be read')
}

/** Whether deflate has the frame that HTTP demands, with the method 8 and a checksum of two bytes. Some clients leave it out. */
const isFramed = (bytes: Buffer): boolean =>
  bytes.length >= 2 && (bytes[0]! & 0x0f) === 8 && bytes.readUInt16BE(0) % 31 === 0

export class BodyTooLargeError extends CastellanError {
  override readonly name = 'BodyTooLargeError'
  readonly maxBytes: number
  /** Bytes that have come; of a body that is announced as too large, the announced size. */
  readonly seenBytes: number
  /** The size was announced, so that nothing of the body has been read. */
  readonly isAnnounced: boolean

  constructor(maxBytes: number, seenBytes: number, isAnnounced: boolean) {
    super('recordTooLarge', `the body is larger than ${maxBytes} bytes`, false)
    this.maxBytes = maxBytes
    this.seenBytes = seenBytes
    this.isAnnounced = isAnnounced
  }

  /** @param setting sets the limit */
  naming(setting: string): CastellanError {
    return new CastellanError(this.code, `${this.message} (${setting})`, false)
  }
}

/** A body up to this size, and what it becomes, is decoded at once: that takes less than half a millisecond. */
const AT_ONCE_BYTES = 64 * 1024
const AT_ONCE_DECODED_BYTES = 256 * 1024
const TRAILING = new UnreadableBodyError(400, 'the compressed body has bytes behind its end')

/** Used for requests that came to no listener, such as those that Fastify injects. */
const OF_NO_LISTENER = new BodyThreads()

/** A request that came to a listener. Others are not counted. */
type CountedRequest = IncomingMessage &
  Partial<OpenEnded> & {
    readonly holder?: { readonly address: { readonly key: string }; readonly served: Partial<ContentCodings> }
  }

/** How a body is read that has come. */
interface Reading {
  readonly request: CountedRequest
  readonly response: Exchange['response']
  readonly coding: Coding
  readonly maxBytes: number
  readonly end: BodyEnd
}

/** How long a body may wait to be decoded, whatever its request allows. */
const MAX_WAIT_MS = 30_000

/**
 * Collects a body as {@link collectBody} does, and undoes its content coding within the same limit.
 *
 * @param decodes false: the body is handed on as it was sent
 * @param waitMs how long the request may wait, in milliseconds; 0: no limit of its own
 */
export function collectDecoded(
  exchange: Exchange,
  maxBytes: number,
  pool: BufferPool,
  end: BodyEnd,
  decodes = true,
  waitMs = 0
): void {
  const { request, payload } = exchange
  let coding: Coding | undefined
  try {
    requireNoTransferCoding(request)
    coding = decodes && hasBody({ request }) ? codingOf(request, CODINGS) : undefined
  } catch (error) {
    end(error as UnreadableBodyError, 0, UNREAD)
    return
  }
  const declaredBytes = Number(request.headers['content-length'] ?? 0)
  // Most bodies have no coding: no function is made for them.
  const own = coding === undefined ? end : decoding(exchange, coding, maxBytes, end, waitMs)
  collectBody(payload, declaredBytes, maxBytes, pool, own)
}

/** Decodes a body that has come, and then ends it. */
const decoding =
  ({ request, response }: Exchange, coding: Coding, maxBytes: number, end: BodyEnd, waitMs: number): BodyEnd =>
  (body, seenBytes, state) => {
    if (!(body instanceof Buffer)) {
      end(body, seenBytes, state)
      return
    }
    const reading: Reading = { request, response, coding, maxBytes, end }
    if (endAtOnce(reading, body)) return
    const { holder }: CountedRequest = request
    const threads = holder?.served.bodies ?? OF_NO_LISTENER
    threads.add(lateBody(reading, body, waitMs || MAX_WAIT_MS))
  }

/** @param waitMs how long it may wait for a thread */
function lateBody(reading: Reading, bytes: Buffer, waitMs: number): LateBody {
  const { request, response, end } = reading
  const since = performance.now()
  const late: Reading = {
    ...reading,
    end: (body, seenBytes, state) => end(body, seenBytes, { ...state, waitedMs: performance.now() - since })
  }
  return {
    response,
    address: request.holder?.address,
    bytes,
    waitMs: Math.min(waitMs, MAX_WAIT_MS),
    endByThread: (bytes, decode) => endByThread(late, bytes, decode),
    refuse: refusal => end(refusal, 0, READ)
  }
}

/** @returns false, and nothing happened: it is too large for that */
function endAtOnce(reading: Reading, bytes: Buffer): boolean {
  const { maxBytes, coding, end } = reading
  if (bytes.length === 0) {
    end(bytes, 0, READ)
    return true
  }
  const exact = exactCoding(coding, bytes)
  if (bytes.length > AT_ONCE_BYTES || exact.atOnce === undefined) return false
  const maxOutputLength = Math.min(maxBytes, AT_ONCE_DECODED_BYTES)
  let decoded: { readonly buffer: Buffer; readonly engine: { readonly bytesWritten: number } }
  try {
    decoded = exact.atOnce(bytes, { maxOutputLength, info: true }) as typeof decoded
  } catch (error) {
    if (isTooLarge(error) && maxOutputLength < maxBytes) return false
    end(isTooLarge(error) ? 'tooLarge' : broken(error), maxOutputLength, READ)
    return true
  }
  endWith(reading, bytes, { buffer: decoded.buffer, readBytes: decoded.engine.bytesWritten })
  return true
}

const LASTING = { isRead: true, lasts: true }

function endWith({ request, end }: Reading, sent: Buffer, { buffer: made, readBytes }: UnpackedBody): void {
  // A small result is copied: as a view it would keep its whole piece in memory.
  const buffer = made.buffer.byteLength > 2 * made.length ? Buffer.from(made) : made
  // The decoded bytes are held in addition to the received ones.
  const refusal = request.holdOnly?.(sent.length + buffer.length)
  end(readBytes < sent.length ? TRAILING : (refusal ?? buffer), buffer.length, LASTING)
}

const isTooLarge = (error: unknown): boolean => codeOf(error) === 'ERR_BUFFER_TOO_LARGE'

const exactCoding = (coding: Coding, bytes: Buffer): Coding =>
  coding === CODINGS.get('deflate') && !isFramed(bytes) ? rawDeflate : coding

async function endByThread(reading: Reading, bytes: Buffer, decode: Decode): Promise<void> {
  const { coding, maxBytes, end, response } = reading
  let decoded: UnpackedBody | undefined | Error
  try {
    decoded = await decode(exactCoding(coding, bytes).make, bytes, maxBytes, () => !response.destroyed)
  } catch (error) {
    decoded = broken(error)
  }
  // A client that has left gets no answer.
  if (response.destroyed) return
  if (decoded === undefined || decoded instanceof Error) end(decoded ?? 'tooLarge', maxBytes, READ)
  else endWith(reading, bytes, decoded)
}

function broken(error: unknown): Error {
  if (error instanceof OverloadedError) return error
  return new UnreadableBodyError(400, `the body is not what its content coding says: ${messageOf(error)}`)
}

/** The memory of a decoder of gzip or deflate, with a piece that it has made. */
const DECODER_BYTES = 64 * 1024
const STREAM_PIECE_BYTES = 16 * 1024

/**
 * A body that is decoded as it comes.
 *
 * @throws UnreadableBodyError with 415, OverloadedError
 */
export function decodedStream({ request, response, payload }: Exchange): BodySource {
  requireNoTransferCoding(request)
  const coding = codingOf(request, OF_STREAMS)
  if (coding === undefined) return payload
  const refusal = payload.holdOnly?.(DECODER_BYTES)
  if (refusal !== undefined) throw refusal
  const decoder = coding.make({ chunkSize: STREAM_PIECE_BYTES })
  const destroy = decoder._destroy.bind(decoder)
  decoder._destroy = (error, done) => destroy(error, () => done(error && broken(error)))
  decoder.on('drain', () => payload.resume())
  payload.on('data', (piece: Buffer) => {
    if (!decoder.write(piece)) payload.pause()
  })
  payload.on('end', () => decoder.end())
  payload.on('error', error => decoder.destroy(error))
  response.once('close', () => decoder.destroy())
  return Object.assign(decoder, {
    openEnd: () => payload.openEnd?.(),
    holdOnly: (bytes: number) => payload.holdOnly?.(bytes + DECODER_BYTES + decoder.writableLength)
  })
}
