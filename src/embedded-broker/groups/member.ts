import { NOTHING } from '../../core/bytes.js'
import { MEMBER_BYTES } from './group-bytes.js'

export interface OfferedProtocol {
  readonly name: string
  readonly metadata: Buffer
}

export interface JoinRequest {
  readonly groupId: string
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly sessionTimeoutMs: number
  readonly rebalanceTimeoutMs: number
  readonly protocolType: string
  readonly protocols: readonly OfferedProtocol[]
  /** True from JoinGroup v4 on: a new member first gets its id, and then joins with it. */
  readonly requiresKnownMemberId: boolean
  /** True from JoinGroup v9 on: the response can tell the leader to skip the assignment. */
  readonly canSkipAssignment: boolean
}

export interface JoinResult {
  readonly errorCode: number
  readonly generationId: number
  readonly protocolType: string | null
  readonly protocol: string
  readonly leaderId: string
  readonly memberId: string
  /** True: the leader skips the assignment, and all members keep their partitions. */
  readonly skipsAssignment: boolean
  /** All members, in the response to the leader; empty for other members. */
  readonly members: readonly {
    readonly memberId: string
    readonly groupInstanceId: string | null
    readonly metadata: Buffer
  }[]
}

export interface SyncRequest {
  readonly groupId: string
  readonly generationId: number
  readonly memberId: string
  readonly groupInstanceId: string | null
  /** The protocol type and protocol that the member names; `null`: it names none. */
  readonly protocolType: string | null
  readonly protocol: string | null
  /** The assignments by member id; only the leader sends them. */
  readonly assignments: ReadonlyMap<string, Buffer>
}

export interface SyncResult {
  readonly errorCode: number
  readonly assignment: Buffer
}

export const refusedSync = (errorCode: number): SyncResult => ({ errorCode, assignment: NOTHING })
export const refusedJoin = (errorCode: number, memberId = ''): JoinResult => ({
  errorCode,
  generationId: -1,
  protocolType: null,
  protocol: '',
  leaderId: '',
  memberId,
  skipsAssignment: false,
  members: []
})

export const memberSizeOf = (protocols: readonly OfferedProtocol[]): number =>
  protocols.reduce((sum, { name, metadata }) => sum + name.length + metadata.length, 0)

export class Member {
  readonly memberId: string
  readonly groupInstanceId: string | null
  readonly clientId: string
  readonly clientHost: string
  readonly protocolType: string
  protocols: readonly OfferedProtocol[]
  sessionTimeoutMs: number
  rebalanceTimeoutMs: number
  assignment: Buffer = NOTHING
  chargedBytes = 0
  hasSynced = false
  #joined: ((result: JoinResult) => void) | undefined
  #synced: ((result: SyncResult) => void) | undefined
  #sessionTimer: NodeJS.Timeout | undefined

  constructor(memberId: string, request: JoinRequest) {
    this.memberId = memberId
    this.groupInstanceId = request.groupInstanceId
    this.clientId = request.clientId
    this.clientHost = request.clientHost
    this.protocolType = request.protocolType
    this.protocols = request.protocols
    this.sessionTimeoutMs = request.sessionTimeoutMs
    this.rebalanceTimeoutMs = request.rebalanceTimeoutMs
  }

  get sizeBytes(): number {
    return MEMBER_BYTES + memberSizeOf(this.protocols) + this.assignment.length
  }
  get isJoining(): boolean {
    return this.#joined !== undefined
  }
  get isSyncing(): boolean {
    return this.#synced !== undefined
  }

  update(request: JoinRequest): void {
    this.protocols = request.protocols
    this.sessionTimeoutMs = request.sessionTimeoutMs
    this.rebalanceTimeoutMs = request.rebalanceTimeoutMs
  }

  offers(protocols: readonly OfferedProtocol[]): boolean {
    return (
      protocols.length === this.protocols.length &&
      protocols.every(({ name, metadata }, at) => {
        const own = this.protocols[at]!
        return own.name === name && own.metadata.equals(metadata)
      })
    )
  }

  metadataFor(protocol: string): Buffer {
    return this.protocols.find(({ name }) => name === protocol)?.metadata ?? NOTHING
  }

  /**
   * Holds a JoinGroup until it is answered. A second JoinGroup replaces the first, which the client no longer waits
   * for.
   */
  holdJoin(): Promise<JoinResult> {
    return new Promise(resolve => {
      this.#joined = resolve
    })
  }

  holdSync(): Promise<SyncResult> {
    return new Promise(resolve => {
      this.#synced = resolve
    })
  }

  answerJoin(result: JoinResult): void {
    this.#joined?.(result)
    this.#joined = undefined
  }

  answerSync(result: SyncResult): void {
    this.#synced?.(result)
    this.#synced = undefined
  }

  /** Restarts the session time-out. A member with a waiting request is not late. */
  heartbeat(expired: () => void): void {
    clearTimeout(this.#sessionTimer)
    this.#sessionTimer = setTimeout(() => {
      if (this.isJoining || this.isSyncing) this.heartbeat(expired)
      else expired()
    }, this.sessionTimeoutMs)
  }

  stopSession(): void {
    clearTimeout(this.#sessionTimer)
  }
}

interface Offers {
  readonly protocolType: string
  readonly protocols: readonly OfferedProtocol[]
}

const offeredByAll = (name: string, members: readonly Offers[]): boolean =>
  members.every(({ protocols }) => protocols.some(offered => offered.name === name))

/** True when the other members have the same protocol type, and all members have at least one protocol in common. */
export function canJoin({ protocolType, protocols }: JoinRequest, others: readonly Offers[]): boolean {
  if (protocolType === '' || protocols.length === 0) return false
  const hasTheirType = others.every(other => other.protocolType === protocolType)
  return hasTheirType && protocols.some(({ name }) => offeredByAll(name, others))
}

/** Each member votes for the first of its protocols that all members support; the protocol with the most votes wins. */
export function chooseProtocol(members: readonly Offers[]): string {
  const votes = new Map<string, number>()
  for (const { protocols } of members) {
    const choice = protocols.find(({ name }) => offeredByAll(name, members))
    if (choice) votes.set(choice.name, (votes.get(choice.name) ?? 0) + 1)
  }
  return [...votes].sort(([, one], [, other]) => other - one)[0]?.[0] ?? ''
}
