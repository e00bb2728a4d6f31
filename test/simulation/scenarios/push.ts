import { History } from '../../support/history-checker.js'
import { harmlessFaults } from '../faults/catalogue.js'
import { HttpGateway } from '../http-gateway.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { type Manners, Pusher, type PusherOptions } from '../workloads/pusher.js'
import type { Host } from '../world/host.js'
import { events, logOf, orders } from './library.js'

const usual = {
  topics: ['orders', 'events'],
  keys: 3,
  maxRecords: 4,
  maxValueBytes: 300,
  syncPercent: 60
} as const

const pauses: Readonly<Record<Manners, readonly [number, number]>> = {
  polite: [20, 300],
  pipelining: [20, 400],
  slow: [100, 600],
  cutting: [100, 1_000],
  deaf: [200, 2_000]
}

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, answers, random } = setting
  const history = new History()
  const killedAt: number[] = []
  const onKilled = (host: Host): void => {
    killedAt.push(world.time.now)
    answers.forget(host)
  }
  const messageTimeoutMs = random('settings').pick([300, 2_000, 5_000])
  const settings = { 'dialects.kprf.messageTimeoutMs': String(messageTimeoutMs) }
  const gateway = await HttpGateway.start(world, 'gateway', { bootstrap: brokers.bootstrap, settings, onKilled })
  const pusher = (manners: Manners, own: Partial<PusherOptions> = {}): Pusher => {
    const name = own.name ?? manners
    const options = { ...usual, name, manners, pauseMs: pauses[manners], answeredWithinMs: messageTimeoutMs, ...own }
    return new Pusher(options, {
      host: world.host(`client-${name}`),
      gateway,
      answers,
      history,
      trace: world.trace,
      random: random(name),
      now: () => world.time.now,
      wasKilledSince: atMs => killedAt.some(at => at >= atMs)
    })
  }
  const workloads = [
    pusher('polite'),
    pusher('polite', { name: 'async', syncPercent: 0 }),
    pusher('pipelining'),
    pusher('slow'),
    pusher('cutting'),
    pusher('deaf')
  ]
  return { processes: [gateway], workloads, histories: [{ history, lives: () => [logOf(brokers)], tolerates: [] }] }
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
