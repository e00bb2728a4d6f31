import { type Logger, silentLogger } from '../../../../src/core/model.js'
import { History } from '../../../support/history-checker.js'
import { HttpGateway } from '../http-gateway.js'
import { Outages } from '../outages.js'
import type { Cast, Scenario, Setting } from '../scenario.js'
import { Producer } from '../workloads/producer.js'
import { Retention } from '../workloads/retention.js'
import { WebhookAudit } from '../workloads/webhook-audit.js'
import { WebhookEndpoint } from '../workloads/webhook-endpoint.js'
import { RememberedLogs, WebhookFacts } from '../workloads/webhook-facts.js'
import { type DefinedWebhook, settingsOf, WebhookPeople } from '../workloads/webhook-people.js'
import { CONTENT_TYPE, WebhookWatch } from '../workloads/webhook-watch.js'
import { depsOf, events, openService, orders, steady } from './library.js'
import { someGatewaySettings } from './settings.js'

const GATEWAYS = 3
const FIRST_PORT = 8_080
/** Each has ports for management and for the others, too. */
const PORTS_APART = 10
const PORT_OF_PEERS = 5
const FIRST_ENDPOINT = 9_700
const LETTERS = 'letters'
const SECRET = `whsec_${Buffer.alloc(32, 's').toString('base64')}`
/** A record that was tried often waits long. */
const SETTLES_WITHIN_MS = 240_000
const LOST = 'records were gone from Kafka before the webhook had delivered them: they are lost'

async function build(setting: Setting): Promise<Cast> {
  const { world, brokers, random } = setting
  const draw = random('settings of the webhooks')
  const define = (topic: string, nth: number, own: object): DefinedWebhook => ({
    topic,
    url: `http://127.0.0.1:${FIRST_ENDPOINT + nth}/hooks/`,
    timeoutMs: draw.pick([1_000, 3_000]),
    maxInFlight: draw.pick([1, 2, 5, 16]),
    maxAttempts: draw.pick([2, 3, 5]),
    paused: false,
    ...own
  })
  const definitions: Record<string, DefinedWebhook> = {
    shop: define('orders', 0, { start: 'earliest', deadLetters: LETTERS }),
    audit: define('orders', 1, { start: 'latest' }),
    mail: define('events', 2, { start: draw.pick(['earliest', 'latest']), paused: draw.between(1, 3) === 1 })
  }
  const logs = new RememberedLogs(brokers)
  const webhooks = Object.entries(definitions).map(([name, definition], nth) => {
    const facts = new WebhookFacts(name, definition.topic)
    Object.assign(definition, { contentType: `${CONTENT_TYPE}${name}` })
    facts.maxInFlight = definition.maxInFlight
    facts.maxAttempts = definition.maxAttempts
    const host = world.host(`endpoint-${name}`)
    const onHost = (action: () => void): void => world.on(host, action)
    const deps = { host, facts, random: random(name), trace: world.trace, now: () => world.time.now, onHost }
    const { timeoutMs, deadLetters } = definition
    const options = {
      name,
      port: FIRST_ENDPOINT + nth,
      secret: SECRET,
      timeoutMs: Number(timeoutMs),
      refuses: deadLetters !== undefined
    }
    return { facts, endpoint: new WebhookEndpoint(options, deps) }
  })
  const watch = new WebhookWatch(
    world,
    brokers,
    webhooks.map(({ facts }) => facts)
  )
  const log: Logger = {
    ...silentLogger,
    error: (fields, message) => message === LOST && watch.lost(fields)
  }
  const gateways = await someGateways(setting, definitions, log)
  const bench = await openService(setting, 'bench')
  const deps = depsOf(setting, bench, new History())
  const people = world.host('client-people')
  const { cluster } = brokers
  const workloads = [
    watch,
    new Producer({ ...steady, name: 'steady', keys: 12, pauseMs: [60, 600], maxRecordsPerCall: 2 }, deps('steady')),
    ...webhooks.map(({ endpoint }) => endpoint),
    new Retention(
      {
        name: 'retention',
        topics: [orders, events],
        logs,
        logStart: (topic, partition) => cluster.logStartOffset(topic, partition),
        logEnd: (topic, partition) => cluster.highWatermark(topic, partition)
      },
      deps('retention')
    ),
    new WebhookPeople(
      { name: 'people', gateways, definitions },
      {
        host: people,
        facts: new Map(webhooks.map(({ facts }) => [facts.name, facts])),
        random: random('people'),
        now: () => world.time.now,
        onHost: action => world.on(people, action)
      }
    ),
    new WebhookAudit({ name: 'audit of webhooks', brokers, logs, webhooks, letters: LETTERS }, deps('audit'))
  ]
  return { processes: gateways, others: [bench], workloads, histories: [] }
}

async function someGateways(
  { world, brokers, answers, random }: Setting,
  definitions: Readonly<Record<string, DefinedWebhook>>,
  log: Logger
): Promise<readonly HttpGateway[]> {
  const draw = random('settings of the gateways')
  const ports = Array.from({ length: GATEWAYS }, (_, nth) => FIRST_PORT + PORTS_APART * nth)
  const settings = {
    'consumer.sessionTimeoutMs': '6000',
    'advanced.consumer.heartbeatIntervalMs': '1000',
    'advanced.consumer.rebalanceTimeoutMs': String(draw.pick([3_000, 10_000])),
    'advanced.consumer.revocationMs': String(draw.pick([0, 1_000, 5_000])),
    'advanced.consumer.commitIntervalMs': String(draw.pick([0, 100, 500])),
    'peers.addresses': ports.map(port => `127.0.0.1:${port + PORT_OF_PEERS}`).join(','),
    'webhooks.networks': '127.0.0.0/8',
    ...settingsOf(definitions)
  }
  const environment = Object.fromEntries(
    Object.keys(definitions).map(name => [`CASTELLAN_WEBHOOKS_${name.toUpperCase()}_SECRET`, SECRET])
  )
  const gateways: HttpGateway[] = []
  for (const [nth, port] of ports.entries()) {
    const name = `gateway${nth}`
    const own = { 'peers.listen': `127.0.0.1:${port + PORT_OF_PEERS}` }
    gateways.push(
      await HttpGateway.start(world, name, {
        bootstrap: brokers.bootstrap,
        settings: { ...someGatewaySettings(random(`settings of ${name}`)), ...settings, ...own },
        environment,
        outages: new Outages(world, answers, name),
        port,
        held: ['castellan_webhook_open', 'castellan_webhook_in_flight'],
        log
      })
    )
  }
  return gateways
}

export const webhooks: Scenario = {
  name: 'webhooks',
  about:
    'three gateways send records to endpoints that fail, lie and are gone, while people change webhooks and retention passes open records',
  topics: [orders, events, { name: LETTERS, partitions: 2 }],
  build,
  settlesWithinMs: SETTLES_WITHIN_MS,
  faults: {
    kinds: [
      ...(['killGateway', 'killGateway', 'stopGateway', 'stall', 'stall', 'moveLeader', 'moveLeader'] as const),
      ...(['delay', 'slowPeer', 'silentPeer', 'partition', 'stopBroker', 'doAndRefuse', 'refuse', 'hangUp'] as const)
    ],
    meanPauseMs: 2_500,
    topics: ['orders', 'events'],
    nodeIds: [1, 2, 3]
  }
}
