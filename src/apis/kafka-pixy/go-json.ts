/** What Go writes in another way than JavaScript: letters that mean something in HTML, and control characters. */
const ESCAPED = /[<>&\u2028\u2029]|\\[bf]/g
const SPECIAL = /[<>&\u2028\u2029"\\\p{Cc}\p{Cs}]/u
const LONE_SURROGATE = /\p{Cs}/gu

const unicode = (code: number): string => `\\u${code.toString(16).padStart(4, '0')}`

/** JSON of a text, to the byte as Go writes it. Source: Go 1.19, encoding/json, encodeState.string. */
export function goString(text: string): string {
  if (!SPECIAL.test(text)) return `"${text}"`
  return JSON.stringify(text.replace(LONE_SURROGATE, '\ufffd')).replace(escapes, escaped => {
    if (escaped === '\\b') return '\\u0008'
    if (escaped === '\\f') return '\\u000c'
    return escaped.length > 1 ? escaped : unicode(escaped.charCodeAt(0))
  })
}

// A backslash that is escaped itself begins no escape.
const escapes = new RegExp(`\\\\\\\\|${ESCAPED.source}`, 'g')

/** A text as Go quotes it in messages, with numbers for what cannot be printed. Source: Go 1.19, strconv.Quote. */
export const goQuoted = (text: string): string =>
  `"${text.replace(/["\\]|(?! )[\p{C}\p{Z}]/gu, letter => QUOTED.get(letter) ?? numbered(letter.codePointAt(0)!))}"`

function numbered(code: number): string {
  const [kind, digits] = code < 0x80 ? ['x', 2] : code < 0x10000 ? ['u', 4] : ['U', 8]
  return `\\${kind}${code.toString(16).padStart(digits as number, '0')}`
}

const QUOTED = new Map([
  ['"', '\\"'],
  ['\\', '\\\\'],
  ['\x07', '\\a'],
  ['\b', '\\b'],
  ['\f', '\\f'],
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t'],
  ['\v', '\\v']
])

/** A value for {@link goJson}: members that are `undefined` are left out. */
export type Json =
  | string
  | number
  | boolean
  | null
  | readonly Json[]
  | { readonly [name: string]: Json | undefined }
  | ReadonlyMap<string, Json>

/** JSON as Go indents it: two spaces, members of maps in the order of their names. Source: Go 1.19, json.MarshalIndent. */
export function goJson(value: Json, indent = ''): string {
  if (typeof value === 'string') return goString(value)
  if (value === null || typeof value !== 'object') return String(value)
  const inner = `${indent}  `
  if (Array.isArray(value))
    return wrapped(
      '[',
      ']',
      indent,
      (value as readonly Json[]).map(item => goJson(item, inner))
    )
  const members = membersOf(value as Exclude<Json, readonly Json[]> & object)
  return wrapped(
    '{',
    '}',
    indent,
    members.map(([name, member]) => `${goString(name)}: ${goJson(member, inner)}`)
  )
}

function membersOf(value: { readonly [name: string]: Json | undefined } | ReadonlyMap<string, Json>): [string, Json][] {
  if (value instanceof Map)
    return [...(value as ReadonlyMap<string, Json>)].sort(([one], [other]) => byBytes(one, other))
  return Object.entries(value as Record<string, Json | undefined>).filter(
    (member): member is [string, Json] => member[1] !== undefined
  )
}

const byBytes = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other))

function wrapped(open: string, close: string, indent: string, items: readonly string[]): string {
  if (items.length === 0) return open + close
  return `${open}\n${items.map(item => `${indent}  ${item}`).join(',\n')}\n${indent}${close}`
}

/** With each list of numbers on one line. Texts have no line breaks, so that none can look like one. */
export const withNumbersOnOneLine = (json: string): string =>
  json.replace(/\[\n[-\d,\s]+\]/g, list => list.replace(/\s/g, ''))
