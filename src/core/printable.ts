/**
 * Invisible characters that change how a terminal or a log viewer shows other text: C0 and C1 controls, DEL, line and
 * paragraph separators, marks of text direction, and the byte order mark.
 */
const CONTROL = /[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]/gu
const CONTROL_BUT_LAYOUT = /(?![\n\t])[\p{Cc}\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]/gu

/** The characters of `CONTROL` that `JSON.stringify` does not escape. */
const CONTROL_IN_JSON = /[\u007f-\u009f\p{Zl}\p{Zp}\p{Bidi_Control}\ufeff]/gu

const named = new Map([
  ['\n', '\\n'],
  ['\r', '\\r'],
  ['\t', '\\t']
])

const escapeOne = (character: string): string => named.get(character) ?? unicodeEscape(character)

const unicodeEscape = (character: string): string => `\\u${character.charCodeAt(0).toString(16).padStart(4, '0')}`

/**
 * Escapes the control characters of foreign text (a name, an error of a broker), so that it fits into one line of a log.
 *
 *   printable('a\nb\u001b[2J')  =>  'a\\nb\\u001b[2J'
 */
export const printable = (text: string): string => text.replace(CONTROL, escapeOne)

/** Escapes the control characters of a text of several lines, but keeps line breaks and tabs. */
export const printableLines = (text: string): string => text.replace(CONTROL_BUT_LAYOUT, escapeOne)

/** Every legal name is shorter: the name of a topic has at most 249 characters. */
const MAX_NAME_LENGTH = 256

/** Shortens a name for a log line or an error, because a client may send a name of millions of characters. */
export const shortened = (name: string): string =>
  name.length <= MAX_NAME_LENGTH ? name : `${name.slice(0, MAX_NAME_LENGTH)}… (${name.length} characters)`

/**
 * Escapes the control characters of a JSON text, so that a terminal can show it. The text still parses to the same
 * value.
 */
export const printableJson = (json: string): string => json.replace(CONTROL_IN_JSON, unicodeEscape)
