import { requireClientsGroup } from '../consumer/group/webhook-groups.js'
import { requireTopic } from '../consumer/stream/topic-readers.js'
import { CastellanError, InvalidRequestError, KafkaError } from '../core/errors.js'
import { getOrAdd } from '../core/maps.js'
import { type Offset, topicPartitionKey } from '../core/model.js'
import { printable, shortened } from '../core/printable.js'
import { errorCodes } from '../kafka/error-codes.js'
import { askRouter, mapInPortions } from '../router/routing/ask-router.js'
import type { AdminVerbs } from './admin.js'
import { GroupReaders, type GroupReadersDeps } from './group-readers.js'
import { requireAnswer, requireDone } from './kafka-admin.js'
import { TimeLimit } from './offsets.js'
import type {
  MovedPartition,
  ResetTo,
  ShareGroup,
  ShareGroupDescription,
  ShareGroupList,
  ShareGroupsOnly,
  ShareGroupVerbs
} from './share-groups.js'

/** Members that a refusal names. */
const MAX_NAMED = 5
/** Any name: the group need not exist for Kafka to tell whether it has share groups. */
const ANY_GROUP = 'castellan'

/** Share groups of a cluster by requests to the Router. */
export class KafkaShareGroups implements ShareGroupVerbs {
  readonly #deps: Omit<GroupReadersDeps, 'timeoutMs'>
  readonly #admin: AdminVerbs

  constructor(deps: Omit<GroupReadersDeps, 'timeoutMs'>, admin: AdminVerbs) {
    this.#deps = deps
    this.#admin = admin
  }

  async list({ after = '', most, includes = () => true }: ShareGroupsOnly, timeoutMs: number): Promise<ShareGroupList> {
    const limit = this.#limit(timeoutMs)
    const names = (await this.#readers(limit).shareGroupNames()).filter(name => name > after && includes(name))
    if (names.length === 0) await this.#requireOffered(limit)
    const page = names.slice(0, most)
    const groups = await mapInPortions(page, groupId => this.#listed(groupId, limit))
    return {
      groups: groups.filter(group => group !== undefined),
      next: names.length > page.length ? page.at(-1) : undefined
    }
  }

  /**
   * A Kafka without share groups lists none. All else that Kafka says of the group, as that it may not be described, is no matter.
   *
   * @throws KafkaError 35 where Kafka has no share groups
   */
  async #requireOffered(limit: TimeLimit): Promise<void> {
    try {
      await this.#readers(limit).shareGroup(ANY_GROUP)
    } catch (error) {
      if (!(error instanceof CastellanError) || isUnsupported(error)) throw error
    }
  }

  /** @returns `undefined`: it is gone meanwhile, or Kafka refuses to describe it */
  async #listed(groupId: string, limit: TimeLimit): Promise<ShareGroup | undefined> {
    try {
      return await this.#described(groupId, limit)
    } catch (error) {
      if (!(error instanceof CastellanError) || error.retriable || isUnsupported(error)) throw error
      const isExpected = error.code === 'notAuthorized' || isOf(error, errorCodes.GROUP_ID_NOT_FOUND)
      if (!isExpected)
        this.#deps.log.warn({ group: groupId, err: error }, 'a share group cannot be read; lists leave it out')
      return undefined
    }
  }

  describe(groupId: string, timeoutMs: number): Promise<ShareGroup> {
    return this.#described(groupId, this.#limit(timeoutMs))
  }

  async #described(groupId: string, limit: TimeLimit): Promise<ShareGroup> {
    const [group, result] = await Promise.all([
      this.#require(groupId, limit),
      askRouter(this.#deps.router, { type: 'fetchShareOffsets', groupId, topic: null, timeoutMs: limit.remainingMs })
    ])
    const { offsets } = requireAnswer(result, `the offsets of group ${groupId}`, limit.timeoutMs)
    const all = new Map<string, Set<number>>()
    const add = (topic: string, numbers: Iterable<number>): void => {
      const known = getOrAdd(all, topic, () => new Set())
      for (const partition of numbers) known.add(partition)
    }
    for (const { topic, partition } of offsets) add(topic, [partition])
    for (const { partitions } of group.members) for (const [topic, numbers] of partitions) add(topic, numbers)
    const topics = [...all.keys()].sort()
    const inOrder = (topic: string): number[] => [...all.get(topic)!].sort((one, other) => one - other)
    return { ...group, topics, partitions: new Map(topics.map(topic => [topic, inOrder(topic)])) }
  }

  async reset(
    topic: string,
    groupId: string,
    to: ResetTo,
    isDryRun: boolean,
    timeoutMs: number
  ): Promise<readonly MovedPartition[]> {
    const limit = this.#limit(timeoutMs)
    // A look is no change: it may be taken while workers are at work.
    if (isDryRun) await this.#require(groupId, limit)
    else await this.#requireEmpty(groupId, limit)
    const [starts, wanted] = await Promise.all([this.#starts(topic, groupId, limit), this.#offsetsAt(topic, to, limit)])
    const moved = wanted.map(([partition, offset]) => ({
      partition,
      from: starts.get(partition) ?? null,
      to: offset
    }))
    if (isDryRun) return moved
    const asked = { groupId, topic, offsets: new Map(wanted), timeoutMs: limit.remainingMs }
    const result = await askRouter(this.#deps.router, { type: 'alterShareOffsets', ...asked })
    // If no offset moves, the offsets do not show that locks and delivery counts are gone.
    const isMade = async (): Promise<boolean> => {
      const now = await this.#starts(topic, groupId, limit)
      return moved.some(({ from, to }) => from !== to) && moved.every(({ partition, to }) => now.get(partition) === to)
    }
    await requireDone(result, `the change of offsets of group ${groupId}`, false, limit, isMade)
    return moved
  }

  async forget(topic: string, groupId: string, timeoutMs: number): Promise<void> {
    const limit = this.#limit(timeoutMs)
    await this.#requireEmpty(groupId, limit)
    const asked = { groupId, topic, timeoutMs: limit.remainingMs }
    const result = await askRouter(this.#deps.router, { type: 'deleteShareOffsets', ...asked })
    if (result.type === 'failed' && result.errorCode === errorCodes.UNKNOWN_TOPIC_OR_PARTITION)
      throw new KafkaError(result.errorCode, `group ${groupId} has no state of topic ${topic}`, false)
    const isMade = async (): Promise<boolean> => (await this.#starts(topic, groupId, limit)).size === 0
    await requireDone(result, `the deletion of topic ${topic} of group ${groupId}`, false, limit, isMade)
  }

  async delete(groupId: string, timeoutMs: number): Promise<void> {
    const limit = this.#limit(timeoutMs)
    // Kafka deletes groups of all kinds by the same request.
    await this.#requireEmpty(groupId, limit)
    await this.#admin.deleteGroup(groupId, limit.remainingMs)
  }

  /** @throws KafkaError when there is no such share group, or it has members */
  async #requireEmpty(groupId: string, limit: TimeLimit): Promise<void> {
    requireClientsGroup(groupId)
    const { members } = await this.#require(groupId, limit)
    if (members.length === 0) return
    const named = members.slice(0, MAX_NAMED).map(({ clientId, clientHost }) => `${clientId} at ${clientHost}`)
    const names = named.map(name => printable(shortened(name))).join(', ')
    const more = members.length > MAX_NAMED ? ` and ${members.length - MAX_NAMED} more` : ''
    const text = `group ${groupId} has members: ${names}${more}; gateways leave 30 s after their last acquire`
    throw new KafkaError(errorCodes.NON_EMPTY_GROUP, text, false)
  }

  async #require(groupId: string, limit: TimeLimit): Promise<ShareGroupDescription> {
    const found = await this.#readers(limit).shareGroup(groupId)
    if (found !== undefined) return found
    throw new KafkaError(errorCodes.GROUP_ID_NOT_FOUND, `there is no share group ${groupId}`, false)
  }

  /** Where the group begins, by partition. */
  async #starts(topic: string, groupId: string, limit: TimeLimit): Promise<ReadonlyMap<number, Offset>> {
    const asked = { groupId, topic, timeoutMs: limit.remainingMs }
    const result = limit.heard(await askRouter(this.#deps.router, { type: 'fetchShareOffsets', ...asked }))
    const { offsets } = requireAnswer(result, `the offsets of group ${groupId}`, limit.timeoutMs)
    const known = offsets.filter(({ startOffset }) => startOffset >= 0)
    return new Map(known.map(({ partition, startOffset }) => [partition, startOffset]))
  }

  async #offsetsAt(topic: string, to: ResetTo, limit: TimeLimit): Promise<readonly (readonly [number, Offset])[]> {
    const asked = { topics: [topic], timeoutMs: limit.remainingMs }
    const found = await askRouter(this.#deps.router, { type: 'fetchTopicMetadata', ...asked })
    const { topics } = requireAnswer(found, 'the request for the topic', limit.timeoutMs)
    const partitions = requireTopic(topic, topics).partitions.map(({ partition }) => partition)
    const at = (partition: number, type: 'earliest' | 'latest' | { readonly timestampMs: number }) =>
      this.#offsetAt(topic, partition, type, limit)
    if (typeof to === 'string' || 'timestampMs' in to)
      return mapInPortions(partitions, async partition => [partition, await at(partition, to)] as const)
    return mapInPortions([...to.offsets], async ([partition, offset]) => {
      const place = topicPartitionKey(topic, partition)
      if (!partitions.includes(partition)) throw new InvalidRequestError(`there is no partition ${place}`)
      const [first, end] = await Promise.all([at(partition, 'earliest'), at(partition, 'latest')])
      if (offset >= first && offset <= end) return [partition, offset] as const
      throw new InvalidRequestError(`${place} has no offset ${offset}: they are from ${first} to ${end}`)
    })
  }

  async #offsetAt(
    topic: string,
    partition: number,
    offsetType: 'earliest' | 'latest' | { readonly timestampMs: number },
    limit: TimeLimit
  ): Promise<Offset> {
    const asked = { topicPartition: { topic, partition }, timeoutMs: limit.remainingMs }
    const result = await (offsetType === 'latest'
      ? askRouter(this.#deps.router, { type: 'fetchLogEnd', ...asked })
      : askRouter(this.#deps.router, { type: 'fetchOffset', offsetType, ...asked }))
    const place = topicPartitionKey(topic, partition)
    if (result.type === 'unknownTopicOrPartition')
      throw new InvalidRequestError(`there is no partition ${place}`, 'unknownTopic')
    return requireAnswer(result, `the request for the offsets of ${place}`, limit.timeoutMs).offset
  }

  #limit(timeoutMs: number): TimeLimit {
    return new TimeLimit(timeoutMs, this.#deps.clock)
  }

  #readers({ remainingMs: timeoutMs }: TimeLimit): GroupReaders {
    return new GroupReaders({ ...this.#deps, timeoutMs }, {})
  }
}

const isOf = (error: CastellanError, errorCode: number): boolean =>
  error instanceof KafkaError && error.errorCode === errorCode
const isUnsupported = (error: CastellanError): boolean => isOf(error, errorCodes.UNSUPPORTED_VERSION)
