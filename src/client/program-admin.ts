import { performanceClock } from '../core/clocks.js'
import { type MonotonicClock, type Offset, type TopicPartition, topicPartitionKey } from '../core/model.js'
import { asList, type OneOrMany } from '../core/settings/call-options.js'
import { errorCodes } from '../kafka/error-codes.js'
import { mapInPortions } from '../router/routing/ask-router.js'
import { resourceName } from '../verbs/admin.js'
import type { TimeLimit } from '../verbs/offsets.js'
import type {
  AclEntry,
  AclFilter,
  ClusterDescription,
  ConfigEntry,
  GroupDescription,
  LogEnds,
  TopicMetadata,
  Verbs
} from '../verbs/verbs.js'
import { type AdminChangeOptions, type AdminOptions, begin, type Resource, toResource } from './admin-calls.js'
import { ofEach, refusedCommit, told } from './admin-failures.js'

export type { AdminChangeOptions, AdminOptions, Resource } from './admin-calls.js'

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
 * throws one error with the `errors` of those that failed. These are AdminErrors; what a call does not take is refused by
 * a bare InvalidRequestError, and nothing is tried. Questions are repeated within `timeoutMs`. A change is not sent again
 * once its bytes were written: look-ups then tell whether it was made.
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
    const limit = begin('createTopic', [topic], options, this.#clock)
    const create = ({ assignments = {}, configs = {}, ...given }: NewTopic) => {
      const placed = Object.entries(assignments).map(([partition, nodeIds]) => [Number(partition), nodeIds] as const)
      const asked = { ...given, assignments: new Map(placed), configs: new Map(Object.entries(configs)) }
      return this.#verbs.admin.createTopic(asked, changeOf(options, limit))
    }
    return ofEach(topic, ({ name }) => name, limit, create)
  }

  /** Deletes topics with all their records. */
  async deleteTopic(topic: OneOrMany<string>, options?: AdminOptions): Promise<void> {
    const limit = begin('deleteTopic', [topic], options, this.#clock)
    return ofEach(topic, String, limit, name => this.#verbs.admin.deleteTopic(name, limit.remainingMs))
  }

  /** @param total the number of partitions that the topic then has; more than before */
  async createPartitions(topic: string, total: number, options?: AdminChangeOptions): Promise<void> {
    const limit = begin('createPartitions', [topic], options, this.#clock)
    return told(this.#verbs.admin.createPartitions(topic, total, changeOf(options, limit)), limit)
  }

  /**
   * Topics by name; one that does not exist is absent. `errorCode` above 0: the brokers tell no more of it.
   *
   * @param names default: all topics
   */
  async topics(names?: readonly string[], options?: AdminOptions): Promise<Map<string, TopicMetadata>> {
    const limit = begin('topics', [names], options, this.#clock)
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
    const limit = begin('logEnds', [partitions], options, this.#clock)
    return told(this.#verbs.admin.logEnds(partitions, limit.remainingMs), limit)
  }

  /** Deletes the records of partitions before an offset. */
  async deleteRecords(before: OneOrMany<AtOffset>, options?: AdminOptions): Promise<void> {
    const limit = begin('deleteRecords', [before], options, this.#clock)
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
    const limit = begin('describeConfigs', [of], options, this.#clock)
    const resources = asList(of).map(toResource)
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
    const limit = begin('alterConfigs', [of, configs], options, this.#clock)
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
    const limit = begin('describeAcls', [filter], options, this.#clock)
    return told(this.#verbs.admin.describeAcls(filter, limit.remainingMs), limit)
  }

  /**
   * Groups by id, also those without members; a group that no coordinator knows is absent.
   *
   * @param groups default: all groups
   */
  async describeGroups(groups?: readonly string[], options?: AdminOptions): Promise<Map<string, GroupDescription>> {
    const limit = begin('describeGroups', [groups], options, this.#clock)
    return new Map(await told(this.#verbs.groups.describe(groups ?? 'all', limit.remainingMs), limit))
  }

  /** Deletes groups that have no members, with their offsets. */
  async deleteGroups(groups: OneOrMany<string>, options?: AdminOptions): Promise<void> {
    const limit = begin('deleteGroups', [groups], options, this.#clock)
    return ofEach(groups, String, limit, group => this.#verbs.admin.deleteGroup(group, limit.remainingMs))
  }

  /**
   * Where a group stands, by topic and partition.
   *
   * @param topic default: all topics of which the group has committed offsets
   */
  async offsets(group: string, topic?: string, options?: AdminOptions): Promise<readonly ConsumedPartition[]> {
    const limit = begin('offsets', [group, topic], options, this.#clock)
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
    const limit = begin('setOffsets', [group, offsets], options, this.#clock)
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
    const limit = begin('describeCluster', [], options, this.#clock)
    return told(this.#verbs.admin.describeCluster(limit.remainingMs), limit)
  }
}

/** The part of the class that programs see. */
export type Admin = Pick<ProgramAdmin, keyof ProgramAdmin>

const changeOf = ({ validateOnly }: AdminChangeOptions = {}, { remainingMs }: TimeLimit) => ({
  timeoutMs: remainingMs,
  validateOnly
})

const placeOf = ({ topic, partition }: TopicPartition): string => topicPartitionKey(topic, partition)

const ALL_BROKERS = resourceName({ type: 'brokers' })

/** Without a prototype, since `__proto__` is a legal name of a topic. */
const objectOf = <Value>(entries: readonly (readonly [string, Value])[]): Record<string, Value> =>
  Object.assign(Object.create(null), Object.fromEntries(entries))
