import { isCount } from '../core/counts.js'
import { InvalidRequestError } from '../core/errors.js'
import { MAX_TIMER_MS, type MonotonicClock } from '../core/model.js'
import { asList, checkOptionNames, checkSignal } from '../core/settings/call-options.js'
import { suggestion } from '../core/settings/problems.js'
import { type AclFilter, aclWords } from '../kafka/protocol/acls.js'
import type { ConfigResource } from '../verbs/verbs.js'
import { CallLimit, callAborted } from './admin-failures.js'

const DEFAULT_TIMEOUT_MS = 30_000
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

export interface AdminOptions {
  /** Time limit of the whole call. Default: 30 s. */
  readonly timeoutMs?: number | undefined
  /** Ends the call when it is aborted (`aborted`). No further change is begun; one that was may still be made. */
  readonly signal?: AbortSignal | undefined
}
export interface AdminChangeOptions extends AdminOptions {
  /** True: Kafka only checks the change. Default: false. */
  readonly validateOnly?: boolean | undefined
}

/** A topic, a broker, or the settings that all brokers share. */
export type Resource = { readonly topic: string } | { readonly broker: number } | { readonly brokers: true }

/** @param call its name @throws InvalidRequestError for what the call does not take */
type CallCheck = (call: string, given: unknown) => void

interface TakenByCall {
  /** How each argument in front of the options is checked. */
  readonly takes: readonly CallCheck[]
  /** True: Kafka may be asked to check it only. */
  readonly isChange?: true
}

/** Arguments of each call of `admin`. A call without a row cannot begin. */
const CALLS = {
  createTopic: { takes: [eachOf(checkNewTopics)], isChange: true },
  deleteTopic: { takes: [eachOf(checkNames)] },
  createPartitions: { takes: [checkName], isChange: true },
  topics: { takes: [orAbsent(checkNames)] },
  logEnds: { takes: [checkPartitions] },
  deleteRecords: { takes: [eachOf(checkOffsets)] },
  describeConfigs: { takes: [eachOf((_, resources) => resources.forEach(one => toResource(one as Resource)))] },
  alterConfigs: { takes: [(_, resource) => toResource(resource as Resource), checkConfigs], isChange: true },
  describeAcls: { takes: [checkAclFilter] },
  describeGroups: { takes: [orAbsent(checkNames)] },
  deleteGroups: { takes: [eachOf(checkNames)] },
  offsets: { takes: [checkName, orAbsent(checkName)] },
  setOffsets: { takes: [checkName, checkOffsets] },
  describeCluster: { takes: [] }
} satisfies Readonly<Record<string, TakenByCall>>

/** The name of a call of `admin`. */
export type AdminCall = keyof typeof CALLS
export const adminCalls = Object.keys(CALLS) as AdminCall[]

/**
 * Checks what a call of `admin` was given.
 *
 * @returns its limit, which runs from now on
 * @throws InvalidRequestError for what it does not take
 * @throws AdminError when its signal is aborted already
 */
export function begin(
  call: AdminCall,
  given: readonly unknown[],
  options: AdminOptions | undefined,
  clock: MonotonicClock
): CallLimit {
  const { takes, isChange }: TakenByCall = CALLS[call]
  const limit = limitOf(call, isChange === true, clock, options)
  for (const [at, check] of takes.entries()) check(call, given[at])
  return limit
}

/** @throws InvalidRequestError for what is no time limit, such as a number in the place of the options */
function limitOf(call: string, isChange: boolean, clock: MonotonicClock, options: AdminOptions = {}): CallLimit {
  const { timeoutMs = DEFAULT_TIMEOUT_MS, signal } = Object(options) as AdminOptions
  if (isObject(options)) {
    checkOptionNames(call, options, isChange ? CHANGE_OPTIONS : LIMIT_OPTIONS)
    checkSignal(call, signal)
  }
  if (signal?.aborted === true) throw callAborted()
  if (typeof options === 'object' && options !== null && typeof timeoutMs === 'number' && timeoutMs > 0)
    return new CallLimit(Math.min(timeoutMs, MAX_TIMER_MS), clock, signal)
  throw new InvalidRequestError(`${call}: the options have to be an object such as {timeoutMs: 30_000}, above 0`)
}

/** One, or a list of them. */
function eachOf(check: (call: string, given: readonly unknown[]) => void): CallCheck {
  return (call, given) => check(call, asList(given))
}

function orAbsent(check: CallCheck): CallCheck {
  return (call, given) => (given === undefined ? undefined : check(call, given))
}

const isObject = (given: unknown): given is object =>
  typeof given === 'object' && given !== null && !Array.isArray(given) && !(given instanceof Map)

/** @throws InvalidRequestError for what is no topic to create */
function checkNewTopics(call: string, topics: readonly unknown[]): void {
  for (const topic of topics) {
    if (!isObject(topic))
      throw new InvalidRequestError("createTopic takes topics such as {name: 'orders', partitions: 3}")
    checkOptionNames(call, topic, NEW_TOPIC, MEANT_OF_TOPIC, 'a topic')
    const { name, assignments = {}, configs = {} } = topic as { name?: unknown; assignments?: object; configs?: object }
    checkName(call, name)
    checkValues(`${call}: assignments`, assignments, Array.isArray, 'lists of broker ids')
    checkConfigs(call, configs)
  }
}

/** @throws InvalidRequestError for a value that is neither text nor `null` */
function checkConfigs(call: string, configs: unknown): void {
  checkValues(`${call}: configs`, configs, value => typeof value === 'string' || value === null, 'texts or null')
}

function checkValues(what: string, given: unknown, isRight: (value: unknown) => boolean, values: string): void {
  if (isObject(given) && Object.values(given).every(isRight)) return
  throw new InvalidRequestError(`${what} are an object with names and, as values, ${values}`)
}

/** @throws InvalidRequestError for what is no list of texts */
function checkNames(call: string, names: unknown): void {
  if (Array.isArray(names) && names.every(name => typeof name === 'string')) return
  throw new InvalidRequestError(`${call} takes names, which are texts`)
}

function checkName(call: string, name: unknown): void {
  checkNames(call, [name])
}

function checkPartitions(call: string, partitions: unknown): void {
  checkPlaces(call, partitions)
}

function checkOffsets(call: string, offsets: unknown): void {
  checkPlaces(call, offsets, 'offset')
}

/** @throws InvalidRequestError for what is no partition, or no offset where there has to be one; none is below 0 */
function checkPlaces(call: string, places: unknown, field?: 'offset'): void {
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

/** @throws InvalidRequestError that names the field or the word that there is not, and what was probably meant */
function checkAclFilter(call: string, given: unknown): void {
  const filter = given as AclFilter
  checkOptionNames(call, filter, [...Object.keys(aclWords), 'resourceName', 'principal', 'host'])
  for (const [field, all] of Object.entries(aclWords)) {
    const words: readonly string[] = all.filter(word => word !== 'UNKNOWN' && word !== 'ANY')
    const word: unknown = filter[field as keyof AclFilter]
    if (word === undefined || words.includes(word as string)) continue
    const hint = suggestion(String(word), words)
    throw new InvalidRequestError(`${call}: ${field} has to be one of ${words.join(', ')}${hint}`)
  }
}

export function toResource(of: Resource): ConfigResource {
  if (of instanceof Object && 'topic' in of) return { type: 'topic', name: of.topic }
  if (of instanceof Object && 'broker' in of) return { type: 'broker', nodeId: of.broker }
  if (of instanceof Object && of.brokers) return { type: 'brokers' }
  throw new InvalidRequestError("settings are those of {topic: 'NAME'}, {broker: ID} or {brokers: true}")
}
