import type { Offset, TopicPartition } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { GROUP_BYTES, MEMBER_BYTES } from '../groups/group-bytes.js'
import type { GroupCoordinator } from '../groups/group-coordinator.js'
import type { TopicTable } from '../topics/topic-table.js'
import { type Beaten, type Heartbeat, ServedShareGroup } from './share-group.js'
import type { Refusal } from './share-partition.js'
import { ShareSessions } from './share-sessions.js'
import { defaultShareSettings, ShareSettings } from './share-settings.js'

/** Kafka trims ids of groups as Java does: all characters up to the space. */
const IS_BLANK = /^[\0-\x20]*$/
/** Size of a heartbeat's subscription beyond which it is refused. */
const MOST_SUBSCRIBED = 1_000

/**
 * All share groups, in memory only. The cluster decides which node coordinates a group. A group is of one kind for ever.
 *
 * Source: KIP-932, and answers of Apache Kafka 4.3.1.
 */
export class ShareGroups {
  readonly sessions = new ShareSessions(this)
  readonly #topics: TopicTable
  readonly #others: GroupCoordinator
  readonly #groups = new Map<string, ServedShareGroup>()

  constructor(topics: TopicTable, others: GroupCoordinator) {
    this.#topics = topics
    this.#others = others
  }

  /** A group that was joined. */
  get(groupId: string): ServedShareGroup | undefined {
    const group = this.#groups.get(groupId)
    return group?.exists ? group : undefined
  }

  ids(): string[] {
    return [...this.#groups.values()].filter(({ exists }) => exists).map(({ groupId }) => groupId)
  }

  settingsOf(groupId: string): ShareSettings {
    return this.#groups.get(groupId)?.settings ?? defaultShareSettings
  }

  /** Settings may come before the group. @returns false: there is no capacity */
  configure(groupId: string, given: ReadonlyMap<string, string>): boolean {
    const group = this.#groups.get(groupId) ?? this.#add(groupId)
    if (group === undefined) return false
    group.settings = new ShareSettings(given)
    if (given.size === 0 && !group.exists) this.#remove(group)
    return true
  }

  beat(groupId: string, heartbeat: Heartbeat): Beaten | Refusal {
    if (IS_BLANK.test(groupId)) return { errorCode: errorCodes.INVALID_REQUEST, message: "GroupId can't be empty." }
    const isOther = this.#isOther(groupId)
    const missing = { errorCode: errorCodes.GROUP_ID_NOT_FOUND, message: `Group ${groupId} is not a share group.` }
    if (isOther || (heartbeat.memberEpoch !== 0 && this.get(groupId) === undefined)) return missing
    if ((heartbeat.topics?.length ?? 0) > MOST_SUBSCRIBED)
      return { errorCode: errorCodes.INVALID_REQUEST, message: `at most ${MOST_SUBSCRIBED} topics` }
    const known = this.#groups.get(groupId)
    const group = known ?? this.#add(groupId)
    if (group === undefined) return { errorCode: errorCodes.GROUP_MAX_SIZE_REACHED, message: null }
    const result = group.beat(heartbeat, performance.now())
    if (known === undefined && !group.exists) this.#remove(group)
    return result
  }

  delete(groupId: string): number {
    const refusal = this.refusalOfForgetting(groupId)
    if (refusal === errorCodes.NONE) this.#remove(this.get(groupId)!)
    return refusal
  }

  #isOther(groupId: string): boolean {
    return this.#others.get(groupId) !== undefined || this.#others.offsets.has(groupId)
  }

  /** Begins partitions at other offsets; those that do not exist are passed over. A group that is absent is made. @returns a code */
  alter(groupId: string, places: readonly (TopicPartition & { readonly startOffset: Offset })[]): number {
    if (IS_BLANK.test(groupId)) return errorCodes.INVALID_GROUP_ID
    if (this.#isOther(groupId)) return errorCodes.GROUP_ID_NOT_FOUND
    const group = this.#groups.get(groupId) ?? this.#add(groupId)
    if (group === undefined) return errorCodes.GROUP_MAX_SIZE_REACHED
    if (group.membersAt(performance.now()).length > 0) return errorCodes.NON_EMPTY_GROUP
    for (const { topic: name, partition: index, startOffset } of places) {
      const topic = this.#topics.get(name)
      const partition = topic?.partitions[index]
      if (topic !== undefined && partition !== undefined) group.restart(topic, partition, startOffset)
    }
    return errorCodes.NONE
  }

  /** Why no topic of a group can be forgotten. @returns a code */
  refusalOfForgetting(groupId: string): number {
    const group = this.get(groupId)
    if (group === undefined) return errorCodes.GROUP_ID_NOT_FOUND
    return group.membersAt(performance.now()).length > 0 ? errorCodes.NON_EMPTY_GROUP : errorCodes.NONE
  }

  #remove(group: ServedShareGroup): void {
    group.close()
    this.#groups.delete(group.groupId)
    this.#others.bytes.add(-GROUP_BYTES)
  }

  topicsChanged(): void {
    for (const group of this.#groups.values()) group.topicsChanged()
  }

  /** Ends the locks of a group in one topic, or of all groups in it, as if their time were over. */
  endLocks(topic: string, groupId?: string): void {
    for (const group of this.#groups.values()) {
      if (groupId !== undefined && group.groupId !== groupId) continue
      for (const opened of group.allOpened) if (opened.topic === topic) opened.share.endLocks()
    }
  }

  close(): void {
    for (const group of this.#groups.values()) group.close()
  }

  #add(groupId: string): ServedShareGroup | undefined {
    if (!this.#others.bytes.hasCapacity(GROUP_BYTES + MEMBER_BYTES)) return undefined
    const group = new ServedShareGroup(groupId, this.#topics, this.#others.bytes)
    this.#others.bytes.add(GROUP_BYTES)
    this.#groups.set(groupId, group)
    return group
  }
}
