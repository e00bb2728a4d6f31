import { isUtf8 } from 'node:buffer'
import { type Attributes, isLegalText, isUriOf, nameDefect, quoted, type Report } from './attributes.js'

/** The names of headers for attributes begin so. */
const PREFIX = 'ce-'

/**
 * Reads the attributes of an event in binary mode from the headers of its message; `Content-Type` is `datacontenttype`.
 *
 *   ce-id: 7          => id: 7
 *   ce-subject: a%20b => subject: a b
 *   ce-source: /a%20b => source: /a%20b
 *
 * Source: HTTP protocol binding 1.0.2, section 3.1.
 *
 * @param rawHeaders names and values in turn, as Node has them: one character for each byte
 */
export function readHeaders(rawHeaders: readonly string[], report: Report): Attributes {
  const attributes = new Map<string, string>()
  const names = new Set<string>()
  let contentType: string | undefined
  for (let at = 0; at + 1 < rawHeaders.length; at += 2) {
    const header = rawHeaders[at]!.toLowerCase()
    const isType = header === 'content-type'
    if (!isType && !header.startsWith(PREFIX)) continue
    if (names.has(header)) report(`the header ${quoted(header)} occurs more than once`)
    names.add(header)
    if (isType) contentType = rawHeaders[at + 1]!
    else readHeader(header.slice(PREFIX.length), rawHeaders[at + 1]!, attributes, report)
  }
  if (contentType !== undefined) attributes.set('datacontenttype', contentType)
  return attributes
}

function readHeader(name: string, text: string, attributes: Map<string, string>, report: Report): void {
  const defect = name === 'datacontenttype' ? 'the header ce-datacontenttype has to be Content-Type' : nameDefect(name)
  if (defect !== undefined) {
    report(defect)
    return
  }
  const { value, problem } = isUriOf(name, text) ? { value: text } : decodeValue(text)
  if (problem !== undefined) report(`the header ce-${name} ${problem}`)
  else attributes.set(name, value)
}

type Decoded =
  | { readonly value: string; readonly problem?: undefined }
  | { readonly value?: undefined; readonly problem: string }

const PRINTABLE = /^[\x20-\x7e]*$/
const BAD_ESCAPE = /%(?![\da-f]{2})/i

/**
 * Decodes the value of a header: first quotes, then percent signs, once.
 *
 *   "a \"b\"" => a "b"     Euro%20%E2%82%AC => Euro €     %2525 => %25     100% => 100%
 *
 * Official SDKs send values as they are. So a text with a percent sign that begins no escape was not encoded, and quotes
 * count where they enclose the whole value.
 *
 * Source: HTTP protocol binding 1.0.2, section 3.1.3.2.
 */
export function decodeValue(text: string): Decoded {
  if (!PRINTABLE.test(text)) return { problem: 'has bytes that are not printable ASCII: write them as %XX' }
  const unquoted = unquote(text)
  if (!unquoted.includes('%') || BAD_ESCAPE.test(unquoted)) return { value: unquoted }
  const bytes = Buffer.from(
    unquoted.replace(/%(..)/g, (_, digits: string) => fromHex(digits)),
    'latin1'
  )
  if (!isUtf8(bytes)) return { problem: 'has escapes that are not valid UTF-8' }
  const value = bytes.toString()
  return isLegalText(value) ? { value } : { problem: 'has characters that are not allowed, such as control characters' }
}

const fromHex = (digits: string): string => String.fromCharCode(Number.parseInt(digits, 16))

/** The text of a quoted string; others stay as they are. Source: RFC 7230, section 3.2.6. */
function unquote(text: string): string {
  if (text.length < 2 || !text.startsWith('"') || !text.endsWith('"')) return text
  const inner = text.slice(1, -1)
  const isWhole = !/["\\]/.test(inner.replace(/\\./g, ''))
  return isWhole ? inner.replace(/\\(.)/g, '$1') : text
}

/** Space, quote, percent sign, and everything that is not printable ASCII. */
const ENCODED = /[^\x21\x23\x24\x26-\x7e]/gu

/** Encodes the value of a header. Source: HTTP protocol binding 1.0.2, section 3.1.3.2. */
export const encodeValue = (value: string): string => value.replace(ENCODED, encodeURIComponent)

/** The value of the header of an attribute: as it is where that can be read back, because official SDKs do not decode. */
export const headerValue = (name: string, value: string): string =>
  isUriOf(name, value) || (value === value.trim() && decodeValue(value).value === value) ? value : encodeValue(value)

export const headerOf = (name: string): string => PREFIX + name
