/** A decimal number: `digits` times ten to the power of `exponent`. */
interface Decimal {
  readonly digits: bigint
  readonly exponent: number
}

/**
 * The shortest decimal number that JSON.parse reads as this one: what a client has written, up to 15 digits.
 *
 *   decimalOf(0.07)   =>   { digits: 7n, exponent: -2 }
 */
function decimalOf(value: number): Decimal {
  const [mantissa = '', power = '0'] = String(value).split('e')
  const [whole = '', fraction = ''] = mantissa.split('.')
  return { digits: BigInt(whole + fraction), exponent: Number(power) - fraction.length }
}

/** Whether a number is a multiple of another one, by decimal arithmetic: 0.07 is one of 0.01, which no double is. */
export function isMultipleOf(value: number, divisor: number): boolean {
  if (!Number.isFinite(value)) return false
  if (Number.isSafeInteger(value) && Number.isSafeInteger(divisor)) return value % divisor === 0
  const one = decimalOf(value)
  const other = decimalOf(divisor)
  const exponent = Math.min(one.exponent, other.exponent)
  const scaled = ({ digits, exponent: own }: Decimal): bigint => digits * 10n ** BigInt(own - exponent)
  return scaled(one) % scaled(other) === 0n
}
