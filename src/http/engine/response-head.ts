import {
  type OutgoingHttpHeader,
  type OutgoingHttpHeaders,
  STATUS_CODES,
  validateHeaderName,
  validateHeaderValue
} from 'node:http'

/** Headers as `writeHead` takes them: by name, or names and values in turn. */
export type GivenHeaders = OutgoingHttpHeaders | readonly OutgoingHttpHeader[]

/** Values of the connection that go into the head of an answer. */
export interface HeadContext {
  readonly date: string
  /** Idle connections are closed after this; clients are told in whole seconds. */
  readonly keepAliveTimeoutMs: number
}

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

export interface HeadText {
  readonly text: string
  readonly isChunked: boolean
  /** Whether the connection ends with the answer. */
  readonly isLast: boolean
}

const dated = { second: Number.NaN, text: '' }

/** The value of the header `date`, made once a second. @param second since the epoch */
export function currentDate(second = Math.floor(Date.now() / 1_000)): string {
  if (second !== dated.second) {
    dated.second = second
    dated.text = new Date(second * 1_000).toUTCString()
  }
  return dated.text
}

const NO_BODY_STATUS: ReadonlySet<number> = new Set([204, 304])

export const isWithoutBody = (status: number): boolean => NO_BODY_STATUS.has(status) || status < 200

const CLOSES = /(?:^|\W)close(?:$|\W)/i
export const CHUNKED = /(?:^|\W)chunked(?:$|\W)/i

/**
 * Writes the head of an answer as Node does, byte by byte: the given headers in their order and spelling, then `Date`,
 * `Connection`, `Keep-Alive` and the length, as far as they are not among them.
 */
export function toAnswerHead(headers: GivenHeaders, facts: AnswerFacts, context: HeadContext): HeadText {
  const { status, reason = STATUS_CODES[status] ?? 'unknown', hasBody, mayChunk, bodyBytes } = facts
  validateHeaderValue('reason', reason)
  let text = `HTTP/1.1 ${status} ${reason}\r\n`
  let [isChunked, isLast, staysOpen] = [false, false, facts.mayStayOpen]
  const given = new Set<string>()
  forEach(headers, (name, value) => {
    validateHeaderValue(name, value as string)
    text += `${name}: ${value}\r\n`
    const key = name.toLowerCase()
    given.add(key)
    if (key === 'transfer-encoding') isChunked ||= CHUNKED.test(String(value))
    else if (key !== 'connection') return
    else if (CLOSES.test(String(value))) isLast = true
    else staysOpen = true
  })
  if (!given.has('date')) text += `Date: ${context.date}\r\n`
  if (isChunked && NO_BODY_STATUS.has(status)) isChunked = staysOpen = false
  if (!given.has('connection')) {
    staysOpen &&= given.has('content-length') || mayChunk
    isLast = !staysOpen
    text += staysOpen ? 'Connection: keep-alive\r\n' : 'Connection: close\r\n'
    const { keepAliveTimeoutMs } = context
    if (staysOpen && !given.has('keep-alive') && keepAliveTimeoutMs > 0)
      text += `Keep-Alive: timeout=${Math.floor(keepAliveTimeoutMs / 1_000)}\r\n`
  }
  if (hasBody && !given.has('content-length') && !given.has('transfer-encoding')) {
    if (!mayChunk) isLast = true
    else if (bodyBytes !== undefined) text += `Content-Length: ${bodyBytes}\r\n`
    else {
      text += 'Transfer-Encoding: chunked\r\n'
      isChunked = true
    }
  }
  return { text: `${text}\r\n`, isChunked, isLast }
}

/** Calls with each header that is written, in their order. */
function forEach(headers: GivenHeaders, take: (name: string, value: OutgoingHttpHeader | undefined) => void): void {
  const each = (name: string, value: OutgoingHttpHeader | undefined): void => {
    validateHeaderName(name)
    if (!Array.isArray(value)) take(name, value)
    else if (value.length > 1 && name.toLowerCase() === 'cookie') take(name, value.join('; '))
    else for (const one of value) take(name, one)
  }
  if (isList(headers)) for (let i = 0; i < headers.length; i += 2) each(String(headers[i]), headers[i + 1])
  else for (const [name, value] of Object.entries(headers)) each(name, value)
}

const isList = (headers: GivenHeaders): headers is readonly OutgoingHttpHeader[] => Array.isArray(headers)
