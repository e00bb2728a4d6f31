/**
 * A string as Rust's `{:?}` prints it; serde quotes wrong values so.
 *
 *   say "hi"⏎   =>   "say \"hi\"\n"
 *
 * Source: Rust standard library, `impl Debug for str`, `char::escape_debug_ext`.
 */
export function rustDebugOf(text: string): string {
  let quoted = '"'
  for (const character of text) quoted += escapes.get(character) ?? escapeUnprintable(character)
  return `${quoted}"`
}

const escapes = new Map([
  ['\0', '\\0'],
  ['\t', '\\t'],
  ['\r', '\\r'],
  ['\n', '\\n'],
  ['"', '\\"'],
  ['\\', '\\\\']
])

/** Rust hides combining characters and everything without a glyph: controls, formats, private use, unassigned, spaces. */
const unprintable = /^[\p{Grapheme_Extend}\p{C}\p{Zl}\p{Zp}\p{Zs}]$/u

const escapeUnprintable = (character: string): string =>
  character !== ' ' && unprintable.test(character) ? `\\u{${character.codePointAt(0)!.toString(16)}}` : character

/**
 * A number as Rust's `{}` prints an f64: the shortest digits that read back the same, never an exponent.
 *
 *   1.0 => 1     1e21 => 1000000000000000000000     -0.0 => -0     1.5e-7 => 0.00000015
 */
export function rustDisplayOf(value: number): string {
  if (value === 0) return Object.is(value, -0) ? '-0' : '0'
  const [, sign = '', whole = '', fraction = '', exponent = '0'] = /^(-?)(\d)\.?(\d*)e(.+)$/.exec(shortestOf(value))!
  const point = 1 + Number(exponent)
  const digits = whole + fraction
  if (point <= 0) return `${sign}0.${'0'.repeat(-point)}${digits}`
  if (point >= digits.length) return sign + digits.padEnd(point, '0')
  return `${sign}${digits.slice(0, point)}.${digits.slice(point)}`
}

/**
 * When two shortest forms are equally near, JavaScript takes the even one and Rust the larger, as toExponential does.
 */
function shortestOf(value: number): string {
  const shortest = value.toExponential()
  const fractionDigits = Math.max(0, shortest.replace(/^-/, '').indexOf('e') - 2)
  const larger = value.toExponential(fractionDigits)
  return Number(larger) === value ? larger : shortest
}
