import { expect } from 'chai'
import { ActorSystem } from '../../src/core/actor/actor.js'
import { type MonotonicClock, silentLogger } from '../../src/core/model.js'
import type { Operations, Produce, ResultOf, RouterMessage } from '../../src/router/messages/operations.js'
import type { Unasked } from '../../src/router/routing/ask-router.js'
import { type RouterHandle, startRouter } from '../../src/router/routing/router.js'
import type { RouterSettingsOverrides } from '../../src/router/routing/settings.js'
import { CountingMetrics } from './counting-metrics.js'
import { metadataOf, type ScriptedCluster, type ScriptedTopic } from './scripted-client.js'

type OperationName = keyof Operations

/** A requester that keeps what it is told, in order. */
export class Inbox<Operation extends OperationName> {
  readonly results: ResultOf<Operation>[] = []
  readonly #waiting: (() => void)[] = []

  reply(result: ResultOf<Operation>): void {
    this.results.push(result)
    for (const wake of this.#waiting.splice(0)) wake()
  }

  /** The results once there are `count` of them. */
  async take(count: number): Promise<ResultOf<Operation>[]> {
    while (this.results.length < count) await new Promise<void>(resolve => this.#waiting.push(resolve))
    return this.results
  }
}

/** A Router on scripted brokers, set as Castle was: no long poll, no refresh before the first request. */
export class CastleRouter {
  readonly cluster: ScriptedCluster
  readonly metrics = new CountingMetrics()
  readonly router: RouterHandle
  readonly fatal: Error[] = []
  readonly system = new ActorSystem()
  /** Stands for delivery. */
  onProduce: (request: Produce) => void = () => {}

  constructor(
    cluster: ScriptedCluster,
    settings: RouterSettingsOverrides = {},
    known = cluster.nodes.slice(0, 1),
    clock: MonotonicClock = () => performance.now()
  ) {
    this.cluster = cluster
    this.router = startRouter({
      system: this.system,
      createClient: cluster.createClient,
      bootstrap: known,
      settings: {
        connectAtStart: false,
        fetchMaxWaitMs: 0,
        cacheMaxBytes: 1024 * 1024,
        refreshBackoffMs: 2,
        retryBackoffMs: 2,
        ...settings
      },
      clock,
      random: () => 0.5,
      log: silentLogger,
      metrics: this.metrics,
      delivery: { produce: request => this.onProduce(request) },
      onFatal: error => this.fatal.push(error)
    })
  }

  tell<Operation extends OperationName>(
    requester: Inbox<Operation>,
    request: Unasked<Operation> & { readonly type: Operation }
  ): void {
    this.router.ref.tell({ ...request, requester } as unknown as RouterMessage)
  }

  async ask<Operation extends OperationName>(
    request: Unasked<Operation> & { readonly type: Operation }
  ): Promise<ResultOf<Operation>> {
    const inbox = new Inbox<Operation>()
    this.tell(inbox, request)
    return (await inbox.take(1))[0]!
  }

  /** Ends a test: every call was scripted, every request answered. */
  async stop(): Promise<void> {
    await this.router.stop()
    this.system.stop()
    expect(this.cluster.errors).to.deep.equal([])
    expect(this.router.stats().open, 'open requests').to.equal(0)
    expect(this.fatal).to.deep.equal([])
  }
}

/** Castle's two partitions. */
export const A = { topic: 'perf', partition: 1 }
export const B = { topic: 'api', partition: 17 }

const topicsLedBy = (leaderId: number, leaderEpoch = 0): Record<string, ScriptedTopic> => ({
  perf: { partitions: { 1: { leaderId, leaderEpoch } } },
  api: { partitions: { 17: { leaderId, leaderEpoch } } }
})

/** All good, from the first reply on: A and B led by `leaderId`. */
export const metaGood = (cluster: ScriptedCluster, leaderId = 1): ScriptedCluster =>
  cluster.always(0, 'metadata', () => metadataOf(cluster.nodes, topicsLedBy(leaderId)))

/** Castle's "meta-flaky": a partition with code -1, then topics with code -1, then all good. */
export const metaFlaky = (cluster: ScriptedCluster): ScriptedCluster =>
  metaGood(cluster)
    .on(0, 'metadata', 1, () =>
      metadataOf(cluster.nodes, {
        perf: { partitions: { 1: { leaderId: 1, errorCode: -1 } } },
        api: { partitions: { 17: { leaderId: 1, errorCode: -1 } } }
      })
    )
    .on(0, 'metadata', 2, () => metadataOf(cluster.nodes, { perf: { errorCode: -1 }, api: { errorCode: -1 } }))

/** Castle's "meta-move": led by broker 1 in the first reply, by broker 2 afterwards. */
export const metaMove = (cluster: ScriptedCluster): ScriptedCluster =>
  cluster
    .always(0, 'metadata', () => metadataOf(cluster.nodes, topicsLedBy(2, 1)))
    .on(0, 'metadata', 1, () => metadataOf(cluster.nodes, topicsLedBy(1, 0)))
