import { isRenumberedFor } from '../departures.js'
import { harmlessFaults } from '../faults/catalogue.js'
import { GatewayDisk } from '../gateway-disk.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { arionApi, kafboyApi, kprfApi } from '../workloads/produce-api.js'
import type { PusherOptions } from '../workloads/pusher-options.js'
import { WebsocketPusher } from '../workloads/websocket-pusher.js'
import { openGateway } from './gateway.js'
import { events, logOf, orders } from './library.js'

/** Of clients of a gateway that keeps records on disk. */
export const usualOfLog: Omit<PusherOptions, 'name' | 'manners' | 'pauseMs'> = {
  api: arionApi,
  topics: ['orders', 'events'],
  keys: 3,
  maxRecords: 4,
  maxValueBytes: 300,
  syncPercent: 0,
  // A sync takes as long as the disk takes.
  acceptedWithinMs: 20_000,
  isDurable: true
}

/** Small segments, so that there are several, and some are removed. */
export const walSettings = {
  'advanced.wal.segmentBytes': '65536',
  'wal.minFreeBytes': '0'
}
/** Of the log: it is full at times, or never. */
const LOG_BYTES = [262_144, 4_194_304]

/**
 * @param forgets whether what was sent last may not be known any more when the process has died
 * @param mayLose whether the log may lose what it says that it has lost
 * @param mayBeRefused whether Kafka refuses records for good
 * @param losesPower whether the disk may lose what is not synced; otherwise records need not be
 */
const build =
  (forgets: boolean, { mayLose = false, mayBeRefused = false, losesPower = false } = {}) =>
  async (setting: Setting): Promise<Cast> => {
    const { brokers, random } = setting
    const disk = new GatewayDisk(random('disk'))
    const settings = {
      ...walSettings,
      'wal.maxBytes': String(random('settings').pick(LOG_BYTES)),
      'wal.fsyncPuts': String(losesPower || random('syncs').pick([true, false])),
      'apis.kprf.durability': 'disk',
      'apis.kafboy.durability': 'disk',
      'apis.kafboy.payload': 'fields',
      'apis.kafboy.partitionStrategy': 'custom'
    }
    const forgetsKeys = forgets || losesPower || mayLose
    const parts = await openGateway(setting, settings, usualOfLog, { disk, forgets: forgetsKeys })
    const { gateway, history, killedAt, told, clients, pusher } = parts
    const workloads = [
      pusher({ manners: 'polite' }),
      pusher({ manners: 'polite', name: 'kprf', api: kprfApi }),
      pusher({ manners: 'polite', name: 'kafboy', api: kafboyApi('/async') }),
      pusher({ manners: 'pipelining' }),
      pusher({ manners: 'pipelining', name: 'pipelining-kprf', api: kprfApi }),
      pusher({ manners: 'cutting' }),
      ...clients
    ]
    const setAside = () => disk.deadLetters()
    const lossesTold = () => (mayLose ? disk.reportedLosses : 0)
    const own = { ...told, mayBeRefused, mayBeOnDisk: losesPower }
    const mayDouble = isRenumberedFor(() => [...brokers.refusedAt, ...(forgets ? killedAt : [])])
    const histories = [
      { ...own, history, lives: () => [logOf(brokers)], tolerates: [], mayDouble, setAside, lossesTold }
    ]
    return { processes: [gateway], workloads, histories }
  }

async function buildArion(setting: Setting): Promise<Cast> {
  const disk = new GatewayDisk(setting.random('disk'))
  // Some messages of websockets are given up, which ends the websocket.
  const settings = { ...walSettings, 'delivery.timeoutMs': String(setting.random('settings').pick([500, 2_000])) }
  const { gateway, history, told, clients, pusher } = await openGateway(
    setting,
    settings,
    { ...usualOfLog, syncPercent: 50 },
    { disk }
  )
  const websocket = (name: string, cutPercent: number): WebsocketPusher => {
    const { world, random } = setting
    const options = {
      name,
      topics: usualOfLog.topics,
      pauseMs: [20, 400] as const,
      maxMessages: 4,
      maxValueBytes: 300,
      cutPercent
    }
    const host = world.host(`client-${name}`)
    return new WebsocketPusher(options, { host, history, random: random(name), trace: world.trace })
  }
  const workloads = [
    pusher({ manners: 'polite' }),
    pusher({ manners: 'polite', name: 'async', syncPercent: 0 }),
    pusher({ manners: 'pipelining' }),
    pusher({ manners: 'slow' }),
    pusher({ manners: 'cutting' }),
    pusher({ manners: 'deaf' }),
    websocket('websocket', 0),
    websocket('cutting-websocket', 5),
    ...clients
  ]
  const histories = [{ history, lives: () => [logOf(setting.brokers)], tolerates: [], ...told }]
  return { processes: [gateway], workloads, histories }
}

const topics = [orders, events]
const harmed = { topics: ['orders', 'events'], nodeIds: [1, 2, 3] }

export const durable: Scenario = {
  name: 'durable',
  about:
    'APIs that answer when a record is on disk; the gateway is killed, its power is cut, its disk fails or is full: what was accepted gets to Kafka',
  topics,
  // What was sent last is not known any more, and sent once more.
  build: build(true, { losesPower: true }),
  faults: {
    ...harmed,
    kinds: [
      'killGateway',
      'powerCut',
      'dieWriting',
      'dieWriting',
      'failDisk',
      'failDisk',
      'fillDisk',
      'slowDisk',
      'stopBroker',
      'pauseBroker',
      'partition',
      'moveLeader',
      'doAndRefuse',
      'dropResponse'
    ],
    meanPauseMs: 3_000
  }
}

export const restarted: Scenario = {
  name: 'restarted',
  about: 'the same, and the gateway is killed and nothing else happens to its disk: no record gets to Kafka twice',
  topics,
  build: build(false),
  faults: {
    ...harmed,
    kinds: [
      'killGateway',
      'killGateway',
      'stopBroker',
      'pauseBroker',
      'partition',
      'moveLeader',
      'dropResponse',
      'hangUp'
    ],
    meanPauseMs: 2_500
  }
}

export const refused: Scenario = {
  name: 'refused',
  about: 'the same, and Kafka refuses records for good: each is in Kafka or among the dead letters of the log',
  topics,
  build: build(false, { mayBeRefused: true }),
  faults: {
    ...harmed,
    kinds: ['refuseRecords', 'refuseRecords', 'refuseRecords', 'killGateway', 'stopBroker', 'slowDisk', 'partition'],
    meanPauseMs: 2_000
  }
}

export const flipped: Scenario = {
  name: 'flipped',
  about:
    'the same, and bits of the log flip while the gateway is dead: nothing false gets to Kafka, and no loss is silent',
  topics,
  // What the progress journal said is forgotten, and sent again.
  build: build(true, { mayLose: true }),
  faults: {
    ...harmed,
    kinds: ['flipBits', 'flipBits', 'partition', 'partition', 'pauseBroker', 'stopBroker', 'slowDisk'],
    meanPauseMs: 1_500
  }
}

export const arion: Scenario = {
  name: 'arion',
  about:
    "the gateway and clients of Arion's API, whose records go to Kafka by way of the disk; network and brokers fail",
  topics,
  build: buildArion,
  faults: { ...harmed, kinds: harmlessFaults, meanPauseMs: 3_000 }
}
