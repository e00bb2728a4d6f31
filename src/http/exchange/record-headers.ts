import type { IncomingMessage } from 'node:http'
import type { RecordHeader } from '../../core/model.js'
import { traceOf } from './exchange.js'

/** Names and values of the headers of one request that may become headers of records, together. */
export const MAX_RECORD_HEADERS_BYTES = 10 * 1024

const NONE: readonly RecordHeader[] = []
const NOTHING: Readonly<Record<string, readonly string[]>> = {}

const TRACEPARENT = 'traceparent'
const TRACESTATE = 'tracestate'
const TOKEN = /^[!#$%&'*+.^_`|~\w-]+$/

/** Headers with credentials, of one hop, about the message itself, and attributes of CloudEvents, which are checked as such. */
const NEVER =
  /^(?:authorization|(?:set-)?cookie2?|proxy-.*|www-authenticate|connection|keep-alive|te|trailers?|transfer-encoding|upgrade|http2-settings|host|content-(?:length|type|encoding)|access-control-.*|x-castellan-.*|ce[-_].*|:.*)$/i

/** Why `http.recordHeaders` and `webhooks.recordHeaders` cannot name a header; `undefined`: they can. */
export function recordHeaderProblem(name: string): string | undefined {
  const shown = JSON.stringify(name)
  if (NEVER.test(name))
    return `${shown} cannot pass between requests and records: it has credentials, belongs to one connection, or describes its message, as attributes of CloudEvents do`
  return TOKEN.test(name) ? undefined : `${shown} is not the name of a header`
}

/**
 * The headers of HTTP requests that become headers of records, and come back with them: those that `http.recordHeaders`
 * names, and the trace context (`traceparent` and `tracestate`).
 */
export class RecordHeaders {
  /** The keys of record headers by names in small letters. */
  readonly #keys: ReadonlyMap<string, string>

  /** @param names at least one */
  constructor(names: readonly string[]) {
    const keys = [TRACEPARENT, TRACESTATE, ...names].map(name => [name.toLowerCase(), name] as const)
    this.#keys = new Map(keys)
  }

  /**
   * The headers for each record of a request, in the order sent; one that occurs several times becomes several. Their values
   * are the bytes of the request. A trace context that is not valid is left out.
   *
   *   X-Tenant: a, traceparent: 00-…, Other: b   =>   X-Tenant: a, traceparent: 00-…
   *
   * @param rawHeaders names and values in turn, one character for each byte
   * @param traced the trace context of the span of the request, which takes the place of the one that it was sent with.
   * Absent: nothing records spans
   */
  ofRequest(rawHeaders: readonly string[], traced?: Readonly<Record<string, string>>): readonly RecordHeader[] {
    const sent = this.#ofRequest(rawHeaders)
    if (traced?.[TRACEPARENT] === undefined) return sent
    const own = [TRACEPARENT, TRACESTATE].flatMap(name => {
      const value = traced[name]
      return value === undefined ? [] : [{ key: this.#keys.get(name)!, value: Buffer.from(value) }]
    })
    return [...sent.filter(({ key }) => !isOfTrace(key)), ...own]
  }

  #ofRequest(rawHeaders: readonly string[]): readonly RecordHeader[] {
    let found: RecordHeader[] | undefined
    let parents = 0
    let isTraced = false
    for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
      const key = this.#keys.get(rawHeaders[at]!.toLowerCase())
      if (key === undefined) continue
      const value = rawHeaders[at + 1]!
      if (key.toLowerCase() === TRACEPARENT) {
        parents++
        isTraced = isTraceparent(value)
      }
      found ??= []
      found.push({ key, value: Buffer.from(value, 'latin1') })
    }
    if (found === undefined) return NONE
    // Source: Trace Context, W3C recommendation of 23 November 2021, sections 3.2.2 and 3.3.
    return parents === 1 && isTraced ? found : found.filter(({ key }) => !isOfTrace(key))
  }

  /** Whether the headers of a request that become headers of records are too large. */
  areTooLarge(rawHeaders: readonly string[]): boolean {
    let bytes = 0
    for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
      const name = rawHeaders[at]!
      if (this.#keys.has(name.toLowerCase())) bytes += name.length + rawHeaders[at + 1]!.length
    }
    return bytes > MAX_RECORD_HEADERS_BYTES
  }

  /**
   * The headers of an answer with one record, by names in small letters. A value that a header of HTTP cannot have is left
   * out, and what is beyond {@link MAX_RECORD_HEADERS_BYTES}.
   */
  ofRecord(headers: readonly RecordHeader[]): Readonly<Record<string, readonly string[]>> {
    let found: Record<string, string[]> | undefined
    let bytes = 0
    for (const { key, value } of headers) {
      const name = key.toLowerCase()
      if (value === null || !this.#keys.has(name)) continue
      const text = value.toString('latin1')
      bytes += name.length + text.length
      if (!FIELD_VALUE.test(text) || bytes > MAX_RECORD_HEADERS_BYTES) continue
      found ??= {}
      found[name] = [...(found[name] ?? []), text]
    }
    return found ?? NOTHING
  }
}

/** Source: RFC 9110, section 5.5. */
const FIELD_VALUE = /^(?:[\x21-\x7e\x80-\xff](?:[\t\x20-\x7e\x80-\xff]*[\x21-\x7e\x80-\xff])?)?$/

const isOfTrace = (key: string): boolean => key.toLowerCase() === TRACEPARENT || key.toLowerCase() === TRACESTATE

const PARENT = /^([\da-f]{2})-(?!0{32})[\da-f]{32}-(?!0{16})[\da-f]{16}-[\da-f]{2}(-.*)?$/

/** Version 00 has four parts; a later one may have more. */
export function isTraceparent(text: string): boolean {
  const [, version, more] = PARENT.exec(text) ?? []
  return version !== undefined && version !== 'ff' && (version !== '00' || more === undefined)
}

const CARRIED = Symbol('record headers')
type Carrying = IncomingMessage & { [CARRIED]?: RecordHeaders }

/** Makes headers of a request those of its records. Called by the server. */
export const carryRecordHeaders = (request: Carrying, headers: RecordHeaders): void => {
  request[CARRIED] = headers
}

/** The headers that a request adds to each of its records. */
export const recordHeadersOf = (request: Carrying): readonly RecordHeader[] =>
  request[CARRIED]?.ofRequest(request.rawHeaders, traceOf(request)?.fields()) ?? NONE

/** The headers of a record that an answer with this record alone has. */
export const returnedHeadersOf = (
  request: Carrying,
  headers: readonly RecordHeader[]
): Readonly<Record<string, readonly string[]>> => request[CARRIED]?.ofRecord(headers) ?? NOTHING
