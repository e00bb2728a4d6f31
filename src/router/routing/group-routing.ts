import type { ActorRef } from '../../core/actor/actor.js'
import { forgetOldest } from '../../core/maps.js'
import type { Coordinated } from '../../kafka/protocol/groups.js'
import type { CommitConsumerOffset, ResultOf } from '../messages/operations.js'
import type { OpenCommit } from '../processors/commit-consumer-offset.js'
import { operations } from '../processors/operations.js'
import { Alarm } from '../requests/deadlines.js'
import { ownFailure } from '../requests/failures.js'
import { fail, isOf, type OpenRequest, type OpenRequests, reply } from '../requests/open-requests.js'
import type { BrokerPool, ClusterIdentity } from './broker-pool.js'
import type { NoticeOf, RouterNotice } from './messages.js'
import type { RouterSettings } from './settings.js'
import { coordinatorPlace, linePlace, type WaitingRequests } from './waiting-requests.js'

interface LineOfGroup {
  readonly key: string
  /** The only commit of this group and partition that may have been sent to a broker. */
  first: OpenCommit
  /**
   * The commit to send after `first`. A later commit replaces it. It may already have been answered at its deadline.
   */
  next: OpenCommit | undefined
}

/** The next step of a commit: it is sent to its coordinator, waits for the commit before it, or has been answered. */
type NextStep = 'go' | 'wait' | 'answered'

/**
 * Sends the commits of one group and partition to Kafka one after another, so that the last accepted commit stays
 * stored. No commit is sent while an earlier one is in flight. A commit is not sent again when a later one waits.
 *
 *   billing orders/0   first: 100 (on its way)   next: 250
 *
 * Of several commits that have not been sent, only the commit with the highest offset waits, as in Castle. The others
 * are answered `superseded`. A commit that has to be sent again yields to any later commit. So a reader that wants to
 * go back commits a lower offset when the higher commit is in flight or answered, or sets `replacesWaiting`.
 */
export class CommitOrder {
  readonly #lines = new Map<string, LineOfGroup>()
  readonly #onTurn: (key: string) => void

  /**
   * @param onTurn called with the key of a group and partition whose waiting commit may enter again. The call may come in
   *   the middle of other work, so this function must not route requests
   */
  constructor(onTurn: (key: string) => void) {
    this.#onTurn = onTurn
  }

  /** Number of groups and partitions that have a commit. */
  get size(): number {
    return this.#lines.size
  }

  /** Takes a new commit, or a commit that a broker could not answer. */
  enter(commit: OpenCommit): NextStep {
    const key = lineKey(commit.request)
    const line = this.#lines.get(key)
    if (!line) {
      this.#lines.set(key, this.#lead({ key, first: commit, next: undefined }, commit))
      return 'go'
    }
    if (line.first === commit) return 'go'
    if (line.next !== commit && isOpen(line.next)) return this.#join(line, line.next, commit)
    if (isOver(line.first)) this.#lead(line, commit)
    else if (line.first.state.inFlight) return this.#follow(line, commit)
    else if (line.first.state.wasSent || replaces(commit, line.first)) this.#replaceFirst(line, commit)
    else return supersede(commit, line.first)
    return 'go'
  }

  /** Called for a commit that has to be sent again. If a later commit waits, answers this commit and returns true. */
  yields(commit: OpenCommit): boolean {
    const line = this.#lines.get(lineKey(commit.request))
    if (line?.first !== commit || !isOpen(line.next)) return false
    supersede(commit, line.next)
    return true
  }

  #join(line: LineOfGroup, next: OpenCommit, commit: OpenCommit): NextStep {
    if (!replaces(commit, next)) return supersede(commit, next)
    const fate = this.#follow(line, commit)
    supersede(next, commit)
    return fate
  }

  #follow(line: LineOfGroup, commit: OpenCommit): NextStep {
    line.next = commit
    commit.state.whenOver = () => this.#ended(line)
    return 'wait'
  }

  #replaceFirst(line: LineOfGroup, commit: OpenCommit): void {
    const { first } = line
    this.#lead(line, commit)
    supersede(first, commit)
  }

  #lead(line: LineOfGroup, commit: OpenCommit): LineOfGroup {
    line.first = commit
    if (line.next === commit) line.next = undefined
    commit.state.whenOver = () => this.#ended(line)
    return line
  }

  /** Called when a commit of the line has been answered and is no longer in flight. */
  #ended(line: LineOfGroup): void {
    if (!isOver(line.first)) return
    if (isOpen(line.next)) this.#onTurn(line.key)
    else if (this.#lines.get(line.key) === line) this.#lines.delete(line.key)
  }
}

const offsetOf = ({ request }: OpenCommit): number => request.offsetAndMetadata.offset
const replaces = (commit: OpenCommit, waiting: OpenCommit): boolean =>
  commit.request.replacesWaiting === true || offsetOf(commit) > offsetOf(waiting)
const isOpen = (commit: OpenCommit | undefined): commit is OpenCommit => commit?.settled === false
const isOver = ({ settled, state }: OpenCommit): boolean => settled && !state.inFlight

function supersede(commit: OpenCommit, by: OpenCommit): 'answered' {
  reply(commit, { type: 'superseded', supersededBy: by.request.offsetAndMetadata })
  return 'answered'
}

/** The key of a line. Group ids may contain any character, so the key starts with their length to be unique. */
const lineKey = ({ groupId, topicPartition: { topic, partition } }: CommitConsumerOffset): string =>
  `${groupId.length} ${groupId} ${topic}/${partition}`

interface GroupRoutingOptions {
  readonly openRequests: OpenRequests
  readonly cluster: ClusterIdentity
  readonly pool: BrokerPool
  readonly settings: RouterSettings
  readonly self: ActorRef<RouterNotice>
}

const CLUSTER_CHANGED = ownFailure(
  'clusterChanged',
  'another Kafka cluster is connected than the one whose offset was to be committed',
  false
)

/**
 * Sends requests of groups to the coordinator of the group. The commits of one group and partition are sent one at a
 * time.
 */
export class GroupRouting {
  readonly #options: GroupRoutingOptions
  readonly #waiting: WaitingRequests
  readonly #routeAll: (requests: readonly OpenRequest[], now: number) => void
  /** The coordinators of groups, and of transactional ids. */
  readonly coordinators = { group: new CoordinatorTable(), transaction: new CoordinatorTable() } as const
  readonly #commits: CommitOrder

  /** @param routeAll routes waiting requests and searches for coordinators */
  constructor(
    options: GroupRoutingOptions,
    waiting: WaitingRequests,
    routeAll: (requests: readonly OpenRequest[], now: number) => void
  ) {
    this.#options = options
    this.#waiting = waiting
    this.#routeAll = routeAll
    this.#commits = new CommitOrder(key => options.self.tell({ type: 'wake', place: linePlace(key) }))
  }

  route(request: OpenRequest, now: number): void {
    if (isOf(request, 'commitConsumerOffset')) this.#routeCommit(request, now)
    else this.#toCoordinator(request, now)
  }

  #routeCommit(commit: OpenRequest<'commitConsumerOffset'>, now: number): void {
    // The offset of the commit belongs to a log of the former cluster.
    const { clusterId } = commit.state
    if (clusterId !== undefined && clusterId !== this.#options.cluster.id) {
      fail(commit, CLUSTER_CHANGED)
      return
    }
    switch (this.#commits.enter(commit)) {
      case 'go':
        this.#toCoordinator(commit, now)
        break
      case 'wait':
        this.#waiting.enqueue(linePlace(lineKey(commit.request)), commit)
        break
      case 'answered':
    }
  }

  /** True for a commit that may have been stored, and is not sent again because a later commit waits. */
  hasYielded(request: OpenRequest): boolean {
    return isOf(request, 'commitConsumerOffset') && this.#commits.yields(request)
  }

  #toCoordinator(request: OpenRequest, now: number): void {
    const { pool } = this.#options
    const { coordinated } = request
    const groupId = request.groupId!
    const coordinators = this.coordinators[coordinated]
    const nodeId = coordinators.nodeOf(groupId)
    const proxy = nodeId === undefined ? undefined : pool.upProxyOf(nodeId, now)
    if (proxy) {
      proxy.submit(request)
      return
    }
    if (nodeId !== undefined) coordinators.forget(groupId, nodeId)
    this.#waiting.enqueue(coordinatorPlace(coordinated, groupId), request)
    this.#searchCoordinator(coordinated, groupId, now)
  }

  #searchCoordinator(keyType: Coordinated, groupId: string, now: number): void {
    const attempts = this.coordinators[keyType].beginSearch(groupId, now)
    if (attempts === undefined) return
    if (attempts === 0) {
      this.askForCoordinator(keyType, groupId, now)
      return
    }
    const { openRequests, self } = this.#options
    const ask = (): void => self.tell({ type: 'searchCoordinator', keyType, groupId })
    openRequests.deadlines.add(new Alarm(now + this.#waiting.pauseMs(attempts), ask))
  }

  /** Asks for the coordinator of a group or transactional id. Called after the pause before a search. */
  askForCoordinator(keyType: Coordinated, groupId: string, now: number): void {
    const { self, openRequests, settings } = this.#options
    const requester = {
      reply: (result: ResultOf<'findCoordinator'>): void =>
        self.tell({ type: 'coordinatorFound', keyType, groupId, result })
    }
    const request = { type: 'findCoordinator', keyType, groupId, requester } as const
    this.#routeAll([openRequests.accept(operations.findCoordinator, request, 2 * settings.callTimeoutMs, now)], now)
  }

  coordinatorFound({ keyType, groupId, result }: NoticeOf<'coordinatorFound'>, now: number): void {
    const coordinators = this.coordinators[keyType]
    coordinators.endSearch(groupId, now)
    const waiting = this.#waiting.lines.take(coordinatorPlace(keyType, groupId))
    if (result.type === 'failed') {
      for (const request of waiting) fail(request, result)
      return
    }
    if (result.type === 'success') {
      this.#routeAll(this.#options.pool.ensure(result.coordinator), now)
      coordinators.found(groupId, result.coordinator.nodeId)
    }
    this.#routeAll(waiting, now)
  }

  /** Forgets a coordinator that has answered that it does not coordinate the group of the request. */
  forgetCoordinator(request: OpenRequest, nodeId: number): void {
    const groupId = request.groupId
    if (groupId !== undefined) this.coordinators[request.coordinated].forget(groupId, nodeId)
  }

  /** Forgets all coordinators. Running searches continue. */
  forgetCoordinators(): void {
    for (const coordinators of Object.values(this.coordinators)) coordinators.forgetAll()
  }

  tidy(now: number): void {
    for (const coordinators of Object.values(this.coordinators)) coordinators.tidy(now)
  }
}

interface Search {
  readonly attempts: number
  readonly endedAt: number
}

/** Users choose group ids, so the number of remembered groups has a limit. */
const MAX_GROUPS = 10_000
/** When no search has run for this time, the attempts of a group are counted from zero again. */
const FORGET_AFTER_MS = 10_000

/** Which node coordinates each group, and the searches for those that are not known. */
export class CoordinatorTable {
  readonly #nodes = new Map<string, number>()
  /** The groups with a running search, and the number of the attempt. */
  readonly #searching = new Map<string, number>()
  /** Searches that have ended, in the order in which they ended. */
  readonly #over = new Map<string, Search>()

  /** Number of searches that are running or remembered. */
  get searches(): number {
    return this.#searching.size + this.#over.size
  }

  nodeOf(groupId: string): number | undefined {
    return this.#nodes.get(groupId)
  }

  /** Begins a search. Returns the number of attempts before it, or `undefined` when a search is already running. */
  beginSearch(groupId: string, now: number): number | undefined {
    if (this.#searching.has(groupId)) return undefined
    const last = this.#over.get(groupId)
    const attempts = last && now - last.endedAt <= FORGET_AFTER_MS ? last.attempts : 0
    this.#over.delete(groupId)
    this.#searching.set(groupId, attempts + 1)
    return attempts
  }

  endSearch(groupId: string, now: number): void {
    const attempts = this.#searching.get(groupId)
    if (attempts === undefined) return
    this.#searching.delete(groupId)
    this.#over.set(groupId, { attempts, endedAt: now })
    forgetOldest(this.#over, MAX_GROUPS)
  }

  found(groupId: string, nodeId: number): void {
    this.#nodes.delete(groupId)
    this.#nodes.set(groupId, nodeId)
    forgetOldest(this.#nodes, MAX_GROUPS)
  }

  /** Forgets the coordinator of a group, if it still is this node. */
  forget(groupId: string, nodeId: number): void {
    if (this.#nodes.get(groupId) === nodeId) this.#nodes.delete(groupId)
  }

  /** Forgets all coordinators. Running searches continue. */
  forgetAll(): void {
    this.#nodes.clear()
  }

  tidy(now: number): void {
    for (const [groupId, { endedAt }] of this.#over) {
      if (now - endedAt > FORGET_AFTER_MS) this.#over.delete(groupId)
    }
  }
}
