import { isCount } from '../counts.js'
import { InvalidRequestError } from '../errors.js'
import { printable } from '../printable.js'
import { suggestion } from './problems.js'

/**
 * Refuses options that a call does not have.
 *
 * @param call how the caller writes the call: `consume`
 * @param instead options of similar calls, and the option of this call that is meant
 * @param owner what has them as its fields, if they are not options: `a record`
 * @throws InvalidRequestError that names the option, and the one that was probably meant; or for what is no object
 */
export function checkOptionNames(
  call: string,
  given: object,
  known: readonly string[],
  instead: ReadonlyMap<string, string> = new Map(),
  owner?: string
): void {
  if (typeof given !== 'object' || given === null || Array.isArray(given))
    throw new InvalidRequestError(
      `${call} takes an object of ${owner === undefined ? 'options' : 'fields'}, not ${kindOf(given)}`
    )
  for (const name of Object.keys(given)) {
    if (known.includes(name)) continue
    const meant = instead.get(name)
    const hint = meant === undefined ? suggestion(name, known) : `; did you mean ${meant}?`
    const there = owner === undefined ? 'there is no option' : `${owner} has no field`
    throw new InvalidRequestError(`${call}: ${there} ${printable(name)}${hint}`)
  }
}

/** @throws InvalidRequestError for a signal that is none, such as its controller */
export function checkSignal(call: string, given: unknown): void {
  if (given !== undefined && !(given instanceof AbortSignal))
    throw new InvalidRequestError(`${call}: signal has to be an AbortSignal`)
}

/** @throws InvalidRequestError for what is no whole number within the limits */
export function checkCount(call: string, name: string, given: unknown, least: number, most?: number): void {
  if (isCount(given) && given >= least && !(most !== undefined && given > most)) return
  const limits = most === undefined ? `, at least ${least}` : ` from ${least} to ${most}`
  throw new InvalidRequestError(`${call}: ${name} is a whole number${limits}`)
}

/** @throws InvalidRequestError for a handler of messages that cannot be called */
export function checkFunction(call: string, given: unknown): void {
  if (typeof given !== 'function') throw new InvalidRequestError(`${call}: a function is needed that handles a message`)
}

/**
 * Checks where a group begins.
 *
 * @param time the field of an object that names a time: `timestampMs`
 * @throws InvalidRequestError when it is given, and names neither an end of the log nor a time
 */
export function checkStart(call: string, given: unknown, time: string): void {
  if (given === undefined || given === 'earliest' || given === 'latest') return
  const { [time]: at, ...others } = Object(given) as Record<string, unknown>
  if (isCount(at) && Object.keys(others).length === 0) return
  throw new InvalidRequestError(`${call}: start is one of 'earliest', 'latest', {${time}: number}`)
}

/** Names the kind of a wrong value, for messages. */
export function kindOf(given: unknown): string {
  if (given === null) return 'null'
  return Array.isArray(given) ? 'a list' : typeof given
}

/**
 * The topics of a call, each once.
 *
 * @throws InvalidRequestError when there is none, or one of them is no name
 */
export function topicsIn(call: string, given: unknown): readonly string[] {
  const topics: readonly unknown[] = Array.isArray(given) ? [...new Set(given)] : [given]
  const names = topics.filter((topic): topic is string => typeof topic === 'string' && topic !== '')
  if (names.length === 0 || names.length < topics.length)
    throw new InvalidRequestError(`${call}: the name of a topic is needed, or a list of names`)
  return names
}

/** Argument of a call that works on one item or on a list of them. An item must not be a list. */
export type OneOrMany<Item> = Item | readonly Item[]

const areMany = <Item>(given: OneOrMany<Item>): given is readonly Item[] => Array.isArray(given)

export const asList = <Item>(given: OneOrMany<Item>): readonly Item[] => (areMany(given) ? given : [given])
