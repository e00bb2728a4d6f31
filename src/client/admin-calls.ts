import { isCount } from '../core/counts.js'
import { InvalidRequestError } from '../core/errors.js'
import type { MonotonicClock } from '../core/model.js'
import { checkOptionNames, checkSignal } from '../core/settings/call-options.js'
import { AdminError } from '../verbs/admin-error.js'
import { TimeLimit } from '../verbs/offsets.js'

const NEW_TOPIC = ['name', 'partitions', 'replicationFactor', 'assignments', 'configs']
/** Fields of other clients, and the field that is meant. */
const MEANT_OF_TOPIC = new Map([
  ['topic', 'name'],
  ['numPartitions', 'partitions'],
  ['replicaAssignment', 'assignments'],
  ['configEntries', 'configs']
])
const LIMIT_OPTIONS = ['timeoutMs', 'signal']
const CHANGE_OPTIONS = [...LIMIT_OPTIONS, 'validateOnly']

/** The time limit of a call, and the signal that ends it. */
export class CallLimit extends TimeLimit {
  readonly signal: AbortSignal | undefined

  constructor(timeoutMs: number, clock: MonotonicClock, signal: AbortSignal | undefined) {
    super(timeoutMs, clock)
    this.signal = signal
  }
}

export function callAborted(): AdminError {
  const message = 'the signal of the call was aborted; a change that it had begun may still be made'
  return new AdminError({ code: 'aborted', errorCode: undefined, message, retriable: true })
}

const isObject = (given: unknown): given is object =>
  typeof given === 'object' && given !== null && !Array.isArray(given) && !(given instanceof Map)

/** @throws InvalidRequestError for what a call of `admin` does not take in the place of its options */
export function checkAdminOptions(options: object | undefined, isChange: boolean): void {
  if (!isObject(options)) return
  checkOptionNames('admin', options, isChange ? CHANGE_OPTIONS : LIMIT_OPTIONS)
  checkSignal('admin', (options as { readonly signal?: unknown }).signal)
}

/** @throws InvalidRequestError for what is no topic to create */
export function checkNewTopics(topics: readonly unknown[]): void {
  for (const topic of topics) {
    if (!isObject(topic))
      throw new InvalidRequestError("createTopic takes topics such as {name: 'orders', partitions: 3}")
    checkOptionNames('createTopic', topic, NEW_TOPIC, MEANT_OF_TOPIC, 'a topic')
    const { name, assignments = {}, configs = {} } = topic as { name?: unknown; assignments?: object; configs?: object }
    checkNames('createTopic', [name])
    checkValues('createTopic: assignments', assignments, Array.isArray, 'lists of broker ids')
    checkConfigs('createTopic', configs)
  }
}

/** @throws InvalidRequestError for a value that is neither text nor `null` */
export const checkConfigs = (call: string, configs: object): void =>
  checkValues(`${call}: configs`, configs, value => typeof value === 'string' || value === null, 'texts or null')

function checkValues(what: string, given: object, isRight: (value: unknown) => boolean, values: string): void {
  if (isObject(given) && Object.values(given).every(isRight)) return
  throw new InvalidRequestError(`${what} are an object with names and, as values, ${values}`)
}

/** @throws InvalidRequestError for what is no list of texts */
export function checkNames(call: string, names: unknown): void {
  if (Array.isArray(names) && names.every(name => typeof name === 'string')) return
  throw new InvalidRequestError(`${call} takes names, which are texts`)
}

/** @throws InvalidRequestError for what is no partition, or no offset where there has to be one; none is below 0 */
export function checkPlaces(call: string, places: unknown, field?: 'offset'): void {
  const isPlace = (given: unknown): boolean => {
    if (!isObject(given)) return false
    const { topic, partition, offset } = given as { topic?: unknown; partition?: unknown; offset?: unknown }
    return typeof topic === 'string' && isCount(partition) && (field === undefined || isCount(offset))
  }
  if (Array.isArray(places) && places.every(isPlace)) return
  const example = field === undefined ? '' : ', offset: 0'
  throw new InvalidRequestError(
    `${call} takes places such as {topic: 'orders', partition: 0${example}}, and no number below 0`
  )
}
