import type { ActorRef } from '../../core/actor/actor.js'
import type { ResultOf } from '../messages/operations.js'
import { operations } from '../processors/operations.js'
import { Alarm } from '../requests/deadlines.js'
import { ownFailure } from '../requests/failures.js'
import { fail, isOf, type OpenRequest, type OpenRequests } from '../requests/open-requests.js'
import type { BrokerPool, ClusterIdentity } from './broker-pool.js'
import { CommitOrder, lineKey } from './commit-order.js'
import type { RouterNotice } from './messages.js'
import { forgetOldest } from './missing-topics.js'
import type { RouterSettings } from './settings.js'
import { groupPlace, linePlace, type WaitingRequests } from './waiting-requests.js'

export interface GroupRoutingOptions {
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
  readonly coordinators = new CoordinatorTable()
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
    const groupId = request.groupId!
    const nodeId = this.coordinators.nodeOf(groupId)
    const proxy = nodeId === undefined ? undefined : pool.upProxyOf(nodeId, now)
    if (proxy) {
      proxy.submit(request)
      return
    }
    if (nodeId !== undefined) this.coordinators.forget(groupId, nodeId)
    this.#waiting.enqueue(groupPlace(groupId), request)
    this.#searchCoordinator(groupId, now)
  }

  #searchCoordinator(groupId: string, now: number): void {
    const attempts = this.coordinators.beginSearch(groupId, now)
    if (attempts === undefined) return
    if (attempts === 0) {
      this.askForCoordinator(groupId, now)
      return
    }
    const { openRequests, self } = this.#options
    const ask = (): void => self.tell({ type: 'searchCoordinator', groupId })
    openRequests.deadlines.add(new Alarm(now + this.#waiting.pauseMs(attempts), ask))
  }

  /** Asks for the coordinator of a group. Called after the pause before a search. */
  askForCoordinator(groupId: string, now: number): void {
    const { self, openRequests, settings } = this.#options
    const requester = {
      reply: (result: ResultOf<'findCoordinator'>): void => self.tell({ type: 'coordinatorFound', groupId, result })
    }
    const request = { type: 'findCoordinator', groupId, requester } as const
    this.#routeAll([openRequests.accept(operations.findCoordinator, request, 2 * settings.callTimeoutMs, now)], now)
  }

  coordinatorFound(groupId: string, result: ResultOf<'findCoordinator'>, now: number): void {
    this.coordinators.endSearch(groupId, now)
    const waiting = this.#waiting.queues.take(groupPlace(groupId))
    if (result.type === 'failed') {
      for (const request of waiting) fail(request, result)
      return
    }
    if (result.type === 'success') {
      this.#routeAll(this.#options.pool.ensure(result.coordinator), now)
      this.coordinators.found(groupId, result.coordinator.nodeId)
    }
    this.#routeAll(waiting, now)
  }

  /** Forgets a coordinator that has answered that it does not coordinate the group of the request. */
  forgetCoordinator(request: OpenRequest, nodeId: number): void {
    const groupId = request.groupId
    if (groupId !== undefined) this.coordinators.forget(groupId, nodeId)
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
