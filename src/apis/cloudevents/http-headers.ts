import { isUtf8 } from 'node:buffer'
import { type Attributes, isLegalText, nameDefect, quoted, type Report } from './attributes.js'

/** The names of headers for attributes begin so. */
const PREFIX = 'ce-'

/**
 * Reads the attributes of an event in binary mode from the headers of its message; `Content-Type` is `datacontenttype`.
 *
 *   ce-id: 7          => id: 7
 *   ce-subject: a%20b => subject: a b
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
  const { value, problem } = decodeValue(text)
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
 *   "a \"b\"" => a "b"     Euro%20%E2%82%AC => Euro €     %2525 => %25
 *
 * Source: HTTP protocol binding 1.0.2, section 3.1.3.2.
 */
export function decodeValue(text: string): Decoded {
  if (!PRINTABLE.test(text)) return { problem: 'has bytes that are not printable ASCII: write them as %XX' }
  const unquoted = text.includes('"') ? unquote(text) : text
  if (unquoted === undefined) return { problem: 'has a quote that is not closed' }
  if (!unquoted.includes('%')) return { value: unquoted }
  if (BAD_ESCAPE.test(unquoted)) return { problem: 'has a % without two hexadecimal digits: write % as %25' }
  const bytes = Buffer.from(
    unquoted.replace(/%(..)/g, (_, digits: string) => fromHex(digits)),
    'latin1'
  )
  if (!isUtf8(bytes)) return { problem: 'has escapes that are not valid UTF-8' }
  const value = bytes.toString()
  return isLegalText(value) ? { value } : { problem: 'has characters that are not allowed, such as control characters' }
}

const fromHex = (digits: string): string => String.fromCharCode(Number.parseInt(digits, 16))

/** Source: RFC 7230, section 3.2.6. @returns `undefined`: the end of a quoted text is missing */
function unquote(text: string): string | undefined {
  let isQuoted = false
  let unquoted = ''
  for (let at = 0; at < text.length; at++) {
    const character = text[at]!
    if (character === '"') isQuoted = !isQuoted
    else if (character === '\\' && isQuoted) {
      if (++at === text.length) return undefined
      unquoted += text[at]
    } else unquoted += character
  }
  return isQuoted ? undefined : unquoted
}

/** Space, quote, percent sign, and everything that is not printable ASCII. */
const ENCODED = /[^\x21\x23\x24\x26-\x7e]/gu

/** Encodes the value of a header. Source: HTTP protocol binding 1.0.2, section 3.1.3.2. */
export const encodeValue = (value: string): string => value.replace(ENCODED, encodeURIComponent)

/** The header of an attribute. */
export const headerOf = (name: string): string => PREFIX + name
