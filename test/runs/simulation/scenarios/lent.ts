import { History } from '../../../support/history-checker.js'
import { GatewayDisk } from '../gateway-disk.js'
import { HttpGateway } from '../http-gateway.js'
import { Outages } from '../outages.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import type { Service } from '../service.js'
import { GroupProgress } from '../workloads/group-progress.js'
import { LendingWatch } from '../workloads/lending-watch.js'
import { LentReader, type LentReaderDeps, type LentReaderOptions } from '../workloads/lent-reader.js'
import { Producer } from '../workloads/producer.js'
import { depsOf, events, logOf, openService, orders, steady } from './library.js'
import { someGatewaySettings } from './settings.js'

const GROUP = 'workers'
const LONG_POLL_MS = 1_000
const PARTITIONS = 3
const COMMIT_LIMIT_MS = 5_000
const FIRST_PORT = 8_080
/** Each has ports for management and for the others, too. */
const PORTS_APART = 10
const PORT_OF_PEERS = 5
/** The last ones are written so far apart that a client waits for each. */
const LAST = { records: 14, pauseMs: 800 }

export interface LendingGatewaysOptions {
  readonly count: number
  readonly settings: Readonly<Record<string, string>>
  readonly drawn: (name: string) => Readonly<Record<string, string>>
}

/** Gateways that know each other, if they are several. */
export async function lendingGateways(
  { world, brokers, answers, random }: Setting,
  { count, settings, drawn }: LendingGatewaysOptions,
  name = 'gateway',
  firstPort = FIRST_PORT
): Promise<HttpGateway[]> {
  const ports = Array.from({ length: count }, (_, nth) => firstPort + PORTS_APART * nth)
  const peers = ports.map(port => `127.0.0.1:${port + PORT_OF_PEERS}`)
  const gateways: HttpGateway[] = []
  for (const [nth, port] of ports.entries()) {
    const own = `${name}${nth}`
    const known = count > 1 && { 'peers.addresses': peers.join(','), 'peers.listen': peers[nth]! }
    gateways.push(
      await HttpGateway.start(world, own, {
        bootstrap: brokers.bootstrap,
        settings: { ...drawn(own), ...settings, ...known },
        outages: new Outages(world, answers, own),
        port,
        disk: new GatewayDisk(random(`disk of ${own}`)),
        held: count > 1 ? ['castellan_groups_loans', 'castellan_groups_wants'] : []
      })
    )
  }
  return gateways
}

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, random, log } = setting
  const history = new History()
  const draw = random('settings of the members')
  const count = draw.pick([2, 2, 4, 4, 8])
  const settings = {
    // The group has commits, so it makes a difference only until a gateway knows that.
    'consumer.start': draw.pick(['earliest', 'latest']),
    'consumer.longPollMs': String(LONG_POLL_MS),
    'consumer.ackTimeoutMs': String(draw.pick([4_000, 20_000])),
    'consumer.subscriptionTimeoutMs': '60000',
    'advanced.consumer.commitIntervalMs': String(draw.pick([0, 100, 500])),
    'consumer.sessionTimeoutMs': '6000',
    'advanced.consumer.heartbeatIntervalMs': '1000',
    'advanced.consumer.rebalanceTimeoutMs': String(draw.pick([3_000, 10_000])),
    'consumer.maxPendingMessages': String(draw.pick([5, 300])),
    'advanced.consumer.revocationMs': String(draw.pick([0, 1_000, 5_000]))
  }
  const drawn = (name: string) => someGatewaySettings(random(`settings of ${name}`))
  const bench = await openService(setting, 'bench')
  await begun(setting, bench, GROUP, PARTITIONS)
  const members = await lendingGateways(setting, { count, settings, drawn })
  const deps = depsOf(setting, bench, history)
  const audit = { name: 'auditor', groupId: GROUP, topic: 'orders', partitions: PARTITIONS, last: LAST }
  const progress = new GroupProgress(audit, deps('auditor'), log)
  const readers = draw.pick([1, 2, 4])
  // The first one asks all gateways in turn, every third one keeps to one gateway.
  const readerOf = (nth: number): LentReader => {
    const gateways = nth % 3 === 1 ? [members[nth % members.length]!] : members
    const options = {
      name: `reader-${nth}`,
      groupId: GROUP,
      gateways,
      longPollMs: LONG_POLL_MS,
      isAlone: readers === 1
    }
    return lentReader(setting, { ...options, pauseMs: [0, 60] }, progress)
  }
  const workloads = [
    new Producer({ ...steady, name: 'steady', topics: ['orders'] }, deps('steady')),
    ...Array.from({ length: readers }, (_, nth) => readerOf(nth)),
    progress,
    new LendingWatch(world.host('watch'), () => world.time.now)
  ]
  const histories = [{ history, lives: () => [logOf(brokers)], tolerates: [] }]
  return { processes: members, others: [bench], workloads, histories }
}

/** A group has begun before the first gateway asks. */
export async function begun({ world }: Setting, bench: Service, groupId: string, partitions: number): Promise<void> {
  const offsets = Array.from(
    { length: partitions },
    (_, partition) => [partition, { offset: 0, metadata: '' }] as const
  )
  const commit = () => bench.verbs.groups.commit(groupId, 'orders', new Map(offsets), COMMIT_LIMIT_MS)
  await world.until('commits', world.start(bench.host, commit), COMMIT_LIMIT_MS)
}

/** @param onMessage told of what it got at rest */
export function lentReader(
  { world, answers, random }: Setting,
  options: Omit<LentReaderOptions, 'topic'>,
  progress: GroupProgress,
  onMessage?: LentReaderDeps['onMessage']
): LentReader {
  const { name } = options
  const host = world.host(`client-${name}`)
  return new LentReader(
    { ...options, topic: 'orders' },
    {
      host,
      answers,
      progress,
      random: random(name),
      trace: world.trace,
      now: () => world.time.now,
      onHost: action => world.on(host, action),
      onMessage
    }
  )
}

const LINKS = ['slowPeer', 'slowPeer', 'slowPeer', 'silentPeer'] as const

export const lent: Scenario = {
  name: 'lent',
  about:
    'clients ask gateways in turn, which lend each other messages, are killed, stand still, and lose sight of each other',
  topics: [orders, events],
  build,
  faults: {
    kinds: [...LINKS, ...LINKS, 'stall', 'stall', 'killGateway', 'moveLeader'],
    meanPauseMs: 1_500,
    topics: ['orders', 'events'],
    nodeIds: [1, 2, 3]
  }
}
