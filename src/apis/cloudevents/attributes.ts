import { isUtf8 } from 'node:buffer'

export type Report = (defect: string) => void

/** The attributes of an event in their canonical text, in the order sent. An attribute that is not set is absent. */
export type Attributes = ReadonlyMap<string, string>

const SPEC_VERSION = '1.0'

const REQUIRED = ['specversion', 'id', 'source', 'type'] as const

/** Attributes whose values are strings in JSON, too. */
export const STRINGS: ReadonlySet<string> = new Set([
  ...REQUIRED,
  'datacontenttype',
  'dataschema',
  'subject',
  'time',
  'partitionkey'
])

const LEGAL_NAME = /^[a-z0-9]+$/

/** Why an attribute cannot have this name; `undefined`: it can. Source: CloudEvents 1.0.2, Naming Conventions. */
export function nameDefect(name: string): string | undefined {
  if (name === 'data') return '"data" cannot be the name of an attribute'
  if (LEGAL_NAME.test(name)) return undefined
  return `${quoted(name)} cannot be the name of an attribute: it has other characters than a-z and 0-9`
}

/** A name of a client in an error. */
export const quoted = (name: string): string => JSON.stringify(name.length <= 40 ? name : `${name.slice(0, 40)}…`)

/** Controls, and code points that are no characters. Source: CloudEvents 1.0.2, Type System, String. */
const DISALLOWED = /\p{Cc}|\p{Cs}|\p{Noncharacter_Code_Point}/u

export const isLegalText = (text: string): boolean => !DISALLOWED.test(text)

/** Reports attributes that are missing, and values that have another form than the specification demands. */
export function checkAttributes(attributes: Attributes, report: Report): void {
  checkRequired(attributes, report)
  const version = attributes.get('specversion')
  if (version !== undefined && version !== '' && version !== SPEC_VERSION) {
    report(`specversion ${quoted(version)} is not known: it has to be ${SPEC_VERSION}`)
  }
  for (const [name, { isValid, form }] of FORMS) {
    const value = attributes.get(name)
    if (value === undefined) continue
    // An empty source has been reported.
    if (value === '') {
      if (name !== 'source') report(`${name} is empty`)
    } else if (!isValid(value)) report(`${name} ${quoted(value)} is not ${form}`)
  }
}

/** Reports required attributes that are missing. @returns whether there are any */
function checkRequired(attributes: Attributes, report: Report): boolean {
  let isComplete = true
  for (const name of REQUIRED) {
    const value = attributes.get(name)
    if (value !== undefined && value !== '') continue
    report(value === undefined ? `${name} is missing` : `${name} is empty`)
    isComplete = false
  }
  return isComplete
}

/** Whether a record that was read is an event of the known version; the form of optional attributes does not matter. */
export const isComplete = (attributes: Attributes): boolean =>
  attributes.get('specversion') === SPEC_VERSION && checkRequired(attributes, () => undefined)

interface Form {
  readonly isValid: (value: string) => boolean
  /** Follows "is not". */
  readonly form: string
}

const anyText = (): boolean => true

/** A media type with parameters. Source: RFC 2045, section 5.1. */
const TOKEN = "[!#$%&'*+.^_`|~\\w-]+"
const QUOTED = '"(?:[ !#-[\\]-~]|\\\\[ -~])*"'
const MEDIA_TYPE = new RegExp(`^${TOKEN}/${TOKEN}(?:[ \\t]*;(?:[ \\t]*${TOKEN}=(?:${TOKEN}|${QUOTED}))?)*[ \\t]*$`)

const FORMS: ReadonlyMap<string, Form> = new Map([
  ['source', { isValid: isUriReference, form: 'a URI reference (RFC 3986)' }],
  // The specification demands an absolute URI. Azure Event Grid sends "#", and drops an event that is refused for it.
  ['dataschema', { isValid: anyText, form: 'a text' }],
  ['datacontenttype', { isValid: value => MEDIA_TYPE.test(value), form: 'a media type (RFC 2046)' }],
  ['subject', { isValid: anyText, form: 'a text' }],
  ['partitionkey', { isValid: anyText, form: 'a text' }],
  ['time', { isValid: isTimestamp, form: 'a time as 2018-04-05T17:31:00Z (RFC 3339)' }]
])

/** Whether a value is the URI that its attribute should be. Percent signs are part of a URI; in a text they encode characters. */
const isUriOf = (name: string, value: string): boolean =>
  (name === 'source' && isUriReference(value)) || (name === 'dataschema' && isUri(value))

/** The parts of any URI reference. Source: RFC 3986, appendix B. */
const PARTS = /^(?:([^:/?#]+):)?(?:\/\/([^/?#]*))?([^?#]*)(?:\?([^#]*))?(?:#(.*))?$/
const SCHEME = /^[a-z][a-z\d+.-]*$/i
const AUTHORITY =
  /^(?:(?:[\w.~!$&'()*+,;=:-]|%[\da-f]{2})*@)?(?:\[[\da-fv.:]+\]|(?:[\w.~!$&'()*+,;=-]|%[\da-f]{2})*)(?::\d*)?$/i
const PATH = /^(?:[\w.~!$&'()*+,;=:@/-]|%[\da-f]{2})*$/i
const QUERY = /^(?:[\w.~!$&'()*+,;=:@/?-]|%[\da-f]{2})*$/i

function isUriReference(text: string): boolean {
  const [, scheme = 'x', authority = '', path = '', query = '', fragment = ''] = PARTS.exec(text) ?? ['', '']
  return (
    SCHEME.test(scheme) && AUTHORITY.test(authority) && PATH.test(path) && QUERY.test(query) && QUERY.test(fragment)
  )
}

function isUri(text: string): boolean {
  return PARTS.exec(text)?.[1] !== undefined && isUriReference(text)
}

const TIMESTAMP = /^(\d{4})-(\d\d)-(\d\d)t(\d\d):(\d\d):(\d\d)(?:\.\d+)?(?:z|[+-](\d\d):(\d\d))$/i

function isTimestamp(text: string): boolean {
  const match = TIMESTAMP.exec(text)
  if (match === null) return false
  const [year = 0, month = 0, day = 0, hour = 0, minute = 0, second = 0, hours = 0, minutes = 0] = match
    .slice(1)
    .map(digits => Number(digits ?? 0))
  const isDay = month >= 1 && month <= 12 && day >= 1 && day <= new Date(Date.UTC(year, month, 0)).getUTCDate()
  // A leap second is the sixty-first of its minute.
  return isDay && hour <= 23 && minute <= 59 && second <= 60 && hours <= 23 && minutes <= 59
}

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
export function readAttributes(rawHeaders: readonly string[], report: Report): Attributes {
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

type DecodedAttribute =
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
export function decodeValue(text: string): DecodedAttribute {
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
