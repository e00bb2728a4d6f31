import { performanceClock } from '../core/clocks.js'
import { unlessAborted } from '../core/ending.js'
import { errorCodeOf } from '../core/error-code-of.js'
import { CastellanError, InvalidRequestError, KafkaError } from '../core/errors.js'
import {
  MAX_TIMER_MS,
  type MonotonicClock,
  type Offset,
  type TopicPartition,
  topicPartitionKey
} from '../core/model.js'
import { asList, checkOptionNames, type OneOrMany } from '../core/settings/call-options.js'
import { suggestion } from '../core/settings/problems.js'
import { errorCodes, kafkaErrorOf } from '../kafka/error-codes.js'
import { aclWords } from '../kafka/protocol/acls.js'
import { mapInPortions } from '../router/routing/ask-router.js'
import { resourceName } from '../verbs/admin.js'
import { AdminError, type AdminErrorCode } from '../verbs/admin-error.js'
import type { TimeLimit } from '../verbs/offsets.js'
import type {
  AclEntry,
  AclFilter,
  ClusterDescription,
  ConfigEntry,
  ConfigResource,
  GroupDescription,
  LogEnds,
  TopicMetadata,
  Verbs
} from '../verbs/verbs.js'
import {
  CallLimit,
  callAborted,
  checkAdminOptions,
  checkConfigs,
  checkNames,
  checkNewTopics,
  checkPlaces
} from './admin-calls.js'

const DEFAULT_TIMEOUT_MS = 30_000

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

/** A topic to create. */
export interface NewTopic {
  readonly name: string
  /** Absent: the brokers' default, or there are assignments. */
  readonly partitions?: number | undefined
  /** Absent: the brokers' default, or there are assignments. */
  readonly replicationFactor?: number | undefined
  /** The brokers of each partition, the preferred leader first. Absent: Kafka chooses. */
  readonly assignments?: Readonly<Record<number, readonly number[]>> | undefined
  /** Settings that differ from the brokers' defaults. */
  readonly configs?: Readonly<Record<string, string | null>> | undefined
}

/** A topic, a broker, or the settings that all brokers share. */
export type Resource = { readonly topic: string } | { readonly broker: number } | { readonly brokers: true }

export interface ConsumedPartition extends TopicPartition {
  /** `undefined`: the group has committed no offset. */
  readonly committed: Offset | undefined
  /** The first offset that the log still has. */
  readonly earliest: Offset
  /** The offset of the next record to be written. */
  readonly latest: Offset
}

type AtOffset = TopicPartition & { readonly offset: Offset }

/**
 * Administration of the cluster. A call with one name throws the error of that name; a call with a list tries all, then
 * throws one error with the `errors` of those that failed. All calls throw AdminError. Questions are repeated within
 * `timeoutMs`. A change is not sent again once its bytes were written: look-ups then tell whether it was made.
 */
export class ProgramAdmin {
  readonly #verbs: Verbs
  readonly #clock: MonotonicClock

  constructor(verbs: Verbs, clock: MonotonicClock = performanceClock) {
    this.#verbs = verbs
    this.#clock = clock
  }

  /** When it resolves, producers of this program find the topic. */
  async createTopic(topic: OneOrMany<NewTopic>, options?: AdminChangeOptions): Promise<void> {
    const limit = this.#limit(options, true)
    checkNewTopics(asList(topic))
    const create = ({ assignments = {}, configs = {}, ...given }: NewTopic) => {
      const placed = Object.entries(assignments).map(([partition, nodeIds]) => [Number(partition), nodeIds] as const)
      const asked = { ...given, assignments: new Map(placed), configs: new Map(Object.entries(configs)) }
      return this.#verbs.admin.createTopic(asked, changeOf(options, limit))
    }
    return ofEach(topic, ({ name }) => name, limit, create)
  }

  /** Deletes topics with all their records. */
  async deleteTopic(topic: OneOrMany<string>, options?: AdminOptions): Promise<void> {
    const limit = this.#limit(options)
    checkNames('deleteTopic', asList(topic))
    return ofEach(topic, String, limit, name => this.#verbs.admin.deleteTopic(name, limit.remainingMs))
  }

  /** @param total the number of partitions that the topic then has; more than before */
  async createPartitions(topic: string, total: number, options?: AdminChangeOptions): Promise<void> {
    const limit = this.#limit(options, true)
    checkNames('createPartitions', [topic])
    return told(this.#verbs.admin.createPartitions(topic, total, changeOf(options, limit)), limit)
  }

  /**
   * Topics by name; one that does not exist is absent. `errorCode` above 0: the brokers tell no more of it.
   *
   * @param names default: all topics
   */
  async topics(names?: readonly string[], options?: AdminOptions): Promise<Map<string, TopicMetadata>> {
    const limit = this.#limit(options)
    checkNames('topics', names ?? [])
    const found = await told(this.#verbs.topics(names ?? 'all', limit.remainingMs), limit)
    return new Map([...found].filter(([, { errorCode }]) => errorCode !== errorCodes.UNKNOWN_TOPIC_OR_PARTITION))
  }

  /**
   * Start and end of logs, in the order of the partitions; the end is that for readers of committed records.
   *
   * @returns `undefined` in the place of a partition that does not exist
   */
  async logEnds(
    partitions: readonly TopicPartition[],
    options?: AdminOptions
  ): Promise<readonly (LogEnds | undefined)[]> {
    checkPlaces('logEnds', partitions)
    const limit = this.#limit(options)
    return told(this.#verbs.admin.logEnds(partitions, limit.remainingMs), limit)
  }

  /** Deletes the records of partitions before an offset. */
  async deleteRecords(before: OneOrMany<AtOffset>, options?: AdminOptions): Promise<void> {
    const limit = this.#limit(options)
    checkPlaces('deleteRecords', asList(before), 'offset')
    return ofEach(before, placeOf, limit, ({ topic, partition, offset }) =>
      this.#verbs.admin.deleteRecords({ topic, partition }, offset, limit.remainingMs)
    )
  }

  /**
   * All settings of topics, or of brokers. The objects have no prototype.
   *
   * @returns by the name of the topic, the id of the broker, or `brokers`; a topic that does not exist is absent
   */
  async describeConfigs(
    of: OneOrMany<Resource>,
    options?: AdminOptions
  ): Promise<Record<string, Record<string, Omit<ConfigEntry, 'name'>>>> {
    const resources = asList(of).map(toResource)
    const limit = this.#limit(options)
    const found = await told(this.#verbs.admin.describeConfigs(resources, limit.remainingMs), limit)
    return objectOf(
      [...found].map(([name, entries]) => {
        const configs = entries.map(({ name, ...entry }) => [name, entry] as const)
        return [name === ALL_BROKERS ? 'brokers' : name, objectOf(configs)] as const
      })
    )
  }

  /** Changes settings, all or none. Those that are not named stay as they are; `null`: the default again. */
  async alterConfigs(
    of: Resource,
    configs: Readonly<Record<string, string | null>>,
    options?: AdminChangeOptions
  ): Promise<void> {
    const limit = this.#limit(options, true)
    checkConfigs('alterConfigs', configs)
    const changes = Object.entries(configs).map(([name, value]) => ({ name, value }))
    return told(this.#verbs.admin.alterConfigs(toResource(of), changes, changeOf(options, limit)), limit)
  }

  /**
   * Entries of access control lists.
   *
   * @param filter default: all entries
   * @throws InvalidRequestError when the filter has a field or a word that there is not
   * @throws AdminError `securityDisabled` when the brokers have no authorizer
   */
  async describeAcls(filter: AclFilter = {}, options?: AdminOptions): Promise<readonly AclEntry[]> {
    const limit = this.#limit(options)
    checkAclFilter(filter)
    return told(this.#verbs.admin.describeAcls(filter, limit.remainingMs), limit)
  }

  /**
   * Groups by id, also those without members; a group that no coordinator knows is absent.
   *
   * @param groups default: all groups
   */
  async describeGroups(groups?: readonly string[], options?: AdminOptions): Promise<Map<string, GroupDescription>> {
    const limit = this.#limit(options)
    checkNames('describeGroups', groups ?? [])
    return new Map(await told(this.#verbs.groups.describe(groups ?? 'all', limit.remainingMs), limit))
  }

  /** Deletes groups that have no members, with their offsets. */
  async deleteGroups(groups: OneOrMany<string>, options?: AdminOptions): Promise<void> {
    const limit = this.#limit(options)
    checkNames('deleteGroups', asList(groups))
    return ofEach(groups, String, limit, group => this.#verbs.admin.deleteGroup(group, limit.remainingMs))
  }

  /**
   * Where a group stands, by topic and partition.
   *
   * @param topic default: all topics of which the group has committed offsets
   */
  async offsets(group: string, topic?: string, options?: AdminOptions): Promise<readonly ConsumedPartition[]> {
    const limit = this.#limit(options)
    checkNames('offsets', [group, topic ?? ''])
    return told(this.#offsets(group, topic, limit), limit)
  }

  async #offsets(group: string, only: string | undefined, limit: TimeLimit): Promise<readonly ConsumedPartition[]> {
    const { groups } = this.#verbs
    const committed = only === undefined ? await groups.committed(group, limit.remainingMs) : []
    const topics = only === undefined ? [...new Set(committed.map(({ topic }) => topic))] : [only]
    const found = await mapInPortions(topics, async topic => {
      const offsets = (await groups.offsets(group, topic, limit.remainingMs)) ?? []
      return offsets.map(({ partition, committed, earliest, latest }) => {
        return { topic, partition, committed: committed?.offset, earliest, latest }
      })
    })
    return found.flat()
  }

  /** Moves a group to other offsets. If this program reads a partition for the group, it goes on there. */
  async setOffsets(group: string, offsets: readonly AtOffset[], options?: AdminOptions): Promise<void> {
    const limit = this.#limit(options)
    checkNames('setOffsets', [group])
    checkPlaces('setOffsets', offsets, 'offset')
    const commit = async (topic: string) => {
      const places = offsets.filter(place => place.topic === topic)
      const wanted = new Map(places.map(({ partition, offset }) => [partition, { offset }]))
      const committing = this.#verbs.groups.commit(group, topic, wanted, limit.remainingMs)
      const [result] = await Promise.allSettled([told(committing, limit)])
      return [topic, result] as const
    }
    const results = new Map(await mapInPortions([...new Set(offsets.map(({ topic }) => topic))], commit))
    return ofEach(offsets, placeOf, limit, async place => {
      const result = results.get(place.topic)!
      if (result.status === 'rejected') throw result.reason
      const outcome = result.value.get(place.partition)
      if (outcome !== 'committed') throw refusedCommit(outcome ?? 'superseded', placeOf(place))
    })
  }

  async describeCluster(options?: AdminOptions): Promise<ClusterDescription> {
    const limit = this.#limit(options)
    return told(this.#verbs.admin.describeCluster(limit.remainingMs), limit)
  }

  /** @throws InvalidRequestError for what is no time limit, such as a number in the place of the options */
  #limit(options: AdminOptions = {}, isChange = false): CallLimit {
    checkAdminOptions(options, isChange)
    const { timeoutMs = DEFAULT_TIMEOUT_MS, signal } = Object(options) as AdminOptions
    if (signal?.aborted === true) throw callAborted()
    if (typeof options === 'object' && options !== null && typeof timeoutMs === 'number' && timeoutMs > 0)
      return new CallLimit(Math.min(timeoutMs, MAX_TIMER_MS), this.#clock, signal)
    throw new InvalidRequestError('the options have to be an object such as {timeoutMs: 30_000}, above 0')
  }
}

/** What programs see of it. */
export type Admin = Pick<ProgramAdmin, keyof ProgramAdmin>

const changeOf = ({ validateOnly }: AdminChangeOptions = {}, { remainingMs }: TimeLimit) => ({
  timeoutMs: remainingMs,
  validateOnly
})

const placeOf = ({ topic, partition }: TopicPartition): string => topicPartitionKey(topic, partition)

const ALL_BROKERS = resourceName({ type: 'brokers' })

function toResource(of: Resource): ConfigResource {
  if (of instanceof Object && 'topic' in of) return { type: 'topic', name: of.topic }
  if (of instanceof Object && 'broker' in of) return { type: 'broker', nodeId: of.broker }
  if (of instanceof Object && of.brokers) return { type: 'brokers' }
  throw new InvalidRequestError("settings are those of {topic: 'NAME'}, {broker: ID} or {brokers: true}")
}

/** @throws InvalidRequestError that names the field or the word that there is not, and what was probably meant */
function checkAclFilter(filter: AclFilter): void {
  checkOptionNames('describeAcls', filter, [...Object.keys(aclWords), 'resourceName', 'principal', 'host'])
  for (const [field, all] of Object.entries(aclWords)) {
    const words: readonly string[] = all.filter(word => word !== 'UNKNOWN' && word !== 'ANY')
    const given: unknown = filter[field as keyof AclFilter]
    if (given === undefined || words.includes(given as string)) continue
    const hint = suggestion(String(given), words)
    throw new InvalidRequestError(`describeAcls: ${field} has to be one of ${words.join(', ')}${hint}`)
  }
}

/** Without a prototype, since `__proto__` is a legal name of a topic. */
const objectOf = <Value>(entries: readonly (readonly [string, Value])[]): Record<string, Value> =>
  Object.assign(Object.create(null), Object.fromEntries(entries))

/** Tries all. @throws AdminError for those that failed */
async function ofEach<Item>(
  given: OneOrMany<Item>,
  nameOf: (item: Item) => string,
  limit: CallLimit,
  work: (item: Item) => Promise<unknown>
): Promise<void> {
  const items = asList(given)
  const errors = new Map<string, AdminError>()
  await mapInPortions(items, item =>
    told(limit.signal?.aborted === true ? Promise.reject(callAborted()) : work(item), limit).catch((error: unknown) => {
      if (!(error instanceof AdminError)) throw error
      errors.set(nameOf(item), error)
    })
  )
  const [first] = errors.values()
  if (first === undefined) return
  if (!Array.isArray(given)) throw first
  const message = `${errors.size} of ${items.length} failed: ${[...errors].map(([name, one]) => `${name}: ${one.message}`).join('; ')}`
  throw new AdminError({ ...first, message, retriable: [...errors.values()].every(one => one.retriable) }, errors)
}

/** The same promise, whose errors have Kafka's names. It rejects when the signal of the call is aborted. */
const told = <Value>(asked: Promise<Value>, limit?: CallLimit): Promise<Value> =>
  unlessAborted(asked, limit?.signal, () => Promise.reject(callAborted())).catch((error: unknown) => {
    throw error instanceof CastellanError && !(error instanceof AdminError) ? toAdminError(error) : error
  })

function toAdminError(error: CastellanError): AdminError {
  const { message, retriable, setting } = error
  const errorCode = error instanceof KafkaError ? error.errorCode : undefined
  const code = errorCode === undefined ? errorCodeOf(error) : adminCodeOf(errorCode)
  return new AdminError({ code, errorCode, message, retriable, setting, cause: error })
}

const KNOWN: ReadonlySet<number> = new Set(Object.values(errorCodes))

function adminCodeOf(errorCode: number): AdminErrorCode {
  if (!KNOWN.has(errorCode)) return 'kafka'
  const { name } = kafkaErrorOf(errorCode)
  return name.toLowerCase().replace(/_(.)/g, (_, letter: string) => letter.toUpperCase()) as AdminErrorCode
}

function refusedCommit(outcome: 'superseded' | 'unknownTopicOrPartition', place: string): AdminError {
  const isSuperseded = outcome === 'superseded'
  const message = isSuperseded
    ? `${place}: another offset was committed at the same time, and is stored`
    : `there is no partition ${place}`
  const errorCode = isSuperseded ? undefined : errorCodes.UNKNOWN_TOPIC_OR_PARTITION
  return new AdminError({ code: outcome, errorCode, message, retriable: isSuperseded })
}
