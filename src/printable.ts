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
 * Text of somebody else, such as a name or an error of a broker, for one line that people read: control characters are
 * written as escapes.
 *
 *   printable('a\nb\u001b[2J')  =>  'a\\nb\\u001b[2J'
 */
export const printable = (text: string): string => text.replace(CONTROL, escapeOne)

/** The same for text of several lines: line breaks and tabs stay. */
export const printableLines = (text: string): string => text.replace(CONTROL_BUT_LAYOUT, escapeOne)

/** Longer than any name that can be right: a topic has at most 249 characters. */
const MAX_NAME_LENGTH = 256

/**
 * A name somebody asked for, for a line of a log or an error: one that is too long to be right is cut. What clients send
 * as a name may have millions of characters.
 */
export const shortened = (name: string): string =>
  name.length <= MAX_NAME_LENGTH ? name : `${name.slice(0, MAX_NAME_LENGTH)}… (${name.length} characters)`

/** JSON that can be looked at in a terminal; it means the same. */
export const printableJson = (json: string): string => json.replace(CONTROL_IN_JSON, unicodeEscape)
