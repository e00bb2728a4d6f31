import type { IncomingMessage } from 'node:http'
import * as zlib from 'node:zlib'
import { CastellanError, OverloadedError, UnreadableBodyError } from '../../core/errors.js'
import { Shares } from '../../core/shares.js'
import { type BodyEnd, type BodySource, type BufferPool, collectBody, type OpenEnded } from './body-collector.js'
import { ConnectionOrder } from './connection-order.js'
import { type Exchange, hasBody } from './exchange.js'
import { FairQueue, QUANTUM } from './fair-queue.js'

/** What was made of a body, and what its decoder has taken. */
interface Decoded {
  readonly buffer: Buffer
  readonly engine: { readonly bytesWritten: number }
}
type Done = (error: Error | null, decoded: Decoded) => void
/** How a body is decoded at once, and by a thread. */
interface Coding {
  /** Absent: never at once. The window alone takes up to 40 ms, whatever the body becomes: brotli fills it with zeros first. */
  atOnce?(bytes: Buffer, options: zlib.ZlibOptions): unknown
  later(bytes: Buffer, options: zlib.ZlibOptions, done: Done): void
}
/** Node's types leave out that a decoder is told, too (`info`). */
const codingBy = (atOnce: Coding['atOnce'] | undefined, later: unknown): Coding => ({
  ...(atOnce && { atOnce }),
  later: later as Coding['later']
})

const rawDeflate = codingBy(zlib.inflateRawSync, zlib.inflateRaw)
const CODINGS = new Map([
  ['gzip', codingBy(zlib.gunzipSync, zlib.gunzip)],
  ['deflate', codingBy(zlib.inflateSync, zlib.inflate)],
  ['br', codingBy(undefined, zlib.brotliDecompress)]
])
/** Those of bodies that are decoded as they come. The others need megabytes for each body. */
const OF_STREAMS = new Map([
  ['gzip', zlib.createGunzip],
  ['deflate', zlib.createInflate]
])
/** Before version 22.15 Node has none. */
const { zstdDecompress } = zlib as unknown as { readonly zstdDecompress?: Coding['later'] }
/** The parameter `ZSTD_d_windowLogMax`. Its value is the limit of RFC 9659 for this coding: windows of 8 MiB. */
const ZSTD_LIMITS = { params: { 100: 23 } }
if (zstdDecompress !== undefined)
  CODINGS.set('zstd', {
    later: (bytes, options, done) => zstdDecompress(bytes, { ...ZSTD_LIMITS, ...options }, done)
  })

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

/** Some clients send deflate without the frame that HTTP demands, which has the method 8 and a checksum of two bytes. */
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

/** A {@link BodyEnd}. @param isRead all of the body has come */
export type DecodedEnd = (body: Parameters<BodyEnd>[0], seenBytes: number, isRead: boolean) => void

/** A body up to this size, and what it becomes, is decoded at once: that takes less than half a millisecond. */
const AT_ONCE_BYTES = 64 * 1024
const AT_ONCE_DECODED_BYTES = 256 * 1024
/** Larger ones are decoded by threads, which files and the durable log need, too. */
const MAX_RUNNING = 2
/** Addresses take turns. */
const waiting = new FairQueue<() => void>()
let running = 0
/**
 * Bytes of bodies that wait for others, or are being decoded: one address has about half. Clients that leave cannot make
 * more of them.
 */
const memory = new Shares(64 * 1024 * 1024)
const PIECE_BYTES = 256 * 1024
const FULL = new OverloadedError('too many compressed bodies are being decoded')
const TRAILING = new UnreadableBodyError(400, 'the compressed body has bytes behind its end')

/** Bodies that are not handed on yet: those behind them on their connection wait, so that records keep their order. */
const order = new ConnectionOrder()

/** A request that came to a listener. Others are not counted. */
type Counted = IncomingMessage &
  Partial<OpenEnded> & { readonly holder?: { readonly address: { readonly key: string } } }

/** How a body is read that has come. */
interface Reading {
  readonly request: Counted
  readonly response: Exchange['response']
  readonly coding: Coding | undefined
  readonly maxBytes: number
  readonly end: DecodedEnd
}

/**
 * Collects a body as {@link collectBody} does, and undoes its content coding within the same limit.
 *
 * @param decodes false: the body is handed on as it was sent
 */
export function collectDecoded(
  { request, payload, response }: Exchange,
  maxBytes: number,
  pool: BufferPool,
  end: DecodedEnd,
  decodes = true
): void {
  let coding: Coding | undefined
  try {
    requireNoTransferCoding(request)
    coding = decodes && hasBody({ request }) ? codingOf(request, CODINGS) : undefined
  } catch (error) {
    end(error as UnreadableBodyError, 0, false)
    return
  }
  const declaredBytes = Number(request.headers['content-length'] ?? 0)
  collectBody(payload, declaredBytes, maxBytes, pool, (body, seenBytes) => {
    const mustWait = order.has(request.socket)
    if (!(body instanceof Buffer)) end(body, seenBytes, false)
    else if (coding === undefined && !mustWait) end(body, seenBytes, true)
    else {
      const reading: Reading = { request, response, coding, maxBytes, end }
      if (!mustWait && endAtOnce(reading, body)) return
      const address = reading.request.holder?.address.key
      // What it becomes, and the window, are held by those alone that are being decoded.
      if (memory.problemOf(address, body.length) !== undefined) {
        end(FULL, 0, true)
        return
      }
      const release = memory.take(address, body.length)
      const kept = Buffer.from(body)
      order
        .add(request.socket, async () => {
          // A client that has left gets no answer.
          if (!response.destroyed && !(mustWait && endAtOnce(reading, kept))) await endLater(reading, kept)
        })
        .catch(error => response.destroy(error as Error))
        .finally(release)
    }
  })
}

/** @returns false, and nothing happened: it is too large for that */
function endAtOnce(reading: Reading, bytes: Buffer): boolean {
  const { maxBytes, coding, end } = reading
  if (coding === undefined || bytes.length === 0) {
    end(bytes, bytes.length, true)
    return true
  }
  const exact = exactCoding(coding, bytes)
  if (bytes.length > AT_ONCE_BYTES || exact.atOnce === undefined) return false
  const maxOutputLength = Math.min(maxBytes, AT_ONCE_DECODED_BYTES)
  let decoded: Decoded
  try {
    decoded = exact.atOnce(bytes, { maxOutputLength, info: true }) as Decoded
  } catch (error) {
    if (isTooLarge(error) && maxOutputLength < maxBytes) return false
    end(isTooLarge(error) ? 'tooLarge' : broken(error), maxOutputLength, true)
    return true
  }
  endWith(reading, bytes, decoded)
  return true
}

function endWith({ request, end }: Reading, sent: Buffer, { buffer: made, engine }: Decoded): void {
  // A small one would hold the whole piece that it was made in, and count as itself.
  const buffer = made.buffer.byteLength > 2 * made.length ? Buffer.from(made) : made
  // What was made is held beside what has come.
  const refusal = request.holdOnly?.(sent.length + buffer.length)
  end(engine.bytesWritten < sent.length ? TRAILING : (refusal ?? buffer), buffer.length, true)
}

const isTooLarge = (error: unknown): boolean => (error as NodeJS.ErrnoException).code === 'ERR_BUFFER_TOO_LARGE'

const exactCoding = (coding: Coding, bytes: Buffer): Coding =>
  coding === CODINGS.get('deflate') && !isFramed(bytes) ? rawDeflate : coding

/** @param bytes last as long as the promise */
async function endLater(reading: Reading, bytes: Buffer): Promise<void> {
  const owner = reading.request.holder?.address ?? reading.request
  if (running === MAX_RUNNING) await new Promise<void>(resolve => waiting.add(owner, resolve, QUANTUM))
  else running++
  try {
    if (!reading.response.destroyed) await endByThread(reading, bytes)
  } finally {
    running--
    waiting.serve(next => {
      if (running === MAX_RUNNING) return false
      running++
      next()
      return true
    })
  }
}

function endByThread(reading: Reading, bytes: Buffer): Promise<void> {
  const { coding, maxBytes, end } = reading
  return new Promise((resolve, reject) => {
    const options = { maxOutputLength: maxBytes, chunkSize: PIECE_BYTES, info: true }
    exactCoding(coding!, bytes).later(bytes, options, (error, decoded) => {
      try {
        if (error === null) endWith(reading, bytes, decoded)
        else end(isTooLarge(error) ? 'tooLarge' : broken(error), maxBytes, true)
        resolve()
      } catch (bug) {
        reject(bug)
      }
    })
  })
}

function broken(error: unknown): Error {
  if (error instanceof OverloadedError) return error
  return new UnreadableBodyError(400, `the body is not what its content coding says: ${(error as Error).message}`)
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
  const decoder = coding({ chunkSize: STREAM_PIECE_BYTES })
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
