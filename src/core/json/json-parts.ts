import { type ByteEscapes, JSON_ESCAPES } from './byte-escapes.js'

/** A part of JSON: a text, JSON in UTF-8, or bytes for a string: in base64, or as a text with escapes. */
export type JsonPart =
  | string
  | { readonly json: Buffer }
  | { readonly base64: Buffer }
  | { readonly text: Buffer; readonly escapes: ByteEscapes }

/** Shorter parts become a part of the text around them. */
const SHORT_BYTES = 384

/** JSON as a part of an answer; a long one is kept outside of the heap. */
export const jsonPart = (json: string): JsonPart => (json.length <= SHORT_BYTES ? json : { json: Buffer.from(json) })

/** The bytes of a record, which are turned into base64 while they leave. */
export const base64Part = (bytes: Buffer, shortBytes = SHORT_BYTES): JsonPart =>
  bytes.length <= shortBytes ? `"${bytes.toString('base64')}"` : { base64: bytes }

/** A text as a string of JSON. */
export const stringPart = (text: string): JsonPart =>
  text.length <= SHORT_BYTES ? JSON.stringify(text) : { text: Buffer.from(text), escapes: JSON_ESCAPES }

/** The bytes of a record, which are turned into a string while they leave. What is not UTF-8 becomes U+FFFD. */
export const textPart = (bytes: Buffer): JsonPart =>
  bytes.length <= SHORT_BYTES ? JSON.stringify(bytes.toString()) : { text: bytes, escapes: JSON_ESCAPES }

export const QUOTES_BYTES = 2

/** Bytes of a part in UTF-8. */
export function sizeOfPart(part: JsonPart): number {
  if (typeof part === 'string') return Buffer.byteLength(part)
  if ('json' in part) return part.json.length
  if ('base64' in part) return base64Size(part.base64) + QUOTES_BYTES
  return escapedSize(part.text, part.escapes) + QUOTES_BYTES
}

/** Length of bytes in base64, without quotes. */
export const base64Size = ({ length }: Buffer): number => 4 * Math.ceil(length / 3)

/** Length of bytes as an escaped text, without quotes. Bytes that are not UTF-8 count as U+FFFD. */
export const escapedSize = (bytes: Buffer, escapes: ByteEscapes): number => escapes.sizeOfText(bytes)

/** The text of a part, with the escapes of `JSON.stringify`. */
export function stringOfPart(part: JsonPart): string {
  if (typeof part === 'string') return part
  if ('json' in part) return part.json.toString()
  if ('base64' in part) return `"${part.base64.toString('base64')}"`
  return JSON.stringify(part.text.toString())
}
