import type { ActorRef } from '../../core/actor/actor.js'
import type { RouterMessage } from '../messages/operations.js'
import { ownFailure } from '../requests/failures.js'
import type { BrokerView } from './broker-pool.js'
import type { RouterMailbox } from './messages.js'
import { isRouterMessage, SHUTTING_DOWN } from './request-admission.js'
import { RouterCore } from './router-core.js'
import type { RouterParts, StartRouterOptions } from './router-parts.js'
import { toRouterSettings } from './settings.js'

export type { StartRouterOptions } from './router-parts.js'

export interface RouterStats {
  /** The number of requests accepted since the start, and the number of them without an answer. */
  readonly accepted: number
  readonly open: number
  /** Open requests that wait for a leader, a coordinator or a broker. */
  readonly deferred: number
  readonly brokersKnown: number
  readonly brokersUp: number
  readonly topicsKnown: number
  /** The number of topics that are or were lately looked up, and of names that brokers report as missing. */
  readonly topicsWanted: number
  readonly topicsMissing: number
  readonly cacheBytes: number
  readonly cacheMaxBytes: number
  readonly cacheEntries: number
  readonly cacheEvictions: number
}

export interface RouterHandle {
  /** Accepts requests. After the Router has stopped, it refuses them at once and drops none. */
  readonly ref: ActorRef<RouterMessage>
  /** True when a broker has answered and the last attempt to reach a broker did not fail. */
  readonly isReady: boolean
  /** The last error while no broker answers; `undefined` while a broker answers. */
  readonly awayBecause: Error | undefined
  stats(): RouterStats
  brokers(): readonly BrokerView[]
  /** The broker that leads the partition, as far as known; -1: the partition has no leader. */
  leaderOf(topic: string, partition: number): number | undefined
  /** Changes the limit of the cache. A lower limit evicts the least recently used batches first. */
  resizeCache(bytes: number): void
  /** Answers all open requests with `failed` (shuttingDown) and closes all connections. Idempotent. */
  stop(): Promise<void>
}

/** Starts the root actor. It connects at once or at the first request; see `connectAtStart`. */
export function startRouter(options: StartRouterOptions): RouterHandle {
  const { system, onFatal, log, metrics } = options
  let over: { readonly failure: ReturnType<typeof ownFailure> } | undefined
  let stopping: Promise<void> | undefined
  let shutDown = (): void => {}
  const whenShutDown = new Promise<void>(resolve => (shutDown = resolve))
  const onUnusable = (error: Error): void => {
    over = { failure: ownFailure('shuttingDown', error.message, true) }
    log.error({ err: error }, 'the router has stopped')
    core.shutDown(over.failure)
    shutDown()
    onFatal(error)
  }
  const actor = system.spawnOwner<RouterMailbox>('router', {
    receive: message => {
      core.receive(message)
      if (message.type === 'stop') shutDown()
    },
    onCrash: (error, message, unhandled) => {
      const failure = ownFailure('shuttingDown', `the router has failed: ${error.message}`, true)
      over = { failure }
      metrics.count('router', 'unexpected_failures', { actor: 'router' })
      log.error({ err: error }, 'the router met a bug and has stopped')
      core.shutDown(failure)
      core.refuseOpen(message, unhandled, failure)
      shutDown()
      onFatal(error)
    }
  })
  const core = new RouterCore({ ...options, settings: toRouterSettings(options.settings), onUnusable }, actor)
  const stop = (): Promise<void> => {
    // Stopping is a message, so that requests sent before it are accepted and answered like all others.
    if (!stopping && !over) actor.tell({ type: 'stop' })
    return (stopping ??= whenShutDown.then(() => {
      over ??= { failure: SHUTTING_DOWN }
      actor.stop()
    }))
  }
  return {
    ref: {
      path: actor.path,
      tell: message => {
        if (!isRouterMessage(message)) log.error({}, 'the router received a message that is not a request')
        else if (over) core.parts.admission.refuse(message, over.failure)
        else actor.tell(message)
      },
      stop: () => void stop()
    },
    get isReady() {
      return over === undefined && core.parts.refresher.isInTouch
    },
    get awayBecause() {
      return core.parts.refresher.awayBecause
    },
    stats: () => statsOf(core.parts, options.clock()),
    brokers: () => core.parts.pool.views(options.clock()),
    leaderOf: (topic, partition) => core.parts.leaders.leaderOf(topic, partition)?.leaderId,
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

/** Castle's name for the root actor. `Router.start(options)` is {@link startRouter}, and its result is a `Router`. */
export const Router = { start: startRouter } as const
export type Router = RouterHandle
