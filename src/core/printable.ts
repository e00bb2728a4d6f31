/**
 * Characters that change what a terminal or a reader of lines shows instead of being shown: C0 and C1 controls, DEL, line
 * and paragraph separators, and marks of text direction.
 */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]/gu
const CONTROL_BUT_LAYOUT = /(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]/gu

/** Those of them that `JSON.stringify` leaves as they are. */
const CONTROL_IN_JSON = /[\u007f-\u009f\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]/gu

const named = new Map([
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t']
])

const escapeOne = (character: string): string => named.get(character) ?? unicodeEscape(character)

const unicodeEscape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`

/**
 * Escapes the control characters of foreign text (a name, an error of a broker) for one line that people read.
 *
 *   printable('a\nb\u001b[2J')  =>  'a\\nb\\u001b[2J'
 */
export const printable = (text: string): string => text.replace(CONTROL, escapeOne)

/** The same for text of several lines: keeps line breaks and tabs. */
export const printableLines = (text: string): string => text.replace(CONTROL_BUT_LAYOUT, escapeOne)

/** Longer than any legal name: a topic has at most 249 characters. */
const MAX_NAME_LENGTH = 256

/** Shortens a requested name for a log line or an error: a name from a client may have millions of characters. */
export const shortened = (name: string): string =>
  name.length <= MAX_NAME_LENGTH ? name : `${name.slice(0, MAX_NAME_LENGTH)}… (${name.length} characters)`

/** JSON without raw control characters, so that it can be shown on a terminal; it parses to the same value. */
export const printableJson = (json: string): string => json.replace(CONTROL_IN_JSON, unicodeEscape)
