/** A decimal number: `digits` times ten to the power of `exponent`. The last one of its digits is no zero, but of 0 itself. */
export interface Decimal {
  readonly digits: bigint
  readonly exponent: number
}

const NUMBER = /^([+-]?)(?:(\d+)(?:\.(\d*))?|\.(\d+))(?:e([+-]?\d+))?$/i
/** Limit of the digits, and of the exponent, because more take too long. */
export const DECIMAL_LIMIT = 1_000
const ZERO: Decimal = { digits: 0n, exponent: 0 }

/**
 * The number that a text stands for, to the last digit; `undefined`: it is none, or has too many digits or too large an exponent.
 *
 *   decimalIn('0.070')   =>   { digits: 7n, exponent: -2 }
 *   decimalIn('1e3')     =>   { digits: 1n, exponent: 3 }
 */
export function decimalIn(text: string): Decimal | undefined {
  const found = NUMBER.exec(text)
  if (found === null) return undefined
  const [, sign, whole = '', fraction = '', only = '', power = '0'] = found
  const all = whole + fraction + only
  if (all.length > DECIMAL_LIMIT || Math.abs(Number(power)) > DECIMAL_LIMIT) return undefined
  let length = all.length
  while (all[length - 1] === '0') length--
  if (length === 0) return ZERO
  const digits = all.slice(0, length)
  const exponent = Number(power) - fraction.length - only.length + all.length - length
  return { digits: BigInt(sign === '-' ? `-${digits}` : digits), exponent }
}

/** Whether a text is a decimal number, however large. */
export const isDecimal = (text: string): boolean => NUMBER.test(text)

/** The shortest decimal number that JSON.parse reads as this one: what a client has written, up to 15 digits. */
export const decimalOf = (value: number): Decimal => decimalIn(String(value))!

/** The digits of both numbers with the smaller one of their exponents. */
function aligned(one: Decimal, other: Decimal): readonly [bigint, bigint] {
  const exponent = Math.min(one.exponent, other.exponent)
  const scaled = ({ digits, exponent: own }: Decimal): bigint => digits * 10n ** BigInt(own - exponent)
  return [scaled(one), scaled(other)]
}

/** Compares two decimals. Below 0: the first is less; above 0: it is more. */
export function compareDecimals(one: Decimal, other: Decimal): number {
  const [first, second] = aligned(one, other)
  return first < second ? -1 : Number(first > second)
}

export function isMultiple(value: Decimal, divisor: Decimal): boolean {
  const [first, second] = aligned(value, divisor)
  return first % second === 0n
}

/** Whether a number is a multiple of another one, by decimal arithmetic: 0.07 is one of 0.01, which no double is. */
export function isMultipleOf(value: number, divisor: number): boolean {
  if (!Number.isFinite(value)) return false
  if (Number.isSafeInteger(value) && Number.isSafeInteger(divisor)) return value % divisor === 0
  return isMultiple(decimalOf(value), decimalOf(divisor))
}
