import { goQuoted } from './go-json.js'
import { textOf, type Values } from './parameters.js'

const WHOLE = /^[+-]?\d+$/

/** A number that is missing, wrong, or there. */
export type ReadNumber = undefined | { readonly error: string } | { readonly value: number }

/** Reads a whole number of so many bits, of several the first. Source: Go 1.19, strconv.ParseInt. */
export function numberOf(values: Values, name: string, bits: 32 | 64): ReadNumber {
  const given = values.get(name)
  if (given === undefined) return undefined
  const texts = given.map(textOf)
  const text = texts[0]!
  const reason = problemOf(text, bits)
  if (reason === undefined) return { value: Number(text) }
  return { error: `bad ${name}: [${texts.join(' ')}]: strconv.ParseInt: parsing ${goQuoted(text)}: ${reason}` }
}

function problemOf(text: string, bits: 32 | 64): string | undefined {
  if (!WHOLE.test(text)) return 'invalid syntax'
  return BigInt.asIntN(bits, BigInt(text.replace('+', ''))) === BigInt(text.replace('+', ''))
    ? undefined
    : 'value out of range'
}
