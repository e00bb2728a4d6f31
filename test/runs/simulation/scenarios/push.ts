import { harmlessFaults } from '../faults/catalogue.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { kafboyApi, kprfApi, pixyApi } from '../workloads/produce-api.js'
import type { Pusher } from '../workloads/pusher.js'
import { openGateway, type PushedGateway } from './gateway.js'
import { events, logOf, orders } from './library.js'

const usual = {
  topics: ['orders', 'events'],
  keys: 3,
  maxRecords: 4,
  maxValueBytes: 300,
  syncPercent: 60
} as const

const ofAllManners = (pusher: PushedGateway['pusher']): Pusher[] => [
  pusher({ manners: 'polite' }),
  pusher({ manners: 'polite', name: 'async', syncPercent: 0 }),
  pusher({ manners: 'pipelining' }),
  pusher({ manners: 'slow' }),
  pusher({ manners: 'cutting' }),
  pusher({ manners: 'deaf' })
]

const castOf = (
  { brokers }: Setting,
  { gateway, history, told }: PushedGateway,
  workloads: Cast['workloads']
): Cast => ({
  processes: [gateway],
  workloads,
  histories: [{ history, lives: () => [logOf(brokers)], tolerates: [], ...told }]
})

async function build(setting: Setting): Promise<Cast> {
  const { random } = setting
  const messageTimeoutMs = random('settings').pick([300, 2_000, 5_000])
  const settings = { 'apis.kprf.messageTimeoutMs': String(messageTimeoutMs) }
  const ofAll = { ...usual, api: kprfApi, answeredWithinMs: messageTimeoutMs }
  const pushed = await openGateway(setting, settings, ofAll)
  const { clients, pusher } = pushed
  const workloads = [...ofAllManners(pusher), ...clients]
  return castOf(setting, pushed, workloads)
}

async function buildKafboy(setting: Setting): Promise<Cast> {
  const { random } = setting
  const draw = random('settings')
  const syncTimeoutMs = draw.pick([300, 2_000, 5_000])
  const settings = {
    'apis.kafboy.syncTimeoutMs': String(syncTimeoutMs),
    'apis.kafboy.payload': 'fields',
    // Hashes the key, where there is no hook that picks the partition.
    'apis.kafboy.partitionStrategy': 'custom'
  }
  const ofAll = { ...usual, api: kafboyApi('/async'), answeredWithinMs: syncTimeoutMs }
  const pushed = await openGateway(setting, settings, ofAll)
  const { clients, pusher } = pushed
  const workloads = [
    pusher({ manners: 'polite' }),
    pusher({ manners: 'polite', name: 'async', syncPercent: 0 }),
    pusher({ manners: 'polite', name: 'batches', syncPercent: 0, api: kafboyApi('/batch/async') }),
    pusher({ manners: 'pipelining' }),
    pusher({ manners: 'cutting' }),
    pusher({ manners: 'deaf' }),
    ...clients
  ]
  return castOf(setting, pushed, workloads)
}

async function buildPixy(setting: Setting): Promise<Cast> {
  const { random } = setting
  const syncTimeoutMs = random('settings').pick([300, 2_000, 5_000])
  const settings = { 'apis.kafka-pixy.syncTimeoutMs': String(syncTimeoutMs) }
  const ofAll = { ...usual, api: pixyApi, answeredWithinMs: syncTimeoutMs }
  const pushed = await openGateway(setting, settings, ofAll)
  const { clients, pusher } = pushed
  const workloads = [...ofAllManners(pusher), ...clients]
  return castOf(setting, pushed, workloads)
}

const topics = [orders, events]
const harmed = { topics: ['orders', 'events'], nodeIds: [1, 2, 3] }

export const push: Scenario = {
  name: 'push',
  about: "the gateway and clients of kprf's API, well-behaved and otherwise; network and brokers fail",
  topics,
  build,
  faults: { ...harmed, kinds: harmlessFaults, meanPauseMs: 3_000 }
}

export const killed: Scenario = {
  name: 'killed',
  about: 'the same, and the gateway is killed and comes back',
  topics,
  build,
  faults: {
    ...harmed,
    kinds: ['killGateway', 'stopBroker', 'pauseBroker', 'partition', 'cut', 'doAndRefuse'],
    meanPauseMs: 4_000
  }
}

export const kafboy: Scenario = {
  name: 'kafboy',
  about: "the gateway and clients of kafboy's API, single records and batches; network and brokers fail",
  topics,
  build: buildKafboy,
  faults: { ...harmed, kinds: harmlessFaults, meanPauseMs: 3_000 }
}

export const pixy: Scenario = {
  name: 'pixy',
  about:
    "the gateway and clients of Kafka-Pixy's API that produce; network and brokers fail, and the gateway is killed and comes back",
  topics,
  build: buildPixy,
  faults: { ...harmed, kinds: [...harmlessFaults, 'killGateway', 'killGateway', 'killGateway'], meanPauseMs: 3_000 }
}
