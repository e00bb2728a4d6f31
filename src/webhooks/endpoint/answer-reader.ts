import { NOTHING } from '../../core/bytes.js'
import { SECOND_MS } from '../../core/model.js'
import { HOUR_MS } from '../../core/settings/units.js'

/** Limit of the head of an answer, with all heads of answers 1xx before it. */
const MAX_HEAD_BYTES = 16 * 1024
/** Limit of the bytes of a body that are read so that the connection can be used again. */
const MAX_BODY_BYTES = 8 * 1024
/** Limit of the pieces of the same body: each costs as much as one with many bytes. */
const MAX_BODY_PIECES = 256
const STATUS_LINE = /^HTTP\/1\.([01]) (\d{3})(?: .*)?$/
const CHUNK_LINE = /^([\da-f]{1,4})[ \t]*(?:;.*)?$/i
const HEADER_NAME = /^[\w!#$%&'*+.^`|~-]+$/
/** Matches the beginning of a date, in its present and its two former forms. */
const HTTP_DATE = /^(?:Mon|Tue|Wed|Thu|Fri|Sat|Sun)/
const HEAD_END = '\r\n\r\n'
const LINE_END = '\r\n'
/** How the end of a body is known. */
type Framing = { readonly type: 'length'; readonly bytes: number } | { readonly type: 'chunked' | 'untilClose' }

/** The head of a final answer. */
export interface AnswerHead {
  readonly status: number
  readonly retryAfter: string | undefined
}

/**
 * - `more`: it goes on
 * - `complete`: another request may follow on the connection
 * - `over`: nothing more of it is read, and the connection ends
 */
export type AnswerState = 'more' | 'complete' | 'over'

/** Reads one answer of HTTP/1.1 to a POST: of its head the status and two headers, of its body only the end. */
export class AnswerReader {
  /** `undefined`: not yet. */
  head: AnswerHead | undefined
  /** The problem of the head. */
  problem: string | undefined
  /** Unread bytes of the head, or of a body with chunks behind its last whole chunk. */
  #bytes: Buffer = NOTHING
  #headBytes = 0
  #bodyBytes = 0
  #bodyPieces = 0
  /** Bytes of the whole chunks. */
  #chunkBytes = 0
  #framing: Framing = { type: 'untilClose' }

  /** Takes the next bytes of the connection. */
  take(bytes: Buffer): AnswerState {
    if (this.head !== undefined) return this.#takeBody(bytes)
    const searchedTo = Math.max(0, this.#bytes.length - HEAD_END.length)
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes])
    const end = this.#bytes.indexOf(HEAD_END, searchedTo, 'latin1')
    const length = this.#headBytes + (end < 0 ? this.#bytes.length : end + HEAD_END.length)
    if (length > MAX_HEAD_BYTES) return this.#fail(`the head of the answer is larger than ${MAX_HEAD_BYTES} bytes`)
    if (end < 0) return 'more'
    this.#headBytes = length
    const [first = '', ...lines] = this.#bytes.toString('latin1', 0, end).split(LINE_END)
    const rest = this.#bytes.subarray(end + HEAD_END.length)
    this.#bytes = NOTHING
    return this.#takeHead(first, lines, rest)
  }

  #takeHead(first: string, lines: readonly string[], rest: Buffer): AnswerState {
    const [, minor, digits] = STATUS_LINE.exec(first) ?? []
    const status = Number(digits)
    if (status === 101) return this.#fail('the endpoint changes the protocol')
    if (status >= 100 && status < 200) return rest.length === 0 ? 'more' : this.take(rest)
    if (!(status >= 200 && status < 600)) return this.#fail('the answer is not one of HTTP/1.1')
    const headers = headersIn(lines)
    this.head = { status, retryAfter: headers.retryAfter }
    this.#framing = framingOf(status, minor!, headers)
    return this.#takeBody(rest)
  }

  #takeBody(bytes: Buffer): AnswerState {
    this.#bodyBytes += bytes.length
    this.#bodyPieces++
    const length = this.#framing.type === 'length' ? this.#framing.bytes : this.#chunkedLength(bytes)
    if (Math.max(length ?? 0, this.#bodyBytes) > MAX_BODY_BYTES) return 'over'
    if (length !== undefined && this.#bodyBytes >= length) return this.#bodyBytes === length ? 'complete' : 'over'
    // The first one came with the head.
    return this.#bodyPieces > MAX_BODY_PIECES ? 'over' : 'more'
  }

  /** Bytes of the whole body with chunks, when its end has come. Never of one that has no end but that of the connection. */
  #chunkedLength(bytes: Buffer): number | undefined {
    if (this.#framing.type !== 'chunked') return undefined
    this.#bytes = this.#bytes.length === 0 ? bytes : Buffer.concat([this.#bytes, bytes])
    const { whole, length } = chunksIn(this.#bytes)
    this.#bytes = this.#bytes.subarray(whole)
    this.#chunkBytes += whole
    return length === undefined ? undefined : this.#chunkBytes + length
  }

  #fail(problem: string): AnswerState {
    this.problem = problem
    return 'over'
  }
}

/** All dates of HTTP are in GMT, also the one that does not say so: `Sun Nov  6 08:49:37 1994`. */
const inGmt = (date: string): string => (/\d{4}$/.test(date) ? `${date} GMT` : date)

/**
 * The pause that a header `Retry-After` asks for, in seconds or by a date; at most an hour. `undefined`: none.
 *
 * @param now milliseconds since 1970
 */
export function retryAfterMsOf(header: string | undefined, now: number): number | undefined {
  if (header === undefined) return undefined
  const ms = /^\d+$/.test(header)
    ? Number(header) * SECOND_MS
    : (HTTP_DATE.test(header) ? Date.parse(inGmt(header)) : Number.NaN) - now
  return Number.isNaN(ms) ? undefined : Math.min(HOUR_MS, Math.max(0, ms))
}

/** The headers of an answer that matter. Several values of a name are joined by commas; lengths only if they differ. */
interface Headers {
  connection: string
  coding: string | undefined
  length: string | undefined
  /** The first one. */
  retryAfter: string | undefined
  /** The name of one is none. */
  isOdd: boolean
}

const joined = (former: string | undefined, value: string): string =>
  former === undefined ? value : `${former},${value}`

function headersIn(lines: readonly string[]): Headers {
  const headers: Headers = {
    connection: '',
    coding: undefined,
    length: undefined,
    retryAfter: undefined,
    isOdd: false
  }
  for (const line of lines) {
    const colon = line.indexOf(':')
    const name = line.slice(0, Math.max(0, colon)).toLowerCase()
    const value = line.slice(colon + 1).trim()
    if (name === 'connection') headers.connection = joined(headers.connection, value)
    else if (name === 'transfer-encoding') headers.coding = joined(headers.coding, value)
    else if (name === 'content-length' && value !== headers.length) headers.length = joined(headers.length, value)
    else if (name === 'retry-after') headers.retryAfter ??= value
    else headers.isOdd ||= !HEADER_NAME.test(name)
  }
  return headers
}

/** Anything unusual has the end of the connection for its end: it is not used again then. */
function framingOf(status: number, minor: string, { connection, coding, length, isOdd }: Headers): Framing {
  const isLast = minor === '0' || isOdd || /\bclose\b/i.test(connection)
  if (isLast || (coding !== undefined && length !== undefined)) return { type: 'untilClose' }
  if (status === 204 || status === 304) return { type: 'length', bytes: 0 }
  if (coding?.toLowerCase() === 'chunked') return { type: 'chunked' }
  return length !== undefined && /^\d{1,10}$/.test(length)
    ? { type: 'length', bytes: Number(length) }
    : { type: 'untilClose' }
}

/**
 * Reads chunks.
 *
 * @returns `whole`: bytes of the chunks that are whole; `length`: bytes of the last one and the trailers, `undefined` where their
 *   end has not come, or something is wrong
 */
function chunksIn(bytes: Buffer): { readonly whole: number; readonly length?: number | undefined } {
  for (let whole = 0; ; ) {
    const lineEnd = bytes.indexOf(LINE_END, whole, 'latin1')
    if (lineEnd < 0) return { whole }
    const [, digits] = CHUNK_LINE.exec(bytes.toString('latin1', whole, lineEnd)) ?? []
    const size = Number.parseInt(digits ?? '', 16)
    if (size === 0) {
      const end = bytes.indexOf(HEAD_END, lineEnd, 'latin1')
      return { whole, length: end < 0 ? undefined : end + HEAD_END.length - whole }
    }
    const end = lineEnd + LINE_END.length + size
    if (Number.isNaN(size) || bytes.toString('latin1', end, end + LINE_END.length) !== LINE_END) return { whole }
    whole = end + LINE_END.length
  }
}
