import { History } from '../../../support/history-checker.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { GroupProgress } from '../workloads/group-progress.js'
import { LendingWatch } from '../workloads/lending-watch.js'
import type { LentReader } from '../workloads/lent-reader.js'
import { Producer } from '../workloads/producer.js'
import { Saturation } from '../workloads/saturation.js'
import { begun, lendingGateways, lentReader } from './lent.js'
import { depsOf, logOf, openService, steady } from './library.js'
import { named, someGatewaySettings, usualReads } from './settings.js'

const GATEWAYS = 8
const PARTITIONS = 8
const FIRST_PORT_ALONE = 8_800
/** Each turn of a world costs: few requests end without a message. */
const LONG_POLL_MS = 3_000

/** More requests than messages, or more messages than requests. */
const MORE_ASKS = {
  readers: 16,
  pauseMs: [0, 20],
  steadyMs: [50, 150],
  last: { records: 120, pauseMs: 5 },
  mostCalls: 1
} as const
const MORE_MESSAGES = {
  readers: 8,
  pauseMs: [100, 200],
  steadyMs: [20, 60],
  last: { records: 100, pauseMs: 0 },
  mostCalls: 4
} as const

/** Where clients ask few gateways, most messages are lent. */
const MOST_CALLS_OF_FEW = 8

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, random, log } = setting
  const history = new History()
  const draw = random('saturation')
  const { readers, pauseMs, steadyMs, last, mostCalls } = draw.pick([MORE_ASKS, MORE_MESSAGES])
  /** How many of the gateways clients ask. */
  const asked = draw.pick([GATEWAYS, 2])
  const settings = {
    ...someGatewaySettings(random('settings of all')),
    ...named('advanced.router', { ...usualReads, fetchMaxWaitMs: 500 }),
    'router.isolationLevel': 'readUncommitted',
    'consumer.start': 'earliest',
    'consumer.longPollMs': String(LONG_POLL_MS),
    'consumer.ackTimeoutMs': String(draw.pick([2_000, 20_000])),
    'consumer.subscriptionTimeoutMs': '60000',
    'consumer.sessionTimeoutMs': '6000',
    'advanced.consumer.heartbeatIntervalMs': '1000',
    'advanced.consumer.rebalanceTimeoutMs': '3000'
  }
  const drawn = () => ({})
  const bench = await openService(setting, 'bench')
  const deps = depsOf(setting, bench, history)
  const groups = ['together', 'alone'] as const
  for (const groupId of groups) await begun(setting, bench, groupId, PARTITIONS)
  const together = await lendingGateways(setting, { count: GATEWAYS, settings, drawn })
  const alone = await lendingGateways(setting, { count: 1, settings, drawn }, 'alone', FIRST_PORT_ALONE)
  const progress = groups.map(groupId => {
    const audit = { name: `auditor-${groupId}`, groupId, topic: 'orders', partitions: PARTITIONS, last }
    return new GroupProgress(audit, deps(audit.name), log)
  })
  const watch = new LendingWatch(world.host('watch'), () => world.time.now)
  // A gateway serves its own clients first.
  const longestWayMs = world.network.nature.latencyMs[1]
  const isLittle = asked === GATEWAYS
  const options = { mostLent: isLittle ? 0.5 : 1, mostCalls: isLittle ? mostCalls : MOST_CALLS_OF_FEW, longestWayMs }
  const saturation = new Saturation(world.host('saturation'), options, watch)
  const clients = groups.flatMap((groupId, nth) => {
    return Array.from({ length: readers }, (_, reader): LentReader => {
      // The first one asks all, which makes each of them a member.
      const some = reader === 0 ? together : together.slice(0, asked)
      const gateways = nth === 0 ? some.map((_, turn) => some[(turn + reader) % some.length]!) : alone
      const options = {
        name: `${groupId}-${reader}`,
        groupId,
        gateways,
        longPollMs: LONG_POLL_MS,
        pauseMs,
        isAlone: false
      }
      return lentReader(setting, options, progress[nth]!, waitedMs => saturation.waited(groupId, waitedMs))
    })
  })
  const workloads = [
    new Producer({ ...steady, name: 'steady', topics: ['orders'], pauseMs: steadyMs, keys: 20 }, deps('steady')),
    ...clients,
    ...progress,
    watch,
    saturation
  ]
  const histories = [{ history, lives: () => [logOf(brokers)], tolerates: [] }]
  return { processes: together, others: [bench, ...alone], workloads, histories }
}

export const saturated: Scenario = {
  name: 'saturated',
  about: 'more clients than messages, or more messages than clients, at eight gateways that lend each other messages',
  topics: [{ name: 'orders', partitions: PARTITIONS }],
  build,
  settlesWithinMs: 120_000,
  mostTurnsPerSecond: 3_000,
  faults: {
    kinds: ['heldCall', 'heldCall', 'heldCall', 'silentPeer', 'slowPeer', 'stall'],
    meanPauseMs: 500,
    topics: ['orders'],
    nodeIds: [1, 2, 3]
  }
}
