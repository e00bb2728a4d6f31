import { ownText } from '../../core/own-text.js'
/** The head of a request: request line and headers. */
export interface Head {
  readonly method: string
  readonly url: string
  /** By name in lower case. */
  readonly headers: Record<string, string>
  /** Names as they were sent, each followed by its value. */
  readonly rawHeaders: string[]
  /** Length of the body. */
  readonly bodyBytes: number
  /** Position behind the head. */
  readonly endsAt: number
}

export interface HeadLimits {
  readonly maxHeaderBytes: number
  readonly maxHeaders: number
}

/**
 * The part of a head that only a complete HTTP server can judge: `requestLine`; `framing`, the headers that say how the
 * request is sent or what becomes of its connection; another `header`; or the `size` of the head.
 */
export type UnusualPart = 'requestLine' | 'framing' | 'header' | 'size'

/** Why no head was read. `incomplete`: all bytes so far are good, and more must come. Otherwise: its unusual part. */
export type NoHead = 'incomplete' | UnusualPart

const TAB = 9
const LF = 10
const CR = 13
const SPACE = 32
const HASH = 35
const SLASH = 47
const COLON = 58
const LAST_PRINTABLE = 126

const METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS']
const METHOD_BY_START = new Map(METHODS.map(method => [method.charCodeAt(0) * 256 + method.charCodeAt(1), method]))
const VERSION = ' HTTP/1.1\r\n'

/** Letters, digits and the hyphen: a subset of the characters of a name. */
const IS_NAME = new Uint8Array(256)
for (const character of 'abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-') {
  IS_NAME[character.charCodeAt(0)] = 1
}

/** Headers that change what follows, or that Node treats in a special way. */
const UNUSUAL: ReadonlySet<string> = new Set([
  'transfer-encoding',
  'expect',
  'trailer',
  'te',
  'proxy-connection',
  'set-cookie',
  // The names of properties that every object has.
  'constructor'
])

/** A length as it is sent, with the blanks around it: Node's parser refuses some lengths because of their blanks. */
const LENGTH = /^ *(?:0|[1-9]\d{0,14})$/
const BEGINNING_OF_LENGTH = /^ *(?:0|[1-9]\d{0,14})?$/
/** A websocket goes to Node. An offer of another protocol is ignored: Node's parser would lose the bytes behind it. */
const WEBSOCKET = /^[ \t]*w/i
const isUnusual = (key: string, value: string): boolean =>
  UNUSUAL.has(key) || (key === 'upgrade' && WEBSOCKET.test(value))

const KEPT_OPTIONS = ['keep-alive', 'upgrade', 'http2-settings']
const KEPT = new RegExp(`^ *(?:${KEPT_OPTIONS.join('|')})(?:, *(?:${KEPT_OPTIONS.join('|')}))*$`, 'i')
/** Options that have come in part. */
const mayBeKept = (options: string): boolean =>
  options.split(',').every(sent => KEPT_OPTIONS.some(kept => kept.startsWith(sent.replace(/^ */, '').toLowerCase())))

const MAX_KNOWN_NAMES = 256
const MAX_KNOWN_CHARACTERS = 64

/** Remembers names in lower case. Clients always spell a name alike, so a look-up replaces a new string. */
export class LowerCaseNames {
  readonly #known = new Map<string, string>()

  of(name: string): string {
    const known = this.#known.get(name)
    if (known !== undefined) return known
    const lowerCase = name.toLowerCase()
    // A client that invents names must not keep out the names of other clients for ever.
    if (this.#known.size === MAX_KNOWN_NAMES) this.#known.clear()
    if (name.length <= MAX_KNOWN_CHARACTERS) this.#known.set(ownText(name), ownText(lowerCase))
    return lowerCase
  }

  knows(name: string): boolean {
    return this.#known.has(name)
  }

  get size(): number {
    return this.#known.size
  }
}

const names = new LowerCaseNames()

/** Positions of the headers of the head that is being read: a name's first and last, its value's first and last. */
const MAX_FIELDS = 1_000
const fields = new Int32Array(4 * MAX_FIELDS)

/**
 * Reads the head of a request in a strict subset of HTTP/1.1: known methods, paths of printable ASCII, headers that
 * occur once, a length in plain digits, lines that end in CR LF. Everything else is unusual, at the first such byte.
 *
 * @param start position of the first byte
 */
export function readHead(bytes: Buffer, start: number, limits: HeadLimits): Head | NoHead {
  const end = Math.min(bytes.length, start + limits.maxHeaderBytes)
  const noMore: NoHead = end < bytes.length ? 'size' : 'incomplete'
  const method = methodAt(bytes, start, end)
  if (method === undefined) return 'requestLine'
  const urlAt = start + method.length + 1
  if (urlAt >= end) return noMore
  const urlEnd = urlEndOf(bytes, urlAt, end)
  if (urlEnd < 0 || !hasVersion(bytes, urlEnd, end)) return 'requestLine'
  const fieldsAt = urlEnd + VERSION.length
  if (fieldsAt >= end) return noMore
  const endsAt = scanFields(bytes, fieldsAt, end, Math.min(limits.maxHeaders, MAX_FIELDS))
  if (endsAt === UNUSUAL_FIELD) return 'header'
  if (endsAt === NO_MORE) return unusualBeginning(bytes.toString('latin1', start, end), start) ?? noMore
  const text = bytes.toString('latin1', start, endsAt)
  return toHead(bytes, text, start, method, partOf(bytes, text, start, urlAt, urlEnd), endsAt)
}

/** The method, or the only one that can begin with the bytes that have arrived; `undefined`: it is unusual. */
function methodAt(bytes: Buffer, start: number, end: number): string | undefined {
  const method =
    start + 1 < end
      ? METHOD_BY_START.get(bytes[start]! * 256 + bytes[start + 1]!)
      : METHODS.find(one => one.charCodeAt(0) === bytes[start])
  if (method === undefined) return undefined
  const length = Math.min(method.length, end - start)
  for (let i = 2; i < length; i++) if (bytes[start + i] !== method.charCodeAt(i)) return undefined
  return start + length < end && bytes[start + length] !== SPACE ? undefined : method
}

/** Position behind the URL, or behind the part of it that has arrived; negative: it is not a plain path. */
function urlEndOf(bytes: Buffer, start: number, end: number): number {
  if (bytes[start] !== SLASH) return -1
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    if (byte === SPACE) return at
    if (byte < SPACE || byte > LAST_PRINTABLE || byte === HASH) return -1
  }
  return end
}

/** Whether the request line ends with {@link VERSION}, or has arrived only in part and may still end so. */
function hasVersion(bytes: Buffer, start: number, end: number): boolean {
  const length = Math.min(VERSION.length, end - start)
  for (let i = 0; i < length; i++) if (bytes[start + i] !== VERSION.charCodeAt(i)) return false
  return true
}

const NO_MORE = -1
const UNUSUAL_FIELD = -2
let fieldCount = 0
/** Whether the name of the last header has arrived, but not its whole value. */
let hasPartialField = false

/** Finds the headers. @returns the position behind the empty line that ends them, or why there is none */
function scanFields(bytes: Buffer, start: number, end: number, maxFields: number): number {
  let at = start
  for (fieldCount = 0; ; fieldCount++) {
    hasPartialField = false
    const nameAt = at
    while (at < end && IS_NAME[bytes[at]!] === 1) at++
    if (at >= end) return NO_MORE
    if (at === nameAt) return endOfFields(bytes, at, end)
    if (bytes[at] !== COLON || fieldCount >= maxFields) return UNUSUAL_FIELD
    const field = 4 * fieldCount
    fields[field] = nameAt
    fields[field + 1] = at
    hasPartialField = true
    at++
    while (at < end && isBlank(bytes[at]!)) at++
    const valueAt = at
    while (at < end && isText(bytes[at]!)) at++
    let valueEnd = at
    while (valueEnd > valueAt && isBlank(bytes[valueEnd - 1]!)) valueEnd--
    fields[field + 2] = valueAt
    fields[field + 3] = valueEnd
    if (at >= end) return NO_MORE
    if (bytes[at] !== CR) return UNUSUAL_FIELD
    if (at + 1 >= end) return NO_MORE
    if (bytes[at + 1] !== LF) return UNUSUAL_FIELD
    at += 2
  }
}

function endOfFields(bytes: Buffer, at: number, end: number): number {
  if (bytes[at] !== CR) return UNUSUAL_FIELD
  if (at + 1 >= end) return NO_MORE
  return bytes[at + 1] === LF ? at + 2 : UNUSUAL_FIELD
}

const isBlank = (byte: number): boolean => byte === SPACE || byte === TAB
const isText = (byte: number): boolean => (byte >= SPACE && byte <= LAST_PRINTABLE) || byte === TAB

/** Parts of a longer head are copied: a name that is remembered would keep all of it in memory, as V8 cuts without copying. */
const MAX_SHARED_CHARACTERS = 1_024

const partOf = (bytes: Buffer, text: string, start: number, from: number, to: number): string =>
  text.length > MAX_SHARED_CHARACTERS ? bytes.toString('latin1', from, to) : text.slice(from - start, to - start)

/** @param start position of the first character of the text */
function toHead(
  bytes: Buffer,
  text: string,
  start: number,
  method: string,
  url: string,
  endsAt: number
): Head | UnusualPart {
  const headers: Record<string, string> = {}
  const rawHeaders: string[] = []
  let bodyBytes = 0
  for (let i = 0; i < fieldCount; i++) {
    const field = 4 * i
    const name = partOf(bytes, text, start, fields[field]!, fields[field + 1]!)
    const value = partOf(bytes, text, start, fields[field + 2]!, fields[field + 3]!)
    const key = names.of(name)
    if (isUnusual(key, value)) return 'framing'
    if (headers[key] !== undefined) return 'header'
    if (key === 'content-length') {
      if (!LENGTH.test(sentValue(text, start, i))) return 'framing'
      bodyBytes = Number(value)
    } else if (key === 'connection' && !KEPT.test(sentValue(text, start, i))) return 'framing'
    headers[key] = value
    rawHeaders.push(name, value)
  }
  if (headers['host'] === undefined) return 'header'
  return { method, url, headers, rawHeaders, bodyBytes, endsAt }
}

/** The value of a complete header, with the blanks around it. */
function sentValue(text: string, start: number, i: number): string {
  const at = fields[4 * i + 1]! + 1 - start
  return text.slice(at, text.indexOf('\r', at))
}

/** The header that Node has to judge in an incomplete head whose bytes are all good. */
function unusualBeginning(text: string, start: number): UnusualPart | undefined {
  const seen = new Set<string>()
  const count = fieldCount + (hasPartialField ? 1 : 0)
  for (let i = 0; i < count; i++) {
    const key = names.of(text.slice(fields[4 * i]! - start, fields[4 * i + 1]! - start))
    const [value] = text.slice(fields[4 * i + 1]! + 1 - start).split('\r')
    if (isUnusual(key, value!)) return 'framing'
    if (seen.has(key)) return 'header'
    seen.add(key)
    if (key === 'content-length' && !(i < fieldCount ? LENGTH : BEGINNING_OF_LENGTH).test(value!)) return 'framing'
    if (key === 'connection' && !mayBeKept(value!)) return 'framing'
  }
  return undefined
}
