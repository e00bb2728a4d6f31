import type { ActorRef } from '../../core/actor/actor.js'
import type { FindCoordinatorResult } from '../messages/operations.js'
import { operations } from '../processors/operations.js'
import type { Accepted, AnyAccepted } from '../requests/accepted.js'
import { fail } from '../requests/answers.js'
import { Alarm } from '../requests/deadlines.js'
import { ownFailure } from '../requests/failures.js'
import type { OpenRequests } from '../requests/open-requests.js'
import { groupIdOf } from '../requests/targets.js'
import type { BrokerPool } from './broker-pool.js'
import type { ClusterIdentity } from './cluster-identity.js'
import { CommitOrder, lineKey } from './commit-order.js'
import { CoordinatorTable } from './coordinator-table.js'
import type { RouterNotice } from './messages.js'
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

/** Sends requests of groups to the coordinator of the group. The commits of one group and partition go one at a time. */
export class GroupRouting {
  readonly #options: GroupRoutingOptions
  readonly #waiting: WaitingRequests
  readonly #routeAll: (requests: readonly AnyAccepted[], now: number) => void
  readonly #coordinators = new CoordinatorTable()
  readonly #commits: CommitOrder

  /** @param routeAll routes requests again that waited, and searches for coordinators */
  constructor(
    options: GroupRoutingOptions,
    waiting: WaitingRequests,
    routeAll: (requests: readonly AnyAccepted[], now: number) => void
  ) {
    this.#options = options
    this.#waiting = waiting
    this.#routeAll = routeAll
    this.#commits = new CommitOrder(key => options.self.tell({ type: 'wake', place: linePlace(key) }))
  }

  route(request: AnyAccepted, now: number): void {
    if (request.kind === 'commitConsumerOffset') this.#routeCommit(request, now)
    else this.#toCoordinator(request, now)
  }

  #routeCommit(commit: Accepted<'commitConsumerOffset'>, now: number): void {
    // Its offset belongs to a log of the former cluster.
    if (commit.clusterId !== undefined && commit.clusterId !== this.#options.cluster.id) {
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

  /** True for a commit that may have been stored, and is not sent again because a later commit waits behind it. */
  hasYielded(request: AnyAccepted): boolean {
    return request.kind === 'commitConsumerOffset' && this.#commits.yields(request)
  }

  #toCoordinator(request: AnyAccepted, now: number): void {
    const { pool } = this.#options
    const groupId = groupIdOf(request)!
    const nodeId = this.#coordinators.nodeOf(groupId)
    const proxy = nodeId === undefined ? undefined : pool.proxyOf(nodeId)
    if (proxy && pool.isUp(proxy.node.nodeId, now)) {
      proxy.submit(request)
      return
    }
    if (nodeId !== undefined) this.#coordinators.forget(groupId, nodeId)
    this.#waiting.enqueue(groupPlace(groupId), request)
    this.#searchCoordinator(groupId, now)
  }

  #searchCoordinator(groupId: string, now: number): void {
    const attempts = this.#coordinators.beginSearch(groupId, now)
    if (attempts === undefined) return
    if (attempts === 0) {
      this.askForCoordinator(groupId, now)
      return
    }
    const { openRequests, self } = this.#options
    const ask = (): void => self.tell({ type: 'searchCoordinator', groupId })
    openRequests.deadlines.add(new Alarm(now + this.#waiting.pauseMs(attempts), ask))
  }

  /** Asks for the coordinator of a group, after the pause before the search. */
  askForCoordinator(groupId: string, now: number): void {
    const { self, openRequests, settings } = this.#options
    const requester = {
      reply: (result: FindCoordinatorResult): void => self.tell({ type: 'coordinatorFound', groupId, result })
    }
    const request = { type: 'findCoordinator', groupId, requester } as const
    this.#routeAll([openRequests.accept(operations.findCoordinator, request, 2 * settings.callTimeoutMs, now)], now)
  }

  coordinatorFound(groupId: string, result: FindCoordinatorResult, now: number): void {
    this.#coordinators.endSearch(groupId, now)
    const waiting = this.#waiting.queues.take(groupPlace(groupId))
    if (result.type === 'failed') {
      for (const request of waiting) fail(request, result)
      return
    }
    if (result.type === 'success') {
      this.#routeAll(this.#options.pool.ensure(result.coordinator), now)
      this.#coordinators.found(groupId, result.coordinator.nodeId)
    }
    this.#routeAll(waiting, now)
  }

  /** The broker has answered that it does not coordinate the group of the request. */
  forgetCoordinator(request: AnyAccepted, nodeId: number): void {
    const groupId = groupIdOf(request)
    if (groupId !== undefined) this.#coordinators.forget(groupId, nodeId)
  }

  /** Forgets all coordinators, because another cluster is connected. */
  forgetAll(): void {
    this.#coordinators.forgetAll()
  }

  tidy(now: number): void {
    this.#coordinators.tidy(now)
  }
}
