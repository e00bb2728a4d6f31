import type { IncomingMessage, ServerResponse } from 'node:http'
import * as zlib from 'node:zlib'
import { HeldAmount } from '../../core/held-amount.js'
import { BufferPool } from './body-collector.js'
import type { BodyThreads } from './body-threads.js'
import { type AnswerBody, wholeOf } from './pieced-body.js'

type Compressed = (body: AnswerBody, coding?: string) => void
type CompressDone = (error: Error | null, bytes: Buffer) => void
type Compress = (body: Buffer, done: CompressDone) => void

/** Node has it from 22.15 on. */
const { zstdCompress }: Pick<typeof zlib, 'gzip'> & { readonly zstdCompress?: Compress } = zlib
const GZIP_LEVEL = 3
/** The default of the library takes seconds for a megabyte. */
const BROTLI_OPTIONS = { params: { [zlib.constants.BROTLI_PARAM_QUALITY]: 4 } }

/** Codings in the order in which they are preferred when the client has no preference. */
const CODINGS: ReadonlyMap<string, Compress> = new Map([
  ['br', (body, done) => zlib.brotliCompress(body, BROTLI_OPTIONS, done)],
  ...(zstdCompress === undefined ? [] : [['zstd', zstdCompress] as const]),
  ['gzip', (body, done) => zlib.gzip(body, { level: GZIP_LEVEL }, done)]
])

/** Smaller answers fit into one packet. */
const MIN_BYTES = 1024
/** Texts. What consumers send in other types is mostly compressed already. */
const IS_TEXT = /^(?:text\/(?!event-stream)|application\/)[^;]*(?:json|text|html|plain)/i
/** Answers that are being compressed. Others leave as they are: so no answer waits for a thread. */
const MAX_ANSWERS = 8
const MAX_HELD_BYTES = 32 * 1024 * 1024
const MAX_IDLE_BYTES = 8 * 1024 * 1024

/** The coding that a client prefers; `undefined`: it takes none of them. */
export function codingFor(accepted: string | undefined): string | undefined {
  if (accepted === undefined) return undefined
  const qualities = new Map<string, number>()
  for (const part of accepted.split(',')) {
    const [name = '', ...parameters] = part.split(';').map(text => text.trim().toLowerCase())
    const quality = parameters.find(parameter => parameter.startsWith('q='))?.slice(2) ?? '1'
    qualities.set(name === 'x-gzip' ? 'gzip' : name, /^(?:0|1)(?:\.\d{0,3})?$/.test(quality) ? Number(quality) : 0)
  }
  let best: string | undefined
  let bestQuality = 0
  for (const name of CODINGS.keys()) {
    const quality = qualities.get(name) ?? qualities.get('*') ?? 0
    if (quality > bestQuality) [best, bestQuality] = [name, quality]
  }
  return bestQuality >= (qualities.get('identity') ?? 0) ? best : undefined
}

/** Whether an answer may be compressed for a client that takes it. Caches must then tell such clients from others. */
export const isCompressible = (type: string | undefined, bodyBytes: number): boolean =>
  bodyBytes >= MIN_BYTES && type !== undefined && IS_TEXT.test(type)

/** The header `Vary` of an answer that depends on one more header. Default: it {@link isCompressible}. */
export function varyOf(response: ServerResponse, header = 'accept-encoding'): string {
  const before = response.getHeader?.('vary')
  return before === undefined ? header : `${String(before)}, ${header}`
}

/** The answers of one process that are being compressed, and the buffers from which others leave. */
export class AnswerCompression {
  readonly pieces = new BufferPool(MAX_IDLE_BYTES)
  readonly #answers = new HeldAmount('answers that are being compressed')
  readonly #heldBytes = new HeldAmount('bytes of answers that are being compressed')

  /** @returns false, and nothing happens: too many answers are being compressed */
  compress(body: AnswerBody, coding: string, done: Compressed): boolean {
    const bodyBytes = typeof body === 'string' ? Buffer.byteLength(body) : body.length
    if (this.#answers.value === MAX_ANSWERS || this.#heldBytes.value + bodyBytes > MAX_HELD_BYTES) return false
    this.#answers.add(1)
    this.#heldBytes.add(bodyBytes)
    CODINGS.get(coding)!(wholeOf(body), (error, bytes) => {
      this.#answers.release(1)
      this.#heldBytes.release(bodyBytes)
      if (error === null) done(bytes, coding)
      else done(body)
    })
    return true
  }
}

/** Objects that all requests of a process share for the content codings of bodies and answers. */
export interface ContentCodings {
  readonly bodies: BodyThreads
  readonly answers: AnswerCompression
}

/** Used for requests that came to no listener, such as those that Fastify injects. */
const OF_NO_LISTENER = new AnswerCompression()

type ListenedMessage = IncomingMessage & { readonly holder?: { readonly served: Partial<ContentCodings> } }

export const answersOf = ({ holder }: ListenedMessage): AnswerCompression => holder?.served.answers ?? OF_NO_LISTENER

/**
 * Compresses an answer that {@link isCompressible}.
 *
 * @param done called once, later; without a coding where that has failed
 * @returns false, and nothing happens: the client takes no coding, or too many answers are being compressed
 */
export function compressAnswer(request: ListenedMessage, body: AnswerBody, done: Compressed): boolean {
  const coding = codingFor(request.headers['accept-encoding'])
  return coding !== undefined && answersOf(request).compress(body, coding, done)
}
