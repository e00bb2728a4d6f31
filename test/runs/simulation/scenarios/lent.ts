import { History } from '../../../support/history-checker.js'
import { GatewayDisk } from '../gateway-disk.js'
import { HttpGateway } from '../http-gateway.js'
import { Outages } from '../outages.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import type { Service } from '../service.js'
import { GroupProgress } from '../workloads/group-progress.js'
import { LendingWatch } from '../workloads/lending-watch.js'
import { LentReader } from '../workloads/lent-reader.js'
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

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, answers, random, log } = setting
  const history = new History()
  const draw = random('settings of the members')
  const count = draw.pick([2, 2, 4, 4, 8])
  const ports = Array.from({ length: count }, (_, nth) => FIRST_PORT + PORTS_APART * nth)
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
    'advanced.consumer.revocationMs': String(draw.pick([0, 1_000, 5_000])),
    'peers.addresses': ports.map(port => `127.0.0.1:${port + PORT_OF_PEERS}`).join(',')
  }
  const member = (port: number, nth: number): Promise<HttpGateway> => {
    const name = `gateway${nth}`
    return HttpGateway.start(world, name, {
      bootstrap: brokers.bootstrap,
      settings: {
        ...someGatewaySettings(random(`settings of ${name}`)),
        ...settings,
        'peers.listen': `127.0.0.1:${port + PORT_OF_PEERS}`
      },
      outages: new Outages(world, answers, name),
      port,
      disk: new GatewayDisk(random(`disk of ${name}`)),
      held: ['castellan_groups_loans', 'castellan_groups_wants']
    })
  }
  const bench = await openService(setting, 'bench')
  await world.until(
    'commits',
    world.start(bench.host, () => beginning(bench)),
    COMMIT_LIMIT_MS
  )
  const members: HttpGateway[] = []
  for (const [nth, port] of ports.entries()) members.push(await member(port, nth))
  const deps = depsOf(setting, bench, history)
  const audit = { name: 'auditor', groupId: GROUP, topic: 'orders', partitions: PARTITIONS, last: LAST }
  const progress = new GroupProgress(audit, deps('auditor'), log)
  const readers = draw.pick([1, 2, 4])
  const workloads = [
    new Producer({ ...steady, name: 'steady', topics: ['orders'] }, deps('steady')),
    ...Array.from({ length: readers }, (_, nth) => readerOf(setting, members, progress, nth, readers)),
    progress,
    new LendingWatch(world.host('watch'), () => world.time.now)
  ]
  const histories = [{ history, lives: () => [logOf(brokers)], tolerates: [] }]
  return { processes: members, others: [bench], workloads, histories }
}

/** The group has begun before the first gateway asks. */
async function beginning({ verbs }: Service): Promise<void> {
  const offsets = Array.from(
    { length: PARTITIONS },
    (_, partition) => [partition, { offset: 0, metadata: '' }] as const
  )
  await verbs.groups.commit(GROUP, 'orders', new Map(offsets), COMMIT_LIMIT_MS)
}

/** The first one asks all gateways in turn, every third one keeps to one gateway. */
function readerOf(
  { world, answers, random }: Setting,
  members: readonly HttpGateway[],
  progress: GroupProgress,
  nth: number,
  readers: number
): LentReader {
  const name = `reader-${nth}`
  const host = world.host(`client-${name}`)
  const gateways = nth % 3 === 1 ? [members[nth % members.length]!] : members
  return new LentReader(
    {
      name,
      groupId: GROUP,
      topic: 'orders',
      gateways,
      longPollMs: LONG_POLL_MS,
      pauseMs: [0, 60],
      isAlone: readers === 1
    },
    {
      host,
      answers,
      progress,
      random: random(name),
      trace: world.trace,
      now: () => world.time.now,
      onHost: action => world.on(host, action)
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
