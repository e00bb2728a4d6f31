import type { ActorRef, ActorSystem } from '../../core/actor/actor.js'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { BrokerAddress, ClusterChange, Logger, MonotonicClock } from '../../core/model.js'
import type { BrokerClientFactory } from '../../kafka/broker-client.js'
import type { DecompressedMemory } from '../../kafka/decompressed-memory.js'
import type { Produce, RouterMessage } from '../messages/operations.js'
import { ownFailure } from '../requests/failures.js'
import type { RouterMailbox } from './messages.js'
import { RouterCore } from './router-core.js'
import type { RouterParts } from './router-parts.js'
import { type RouterSettingsOverrides, toRouterSettings } from './settings.js'
import { isRouterMessage } from './validate.js'

/** What a Router needs to start. */
export interface StartRouterOptions {
  readonly system: ActorSystem
  readonly createClient: BrokerClientFactory
  /** Bootstrap brokers: the first metadata comes from one of them. */
  readonly bootstrap: readonly BrokerAddress[]
  /** Settings that are not named keep their defaults. */
  readonly settings?: RouterSettingsOverrides
  readonly clock: MonotonicClock
  readonly random: () => number
  readonly log: Logger
  readonly metrics: MetricsLogger
  /** Takes the Produce requests, which the Router passes on. Without it they are refused. */
  readonly delivery?: { produce(request: Produce): void }
  /** Shared with other Routers of the process. Default: one of its own, as large as `decompressedMaxBytes` says. */
  readonly decompressedMemory?: DecompressedMemory | undefined
  /**
   * Called with the first cluster id, and with every change of it, before anything is sent to the new cluster. What was
   * learnt from the former cluster is void: producer ids, offsets, numbers of partitions.
   */
  readonly onClusterChanged?: (change: ClusterChange) => void
  /** Called when the Router has stopped because of a bug, or because it cannot go on. All its requests have been answered. */
  readonly onFatal: (error: Error) => void
}

export interface RouterStats {
  /** Requests accepted since the start, and how many of them have no answer yet. */
  readonly accepted: number
  readonly open: number
  /** Open requests that wait for a leader, a coordinator or a broker. */
  readonly deferred: number
  readonly brokersKnown: number
  readonly brokersUp: number
  readonly topicsKnown: number
  /** Topics that are being looked up or were lately, and names that brokers have said are missing. */
  readonly topicsWanted: number
  readonly topicsMissing: number
  readonly cacheBytes: number
  readonly cacheMaxBytes: number
  readonly cacheEntries: number
  readonly cacheEvictions: number
}

export interface RouterHandle {
  /** Takes requests. After the Router has stopped they are refused at once rather than dropped. */
  readonly ref: ActorRef<RouterMessage>
  /** Some broker has answered, and the last attempt to reach one did not fail. */
  readonly isReady: boolean
  /** Why no broker answers: the last error, while none has answered since. */
  readonly awayBecause: Error | undefined
  stats(): RouterStats
  /** Changes the limit of the cache; shrinking drops the least recently used batches first. */
  resizeCache(bytes: number): void
  /** Answers everything that is open with `failed` (shuttingDown) and closes all connections. Idempotent. */
  stop(): Promise<void>
}

/** Starts the root actor. It connects at once, or with the first request; see `connectAtStart`. */
export function startRouter(options: StartRouterOptions): RouterHandle {
  const { system, onFatal, log, metrics } = options
  let over: { readonly failure: ReturnType<typeof ownFailure> } | undefined
  let stopping: Promise<void> | undefined
  const onUnusable = (error: Error): void => {
    over = { failure: ownFailure('shuttingDown', error.message, true) }
    log.error({ err: error }, 'the router has stopped')
    core.shutDown(over.failure)
    onFatal(error)
  }
  const actor = system.spawnOwner<RouterMailbox>('router', {
    receive: message => core.receive(message),
    onCrash: (error, message, unhandled) => {
      const failure = ownFailure('shuttingDown', `the router has failed: ${error.message}`, true)
      over = { failure }
      metrics.count('router', 'unexpected_failures', { actor: 'router' })
      log.error({ err: error }, 'the router met a bug and has stopped')
      core.shutDown(failure)
      core.refuseOpen(message, unhandled, failure)
      onFatal(error)
    }
  })
  const core = new RouterCore({ ...options, settings: toRouterSettings(options.settings), onUnusable }, actor)
  const stop = (): Promise<void> =>
    (stopping ??= new Promise<void>(resolve => {
      if (over) return resolve()
      // A message, so that requests told before it are accepted and answered like all others.
      actor.tell({ type: 'stop', onStopped: resolve })
    }).then(() => {
      over ??= { failure: ownFailure('shuttingDown', 'the router is shutting down', true) }
      actor.stop()
    }))
  return {
    ref: {
      path: actor.path,
      tell: message => {
        if (!isRouterMessage(message)) log.error({}, 'the router was told something that is no request')
        else if (over) core.parts.admission.refuse(message, over.failure)
        else actor.tell(message)
      },
      stop: () => void stop()
    },
    get isReady() {
      return over === undefined && core.isReady
    },
    get awayBecause() {
      return core.awayBecause
    },
    stats: () => statsOf(core.parts, options.clock()),
    resizeCache: bytes => core.parts.cache.resize(bytes),
    stop
  }
}

const statsOf = (
  { openRequests, routing, pool, leaders, refresher, cache }: RouterParts,
  now: number
): RouterStats => ({
  accepted: openRequests.accepted,
  open: openRequests.open,
  deferred: routing.queues.size,
  brokersKnown: pool.size,
  brokersUp: pool.nodesUp(now),
  topicsKnown: leaders.topicCount,
  topicsWanted: refresher.schedule.size,
  topicsMissing: leaders.missingCount,
  cacheBytes: cache.sizeBytes,
  cacheMaxBytes: cache.maxBytes,
  cacheEntries: cache.entryCount,
  cacheEvictions: cache.evictions
})

/** The root actor under Castle's name: `Router.start(options)` is {@link startRouter}, and a `Router` is its result. */
export const Router = { start: startRouter } as const
export type Router = RouterHandle
