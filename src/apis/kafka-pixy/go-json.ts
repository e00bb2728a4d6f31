import { ByteEscapes, escapesOfJson } from '../../core/json/byte-escapes.js'
import { LongList } from '../../http/api/long-lists.js'

/** HTML's special characters, and control characters that Go escapes differently from JavaScript. */
const NUMBERED = '<>&\u2028\u2029\b\f'
/** Lone surrogates, too, which are no UTF-8. */
const NEEDS_GO = /[<>&\u2028\u2029\b\f\p{Cs}]/u

/** The escapes of a string of JSON, as Go writes them. Source: Go 1.19, encoding/json, encodeState.string. */
export const GO_ESCAPES = new ByteEscapes(
  new Map([
    ...escapesOfJson,
    ...Array.from(NUMBERED, one => [one, `\\u${one.charCodeAt(0).toString(16).padStart(4, '0')}`] as const)
  ])
)

/** JSON of a text, byte for byte as Go writes it. */
export function goString(text: string): string {
  if (!NEEDS_GO.test(text)) return JSON.stringify(text)
  const bytes = Buffer.from(text)
  const json = Buffer.allocUnsafe(GO_ESCAPES.sizeOf(bytes))
  GO_ESCAPES.write(bytes, 0, json, 0)
  return `"${json.toString()}"`
}

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
export type GoJson =
  | string
  | number
  | boolean
  | null
  | readonly GoJson[]
  | { readonly [name: string]: GoJson | undefined }
  | ReadonlyMap<string, GoJson>

/**
 * JSON as Go indents it: two spaces, members of maps in the order of their names. Source: Go 1.19, json.MarshalIndent.
 */
export function goJson(value: GoJson, indent = ''): string {
  if (typeof value === 'string') return goString(value)
  if (value === null || typeof value !== 'object') return String(value)
  const inner = `${indent}  `
  if (Array.isArray(value))
    return wrapped(
      '[',
      ']',
      indent,
      (value as readonly GoJson[]).map(item => goJson(item, inner))
    )
  const members = membersOf(value as Exclude<GoJson, readonly GoJson[]> & object)
  return wrapped(
    '{',
    '}',
    indent,
    members.map(([name, member]) => `${goString(name)}: ${goJson(member, inner)}`)
  )
}

/**
 * The same for a list, or a map, that may be long: it is made while it is written.
 *
 * @param items of a map with their names, in the order of these
 */
export function longGoJson(kind: string, items: Iterable<GoJson>, ofMap = false): LongList {
  const textOf = (item: unknown): string => {
    if (!ofMap) return goJson(item as GoJson, '  ')
    const [name, member] = item as [string, GoJson]
    return `${goString(name)}: ${goJson(member, '  ')}`
  }
  return new LongList(kind, ofMap ? '{\n  ' : '[\n  ', items, ofMap ? '\n}' : '\n]', { between: ',\n  ', textOf })
}

function membersOf(
  value: { readonly [name: string]: GoJson | undefined } | ReadonlyMap<string, GoJson>
): [string, GoJson][] {
  if (value instanceof Map)
    return [...(value as ReadonlyMap<string, GoJson>)].sort(([one], [other]) => byBytes(one, other))
  return Object.entries(value as Record<string, GoJson | undefined>).filter(
    (member): member is [string, GoJson] => member[1] !== undefined
  )
}

export const byBytes = (one: string, other: string): number => Buffer.compare(Buffer.from(one), Buffer.from(other))

function wrapped(open: string, close: string, indent: string, items: readonly string[]): string {
  if (items.length === 0) return open + close
  return `${open}\n${items.map(item => `${indent}  ${item}`).join(',\n')}\n${indent}${close}`
}

/** Puts each list of numbers on one line. Texts cannot match, since they contain no line breaks. */
export const withNumbersOnOneLine = (json: string): string =>
  json.replace(/\[\n[-\d,\s]+\]/g, list => list.replace(/\s/g, ''))

/** JSON that Go refuses, in Go's words. */
export class GoJsonError extends Error {}

const END = 'unexpected end of JSON input'
/** Characters of a string, and a whole escape in it. */
const CHARACTERS = /[ !#-[\]-\u00ff]+/y
const ESCAPE = /\\(?:["\\/bfnrt]|u[0-9a-fA-F]{4})/y
/** Go allows 10,000; each level takes some of the stack here. */
const MAX_DEPTH = 1_000
/**
 * Checking blocks the event loop, so the number of values is limited. 10,000 partitions with all members have 90,001.
 */
const MAX_VALUES = 100_000
const LITERALS: ReadonlyMap<string, string> = new Map([
  ['t', 'true'],
  ['f', 'false'],
  ['n', 'null']
])

/**
 * Refuses invalid JSON as Go does. Source: Go 1.19, encoding/json, checkValid. JSON with too many values is refused,
 * too.
 *
 * @param text each character stands for one byte
 * @throws GoJsonError
 */
export function checkJson(text: string): void {
  new GoJsonCheck(text).all()
}

class GoJsonCheck {
  readonly #text: string
  #at = 0
  #depth = 0
  #values = 0

  constructor(text: string) {
    this.#text = text
  }

  all(): void {
    this.#value()
    this.#skipSpace()
    if (this.#at < this.#text.length) this.#fail('after top-level value')
  }

  #value(): void {
    const letter = this.#next()
    if (++this.#values > MAX_VALUES) throw new GoJsonError(`more than ${MAX_VALUES} values`)
    if (letter === '{') this.#nested(() => this.#object())
    else if (letter === '[') this.#nested(() => this.#array())
    else if (letter === '"') this.#string()
    else if (letter === '-' || isDigit(letter)) this.#number()
    else if (LITERALS.has(letter)) this.#literal(LITERALS.get(letter)!)
    else this.#fail('looking for beginning of value')
  }

  #nested(check: () => void): void {
    if (++this.#depth > MAX_DEPTH) this.#fail('exceeded max depth')
    check()
    this.#depth--
  }

  #object(): void {
    this.#at++
    if (this.#next() === '}') {
      this.#at++
      return
    }
    for (;;) {
      if (this.#next() !== '"') this.#fail('looking for beginning of object key string')
      this.#string()
      if (this.#next() !== ':') this.#fail('after object key')
      this.#at++
      this.#value()
      if (this.#isLast('}', 'after object key:value pair')) return
    }
  }

  #array(): void {
    this.#at++
    if (this.#next() === ']') {
      this.#at++
      return
    }
    do this.#value()
    while (!this.#isLast(']', 'after array element'))
  }

  #isLast(end: string, where: string): boolean {
    const letter = this.#next()
    if (letter !== end && letter !== ',') this.#fail(where)
    this.#at++
    return letter === end
  }

  #string(): void {
    this.#at++
    while (this.#skip(CHARACTERS) || this.#skip(ESCAPE));
    const letter = this.#letter()
    if (letter === '\\') this.#failInEscape()
    if (letter !== '"') this.#fail('in string literal')
    this.#at++
  }

  #failInEscape(): never {
    this.#at++
    if (this.#inToken() !== 'u') this.#fail('in string escape code')
    this.#at++
    this.#skip(/[0-9a-fA-F]*/y)
    this.#fail('in \\u hexadecimal character escape')
  }

  #number(): void {
    this.#skip(/-/y)
    if (!this.#skip(/0|[1-9]\d*/y)) this.#fail('in numeric literal')
    if (this.#skip(/\./y) && !this.#skip(/\d+/y)) this.#fail('after decimal point in numeric literal')
    if (this.#skip(/[eE][+-]?/y) && !this.#skip(/\d+/y)) this.#fail('in exponent of numeric literal')
  }

  #literal(word: string): void {
    for (const expected of word) {
      if (this.#inToken() !== expected) this.#fail(`in literal ${word} (expecting '${expected}')`)
      this.#at++
    }
  }

  /** The next character that is not a space. */
  #next(): string {
    this.#skipSpace()
    return this.#letter()
  }

  #skipSpace(): void {
    this.#skip(/[ \t\r\n]+/y)
  }

  /** @returns whether the pattern is found here */
  #skip(pattern: RegExp): boolean {
    pattern.lastIndex = this.#at
    const isFound = pattern.test(this.#text)
    if (isFound) this.#at = pattern.lastIndex
    return isFound
  }

  #letter(): string {
    const letter = this.#text[this.#at]
    if (letter === undefined) throw new GoJsonError(END)
    return letter
  }

  /** The letter of an escape, a number or a literal. Go reads a space behind the end of a text that ends within one. */
  #inToken(): string {
    return this.#text[this.#at] ?? ' '
  }

  #fail(where: string): never {
    const letter = this.#inToken()
    const shown = letter === "'" ? "\\'" : letter === '"' ? '"' : goQuoted(letter).slice(1, -1)
    throw new GoJsonError(`invalid character '${shown}' ${where}`)
  }
}

const isDigit = (letter: string): boolean => letter >= '0' && letter <= '9'
