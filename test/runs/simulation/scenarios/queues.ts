import { type Logger, silentLogger } from '../../../../src/core/model.js'
import { History } from '../../../support/history-checker.js'
import { QueueHistory } from '../../../support/queue-history/queue-history.js'
import { GATEWAY_PORT, HttpGateway } from '../http-gateway.js'
import { Outages } from '../outages.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { HttpConnection, requestText } from '../workloads/http-connection.js'
import { Producer } from '../workloads/producer.js'
import { QueueAuditor } from '../workloads/queue-auditor.js'
import { type QueueGateway, QueueWorker } from '../workloads/queue-worker.js'
import { depsOf, logOf, openService, orders, steady } from './library.js'
import { someGatewaySettings } from './settings.js'

const TOPIC = orders.name
const GROUP = 'painters'
const PATH = `/queues/${TOPIC}/${GROUP}`
/** Each has a port for management, too. */
const PORTS_APART = 10
const WORKERS = 2
const MAX_LOCK_MS = 60_000
const CONFIGURE_LIMIT_MS = 5_000

/** Hears which messages a gateway says are archived, and when it cannot reach a broker. */
const listeningTo = (history: QueueHistory, now: () => number): Logger => ({
  ...silentLogger,
  warn(fields, message) {
    const at = now()
    const { partition, offset, because } = fields as Readonly<Record<string, number | string>>
    if (message.startsWith('a message at its last delivery is archived'))
      history.archived(`${partition}@${offset}`, at, String(because))
    else if (message === 'a queue cannot be served')
      history.disturbed({ from: at, to: at, unseen: Number.POSITIVE_INFINITY, ends: 'nothing' })
  }
})

/** Changes the settings of the group, before anybody is in it. */
async function configure({ world }: Setting, gateway: HttpGateway, settings: object): Promise<void> {
  const asking = world.start(
    world.host('client-of-settings'),
    () =>
      new Promise<number>((resolve, reject) => {
        const connection = new HttpConnection('127.0.0.1', gateway.port, {
          onResponse: ({ status }) => {
            connection.end()
            resolve(status)
          },
          onClose: () => reject(new Error('the gateway has closed the connection'))
        })
        connection.send(requestText('PATCH', PATH, JSON.stringify(settings)))
      })
  )
  const status = await world.until('configuring the group', asking, CONFIGURE_LIMIT_MS)
  if (status !== 200) throw new Error(`the group was not configured: ${status}`)
}

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, answers, random, log } = setting
  const now = (): number => world.time.now
  const queue = new QueueHistory()
  const draw = random('settings of the queue')
  const start = async (
    name: string,
    port: number
  ): Promise<QueueGateway & { process: HttpGateway; outages: Outages }> => {
    const outages = new Outages(world, answers, name)
    const process = await HttpGateway.start(world, name, {
      bootstrap: brokers.bootstrap,
      settings: {
        ...someGatewaySettings(random(`settings of ${name}`)),
        'queues.maxLockMs': String(MAX_LOCK_MS),
        'shutdown.graceMs': '10000',
        'shutdown.drainMs': String(draw.pick([0, 500]))
      },
      outages,
      port,
      log: listeningTo(queue, now),
      onEnded: mostLost => {
        // Killed, it could tell nobody what it takes along.
        const unseen = mostLost === undefined ? Number.POSITIVE_INFINITY : 0
        queue.disturbed({ from: now(), to: now(), unseen, ends: 'process', gateway: name })
      }
    })
    return { process, outages, mayHangUp: sentAt => outages.mayHangUp(sentAt) }
  }
  const gateways = [await start('left', GATEWAY_PORT), await start('right', GATEWAY_PORT + PORTS_APART)]
  const deliveryLimit = draw.pick([3, 5, 10])
  await configure(setting, gateways[0]!.process, { lockMs: 15_000, deliveryLimit })
  const bench = await openService(setting, 'bench')
  const history = new History()
  const onClient = (name: string) => {
    const host = world.host(`client-${name}`)
    return { host, onHost: (action: () => void) => world.on(host, action) }
  }
  const auditing = { name: 'auditor', topic: TOPIC, partitions: orders.partitions, path: PATH, port: GATEWAY_PORT }
  const auditor = new QueueAuditor(
    { ...auditing, deliveryLimit },
    { ...onClient('auditor'), history: queue, log, locksEndedAt: () => brokers.locksEndedAt }
  )
  const workers = gateways.flatMap((gateway, at) =>
    Array.from({ length: WORKERS }, (_, hand) => {
      const name = `${gateway.process.name}-${hand}`
      const parts = { gateway, other: gateways[1 - at]!, answers, history: queue, auditor, random: random(name) }
      const options = { name, path: PATH, lockMs: draw.pick([15_000, 20_000]) }
      return new QueueWorker(options, { ...onClient(name), ...parts, trace: world.trace, now })
    })
  )
  const workloads = [
    new Producer({ ...steady, name: 'steady', topics: [TOPIC] }, depsOf(setting, bench, history)('steady')),
    ...workers,
    auditor,
    ...gateways.map(({ outages }) => outages)
  ]
  const histories = [{ history, lives: () => [logOf(brokers)], tolerates: [] }]
  return { processes: gateways.map(({ process }) => process), others: [bench], workloads, histories }
}

export const queues: Scenario = {
  name: 'queues',
  about:
    'clients of a queue acquire and settle messages at two gateways: each is settled by whom was told so, and none is archived unseen',
  topics: [orders],
  build,
  faults: {
    kinds: [
      'moveLeader',
      'moveLeader',
      'stopBroker',
      'stopBroker',
      'pauseBroker',
      'stopAllBrokers',
      'endLocks',
      'endLocks',
      'loseAcknowledgements',
      'loseAcknowledgements',
      'troubleQueues',
      'troubleQueues',
      'killGateway',
      'killGateway',
      'stopGateway',
      'stall',
      'cut',
      'halfOpen',
      'partition',
      'delay'
    ],
    meanPauseMs: 3_000,
    topics: [TOPIC],
    nodeIds: [1, 2, 3]
  }
}
