import { isInstant } from '../../core/instants.js'
import { MAX_TIMER_MS } from '../../core/model.js'
import { MAX_PARTITION } from '../../router/requests/failures.js'

/**
 * Checks of what other gateways send. A check looks at types, members and lengths: it neither copies bytes nor walks
 * through them, and goes through no list that is longer than its limit.
 */
export type Check<Shape> = (value: unknown) => value is Shape

type Members<Shape> = { readonly [Member in keyof Shape]-?: Check<Shape[Member]> }

/** The part of a union that has this name at its tag, without the tag. */
type Kind<Union, Tag extends PropertyKey, Name> = Union extends { readonly [_ in Tag]: infer Names }
  ? Name extends Names
    ? Omit<Union, Tag>
    : never
  : never

/** The only place that says that a value has a shape because it has passed a test. */
const where = <Shape>(fits: (value: unknown) => boolean): Check<Shape> => fits as Check<Shape>

type Foreign = Readonly<Record<string, unknown>>

const isObject = (value: unknown): value is Foreign =>
  typeof value === 'object' && value !== null && !(Array.isArray(value) || ArrayBuffer.isView(value))

export const nothing = where<undefined>(value => value === undefined)
export const text = where<string>(value => typeof value === 'string')
export const flag = where<boolean>(value => typeof value === 'boolean')
/** Any number that JSON can express. */
export const number = where<number>(Number.isFinite)
/** At least 0, and also larger than any count: an offer of such a size is answered, and less is taken. */
export const whole = where<number>(value => Number.isInteger(value) && (value as number) >= 0)
/** A count or a partition. */
export const small = where<number>(value => whole(value) && value <= MAX_PARTITION)
/** Milliseconds that a timer can wait for. */
export const wait = where<number>(value => number(value) && value >= 0 && value <= MAX_TIMER_MS)
/** Kafka's codes have 16 bits. */
export const errorCode = where<number>(value => Number.isInteger(value) && Math.abs(value as number) < 2 ** 15)
export const httpStatus = where<number>(value => small(value) && value >= 100 && value < 1_000)
export const instant = where<number>(isInstant)
/** Buffers, as calls between gateways bring them. */
export const bytes = where<Buffer>(value => value instanceof Uint8Array)

/** One of these values. */
export const oneOf = <const Value>(...values: readonly Value[]): Check<Value> =>
  where(value => values.includes(value as Value))

/** What one of two checks takes. */
export const either = <One, Other>(one: Check<One>, other: Check<Other>): Check<One | Other> =>
  where(value => one(value) || other(value))

/** What two checks take. */
export const both = <One, Other>(one: Check<One>, other: Check<Other>): Check<One & Other> =>
  where(value => one(value) && other(value))

export const optional = <Shape>(fits: Check<Shape>): Check<Shape | undefined> => either(nothing, fits)
export const nullable = <Shape>(fits: Check<Shape>): Check<Shape | null> => either(oneOf(null), fits)

/** An object with these members, and any others: a later build may send more. */
export function shape<Shape extends object>(members: Members<Shape>): Check<Shape> {
  const checks = Object.entries<Check<unknown>>(members)
  return where(value => isObject(value) && checks.every(([name, fits]) => fits(value[name])))
}

/** One of several objects, whose member `tag` says which. */
export function tagged<Tag extends string, Union extends { readonly [_ in Tag]: string }>(
  tag: Tag,
  kinds: { readonly [Name in Union[Tag]]: Members<Kind<Union, Tag, Name>> }
): Check<Union> {
  const checks = new Map<unknown, Check<object>>()
  for (const [name, members] of Object.entries<Members<object>>(kinds)) checks.set(name, shape(members))
  return where(value => isObject(value) && checks.get(value[tag])?.(value) === true)
}

/** A list of at most so many. */
export const list = <One>(fits: Check<One>, most: number): Check<readonly One[]> =>
  where(value => Array.isArray(value) && value.length <= most && value.every(fits))

/** A list of so many. Those at its end that may be `undefined` may be absent. */
export const tuple = <Items extends readonly unknown[]>(
  ...checks: { readonly [At in keyof Items]: Check<Items[At]> }
): Check<Items> =>
  where(value => Array.isArray(value) && value.length <= checks.length && checks.every((fits, at) => fits(value[at])))

/** A Map of at most so many entries. */
export const map = <Key, Value>(key: Check<Key>, one: Check<Value>, most: number): Check<ReadonlyMap<Key, Value>> =>
  where(value => {
    if (!(value instanceof Map) || value.size > most) return false
    for (const [of, its] of value) if (!key(of) || !one(its)) return false
    return true
  })

/** An object whose members have any names, each with the check for its name. */
export const named = <Value>(
  checkOf: (name: string) => Check<Value>,
  most: number
): Check<Readonly<Record<string, Value>>> =>
  where(value => {
    if (!isObject(value)) return false
    let count = 0
    for (const name in value) if (++count > most || !checkOf(name)(value[name])) return false
    return true
  })

/** More than Kafka has of anything that a call names. */
export const MANY = 1_000_000
