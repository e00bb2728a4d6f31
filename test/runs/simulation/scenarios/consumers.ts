import { History } from '../../../support/history-checker.js'
import { harmlessFaults } from '../faults/catalogue.js'
import { GATEWAY_PORT, HttpGateway } from '../http-gateway.js'
import { Outages } from '../outages.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { GroupProgress } from '../workloads/group-progress.js'
import { Producer } from '../workloads/producer.js'
import { depsOf, events, logOf, openService, orders, steady } from './library.js'
import { pixyConsumersOf } from './pixy-consumers.js'
import { someGatewaySettings } from './settings.js'

const GROUP = 'workers'
const LONG_POLL_MS = 1_000
/** Each has a port for management, too. */
const PORTS_APART = 10
const consuming = {
  groupId: GROUP,
  topic: 'orders',
  longPollMs: LONG_POLL_MS,
  pauseMs: [0, 60],
  runtime: 3,
  mayHangUp: () => true
} as const

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, answers, random, log } = setting
  const history = new History()
  const draw = random('settings of the members')
  const settings = {
    'consumer.start': 'earliest',
    'consumer.longPollMs': String(LONG_POLL_MS),
    'consumer.ackTimeoutMs': String(draw.pick([1_000, 4_000])),
    'advanced.consumer.commitIntervalMs': String(draw.pick([0, 100, 500])),
    'consumer.sessionTimeoutMs': '6000',
    'advanced.consumer.heartbeatIntervalMs': '1000',
    'advanced.consumer.rebalanceTimeoutMs': String(draw.pick([3_000, 10_000])),
    'consumer.maxPendingMessages': String(draw.pick([5, 300])),
    'advanced.consumer.revocationMs': String(draw.pick([0, 1_000, 5_000])),
    'advanced.consumer.bufferMaxBytes': String(draw.pick([1_000, 67_108_864]))
  }
  const member = (name: string, port: number): Promise<HttpGateway> =>
    HttpGateway.start(world, name, {
      bootstrap: brokers.bootstrap,
      settings: { ...someGatewaySettings(random(`settings of ${name}`)), ...settings },
      outages: new Outages(world, answers, name),
      port
    })
  const members = [await member('left', GATEWAY_PORT), await member('right', GATEWAY_PORT + PORTS_APART)]
  const bench = await openService(setting, 'bench')
  const deps = depsOf(setting, bench, history)
  const audit = { name: 'auditor', groupId: GROUP, topic: 'orders', partitions: 3 }
  const progress = new GroupProgress(audit, deps('auditor'), log)
  const runtime = members.flatMap(gateway => pixyConsumersOf(setting, gateway, progress, consuming))
  const workloads = [
    new Producer({ ...steady, name: 'steady', topics: ['orders'] }, deps('steady')),
    ...runtime,
    progress
  ]
  const histories = [{ history, lives: () => [logOf(brokers)], tolerates: [] }]
  return { processes: members, others: [bench], workloads, histories }
}

export const consumers: Scenario = {
  name: 'consumers',
  about: "clients of Kafka-Pixy's API share a group over two gateways that are killed and come back",
  topics: [orders, events],
  build,
  faults: {
    kinds: [...harmlessFaults, 'killGateway', 'killGateway', 'killGateway', 'killGateway', 'stall', 'refuse'],
    meanPauseMs: 3_000,
    topics: ['orders', 'events'],
    nodeIds: [1, 2, 3]
  }
}
