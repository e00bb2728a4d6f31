import { BACKSLASH, QUOTE } from './characters.js'

/**
 * The byte of a simple escape, by the letter after the backslash: `n` => line feed. 0 for letters that are no simple
 * escape.
 */
export const simpleEscapes = new Uint8Array(256)
for (const [letter, text] of Object.entries({
  '"': '"',
  '\\': '\\',
  '/': '/',
  b: '\b',
  f: '\f',
  n: '\n',
  r: '\r',
  t: '\t'
}))
  simpleEscapes[letter.charCodeAt(0)] = text.charCodeAt(0)

/** The value of four hexadecimal digits; -1 when there are no four digits at `start`. */
export function hex4(bytes: Uint8Array, start: number): number {
  let value = 0
  for (let at = start; at < start + 4; at++) {
    const digit = hexDigit(bytes[at])
    if (digit < 0) return -1
    value = (value << 4) | digit
  }
  return value
}

/** The value of a hexadecimal digit; -1 for another byte. */
export function hexDigit(byte: number | undefined): number {
  if (byte === undefined) return -1
  if (byte >= 0x30 && byte <= 0x39) return byte - 0x30
  const letter = byte | 0x20
  return letter >= 0x61 && letter <= 0x66 ? letter - 0x57 : -1
}

export const isHighSurrogate = (unit: number): boolean => unit >= 0xd800 && unit <= 0xdbff
export const isLowSurrogate = (unit: number): boolean => unit >= 0xdc00 && unit <= 0xdfff
export const joinSurrogates = (high: number, low: number): number => 0x10000 + ((high - 0xd800) << 10) + (low - 0xdc00)

/** Writes a code point, which must not be a surrogate, as UTF-8. Returns the position after it. */
export function writeUtf8(target: Uint8Array, at: number, codePoint: number): number {
  if (codePoint < 0x80) {
    target[at] = codePoint
    return at + 1
  }
  if (codePoint < 0x800) {
    target[at] = 0xc0 | (codePoint >> 6)
    target[at + 1] = 0x80 | (codePoint & 0x3f)
    return at + 2
  }
  if (codePoint < 0x10000) {
    target[at] = 0xe0 | (codePoint >> 12)
    target[at + 1] = 0x80 | ((codePoint >> 6) & 0x3f)
    target[at + 2] = 0x80 | (codePoint & 0x3f)
    return at + 3
  }
  target[at] = 0xf0 | (codePoint >> 18)
  target[at + 1] = 0x80 | ((codePoint >> 12) & 0x3f)
  target[at + 2] = 0x80 | ((codePoint >> 6) & 0x3f)
  target[at + 3] = 0x80 | (codePoint & 0x3f)
  return at + 4
}

/**
 * The module that json-strings.wat describes, in base64. To build it again:
 *
 *   npx wat2wasm src/core/json/json-strings.wat -o json-strings.wasm && base64 -w 0 json-strings.wasm
 *
 * A test compares this constant with the result.
 */
export const JSON_STRINGS_WASM =
  'AGFzbQEAAAABBgFgAX8BfwMCAQAFAwEAAwcJAgFtAgABZgAACqkBAaYBAgN/BntBgIAEIQJBIP0PIQVBIv0PIQZB3AD9DyEHA0AgAf0AAAAiBCAF/SYgBCAG/SMgBCAH/SP9UP1QIQggAf0AABAiBCAF/SYgBCAG/SMgBCAH/SP9UP1QIQkgCCAJ/VD9UwRAIAj9ZCAJ/WRBEHRyIQMDQCACIAEgA2hqOwEAIAJBAmohAiADIANBAWtxIgMNAAsLIAFBIGoiASAASQ0ACyACCw=='

/** The exports of the module: its memory, and a function that lists places of its first bytes behind the first piece. */
interface Exports {
  readonly m: { readonly buffer: ArrayBuffer }
  f(endBytes: number): number
}

/** The part of WebAssembly that is used here, which `node --jitless` does not have. Node's types do not declare it. */
declare const WebAssembly:
  | { Module: new (bytes: Uint8Array) => object; Instance: new (module: object) => { readonly exports: unknown } }
  | undefined

/** For each byte: 1 when it must be escaped in a JSON string (controls, quote, backslash), otherwise 0. */
export const specialInStrings = new Uint8Array(256).fill(1, 0, 0x20)
specialInStrings[QUOTE] = specialInStrings[BACKSLASH] = 1

/** Bytes that are looked at in one call. */
export const PIECE_BYTES = 65_536
/** Number of bytes that the module looks at in one iteration of its loop. */
const STRIDE_BYTES = 32

const { m, f } =
  typeof WebAssembly === 'undefined'
    ? { m: { buffer: new ArrayBuffer(3 * PIECE_BYTES) }, f: listByLoop }
    : (new WebAssembly.Instance(new WebAssembly.Module(Buffer.from(JSON_STRINGS_WASM, 'base64'))).exports as Exports)
const memory = new Uint8Array(m.buffer, 0, PIECE_BYTES)
/** The places that were listed last. There is one list for all. */
export const specialPlaces = new Uint16Array(m.buffer, PIECE_BYTES)

/**
 * Lists where the special bytes of a piece are. Even with the copy into the memory of the module, which looks at 32 bytes at
 * a time, this takes a fraction of the time of the fastest loop in JavaScript.
 *
 * @param piece of up to {@link PIECE_BYTES} @returns how many there are
 */
export function listSpecialBytes(piece: Uint8Array): number {
  if (piece.length === 0) return 0
  memory.set(piece)
  const end = (piece.length + STRIDE_BYTES - 1) & -STRIDE_BYTES
  memory.fill(0xff, piece.length, end)
  return (f(end) - PIECE_BYTES) / 2
}

/** Does in JavaScript what the WebAssembly module does. */
export function listByLoop(endBytes: number): number {
  let count = 0
  for (let at = 0; at < endBytes; at++) if (specialInStrings[memory[at]!] === 1) specialPlaces[count++] = at
  return PIECE_BYTES + 2 * count
}

/** After so many plain bytes, native functions find the end of a string faster than a loop does. */
export const LONG_STRING_BYTES = 64

/**
 * Position of the quote that ends the string whose content begins at `start`; -1: the string has an escape or a control
 * byte, or does not end.
 */
export function endOfPlainString(bytes: Buffer, start: number): number {
  const nativeFrom = start + LONG_STRING_BYTES
  let at = start
  while (specialInStrings[bytes[at]!] === 0 && at < nativeFrom) at++
  if (at === nativeFrom) return endOfLongString(bytes, at)
  return bytes[at] === QUOTE ? at : -1
}

/** The same as {@link endOfPlainString}, for a string that goes on for long. */
export function endOfLongString(bytes: Buffer, at: number): number {
  const quote = bytes.indexOf(QUOTE, at)
  for (; at < quote; at += PIECE_BYTES)
    if (listSpecialBytes(bytes.subarray(at, Math.min(at + PIECE_BYTES, quote))) > 0) return -1
  return quote
}
