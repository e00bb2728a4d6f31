import { METHODS } from 'node:http'
import { ownText } from '../../core/own-text.js'

/** Why bytes are no request, as the status of the answer. */
export type Malformed = '400 Bad Request' | '413 Payload Too Large' | '431 Request Header Fields Too Large'

export interface RequestHead {
  readonly method: string
  readonly url: string
  readonly httpVersion: string
  /** By name in lower case, joined as Node joins headers that occur several times. */
  readonly headers: Record<string, string | string[]>
  /** The headers as they were sent; {@link rawHeadersOf} reads them for the few that ask. */
  readonly lines: string
  /** Length of the body, unless it comes in chunks. */
  readonly bodyBytes: number
  readonly isChunked: boolean
  readonly mayStayOpen: boolean
  readonly isUpgrade: boolean
  /** Whether the client waits for `100 Continue`. */
  readonly isWaiting: boolean
  /** Status of the answer to a head that a server must refuse; absent: it is a good one. */
  readonly refusal: 400 | 405 | 417 | 431 | 505 | undefined
  readonly endsAt: number
}

export interface HeadLimits {
  readonly maxHeaderBytes: number
  readonly maxHeaders: number
}

/** Why no head was read. `incomplete`: all bytes so far are good, and more must come. */
export type NoHead = 'incomplete' | Malformed

const BAD = '400 Bad Request'
const TOO_LARGE = '431 Request Header Fields Too Large'

/** A head may have so many bytes that do not count, such as blanks. */
const MAX_UNCOUNTED_BYTES = 8 * 1024

const TAB = 9
const LF = 10
const CR = 13
const SPACE = 32
const STAR = 42
const SLASH = 47
const COLON = 58
const LAST_PRINTABLE = 126

const USUAL_METHODS = ['GET', 'POST', 'PUT', 'HEAD', 'DELETE', 'PATCH', 'OPTIONS']
const METHOD_BY_START = new Map(USUAL_METHODS.map(one => [one.charCodeAt(0) * 256 + one.charCodeAt(1), one]))
const MAX_METHOD_BYTES = Math.max(...METHODS.map(({ length }) => length))
const VERSION = ' HTTP/1.1\r\n'
const VERSION_LINE = /^ *HTTP\/(0\.9|1\.[01]|2\.0)\r\n/
const BEGINNING_OF_VERSION = /^ *(?:H?|HT|HTT|HTTP|HTTP\/\d?|HTTP\/\d\.|HTTP\/(?:0\.9|1\.[01]|2\.0)\r?)$/

const SERVER = "(?:[\\w!$%&'()*+,\\-.:;=[\\]~]|@(?!@))"
/** A whole URL, or the address of a CONNECT. */
const WHOLE_URL = new RegExp(`^[a-z]+://${SERVER}*(?:[/?].*)?$`, 'i')
const BEGINNING_OF_URL = new RegExp(`^[a-z]+(?::/?|://${SERVER}*(?:[/?].*)?)?$`, 'i')
const ADDRESS = new RegExp(`^${SERVER}*(?:[/?].*)?$`)

export const IS_TOKEN = new Uint8Array(256)
for (const character of "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789!#$%&'*+-.^_`|~") {
  IS_TOKEN[character.charCodeAt(0)] = 1
}

const CONNECT = 'CONNECT'
const COOKIES = 'set-cookie'
const OLDEST = '0.9'

/** Headers that say how a request is sent, what becomes of its connection, or that must not occur twice. */
type Special = 'length' | 'coding' | 'connection' | 'upgrade' | 'host' | 'authorization'
const SPECIAL: ReadonlyMap<string, Special> = new Map([
  ['content-length', 'length'],
  ['transfer-encoding', 'coding'],
  ['connection', 'connection'],
  ['proxy-connection', 'connection'],
  ['upgrade', 'upgrade'],
  ['host', 'host'],
  ['authorization', 'authorization']
])

/** A length with the blanks around it: Node's parser refuses some lengths because of their blanks. */
const LENGTH = /^[ \t]*\d+ *$/
const BEGINNING_OF_LENGTH = /^[ \t]*(?:\d+ *)?$/
const MAX_LENGTH = String(2n ** 64n - 1n)
const BLANK = /^[ \t]*$/
const CHUNKED = /^chunked *$/i
const CONTINUE = /(?:^|\W)100-continue(?:$|\W)/i
const optionOf = (option: string): RegExp => new RegExp(`(?:^|,)[ \\t]*${option} *(?=,|$)`, 'i')
const CLOSE = optionOf('close')
const KEEP_ALIVE = optionOf('keep-alive')
const UPGRADE = optionOf('upgrade')

/** Headers of which Node ignores all but the first. */
const FIRST_ONLY: ReadonlySet<string> = new Set([
  ...['age', 'authorization', 'content-length', 'content-type', 'etag', 'expires', 'from', 'host', 'if-modified-since'],
  ...['if-unmodified-since', 'last-modified', 'location', 'max-forwards', 'proxy-authorization', 'referer'],
  ...['retry-after', 'server', 'user-agent']
])

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

const NO_MORE = -1
const MALFORMED = -2
const OVERFLOW = -3

/** The headers of a head that is being read, and what they say of the body. It is used for one head after another. */
class HeaderScan {
  /** Four positions per header: first and last of its name, first and last of its value. */
  positions = new Int32Array(4 * 128)
  /** Headers that have arrived whole, and those of which the name has. */
  count = 0
  begun = 0
  hasLength = false
  isCoded = false
  isChunked = false
  bodyBytes = 0

  /**
   * Finds the headers.
   *
   * @param maxBytes limit of their names and values
   * @returns the position behind the empty line that ends them, or why there is none
   */
  find(bytes: Buffer, start: number, end: number, maxBytes: number): number {
    this.hasLength = this.isCoded = this.isChunked = false
    this.bodyBytes = 0
    let { positions } = this
    let at = start
    let left = maxBytes
    for (this.count = 0; ; this.count++) {
      this.begun = this.count
      const nameAt = at
      while (at < end && IS_TOKEN[bytes[at]!] === 1) at++
      if (at === nameAt && at < end) return endOfFields(bytes, at, end)
      // Node's parser counts what has ended well, or came last.
      if (at < end && bytes[at] !== COLON) return MALFORMED
      left -= at - nameAt
      if (left <= 0) return OVERFLOW
      if (at >= end) return NO_MORE
      const field = 4 * this.count
      if (field === positions.length) positions = this.#grow()
      positions[field] = nameAt
      positions[field + 1] = at
      this.begun++
      at++
      while (at < end && isBlank(bytes[at]!)) at++
      const valueAt = at
      while (at < end && isText(bytes[at]!)) at++
      left -= at - valueAt
      let valueEnd = at
      while (valueEnd > valueAt && isBlank(bytes[valueEnd - 1]!)) valueEnd--
      positions[field + 2] = valueAt
      positions[field + 3] = valueEnd
      if (left <= 0) return OVERFLOW
      if (at >= end) return NO_MORE
      if (bytes[at] !== CR) return MALFORMED
      if (at + 1 >= end) return NO_MORE
      if (bytes[at + 1] !== LF) return MALFORMED
      at += 2
    }
  }

  #grow(): Int32Array<ArrayBuffer> {
    const larger = new Int32Array(2 * this.positions.length)
    larger.set(this.positions)
    this.positions = larger
    return larger
  }

  /** The value of a header with the blanks around it, as far as it has come. @param start position of the first character */
  sentValue(text: string, start: number, i: number): string {
    const at = this.positions[4 * i + 1]! + 1 - start
    const end = text.indexOf('\r', at)
    return end < 0 ? text.slice(at) : text.slice(at, end)
  }

  /**
   * Notes a length or a coding. @returns whether it agrees with earlier ones
   *
   * @param sent the value with the blanks around it, or the part that has arrived
   */
  noteFraming(special: Special, sent: string, isWhole: boolean): boolean {
    if (special === 'length') {
      if (this.hasLength || this.isCoded || !(isWhole ? LENGTH : BEGINNING_OF_LENGTH).test(sent)) return false
      this.hasLength = true
      this.bodyBytes = Number(sent)
      if (this.bodyBytes <= Number.MAX_SAFE_INTEGER) return true
      const digits = sent.trim().replace(/^0+/, '')
      return digits.length <= MAX_LENGTH.length && digits.padStart(MAX_LENGTH.length, '0') <= MAX_LENGTH
    }
    if (special !== 'coding') return true
    if (this.hasLength || this.isChunked || BLANK.test(sent)) return false
    const codings = sent.replace(/^[ \t]+/, '').split(/,[ \t]*/)
    this.isCoded = true
    this.isChunked = CHUNKED.test(codings.pop()!)
    return !codings.some(coding => CHUNKED.test(coding))
  }
}

/** Heads are read in one piece, so one object serves all connections. */
const ofAll = new HeaderScan()

/**
 * Reads the head of a request as Node's parser does: the same heads are good, and others are refused at the same byte.
 *
 * @param start position of the first byte
 */
export function readHead(bytes: Buffer, start: number, limits: HeadLimits, scan = ofAll): RequestHead | NoHead {
  const end = bytes.length
  const noMore = end - start > limits.maxHeaderBytes + MAX_UNCOUNTED_BYTES ? TOO_LARGE : 'incomplete'
  const method = methodAt(bytes, start, end)
  if (method === undefined) return BAD
  let urlAt = start + method.length + 1
  while (urlAt < end && bytes[urlAt] === SPACE) urlAt++
  if (urlAt >= end) return noMore
  const urlEnd = urlEndOf(bytes, urlAt, end)
  if (urlEnd < 0 || !isUrl(bytes, method, urlAt, urlEnd)) return BAD
  if (urlEnd - urlAt >= limits.maxHeaderBytes) return TOO_LARGE
  let [httpVersion, fieldsAt] = ['1.1', urlEnd + VERSION.length]
  if (!hasVersion(bytes, urlEnd, end)) {
    const found = versionAt(bytes, urlEnd, end)
    if (found === undefined) return BAD
    ;[httpVersion, fieldsAt] = found
  }
  if (fieldsAt >= end) return noMore
  const endsAt = scan.find(bytes, fieldsAt, end, limits.maxHeaderBytes - (urlEnd - urlAt))
  if (endsAt === MALFORMED) return BAD
  // One that will be refused is not worth a look at thousands of headers with each piece of it.
  const isRefused = scan.count > limits.maxHeaders
  if (endsAt < 0 && !isRefused && !isGoodBeginning(scan, bytes.toString('latin1', start, end), start)) return BAD
  if (endsAt < 0) return endsAt === OVERFLOW ? TOO_LARGE : noMore
  const url = bytes.toString('latin1', urlAt, urlEnd)
  return toHead(scan, bytes, fieldsAt, { method, url, httpVersion, endsAt }, limits.maxHeaders)
}

/**
 * Reads the headers behind the last chunk of a body, and forgets them.
 *
 * @returns the position behind them
 */
export function readTrailers(bytes: Buffer, { maxHeaderBytes }: HeadLimits, scan = ofAll): number | NoHead {
  const endsAt = scan.find(bytes, 0, bytes.length, maxHeaderBytes)
  if (endsAt === MALFORMED) return BAD
  if (endsAt === OVERFLOW) return TOO_LARGE
  const text = bytes.toString('latin1', 0, endsAt === NO_MORE ? bytes.length : endsAt)
  for (let i = 0; i < scan.begun; i++) {
    const part = SPECIAL.get(names.of(text.slice(scan.positions[4 * i], scan.positions[4 * i + 1])))
    if (part === 'length' || (part === 'coding' && !BLANK.test(scan.sentValue(text, 0, i)))) return BAD
  }
  if (endsAt !== NO_MORE) return endsAt
  return bytes.length > maxHeaderBytes + MAX_UNCOUNTED_BYTES ? TOO_LARGE : 'incomplete'
}

/** The method, or one that can begin with the bytes that have arrived; `undefined`: there is none. */
function methodAt(bytes: Buffer, start: number, end: number): string | undefined {
  if (start + 1 < end) {
    const usual = METHOD_BY_START.get(bytes[start]! * 256 + bytes[start + 1]!)
    if (usual !== undefined && isMethodAt(bytes, start, end, usual)) return usual
  }
  const text = bytes.toString('latin1', start, Math.min(end, start + MAX_METHOD_BYTES + 1))
  return METHODS.find(one => `${one} `.startsWith(text.slice(0, one.length + 1)))
}

function isMethodAt(bytes: Buffer, start: number, end: number, method: string): boolean {
  const length = Math.min(method.length, end - start)
  for (let i = 2; i < length; i++) if (bytes[start + i] !== method.charCodeAt(i)) return false
  return start + length >= end || bytes[start + length] === SPACE
}

/** Position behind the URL, or behind the part of it that has arrived; negative: it contains a byte that no URL has. */
function urlEndOf(bytes: Buffer, start: number, end: number): number {
  for (let at = start; at < end; at++) {
    const byte = bytes[at]!
    if (byte === SPACE || byte === CR || byte === LF) return at
    if (byte < SPACE || byte > LAST_PRINTABLE) return -1
  }
  return end
}

/** Whether it is a path, a whole URL, the address of a CONNECT, or the beginning of one. */
function isUrl(bytes: Buffer, method: string, start: number, end: number): boolean {
  const first = bytes[start]
  if (method !== CONNECT && (first === SLASH || first === STAR)) return true
  const text = bytes.toString('latin1', start, end)
  if (method === CONNECT) return ADDRESS.test(text)
  return (end < bytes.length ? WHOLE_URL : BEGINNING_OF_URL).test(text)
}

/** Whether the request line ends with {@link VERSION}, or has arrived only in part and may still end so. */
function hasVersion(bytes: Buffer, start: number, end: number): boolean {
  const length = Math.min(VERSION.length, end - start)
  for (let i = 0; i < length; i++) if (bytes[start + i] !== VERSION.charCodeAt(i)) return false
  return true
}

/** The version after a URL, and the place where the headers begin; `undefined`: there is no version. */
function versionAt(bytes: Buffer, start: number, end: number): [version: string, fieldsAt: number] | undefined {
  if (bytes[start] === LF) return [OLDEST, start + 1]
  if (bytes[start] === CR) return start + 1 >= end || bytes[start + 1] === LF ? [OLDEST, start + 2] : undefined
  let at = start
  while (at < end && bytes[at] === SPACE) at++
  const text = bytes.toString('latin1', at, Math.min(end, at + VERSION.length))
  const [line, version] = VERSION_LINE.exec(text) ?? []
  if (version !== undefined) return [version, at + line!.length]
  return BEGINNING_OF_VERSION.test(text) ? [OLDEST, end] : undefined
}

function endOfFields(bytes: Buffer, at: number, end: number): number {
  if (bytes[at] !== CR) return MALFORMED
  if (at + 1 >= end) return NO_MORE
  return bytes[at + 1] === LF ? at + 2 : MALFORMED
}

const isBlank = (byte: number): boolean => byte === SPACE || byte === TAB
/** Whether a value may have the byte, or a quoted text. */
export const isText = (byte: number): boolean =>
  (byte >= SPACE && byte <= LAST_PRINTABLE) || byte === TAB || byte > LAST_PRINTABLE + 1

/** Parts of a longer head are copied: a name that is remembered would keep all of it in memory, as V8 cuts without copying. */
const MAX_SHARED_CHARACTERS = 1_024

const partOf = (bytes: Buffer, text: string, start: number, from: number, to: number): string =>
  text.length > MAX_SHARED_CHARACTERS ? bytes.toString('latin1', from, to) : text.slice(from - start, to - start)

/** @param start position of the first header */
function toHead(
  scan: HeaderScan,
  bytes: Buffer,
  start: number,
  line: Pick<RequestHead, 'method' | 'url' | 'httpVersion' | 'endsAt'>,
  maxHeaders: number
): RequestHead | Malformed {
  const { method, url, httpVersion, endsAt } = line
  const isModern = httpVersion === '1.1'
  const text = bytes.toString('latin1', start, endsAt)
  const headers: RequestHead['headers'] = {}
  let [hosts, credentials] = [0, 0]
  let [isClosing, isKept, isUpgrading, isOffered] = [false, false, false, false]
  const { count, positions } = scan
  for (let i = 0; i < count; i++) {
    const field = 4 * i
    const name = partOf(bytes, text, start, positions[field]!, positions[field + 1]!)
    const value = partOf(bytes, text, start, positions[field + 2]!, positions[field + 3]!)
    const key = names.of(name)
    const special = SPECIAL.get(key)
    if (special === 'host') hosts++
    else if (special === 'authorization') credentials++
    else if (special === 'upgrade') isOffered ||= value !== ''
    else if (special === 'connection' && !(isModern && value === 'keep-alive')) {
      const options = scan.sentValue(text, start, i)
      isClosing ||= CLOSE.test(options)
      isKept ||= KEEP_ALIVE.test(options)
      isUpgrading ||= UPGRADE.test(options)
    } else if (special !== undefined && !scan.noteFraming(special, scan.sentValue(text, start, i), true)) return BAD
    if (headers[key] === undefined && key !== COOKIES) headers[key] = value
    else addAgain(headers, key, value)
  }
  if (scan.isCoded && !scan.isChunked) return BAD
  const isWaiting = isModern && CONTINUE.test(String(headers['expect'] ?? ''))
  let refusal: RequestHead['refusal']
  if (method === CONNECT) refusal = 405
  else if (isModern && headers['expect'] !== undefined && !isWaiting) refusal = 417
  else if (!isModern && httpVersion !== '1.0') refusal = 505
  else if (count > maxHeaders) refusal = 431
  else if (hosts > 1 || credentials > 1 || (hosts === 0 && isModern)) refusal = 400
  return {
    method,
    url,
    httpVersion,
    headers,
    lines: text,
    bodyBytes: scan.bodyBytes,
    isChunked: scan.isChunked,
    mayStayOpen: isModern ? !isClosing : isKept,
    isUpgrade: isModern && isOffered && isUpgrading,
    isWaiting,
    refusal,
    endsAt
  }
}

/** Tells whether a header is wanted, whose name begins there in the text. */
export type IsWanted = (text: string, from: number) => boolean

/** Names as they were sent, each followed by its value. @param lines of a head that was read */
export function rawHeadersOf(lines: string, isWanted: IsWanted = () => true): string[] {
  let raw: string[] | undefined
  for (let from = 0; from < lines.length; ) {
    const found = lines.indexOf('\r\n', from)
    const end = found < 0 ? lines.length : found
    const colon = isWanted(lines, from) ? lines.indexOf(':', from) : -1
    if (colon >= 0 && colon < end) {
      let [first, last] = [colon + 1, end]
      while (first < last && isBlank(lines.charCodeAt(first))) first++
      while (last > first && isBlank(lines.charCodeAt(last - 1))) last--
      const [name, value] = [lines.slice(from, colon), lines.slice(first, last)]
      // A list that is created with its first elements has space for these; a first push would reserve space for 17.
      if (raw === undefined) raw = [name, value]
      else raw.push(name, value)
    }
    from = end + 2
  }
  return raw ?? []
}

/** Adds a header of a name that was there before, or that every object has, as Node does. */
function addAgain(headers: RequestHead['headers'], key: string, value: string): void {
  const before = headers[key]
  if (key === COOKIES) headers[key] = [...((before as string[] | undefined) ?? []), value]
  else if (typeof before !== 'string') headers[key] = value
  else if (!FIRST_ONLY.has(key)) headers[key] = `${before}${key === 'cookie' ? '; ' : ', '}${value}`
}

/** Whether an incomplete head whose bytes are all good can become a good one. */
function isGoodBeginning(scan: HeaderScan, text: string, start: number): boolean {
  const { positions } = scan
  for (let i = 0; i < scan.begun; i++) {
    const special = SPECIAL.get(names.of(text.slice(positions[4 * i]! - start, positions[4 * i + 1]! - start)))
    const sent = scan.sentValue(text, start, i)
    const isWhole = i < scan.count
    // A blank in the next line would go on with the value, and is refused as such.
    const isLast = positions[4 * i + 1]! - start + sent.length + 3 >= text.length
    if ((special === 'length' && scan.isCoded) || (special === 'coding' && scan.hasLength)) return false
    if (special !== undefined && !(isLast && BLANK.test(sent)) && !scan.noteFraming(special, sent, isWhole))
      return false
  }
  return true
}
