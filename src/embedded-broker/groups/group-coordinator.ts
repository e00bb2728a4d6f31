import { getOrAdd } from '../../core/maps.js'
import { topicPartitionKey } from '../../core/model.js'
import { errorCodes } from '../../kafka/error-codes.js'
import { isForgotten, type StoredOffset, type StoredOffsets } from '../storage/storage.js'
import { Group } from './group.js'
import { GROUP_BYTES, GroupBytes, MEMBER_BYTES, OFFSET_BYTES } from './group-bytes.js'
import { type JoinRequest, type JoinResult, memberSizeOf, refusedJoin } from './member.js'

const LONGEST_SESSION_MS = 30 * 60 * 1000

/** All groups. The cluster decides which node coordinates a group. */
export class GroupCoordinator {
  readonly offsets: CommittedOffsets
  readonly #groups = new Map<string, Group>()
  readonly bytes: GroupBytes
  readonly #minSessionTimeoutMs: number

  constructor(storage: StoredOffsets, minSessionTimeoutMs: number, maxGroupBytes: number) {
    this.bytes = new GroupBytes(maxGroupBytes)
    this.offsets = new CommittedOffsets(storage, this.bytes)
    this.#minSessionTimeoutMs = minSessionTimeoutMs
  }

  get(groupId: string): Group | undefined {
    return this.#groups.get(groupId)
  }

  /** The ids of groups with members, and of groups that only have offsets. */
  ids(): string[] {
    return [...new Set([...this.#groups.keys(), ...this.offsets.groupIds])]
  }

  join(request: JoinRequest): JoinResult | Promise<JoinResult> {
    if (request.groupId === '') return refusedJoin(errorCodes.INVALID_GROUP_ID)
    if (request.sessionTimeoutMs < this.#minSessionTimeoutMs || request.sessionTimeoutMs > LONGEST_SESSION_MS) {
      return refusedJoin(errorCodes.INVALID_SESSION_TIMEOUT)
    }
    if (!this.#hasCapacityFor(request)) return refusedJoin(errorCodes.GROUP_MAX_SIZE_REACHED, request.memberId)
    let group = this.#groups.get(request.groupId)
    if (!group) {
      if (request.memberId !== '') return refusedJoin(errorCodes.UNKNOWN_MEMBER_ID)
      group = new Group(request.groupId, this.bytes)
      this.bytes.add(GROUP_BYTES)
      this.#groups.set(request.groupId, group)
    }
    return group.join(request)
  }

  commitError(groupId: string, generationId: number, memberId: string, groupInstanceId: string | null): number {
    const group = this.#groups.get(groupId)
    if (group) return group.commitError(generationId, memberId, groupInstanceId)
    return generationId < 0 ? errorCodes.NONE : errorCodes.ILLEGAL_GENERATION
  }

  /** Returns 0, or the error code of offsets in a transaction. A transaction need not name a member. */
  transactionalCommitError(
    groupId: string,
    generationId: number,
    memberId: string,
    groupInstanceId: string | null
  ): number {
    if (generationId < 0 && memberId === '' && groupInstanceId === null) return errorCodes.NONE
    const group = this.#groups.get(groupId)
    if (group) return group.memberError(generationId, memberId, groupInstanceId)
    return generationId < 0 ? errorCodes.NONE : errorCodes.ILLEGAL_GENERATION
  }

  delete(groupId: string): number {
    const group = this.#groups.get(groupId)
    if (group && group.state !== 'Empty') return errorCodes.NON_EMPTY_GROUP
    if (!group && !this.offsets.has(groupId)) return errorCodes.GROUP_ID_NOT_FOUND
    this.offsets.deleteGroup(groupId)
    if (group) this.#forget(group)
    return errorCodes.NONE
  }

  /** Returns true when there is capacity for the request. Removes groups without members if this is necessary. */
  #hasCapacityFor({ protocols }: JoinRequest): boolean {
    const neededBytes = GROUP_BYTES + MEMBER_BYTES + memberSizeOf(protocols)
    if (this.bytes.hasCapacity(neededBytes)) return true
    for (const group of this.#groups.values()) if (group.isAbandoned) this.#forget(group)
    return this.bytes.hasCapacity(neededBytes)
  }

  #forget(group: Group): void {
    group.close()
    this.#groups.delete(group.groupId)
    this.bytes.add(-GROUP_BYTES)
  }

  restartSessions(): void {
    for (const group of this.#groups.values()) group.restartSessions()
  }

  close(): void {
    for (const group of this.#groups.values()) group.close()
  }
}

export type OffsetInGroup = Omit<StoredOffset, 'groupId'>

const sizeOf = (groupId: string, { topic, metadata }: OffsetInGroup): number =>
  OFFSET_BYTES + groupId.length + topic.length + metadata.length

export class CommittedOffsets {
  readonly #groups = new Map<string, Map<string, OffsetInGroup>>()
  readonly #storage: StoredOffsets
  readonly #bytes: GroupBytes

  constructor(storage: StoredOffsets, bytes: GroupBytes) {
    this.#storage = storage
    this.#bytes = bytes
    for (const stored of storage.all()) this.#put(stored)
  }

  get groupIds(): Iterable<string> {
    return this.#groups.keys()
  }

  has(groupId: string): boolean {
    return this.#groups.has(groupId)
  }

  get(groupId: string, topic: string, partition: number): OffsetInGroup | undefined {
    return this.#groups.get(groupId)?.get(topicPartitionKey(topic, partition))
  }

  of(groupId: string): OffsetInGroup[] {
    return [...(this.#groups.get(groupId)?.values() ?? [])]
  }

  /** @throws Error when the storage fails; nothing has changed then */
  commit(offsets: readonly StoredOffset[]): void {
    if (offsets.length === 0) return
    this.#storage.save(offsets)
    for (const offset of offsets) this.#put(offset)
  }

  hasCapacityFor(offsets: readonly StoredOffset[]): boolean {
    let added = 0
    for (const stored of offsets) {
      const before = this.get(stored.groupId, stored.topic, stored.partition)
      added += sizeOf(stored.groupId, stored) - (before ? sizeOf(stored.groupId, before) : 0)
    }
    return added <= 0 || this.#bytes.hasCapacity(added)
  }

  deleteGroup(groupId: string): void {
    this.#forget(this.of(groupId).map(offset => ({ ...offset, groupId })))
    this.#groups.delete(groupId)
  }

  delete(groupId: string, topic: string, partition: number): void {
    const found = this.get(groupId, topic, partition)
    if (found) this.#forget([{ ...found, groupId }])
  }

  deleteTopic(topic: string): void {
    for (const groupId of [...this.#groups.keys()]) {
      this.#forget(
        this.of(groupId)
          .filter(offset => offset.topic === topic)
          .map(offset => ({ ...offset, groupId }))
      )
    }
  }

  #forget(offsets: readonly StoredOffset[]): void {
    this.commit(offsets.map(offset => ({ ...offset, offset: -1, metadata: '' })))
  }

  #put({ groupId, ...offset }: StoredOffset): void {
    const key = topicPartitionKey(offset.topic, offset.partition)
    const group = getOrAdd(this.#groups, groupId, () => new Map())
    const before = group.get(key)
    if (before) this.#bytes.add(-sizeOf(groupId, before))
    if (!isForgotten(offset)) {
      group.set(key, offset)
      this.#bytes.add(sizeOf(groupId, offset))
    } else group.delete(key)
    if (group.size === 0) this.#groups.delete(groupId)
  }
}
