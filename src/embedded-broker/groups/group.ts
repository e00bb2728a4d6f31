import { randomUUID } from 'node:crypto'
import { errorCodes } from '../../kafka/error-codes.js'
import { GroupBytes, PromisedIds } from './group-bytes.js'
import {
  canJoin,
  chooseProtocol,
  type JoinRequest,
  type JoinResult,
  Member,
  refusedJoin,
  refusedSync,
  type SyncRequest,
  type SyncResult
} from './member.js'

/** The states under Kafka's names. */
export type GroupState = 'Empty' | 'PreparingRebalance' | 'CompletingRebalance' | 'Stable'

/**
 * Pause before the first generation of a group, in which further members may join. Kafka waits 3 s, which is too long
 * for trials.
 */
const FIRST_JOIN_DELAY_MS = 20

/**
 * A consumer group with the classic protocol.
 *
 *   Empty -> PreparingRebalance (members join) -> CompletingRebalance (the leader assigns) -> Stable -> Preparing...
 *
 * Source: apache/kafka GroupCoordinator (classic groups).
 */
export class Group {
  readonly groupId: string
  readonly #members = new Map<string, Member>()
  readonly #bytes: GroupBytes
  readonly #promisedIds: PromisedIds
  #state: GroupState = 'Empty'
  /** True during the pause before the first generation. */
  #isGathering = false
  #generationId = 0
  #protocolType = ''
  #protocol = ''
  #leaderId = ''
  #phaseTimer: NodeJS.Timeout | undefined

  constructor(groupId: string, bytes = new GroupBytes(Number.POSITIVE_INFINITY)) {
    this.groupId = groupId
    this.#bytes = bytes
    this.#promisedIds = new PromisedIds(bytes)
  }

  /** True when the group has no members, and none are joining. */
  get isAbandoned(): boolean {
    return this.#state === 'Empty' && this.#promisedIds.isEmpty
  }

  get state(): GroupState {
    return this.#state
  }
  get generationId(): number {
    return this.#generationId
  }
  get protocolType(): string {
    return this.#protocolType
  }
  get protocol(): string {
    return this.#protocol
  }
  get members(): readonly Member[] {
    return [...this.#members.values()]
  }

  join(request: JoinRequest): JoinResult | Promise<JoinResult> {
    const others = this.members.filter(({ memberId }) => memberId !== request.memberId)
    if (!canJoin(request, others)) return refusedJoin(errorCodes.INCONSISTENT_GROUP_PROTOCOL, request.memberId)
    if (request.memberId === '') return this.#joinNew(request)
    const member = this.#members.get(request.memberId)
    if (member) return this.#joinAgain(member, request)
    if (!this.#promisedIds.take(request.memberId)) {
      return refusedJoin(this.#isFenced(request) ? errorCodes.FENCED_INSTANCE_ID : errorCodes.UNKNOWN_MEMBER_ID)
    }
    return this.#add(request.memberId, request)
  }

  sync(request: SyncRequest): SyncResult | Promise<SyncResult> {
    const { generationId, memberId, groupInstanceId, assignments } = request
    const refusal = this.memberError(generationId, memberId, groupInstanceId) || this.#protocolError(request)
    if (refusal) return refusedSync(refusal)
    const member = this.#members.get(memberId)!
    if (this.#state === 'PreparingRebalance') return refusedSync(errorCodes.REBALANCE_IN_PROGRESS)
    if (!this.#bytes.hasCapacity(sum(assignments))) return refusedSync(errorCodes.GROUP_MAX_SIZE_REACHED)
    member.hasSynced = true
    this.#restartSession(member)
    if (this.#state === 'Stable') return { errorCode: errorCodes.NONE, assignment: member.assignment }
    const answer = member.holdSync()
    if (memberId === this.#leaderId) this.#assign(assignments)
    return answer
  }

  heartbeat(generationId: number, memberId: string, groupInstanceId: string | null): number {
    const refusal = this.memberError(generationId, memberId, groupInstanceId)
    if (refusal) return refusal
    this.#restartSession(this.#members.get(memberId)!)
    return this.#state === 'PreparingRebalance' ? errorCodes.REBALANCE_IN_PROGRESS : errorCodes.NONE
  }

  /** Removes the member with this member id, or with this instance id if the member id is empty. */
  leave(memberId: string, groupInstanceId: string | null): number {
    if (this.#promisedIds.take(memberId)) {
      this.#completeJoinIfAllAreHere()
      return errorCodes.NONE
    }
    const member =
      memberId === '' && groupInstanceId !== null ? this.#instance(groupInstanceId) : this.#members.get(memberId)
    if (!member)
      return this.#isFenced({ memberId, groupInstanceId })
        ? errorCodes.FENCED_INSTANCE_ID
        : errorCodes.UNKNOWN_MEMBER_ID
    this.#remove(member)
    return errorCodes.NONE
  }

  /**
   * Returns 0, or the error code of a commit. A commit without membership (generation -1) is only allowed in a group
   * without members.
   */
  commitError(generationId: number, memberId: string, groupInstanceId: string | null): number {
    if (generationId < 0 && this.#state === 'Empty') return errorCodes.NONE
    if (generationId < 0 && memberId === '' && groupInstanceId === null) return errorCodes.UNKNOWN_MEMBER_ID
    const refusal = this.memberError(generationId, memberId, groupInstanceId)
    if (refusal) return refusal
    this.#restartSession(this.#members.get(memberId)!)
    return this.#state === 'CompletingRebalance' ? errorCodes.REBALANCE_IN_PROGRESS : errorCodes.NONE
  }

  /** Returns 0, or the error code of a request of a member that is not this one of this generation. */
  memberError(generationId: number, memberId: string, groupInstanceId: string | null): number {
    if (this.#isFenced({ memberId, groupInstanceId })) return errorCodes.FENCED_INSTANCE_ID
    if (!this.#members.has(memberId)) return errorCodes.UNKNOWN_MEMBER_ID
    return generationId === this.#generationId ? errorCodes.NONE : errorCodes.ILLEGAL_GENERATION
  }

  /** Called when another node became the coordinator. Every member gets a full session time-out. */
  restartSessions(): void {
    for (const member of this.#members.values()) this.#restartSession(member)
  }

  close(): void {
    clearTimeout(this.#phaseTimer)
    this.#promisedIds.close()
    for (const member of this.#members.values()) {
      member.stopSession()
      this.#bytes.add(-member.chargedBytes)
      member.chargedBytes = 0
    }
  }

  #joinNew(request: JoinRequest): JoinResult | Promise<JoinResult> {
    const memberId = `${request.groupInstanceId ?? request.clientId}-${randomUUID()}`
    const predecessor = request.groupInstanceId === null ? undefined : this.#instance(request.groupInstanceId)
    if (predecessor) return this.#replace(predecessor, memberId, request)
    if (!request.requiresKnownMemberId || request.groupInstanceId !== null) return this.#add(memberId, request)
    this.#promisedIds.add(memberId, request.sessionTimeoutMs, () => this.#completeJoinIfAllAreHere())
    return refusedJoin(errorCodes.MEMBER_ID_REQUIRED, memberId)
  }

  #add(memberId: string, request: JoinRequest): Promise<JoinResult> {
    const member = new Member(memberId, request)
    this.#members.set(memberId, member)
    this.#protocolType = request.protocolType
    this.#charge(member)
    this.#restartSession(member)
    return this.#enqueue(member)
  }

  /**
   * Replaces a static member that has rejoined with a new id. Its former id is fenced, and partitions are reassigned
   * only if necessary.
   */
  #replace(old: Member, memberId: string, request: JoinRequest): JoinResult | Promise<JoinResult> {
    const leaderBefore = this.#leaderId
    old.stopSession()
    old.answerJoin(refusedJoin(errorCodes.FENCED_INSTANCE_ID, old.memberId))
    old.answerSync(refusedSync(errorCodes.FENCED_INSTANCE_ID))
    this.#members.delete(old.memberId)
    this.#charge(old)
    const member = new Member(memberId, request)
    member.assignment = old.assignment
    this.#members.set(memberId, member)
    this.#charge(member)
    if (this.#leaderId === old.memberId) this.#leaderId = memberId
    this.#restartSession(member)
    if (this.#state !== 'Stable' || chooseProtocol(this.members) !== this.#protocol) return this.#enqueue(member)
    const result = this.#joinResult(member)
    if (request.canSkipAssignment) return { ...result, skipsAssignment: memberId === this.#leaderId }
    // The response has the old id of the leader, so the leader does not assign, and all members keep their partitions.
    return { ...result, leaderId: leaderBefore, members: [] }
  }

  #joinAgain(member: Member, request: JoinRequest): JoinResult | Promise<JoinResult> {
    if (member.groupInstanceId !== request.groupInstanceId) return refusedJoin(errorCodes.FENCED_INSTANCE_ID)
    const isUnchanged = member.offers(request.protocols)
    const isRetry = this.#state === 'CompletingRebalance' && isUnchanged
    const isIdleFollower = this.#state === 'Stable' && isUnchanged && member.memberId !== this.#leaderId
    member.update(request)
    this.#charge(member)
    this.#restartSession(member)
    return isRetry || isIdleFollower ? this.#joinResult(member) : this.#enqueue(member)
  }

  #enqueue(member: Member): Promise<JoinResult> {
    const answer = member.holdJoin()
    this.#prepareRebalance()
    return answer
  }

  #prepareRebalance(): void {
    if (this.#state !== 'PreparingRebalance') {
      this.#isGathering = this.#state === 'Empty'
      this.#state = 'PreparingRebalance'
      for (const member of this.#members.values()) member.answerSync(refusedSync(errorCodes.REBALANCE_IN_PROGRESS))
      const longestMs = Math.max(0, ...this.members.map(({ rebalanceTimeoutMs }) => rebalanceTimeoutMs))
      this.#phase(this.#isGathering ? FIRST_JOIN_DELAY_MS : longestMs, () => this.#completeJoin())
    }
    this.#completeJoinIfAllAreHere()
  }

  #completeJoinIfAllAreHere(): void {
    if (this.#state !== 'PreparingRebalance' || this.#isGathering || !this.#promisedIds.isEmpty) return
    if (this.members.every(({ isJoining }) => isJoining)) this.#completeJoin()
  }

  #completeJoin(): void {
    for (const member of this.members) {
      if (!member.isJoining && member.groupInstanceId === null) this.#forget(member)
    }
    this.#generationId++
    this.#isGathering = false
    if (this.#members.size === 0) this.#becomeEmpty()
    else this.#beginGeneration()
  }

  #beginGeneration(): void {
    this.#state = 'CompletingRebalance'
    this.#protocol = chooseProtocol(this.members)
    const joined = this.members.filter(({ isJoining }) => isJoining)
    if (!this.#members.get(this.#leaderId)?.isJoining) this.#leaderId = (joined[0] ?? this.members[0]!).memberId
    for (const member of this.#members.values()) member.hasSynced = false
    for (const member of joined) {
      member.answerJoin(this.#joinResult(member))
      this.#restartSession(member)
    }
    const longestMs = Math.max(...this.members.map(({ rebalanceTimeoutMs }) => rebalanceTimeoutMs))
    this.#phase(longestMs, () => this.#dropUnsynced())
  }

  #becomeEmpty(): void {
    clearTimeout(this.#phaseTimer)
    this.#state = 'Empty'
    this.#protocol = ''
    this.#leaderId = ''
  }

  #dropUnsynced(): void {
    const late = this.members.filter(({ hasSynced }) => !hasSynced)
    for (const member of late) this.#forget(member)
    if (late.length > 0) this.#prepareRebalance()
  }

  #assign(assignments: ReadonlyMap<string, Buffer>): void {
    clearTimeout(this.#phaseTimer)
    this.#state = 'Stable'
    for (const member of this.#members.values()) {
      member.assignment = assignments.get(member.memberId) ?? Buffer.alloc(0)
      this.#charge(member)
      member.answerSync({ errorCode: errorCodes.NONE, assignment: member.assignment })
    }
  }

  #joinResult(member: Member): JoinResult {
    const isLeader = member.memberId === this.#leaderId
    return {
      errorCode: errorCodes.NONE,
      generationId: this.#generationId,
      protocolType: this.#protocolType,
      protocol: this.#protocol,
      leaderId: this.#leaderId,
      memberId: member.memberId,
      skipsAssignment: false,
      members: isLeader
        ? this.members.map(one => ({
            memberId: one.memberId,
            groupInstanceId: one.groupInstanceId,
            metadata: one.metadataFor(this.#protocol)
          }))
        : []
    }
  }

  #remove(member: Member): void {
    this.#forget(member)
    if (this.#state === 'PreparingRebalance') this.#completeJoinIfAllAreHere()
    else this.#prepareRebalance()
  }

  #forget(member: Member): void {
    member.stopSession()
    member.answerJoin(refusedJoin(errorCodes.UNKNOWN_MEMBER_ID))
    member.answerSync(refusedSync(errorCodes.UNKNOWN_MEMBER_ID))
    this.#members.delete(member.memberId)
    this.#charge(member)
  }

  /** Updates the counted bytes of a member after every change, including its removal. */
  #charge(member: Member): void {
    const bytes = this.#members.get(member.memberId) === member ? member.sizeBytes : 0
    this.#bytes.add(bytes - member.chargedBytes)
    member.chargedBytes = bytes
  }

  #restartSession(member: Member): void {
    member.heartbeat(() => {
      if (this.#members.get(member.memberId) === member) this.#remove(member)
    })
  }

  #phase(timeoutMs: number, over: () => void): void {
    clearTimeout(this.#phaseTimer)
    this.#phaseTimer = setTimeout(over, timeoutMs)
  }

  /** Returns 0, or the error code for a member that names another protocol than the group has chosen. */
  #protocolError({ protocolType, protocol }: SyncRequest): number {
    const isAnother = (named: string | null, chosen: string) => named !== null && named !== chosen
    const isWrong = isAnother(protocolType, this.#protocolType) || isAnother(protocol, this.#protocol)
    return isWrong ? errorCodes.INCONSISTENT_GROUP_PROTOCOL : errorCodes.NONE
  }

  #isFenced({ memberId, groupInstanceId }: Pick<JoinRequest, 'memberId' | 'groupInstanceId'>): boolean {
    const current = groupInstanceId === null ? undefined : this.#instance(groupInstanceId)
    return current !== undefined && current.memberId !== memberId
  }

  #instance(groupInstanceId: string): Member | undefined {
    return this.members.find(member => member.groupInstanceId === groupInstanceId)
  }
}

function sum(assignments: ReadonlyMap<string, Buffer>): number {
  let bytes = 0
  for (const assignment of assignments.values()) bytes += assignment.length
  return bytes
}
