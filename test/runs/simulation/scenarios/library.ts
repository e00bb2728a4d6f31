import type { OpenCastellanOptions } from '../../../../src/client/castellan.js'
import { silentLogger } from '../../../../src/core/model.js'
import type { DeliverySettings } from '../../../../src/producer/memory/settings.js'
import type { RouterSettingsOverrides } from '../../../../src/router/routing/settings.js'
import { History, type Logged } from '../../../support/history-checker.js'
import type { Brokers, SimulatedTopic } from '../brokers.js'
import { isRenumberedFor } from '../departures.js'
import { harmlessFaults } from '../faults/catalogue.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { Service } from '../service.js'
import { Committer } from '../workloads/committer.js'
import { Inventor } from '../workloads/inventor.js'
import { Producer, type ProducerOptions, type ServiceDeps } from '../workloads/producer.js'
import { Reader } from '../workloads/reader.js'
import type { Host } from '../world/host.js'
import { littleDecompressed, someSettings, usualReads } from './settings.js'

export const orders: SimulatedTopic = { name: 'orders', partitions: 3 }
export const events: SimulatedTopic = {
  name: 'events',
  partitions: 2,
  config: new Map([
    ['min.insync.replicas', '2'],
    // Room for each record, but not for each batch: some are halved.
    ['max.message.bytes', '1500']
  ])
}

/** What a scenario wants of a service; the rest is drawn. */
export interface OwnSettings {
  readonly connection?: OpenCastellanOptions['connection']
  readonly delivery?: Partial<DeliverySettings>
  readonly router?: RouterSettingsOverrides
  readonly consumer?: OpenCastellanOptions['consumer']
  readonly closeTimeoutMs?: number
  /** Called before anything is connected. */
  prepare?(host: Host): unknown
}

export async function openService(
  { world, brokers, random }: Setting,
  name: string,
  own: OwnSettings = {}
): Promise<Service> {
  const { connection, delivery, router } = someSettings(random(`settings of ${name}`))
  const options = {
    brokers: brokers.bootstrap,
    log: silentLogger,
    connection: { ...connection, ...own.connection },
    delivery: { ...delivery, ...own.delivery },
    router: { ...router, ...own.router },
    ...(own.consumer && { consumer: own.consumer })
  }
  return Service.open(world, name, options, own)
}

export const depsOf =
  ({ world, brokers, answers, departures, random }: Setting, service: Service, history: History) =>
  (purpose: string): ServiceDeps => ({
    service,
    answers,
    departures,
    history,
    trace: world.trace,
    random: random(purpose),
    now: () => world.time.now,
    groupOn: nodeId => brokers.groupOn(nodeId),
    onHost: action => world.on(service.host, action)
  })

export const steady: Omit<ProducerOptions, 'name'> = {
  topics: ['orders', 'events'],
  keys: 4,
  pauseMs: [20, 400],
  maxOpen: 20,
  maxRecordsPerCall: 3,
  maxValueBytes: 100,
  deadlineMs: [5_000, 30_000]
}

/** Written to so seldom that it is forgotten in between, where metadata is not to be old. */
const seldom: SimulatedTopic = { name: 'seldom', partitions: 1 }

const build =
  ({ isCalm = false, canRenumber = false } = {}) =>
  async (setting: Setting): Promise<Cast> => {
    const own = setting.random('memory for readers').pick<OwnSettings>([littleDecompressed, {}])
    // Where everything has to succeed there is capacity for it, and time.
    const roomy = isCalm ? { delivery: { ...own.delivery, maxBytes: 1_000_000 } } : {}
    const service = await openService(setting, 'service', { ...own, ...roomy })
    const hastyMs: readonly [number, number] = isCalm ? [1_000, 2_000] : [50, 2_000]
    const history = new History()
    const deps = depsOf(setting, service, history)
    const { log } = setting
    const usual = { topics: ['orders', 'events'], keys: 4, pauseMs: [20, 400] as const, maxOpen: 20 }
    const workloads = [
      new Producer(
        { ...usual, name: 'steady', maxRecordsPerCall: 3, maxValueBytes: 100, deadlineMs: [5_000, 30_000] },
        deps('steady')
      ),
      new Producer(
        { ...usual, name: 'hasty', maxRecordsPerCall: 10, maxValueBytes: 1_000, deadlineMs: hastyMs },
        deps('hasty')
      ),
      new Producer({ ...steady, name: 'seldom', topics: [seldom.name], pauseMs: [500, 9_000] }, deps('seldom')),
      new Reader({ name: 'tail', topic: 'orders', partition: 0 }, deps('tail'), log),
      new Reader({ name: 'other', topic: 'events', partition: 1 }, deps('other'), log),
      new Reader({ name: 'again', topic: 'orders', partition: 0, againAfter: 50 }, deps('again'), log),
      new Committer(
        { name: 'commits', groupId: 'g1', topic: 'orders', partition: 0, pauseMs: [10, 500] },
        deps('commits')
      ),
      new Committer(
        { name: 'others', groupId: 'g2', topic: 'events', partition: 1, pauseMs: [10, 500] },
        deps('others')
      ),
      new Inventor({ name: 'inventor', pauseMs: [50, 2_000] }, deps('inventor'))
    ]
    const { brokers } = setting
    const doubling = canRenumber ? { mayDouble: isRenumberedFor(() => brokers.refusedAt) } : {}
    const histories = [{ history, lives: () => [logOf(brokers)], tolerates: [], isCalm, ...doubling }]
    return { processes: [service], workloads, histories }
  }

/** Everything that is in the logs of topics that live for ever. */
export const logOf = (brokers: Brokers): readonly Logged[] =>
  brokers.topics.flatMap(topic => brokers.livesOf(topic)[0]!.records)

const topics = [orders, events]
const withSeldom = [...topics, seldom]
const harmed = { topics: ['orders', 'events'], nodeIds: [1, 2, 3] }

/** What a topic has held, life by life. */
export const recordsOf = (brokers: Brokers, topic: string): readonly (readonly Logged[])[] =>
  brokers.livesOf(topic).map(({ records }) => records)

export const calm: Scenario = {
  name: 'calm',
  about: 'Castellan as a library, and nothing goes wrong',
  topics: withSeldom,
  build: build({ isCalm: true }),
  faults: { ...harmed, kinds: [], meanPauseMs: 1 }
}

export const library: Scenario = {
  name: 'library',
  about: 'Castellan as a library; network and brokers fail in every way that destroys nothing',
  topics: withSeldom,
  build: build(),
  faults: { ...harmed, kinds: [...harmlessFaults, 'refuseForGood', 'forbid', 'forbid'], meanPauseMs: 2_500 }
}

/** A reader's request is answered by then although the leader moves: `fetchMaxWaitMs`, and looking for the new one. */
const MOVED_BOUND_MS = 2_000

async function buildMoves(setting: Setting): Promise<Cast> {
  const service = await openService(setting, 'service', { router: usualReads })
  const history = new History()
  const deps = depsOf(setting, service, history)
  const reader = (name: string, topic: string, partition: number): Reader =>
    new Reader({ name, topic, partition, boundMs: MOVED_BOUND_MS }, deps(name), setting.log)
  const workloads = [
    new Producer({ ...steady, name: 'steady' }, deps('steady')),
    reader('tail', 'orders', 0),
    reader('same', 'orders', 0),
    reader('other', 'events', 1)
  ]
  const histories = [{ history, lives: () => [logOf(setting.brokers)], tolerates: [] }]
  return { processes: [service], workloads, histories }
}

export const moves: Scenario = {
  name: 'moves',
  about: 'leaders move and nothing else goes wrong: nobody waits long',
  topics,
  build: buildMoves,
  faults: { ...harmed, kinds: ['moveLeader'], meanPauseMs: 1_000 }
}

const CLOSE_TIMEOUTS_MS = [0, 200, 2_000, 10_000]

async function buildClosing(setting: Setting): Promise<Cast> {
  const history = new History()
  const draw = setting.random('how long closing may take')
  const services: Service[] = []
  for (const name of ['first', 'second', 'third'])
    services.push(await openService(setting, name, { closeTimeoutMs: draw.pick(CLOSE_TIMEOUTS_MS) }))
  const rare: typeof steady = { ...steady, pauseMs: [60, 480] }
  const workloads = services.flatMap(service => {
    const deps = (purpose: string): ServiceDeps => depsOf(setting, service, history)(`${purpose} of ${service.name}`)
    const nameOf = (purpose: string): string => `${service.name}-${purpose}`
    return [
      new Producer({ ...rare, name: nameOf('steady') }, deps('steady')),
      new Producer({ ...rare, name: nameOf('hasty'), maxRecordsPerCall: 10, deadlineMs: [50, 2_000] }, deps('hasty')),
      new Inventor({ name: nameOf('inventor'), pauseMs: [150, 480] }, deps('inventor'))
    ]
  })
  const histories = [{ history, lives: () => [logOf(setting.brokers)], tolerates: [] }]
  return { processes: services, workloads, histories }
}

export const closing: Scenario = {
  name: 'closing',
  about:
    'three of Castellan are closed while brokers are in trouble: what waits is told the truth, and nothing is left behind',
  topics,
  build: buildClosing,
  closesInTrouble: true,
  faults: {
    ...harmed,
    kinds: ['stopBroker', 'refuse', 'doAndRefuse', 'hangUp', 'dropResponse', 'pauseBroker', 'partition'],
    meanPauseMs: 1_000
  }
}

export const forgetful: Scenario = {
  name: 'forgetful',
  about:
    'the same, and brokers have lost the state of the producer or refuse what they had taken; then a record may be there twice',
  topics: withSeldom,
  build: build({ canRenumber: true }),
  faults: {
    ...harmed,
    kinds: [
      'forgetProducer',
      'forgetProducer',
      'refuseRecords',
      'doAndRefuse',
      'dropResponse',
      'stopBroker',
      'moveLeader',
      'cut'
    ],
    meanPauseMs: 1_500
  }
}
