import type { Ajv, ErrorObject } from 'ajv'
import type { DataValidateFunction, DataValidationCxt } from 'ajv/dist/types/index.js'
import { isObject, parseNumbers } from './codec.js'
import { compareDecimals, DECIMAL_LIMIT, type Decimal, decimalIn, decimalOf, isMultiple } from './decimals.js'

/** Numbers of up to 15 digits are the shortest ones of their doubles. */
const MAY_BE_INEXACT = /\d[\d.]{15}|\d[eE][+-]?\d{3}/
/** Matches a number without an exponent and without superfluous zeros. */
const IS_USUAL = /^-?(?:0|[1-9]\d*)(?:\.\d*[1-9])?$/
const IS_SHORT = /^-?\d[\d.]{0,14}$/

/** A number for which its double stands only nearly. */
class ExactNumber {
  readonly text: string
  #decimal: Decimal | undefined

  constructor(text: string) {
    this.text = text
  }

  get decimal(): Decimal {
    this.#decimal ??= decimalOfText(this.text)
    return this.#decimal
  }

  /** Stands for the number in Ajv: an integer if this is one. */
  get standIn(): number {
    const nearest = Number(this.text)
    const isFraction = /[.eE]/.test(this.text) && this.decimal.exponent < 0
    if (isFraction && (Number.isInteger(nearest) || !Number.isFinite(nearest)))
      return this.decimal.digits < 0n ? -0.5 : 0.5
    return Number.isFinite(nearest) ? nearest : Math.sign(nearest) * Number.MAX_VALUE
  }
}

/** An object whose only member is a value. */
export interface Held {
  readonly '': unknown
}

/** The numbers of JSON that doubles do not hold exactly, by what has them and their place there. */
export class ExactNumbers {
  readonly #byHolder = new Map<unknown, Map<string, ExactNumber>>()

  get isEmpty(): boolean {
    return this.#byHolder.size === 0
  }

  /**
   * Parses JSON, and keeps its numbers that doubles do not hold exactly. Others stand for them, which are integers if they are.
   *
   * @throws SyntaxError; RangeError for numbers of too many digits
   */
  parse(text: string): Held {
    if (!MAY_BE_INEXACT.test(text)) return { '': JSON.parse(text) }
    let last: ExactNumber | undefined
    const value = parseNumbers(text, isInexact, (text, holder, key) => {
      last = new ExactNumber(text)
      const numbers = this.#byHolder.get(holder) ?? new Map<string, ExactNumber>()
      this.#byHolder.set(holder, numbers.set(key, last))
      return last.standIn
    })
    const held = { '': value }
    if (typeof value === 'number' && last !== undefined) this.#byHolder.set(held, new Map([['', last]]))
    return held
  }

  of(holder: unknown, key: string | number): ExactNumber | undefined {
    return this.#byHolder.get(holder)?.get(String(key))
  }

  /** Lets the numbers of an object count for its copy, too. */
  copied(from: unknown, to: unknown): void {
    const numbers = this.#byHolder.get(from)
    if (numbers !== undefined) this.#byHolder.set(to, numbers)
  }

  /** @returns `undefined`: the number is as its double says, or it is none */
  textAt(root: Held, path: readonly (string | number)[]): string | undefined {
    let holder: unknown = root
    let key: string | number = ''
    for (const part of path) {
      holder = (holder as Readonly<Record<string, unknown>>)[key]
      key = part
    }
    return this.of(holder, key)?.text
  }
}

function decimalOfText(text: string): Decimal {
  const decimal = decimalIn(text)
  if (decimal !== undefined) return decimal
  throw new RangeError(`a number has more than ${DECIMAL_LIMIT} digits, or such an exponent`)
}

function isInexact(text: string): boolean {
  if (IS_SHORT.test(text)) return false
  const nearest = Number(text)
  const told = String(nearest)
  // JavaScript writes no other digits, so most numbers need no arithmetic.
  if (told === text) return false
  if (text.length <= DECIMAL_LIMIT && IS_USUAL.test(text) && IS_USUAL.test(told)) return true
  const { digits, exponent } = decimalOfText(text)
  if (!Number.isFinite(nearest)) return true
  const shortest = decimalOf(nearest)
  return shortest.digits !== digits || shortest.exponent !== exponent
}

/** A text that is the same for equal values, whatever the order of their members. */
function canonical(value: unknown, numbers: ExactNumbers): string {
  const part = (key: string | number, part: unknown): string => canonicalNumber(part, numbers.of(value, key), numbers)
  if (Array.isArray(value)) return `[${value.map((item, at) => part(at, item)).join()}]`
  if (!isObject(value)) return JSON.stringify(value)
  const names = Object.keys(value).sort()
  return `{${names.map(name => `${JSON.stringify(name)}:${part(name, value[name])}`).join()}}`
}

const canonicalNumber = (value: unknown, exact: ExactNumber | undefined, numbers: ExactNumbers): string =>
  exact === undefined ? canonical(value, numbers) : `${exact.decimal.digits}e${exact.decimal.exponent}`

export const areUnique = (items: readonly unknown[], numbers: ExactNumbers): boolean =>
  new Set(items.map((item, at) => canonicalNumber(item, numbers.of(items, at), numbers))).size === items.length

/** A value to compare: a number with its exact form, or any other value. */
interface Compared {
  readonly value: unknown
  readonly exact: ExactNumber | undefined
}
type Fits = (data: Compared) => boolean

const decimalIs = ({ value, exact }: Compared): Decimal => exact?.decimal ?? decimalOf(value as number)

/** Keyword => its sign, its sign when exclusive, and whether the order of a number and the limit is allowed. */
const LIMITS = {
  maximum: ['<=', '<', (order: number) => order <= 0],
  minimum: ['>=', '>', (order: number) => order >= 0],
  exclusiveMaximum: ['<', '<', (order: number) => order < 0],
  exclusiveMinimum: ['>', '>', (order: number) => order > 0]
} as const

type Said = readonly [message: string, fits: Fits]

function limitBy(name: keyof typeof LIMITS, limit: Compared, parent: Readonly<Record<string, unknown>>): Said {
  // In draft 4 the keyword for an exclusive limit is beside the limit, and no number.
  if (typeof limit.value === 'boolean') return ['', () => true]
  const [operator, exclusive, isIn] = LIMITS[name]
  const isExclusive = parent[`exclusive${name.charAt(0).toUpperCase()}${name.slice(1)}`] === true
  const than = `${isExclusive ? exclusive : operator} ${limit.exact?.text ?? limit.value}`
  const order = (data: Compared): number => compareDecimals(decimalIs(data), decimalIs(limit))
  return [`must be ${than}`, data => isIn(order(data)) && !(isExclusive && order(data) === 0)]
}

const multipleOf = (divisor: Compared): Said => [
  `must be multiple of ${divisor.exact?.text ?? divisor.value}`,
  data => isMultiple(decimalIs(data), decimalIs(divisor))
]

function validateBy(keyword: string, [message, fits]: Said, ofValue: () => ExactNumbers): DataValidateFunction {
  const errors: Partial<ErrorObject>[] = [{ keyword, message, params: {} }]
  const check: DataValidateFunction = (value: unknown, context?: DataValidationCxt) => {
    const { parentData, parentDataProperty } = context!
    const exact = typeof value === 'number' ? ofValue().of(parentData, parentDataProperty) : undefined
    const isFitting = fits({ value, exact })
    check.errors = isFitting ? [] : errors
    return isFitting
  }
  return check
}

/**
 * Makes a validator compare numbers to the last digit.
 *
 * @param ofSchema numbers of all schemas that it compiles
 * @param ofValue those of the value that it checks, whose parent is given to it
 */
export function compareExactly(ajv: Ajv, ofSchema: ExactNumbers, ofValue: () => ExactNumbers): void {
  const replace = (
    keyword: string,
    make: (limit: Compared, parent: Readonly<Record<string, unknown>>) => Said,
    type?: 'number'
  ): void => {
    const compile = (value: unknown, parent: Readonly<Record<string, unknown>>) =>
      validateBy(keyword, make({ value, exact: ofSchema.of(parent, keyword) }, parent), ofValue)
    ajv.removeKeyword(keyword)
    ajv.addKeyword({ keyword, ...(type && { type }), compile })
  }
  for (const name of Object.keys(LIMITS) as (keyof typeof LIMITS)[])
    replace(name, (limit, parent) => limitBy(name, limit, parent), 'number')
  replace('multipleOf', multipleOf, 'number')
  replace('const', ({ value, exact }) => {
    const wanted = canonicalNumber(value, exact, ofSchema)
    return ['must be equal to constant', data => canonicalNumber(data.value, data.exact, ofValue()) === wanted]
  })
  replace('enum', ({ value }) => {
    const items = value as readonly unknown[]
    const wanted = new Set(items.map((item, at) => canonicalNumber(item, ofSchema.of(items, at), ofSchema)))
    const isWanted = ({ value, exact }: Compared): boolean => wanted.has(canonicalNumber(value, exact, ofValue()))
    return ['must be equal to one of the allowed values', isWanted]
  })
  replace('uniqueItems', ({ value: isWanted }) => [
    'must have unique items',
    ({ value }) => !isWanted || !Array.isArray(value) || areUnique(value, ofValue())
  ])
}
