import type { ActorRef } from '../actor/actor.js'
import type { Accepted, AnyAccepted, FindCoordinatorResult, Ledger } from '../processors/accepted.js'
import { fail, ownFailure } from '../processors/answers.js'
import { Alarm } from '../processors/deadlines.js'
import type { BrokerPool } from './broker-pool.js'
import type { ClusterIdentity } from './cluster-identity.js'
import { CommitLines, lineKey } from './commit-lines.js'
import { CoordinatorTable } from './coordinator-table.js'
import type { RouterNotice } from './messages.js'
import type { RouterSettings } from './settings.js'
import { groupPlace, linePlace, type WaitingRequests } from './waiting-requests.js'

export interface GroupRoutingOptions {
  readonly ledger: Ledger
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

/** Requests of groups: to the coordinator of the group, the commits of one group and partition one at a time. */
export class GroupRouting {
  readonly #options: GroupRoutingOptions
  readonly #waiting: WaitingRequests
  readonly #routeAll: (requests: readonly AnyAccepted[], now: number) => void
  readonly #coordinators = new CoordinatorTable()
  readonly #commits: CommitLines

  /** @param routeAll routes requests that are on their way again, and look-ups of coordinators */
  constructor(
    options: GroupRoutingOptions,
    waiting: WaitingRequests,
    routeAll: (requests: readonly AnyAccepted[], now: number) => void
  ) {
    this.#options = options
    this.#waiting = waiting
    this.#routeAll = routeAll
    this.#commits = new CommitLines(key => options.self.tell({ type: 'wake', place: linePlace(key) }))
  }

  routeCommit(commit: Accepted<'commitConsumerOffset'>, now: number): void {
    // It names an offset of another log.
    if (commit.clusterId !== undefined && commit.clusterId !== this.#options.cluster.id) {
      fail(commit, CLUSTER_CHANGED)
      return
    }
    switch (this.#commits.enter(commit)) {
      case 'go':
        this.route(commit, commit.request.groupId, now)
        break
      case 'wait':
        this.#waiting.park(linePlace(lineKey(commit.request)), commit)
        break
      case 'answered':
    }
  }

  /** True: a commit whose fate is open is not sent again, since a later one waits behind it. */
  hasYielded(request: AnyAccepted): boolean {
    return request.kind === 'commitConsumerOffset' && this.#commits.yields(request)
  }

  route(request: AnyAccepted, groupId: string, now: number): void {
    const { pool } = this.#options
    const nodeId = this.#coordinators.nodeOf(groupId)
    const proxy = nodeId === undefined ? undefined : pool.proxyOf(nodeId)
    if (proxy && pool.isUp(proxy.node.nodeId, now)) {
      proxy.submit(request)
      return
    }
    if (nodeId !== undefined) this.#coordinators.forget(groupId, nodeId)
    this.#waiting.park(groupPlace(groupId), request)
    this.#searchCoordinator(groupId, now)
  }

  #searchCoordinator(groupId: string, now: number): void {
    const attempts = this.#coordinators.beginSearch(groupId, now)
    if (attempts === undefined) return
    if (attempts === 0) {
      this.askForCoordinator(groupId, now)
      return
    }
    const { ledger, self } = this.#options
    const ask = (): void => self.tell({ type: 'searchCoordinator', groupId })
    ledger.deadlines.add(new Alarm(now + this.#waiting.pauseMs(attempts), ask))
  }

  /** The pause before a search is over. */
  askForCoordinator(groupId: string, now: number): void {
    const { self, ledger, settings } = this.#options
    const requester = {
      reply: (result: FindCoordinatorResult): void => self.tell({ type: 'coordinatorFound', groupId, result })
    }
    const request = { type: 'findCoordinator', groupId, requester } as const
    this.#routeAll([ledger.accept('findCoordinator', request, 2 * settings.callTimeoutMs, now)], now)
  }

  coordinatorFound(groupId: string, result: FindCoordinatorResult, now: number): void {
    this.#coordinators.endSearch(groupId, now)
    const waiting = this.#waiting.parking.take(groupPlace(groupId))
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

  /** This broker says that it does not coordinate the group of the request. */
  forgetCoordinator(request: AnyAccepted, nodeId: number): void {
    if (request.kind === 'fetchConsumerOffset' || request.kind === 'commitConsumerOffset') {
      this.#coordinators.forget(request.request.groupId, nodeId)
    }
  }

  /** Another cluster has coordinators of its own. */
  forgetAll(): void {
    this.#coordinators.forgetAll()
  }

  tidy(now: number): void {
    this.#coordinators.tidy(now)
  }
}
