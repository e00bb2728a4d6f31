import { errorCodes } from '../../kafka/error-codes.js'
import type { StoredOffsets } from '../storage/storage.js'
import { CommittedOffsets } from './committed-offsets.js'
import { Group } from './group.js'
import { GROUP_BYTES, GroupBytes, MEMBER_BYTES } from './group-bytes.js'
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
