import type { History } from '../../../support/history-checker.js'
import { GatewayDisk } from '../gateway-disk.js'
import { GATEWAY_PORT, HttpGateway } from '../http-gateway.js'
import { Outages } from '../outages.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { GroupProgress } from '../workloads/group-progress.js'
import { arionApi, kafboyApi, kprfApi, pixyApi } from '../workloads/produce-api.js'
import type { PusherOptions } from '../workloads/pusher-options.js'
import { RollingUpgrade } from '../workloads/rolling-upgrade.js'
import { WebsocketPusher } from '../workloads/websocket-pusher.js'
import { walSettings } from './durable.js'
import { openGateway, type PushedGateway } from './gateway.js'
import { depsOf, events, logOf, openService, orders } from './library.js'
import { pixyConsumersOf } from './pixy-consumers.js'

const GROUP = 'workers'
const LONG_POLL_MS = 1_000
const SYNC_TIMEOUT_MS = 2_000
/** Each has a port for management, too. */
const PORTS_APART = 10
const consuming = { groupId: GROUP, topic: 'orders', longPollMs: LONG_POLL_MS, pauseMs: [10, 100], runtime: 2 } as const
/** While both gateways are upgraded, one after the other. */
const LAST = { records: 60, pauseMs: 150 }

function settingsOf({ random }: Setting): Record<string, string> {
  const draw = random('settings of the gateways')
  const graceMs = draw.pick([500, 3_000, 10_000])
  return {
    ...walSettings,
    'wal.maxBytes': '4194304',
    // Refusals for lack of capacity are for other scenarios.
    'delivery.maxBytes': '1000000',
    'shutdown.graceMs': String(graceMs),
    'shutdown.drainMs': String(draw.pick([0, 0, 200, graceMs / 2])),
    'apis.kprf.messageTimeoutMs': String(SYNC_TIMEOUT_MS),
    'apis.kafboy.syncTimeoutMs': String(SYNC_TIMEOUT_MS),
    'apis.kafboy.payload': 'fields',
    'apis.kafboy.partitionStrategy': 'custom',
    'apis.kafka-pixy.syncTimeoutMs': String(SYNC_TIMEOUT_MS),
    'apis.kafka-pixy.durability': draw.pick(['memory', 'disk']),
    'consumer.start': 'earliest',
    'consumer.longPollMs': String(LONG_POLL_MS),
    'consumer.ackTimeoutMs': String(draw.pick([1_000, 4_000])),
    'advanced.consumer.commitIntervalMs': String(draw.pick([0, 100, 500])),
    'consumer.sessionTimeoutMs': '6000',
    'advanced.consumer.heartbeatIntervalMs': '1000',
    'advanced.consumer.rebalanceTimeoutMs': '3000'
  }
}

const usual: Omit<PusherOptions, 'name' | 'manners' | 'pauseMs'> = {
  api: kprfApi,
  topics: ['orders', 'events'],
  keys: 2,
  maxRecords: 3,
  maxValueBytes: 200,
  syncPercent: 50,
  answeredWithinMs: SYNC_TIMEOUT_MS,
  acceptedWithinMs: SYNC_TIMEOUT_MS,
  seesHangUps: true
}
const inLog = { api: arionApi, isDurable: true, answeredWithinMs: Number.POSITIVE_INFINITY } as const
const ofPixy = (isDurable: boolean) => ({ api: pixyApi, isDurable, syncPercent: isDurable ? 0 : 50 })
const rarely = [100, 1_200] as const

const pushersOf = (pusher: PushedGateway['pusher'], isPixyDurable: boolean) => [
  pusher({ manners: 'polite', name: 'kprf', pauseMs: rarely }),
  pusher({ manners: 'pipelining', name: 'pipelining-kprf', pauseMs: rarely }),
  pusher({ manners: 'deaf', name: 'deaf-kprf', pauseMs: rarely }),
  pusher({ manners: 'polite', name: 'kafboy', api: kafboyApi('/async'), pauseMs: rarely }),
  pusher({ manners: 'polite', name: 'batches', api: kafboyApi('/batch/async'), syncPercent: 0, pauseMs: rarely }),
  // What waits for Kafka does not go by way of the log, and may be before what does.
  pusher({ ...ofPixy(isPixyDurable), manners: 'polite', name: 'pixy', pauseMs: rarely }),
  pusher({ ...inLog, manners: 'polite', name: 'arion', pauseMs: rarely }),
  pusher({ ...inLog, manners: 'pipelining', name: 'pipelining-arion', pauseMs: rarely })
]

function websocketOf({ world, random }: Setting, history: History): WebsocketPusher {
  const host = world.host('client-websocket')
  const { topics, maxValueBytes } = usual
  const options = { name: 'websocket', topics, pauseMs: rarely, maxMessages: 4, maxValueBytes, cutPercent: 2 }
  return new WebsocketPusher(options, { host, history, random: random('websocket'), trace: world.trace })
}

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, answers, random, log } = setting
  const settings = settingsOf(setting)
  const disk = new GatewayDisk(random('disk'))
  const parts = await openGateway(setting, settings, usual, { disk })
  const { gateway, outages, history, told, clients, pusher } = parts
  const others = new Outages(world, answers, 'other')
  const other = await HttpGateway.start(world, 'other', {
    bootstrap: brokers.bootstrap,
    settings,
    disk: new GatewayDisk(random('disk of the other')),
    outages: others,
    port: GATEWAY_PORT + PORTS_APART
  })
  const bench = await openService(setting, 'bench')
  const audit = { name: 'auditor', groupId: GROUP, topic: 'orders', partitions: 3, last: LAST, moves: true }
  const progress = new GroupProgress(audit, depsOf(setting, bench, history)('auditor'), log)
  const workloads = [
    ...pushersOf(pusher, settings['apis.kafka-pixy.durability'] === 'disk'),
    ...clients,
    websocketOf(setting, history),
    ...pixyConsumersOf(setting, gateway, progress, { ...consuming, mayHangUp: at => outages.mayHangUp(at) }),
    ...pixyConsumersOf(setting, other, progress, { ...consuming, mayHangUp: at => others.mayHangUp(at) }),
    progress,
    new RollingUpgrade(world.host('supervisor'), [gateway, other], progress),
    outages,
    others
  ]
  const setAside = () => disk.deadLetters()
  const histories = [{ history, lives: () => [logOf(brokers)], tolerates: [], setAside, ...told }]
  return { processes: [gateway, other], others: [bench], workloads, histories }
}

export const stopping: Scenario = {
  name: 'stopping',
  about:
    'two gateways with all APIs are asked to stop while brokers are in trouble, and start again: each client is told the truth, nothing is left behind, and all goes on',
  topics: [orders, events],
  build,
  faults: {
    kinds: [
      'stopGateway',
      'stopGateway',
      'stopGateway',
      'stopBroker',
      'pauseBroker',
      'partition',
      'moveLeader',
      'dropResponse',
      'doAndRefuse',
      'hangUp',
      'delay'
    ],
    meanPauseMs: 2_500,
    topics: ['orders', 'events'],
    nodeIds: [1, 2, 3]
  }
}
