import {
  type OutgoingHttpHeader,
  type OutgoingHttpHeaders,
  STATUS_CODES,
  validateHeaderName,
  validateHeaderValue
} from 'node:http'

/** Headers as `writeHead` takes them: by name, or names and values in turn. */
export type GivenHeaders = OutgoingHttpHeaders | readonly OutgoingHttpHeader[]

/** What the connection contributes to the head of an answer. */
export interface HeadContext {
  readonly date: string
  /** Idle connections are closed after this; clients are told in whole seconds. */
  readonly keepAliveTimeoutMs: number
}

/** The facts that decide how an answer is written. */
export interface AnswerFacts {
  readonly status: number
  readonly reason: string | undefined
  /** False for answers to HEAD, and for a status that has no body. */
  readonly hasBody: boolean
  /** Whether the client reads chunks: without them, a body of unknown length ends with the connection. */
  readonly mayChunk: boolean
  /** Whether the connection may stay open behind the answer. */
  readonly mayStayOpen: boolean
  /** The length of the body, where it is known although no header tells it. */
  readonly bodyBytes: number | undefined
}

/** The head of an answer, and what follows from its headers. */
export interface AnswerHead {
  readonly text: string
  readonly isChunked: boolean
  /** Whether the connection ends with the answer. */
  readonly isLast: boolean
}

const NO_BODY_STATUS: ReadonlySet<number> = new Set([204, 304])

/** Whether an answer with this status has no body, whatever it announces. */
export const isWithoutBody = (status: number): boolean => NO_BODY_STATUS.has(status) || status < 200

const CLOSES = /(?:^|\W)close(?:$|\W)/i
export const CHUNKED = /(?:^|\W)chunked(?:$|\W)/i

/**
 * Writes the head of an answer as Node does, byte by byte: the given headers in their order and spelling, then `Date`,
 * `Connection`, `Keep-Alive` and the length, as far as they are not among them.
 */
export function toAnswerHead(headers: GivenHeaders, facts: AnswerFacts, context: HeadContext): AnswerHead {
  return new HeadWriter(facts, context).write(headers)
}

class HeadWriter {
  readonly #facts: AnswerFacts
  readonly #context: HeadContext
  #text: string
  #hasDate = false
  #hasConnection = false
  #hasKeepAlive = false
  #hasLength = false
  #hasCoding = false
  #isChunked = false
  #isLast = false
  #staysOpen: boolean

  constructor(facts: AnswerFacts, context: HeadContext) {
    const { status, reason = STATUS_CODES[status] ?? 'unknown' } = facts
    validateHeaderValue('reason', reason)
    this.#facts = facts
    this.#context = context
    this.#staysOpen = facts.mayStayOpen
    this.#text = `HTTP/1.1 ${status} ${reason}\r\n`
  }

  write(headers: GivenHeaders): AnswerHead {
    if (isList(headers)) for (let i = 0; i < headers.length; i += 2) this.#add(String(headers[i]), headers[i + 1])
    else for (const [name, value] of Object.entries(headers)) this.#add(name, value)
    if (!this.#hasDate) this.#text += `Date: ${this.#context.date}\r\n`
    this.#endUnneededChunks()
    if (!this.#hasConnection) this.#addConnection()
    if (!this.#hasLength && !this.#hasCoding) this.#addLength()
    return { text: `${this.#text}\r\n`, isChunked: this.#isChunked, isLast: this.#isLast }
  }

  #add(name: string, value: OutgoingHttpHeader | undefined): void {
    validateHeaderName(name)
    if (!Array.isArray(value)) this.#addOne(name, value)
    else if (value.length > 1 && name.toLowerCase() === 'cookie') this.#addOne(name, value.join('; '))
    else for (const one of value) this.#addOne(name, one)
  }

  #addOne(name: string, value: OutgoingHttpHeader | undefined): void {
    validateHeaderValue(name, value as string)
    this.#text += `${name}: ${value}\r\n`
    this.#note(name.toLowerCase(), String(value))
  }

  #note(key: string, value: string): void {
    if (key === 'date') this.#hasDate = true
    else if (key === 'keep-alive') this.#hasKeepAlive = true
    else if (key === 'content-length') this.#hasLength = true
    else if (key === 'connection') {
      this.#hasConnection = true
      if (CLOSES.test(value)) this.#isLast = true
      else this.#staysOpen = true
    } else if (key === 'transfer-encoding') {
      this.#hasCoding = true
      this.#isChunked ||= CHUNKED.test(value)
    }
  }

  #endUnneededChunks(): void {
    if (!this.#isChunked || !NO_BODY_STATUS.has(this.#facts.status)) return
    this.#isChunked = false
    this.#staysOpen = false
  }

  #addConnection(): void {
    this.#staysOpen &&= this.#hasLength || this.#facts.mayChunk
    this.#isLast = !this.#staysOpen
    this.#text += this.#staysOpen ? 'Connection: keep-alive\r\n' : 'Connection: close\r\n'
    const { keepAliveTimeoutMs } = this.#context
    if (this.#staysOpen && !this.#hasKeepAlive && keepAliveTimeoutMs > 0) {
      this.#text += `Keep-Alive: timeout=${Math.floor(keepAliveTimeoutMs / 1_000)}\r\n`
    }
  }

  #addLength(): void {
    const { hasBody, mayChunk, bodyBytes } = this.#facts
    if (!hasBody) return
    if (!mayChunk) this.#isLast = true
    else if (bodyBytes === undefined) {
      this.#text += 'Transfer-Encoding: chunked\r\n'
      this.#isChunked = true
    } else this.#text += `Content-Length: ${bodyBytes}\r\n`
  }
}

const isList = (headers: GivenHeaders): headers is readonly OutgoingHttpHeader[] => Array.isArray(headers)

/** The value of the header `date`, made once a second. */
export class DateHeader {
  readonly #now: () => number
  #second = Number.NaN
  #text = ''

  /** @param now epoch milliseconds */
  constructor(now: () => number) {
    this.#now = now
  }

  get value(): string {
    const second = Math.floor(this.#now() / 1_000)
    if (second !== this.#second) {
      this.#second = second
      this.#text = new Date(second * 1_000).toUTCString()
    }
    return this.#text
  }
}
