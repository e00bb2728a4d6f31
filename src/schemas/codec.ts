import { randomUUID } from 'node:crypto'
import { StacklessError } from '../core/errors.js'

/** A schema, ready to write and to read payloads. Its methods throw a RangeError for data that are nested too deeply. */
export interface Codec {
  /** The name of the schema: of the record, of the message, or the title. `undefined`: it has none. */
  readonly name: string | undefined
  /** Approximate memory of the codec, once it was used. */
  readonly heldBytes: number
  /**
   * The bytes behind the id, which are valid until it encodes again.
   *
   * @param json is within its limit
   * @throws Misfit, or a TooManyBytes before there are more than `maxBytes`
   */
  encode(json: string, maxBytes: number): Buffer
  /**
   * The JSON of the bytes behind the id.
   *
   * @param maxBytes of JSON in UTF-8, at most MAX_JSON_LENGTH
   * @throws Error with the cause, or a TooMuchJson before there are more than `maxBytes`
   */
  decode(bytes: Buffer, maxBytes: number): string
}

/** The text of a schema, and of the schemas that it references, by name. A schema stands after those that it references. */
export interface SchemaSource {
  readonly text: string
  readonly used: ReadonlyMap<string, string>
}

/** Characters of a schema with all that it uses, and their names. */
export const lengthOf = ({ text, used }: SchemaSource): number =>
  [text, ...used.keys(), ...used.values()].reduce((sum, { length }) => sum + length, 0)

/** The encoded size of one key or value: a short text must not become gigabytes. */
export const MAX_RECORD_BYTES = 16 * 1024 * 1024
/** Bytes in UTF-8 of one value of JSON that a schema reads or makes: parsing takes about forty times its memory. */
export const MAX_JSON_LENGTH = 4 * 1024 * 1024
/** Encoded defaults are kept up to so many times the length of their schema's text. */
export const KEPT_DEFAULTS_FACTOR = 20

/** The bytes of a value would be more than allowed. */
export class TooManyBytes extends RangeError {
  readonly limit: number

  constructor(limit: number) {
    super(`it has more than ${limit} bytes`)
    this.limit = limit
  }
}

/** Data that do not fit their schema. */
export class Misfit extends StacklessError {
  /** Place in the data, such as `items[2].price`; empty: the whole. */
  path: string

  constructor(message: string, path: readonly (string | number)[] = []) {
    super(message)
    this.path = pathText(path)
  }
}

export const pathText = (parts: readonly (string | number)[]): string =>
  parts.map((part, at) => (typeof part === 'number' ? `[${part}]` : at === 0 ? part : `.${part}`)).join('')

/** The bytes are not what their schema says. */
export class Undecodable extends StacklessError {}

/** The JSON of bytes would be longer than allowed. */
export class TooMuchJson extends Undecodable {
  constructor(limit: number) {
    super(`the JSON has more than ${limit} bytes`)
  }
}

/** A JSON value, in which integers that a double may not hold are bigints. */
export type Json = null | boolean | number | bigint | string | readonly Json[] | JsonObject
export type JsonObject = { readonly [name: string]: Json }

export const isObject = (value: unknown): value is JsonObject =>
  typeof value === 'object' && value !== null && !Array.isArray(value)

/** Stands for an integer, in a text that only this process sees. */
const MARK = `${randomUUID()}:`
const TOKEN = /\\.|"|-?\d[\d.eE+-]*/g
const LONG = /^-?\d{16,}$/
const LONG_DIGITS = 16

const isDigitAt = (text: string, at: number): boolean => {
  const code = text.charCodeAt(at)
  return code >= 0x30 && code <= 0x39
}

/** Whether a text has 16 digits in a row. One of them is at a place that 16 divides, so most of the text is not looked at. */
export function hasLongDigits(text: string): boolean {
  for (let at = 0; at < text.length; at += LONG_DIGITS) {
    if (!isDigitAt(text, at)) continue
    let [start, end] = [at, at + 1]
    while (isDigitAt(text, start - 1)) start--
    while (isDigitAt(text, end)) end++
    if (end - start >= LONG_DIGITS) return true
  }
  return false
}

/**
 * Parses JSON without losing digits of integers.
 *
 * @param long makes the value of an integer with many digits
 * @throws SyntaxError
 */
export const parseExactly = <Long>(text: string, long: (digits: string) => Long): unknown =>
  hasLongDigits(text) ? parseNumbers(text, token => LONG.test(token), long) : JSON.parse(text)

/**
 * Parses JSON, and replaces some numbers by other values.
 *
 * @param make gets a number as it is written, what has it in the result, and its place there
 * @throws SyntaxError
 */
export function parseNumbers(
  text: string,
  isOther: (token: string) => boolean,
  make: (token: string, holder: object, key: string) => unknown
): unknown {
  JSON.parse(text)
  let isInString = false
  const marked = text.replace(TOKEN, token => {
    if (token === '"') isInString = !isInString
    const isKept = isInString || token === '"' || token.startsWith('\\') || !isOther(token)
    return isKept ? token : `"${MARK}${token}"`
  })
  return JSON.parse(marked, function (this: object, key, value: unknown) {
    return typeof value === 'string' && value.startsWith(MARK) ? make(value.slice(MARK.length), this, key) : value
  })
}

export const MAX_SHOWN = 40
/** Why something failed is told in so many characters, since names may be as long as a schema. */
export const MAX_WORDS_LENGTH = 1_000

/** A value as an error shows it: numbers and short texts as they are, others by their type. */
export function shown(value: unknown): string {
  if (value === undefined) return 'nothing'
  if (typeof value === 'string') return value.length > MAX_SHOWN ? 'string' : `string ${JSON.stringify(value)}`
  if (typeof value !== 'object' || value === null) return String(value).slice(0, MAX_SHOWN)
  return Array.isArray(value) ? 'array' : 'object'
}
