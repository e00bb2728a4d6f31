import { mkdirSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { withAdmin } from '../../support/target-cluster.js'
import { RECORDINGS } from '../alerts/recording.js'
import { alertRules, metricsIn } from '../alerts/rules.js'
import { Scraper } from '../alerts/scraper.js'
import { endOnSignals, sayWithTime } from '../tool.js'
import { KafkaCluster } from './cluster.js'
import { kafkaFolder, kafkaVersion } from './jars.js'
import { freePorts } from './ports.js'
import { saslUser } from './server-properties.js'
import { Workspace } from './workspace.js'

/**
 * Makes the recordings for the tests of the alert rules: gateways on real Kafka, each in one kind of trouble, are scraped
 * every few seconds. Takes about half an hour; `--only NAME` makes one part of the recordings: `without-kafka`, `trouble`,
 * `lost-records`, or `lag`.
 */

const INTERVAL_MS = 5_000
const HEALTHY_SECONDS = 90
const BROKER_DOWN_SECONDS = 160
const PAUSED_SECONDS = 130
/** Twice the retention of their topic, and as long as the alert waits. */
const WAITING_SECONDS = 150
/** As long as the alert waits, and a minute. */
const UNREADABLE_SECONDS = 660
/** A group reads what is written. */
const LOSING_SECONDS = 15
const AFTER_LOSS_SECONDS = 60
const main = join(kafkaFolder, '../../../dist/main.js')

const GROUP = 3
const TOPIC = 2
const READ = 3
const WRITE = 4
const DESCRIBE = 8
const DESCRIBE_CONFIGS = 10
const DENY = 2
const ALLOW = 3
const LITERAL = 3

/** A gateway in its own kind of trouble. */
class Recorded {
  readonly url: string
  readonly management: string
  readonly kill: (signal: NodeJS.Signals) => void
  readonly #scraper: Scraper
  readonly #isOver = new AbortController()

  private constructor(url: string, management: string, kill: (signal: NodeJS.Signals) => void) {
    const names = new Set(alertRules().flatMap(({ expr }) => metricsIn(expr)))
    this.url = url
    this.management = management
    this.kill = kill
    this.#scraper = new Scraper(management, names)
  }

  static async start(workspace: Workspace, name: string, brokers: string, settings: object = {}): Promise<Recorded> {
    const [port, managementPort] = await freePorts(2)
    const all = { 'shutdown.drainMs': 0, 'wal.directory': workspace.path(`wal-${name}`), ...settings }
    const flags = Object.entries(all).flatMap(([path, value]) => ['--set', `${path}=${value}`])
    const ports = ['--port', String(port), '--management-port', String(managementPort)]
    const args = [main, 'serve', '--brokers', brokers, ...ports, ...flags]
    const child = workspace.start(`recorded-${name}`, process.execPath, args)
    const gateway = new Recorded(`http://127.0.0.1:${port}`, `http://127.0.0.1:${managementPort}`, signal =>
      child.kill(signal)
    )
    for (let tries = 0; tries < 300; tries++, await sleep(200)) {
      if (child.exitCode !== null) throw new Error(`${name} ended with ${child.exitCode}`)
      const answer = await fetch(`${gateway.management}/health-check`).catch(() => undefined)
      if (answer?.ok) return gateway
    }
    throw new Error(`${name} does not answer`)
  }

  get scrapes(): number {
    return this.#scraper.scrapes
  }

  /** Does something again and again until the recording is over; its failures are part of the trouble. */
  repeat(everyMs: number, action: (time: number) => Promise<unknown>): void {
    const run = async (): Promise<void> => {
      for (let time = 0; !this.#isOver.signal.aborted; time++) {
        await action(time).catch(() => undefined)
        await sleep(everyMs)
      }
    }
    void run()
  }

  async scrape(): Promise<void> {
    if (this.#isOver.signal.aborted) return
    await fetch(`${this.management}/ready`, { signal: AbortSignal.timeout(4_000) }).catch(() => undefined)
    await this.#scraper.scrape()
  }

  /** Ends the recording. */
  end(): void {
    this.#isOver.abort()
  }

  save(name: string, about: string, recordedWith: string, from = 0, to = this.scrapes): void {
    const file = join(RECORDINGS, `${name}.json`)
    const head = { about, recordedWith, intervalSeconds: INTERVAL_MS / 1_000 }
    mkdirSync(RECORDINGS, { recursive: true })
    writeFileSync(file, `${JSON.stringify({ ...head, series: this.#scraper.series(from, to) }, null, 1)}\n`)
  }

  async post(path: string, body: string, type = 'text/plain'): Promise<number> {
    const headers = { 'content-type': type }
    const answer = await fetch(this.url + path, { method: 'POST', headers, body, signal: AbortSignal.timeout(20_000) })
    await answer.arrayBuffer()
    return answer.status
  }

  push(topic: string, count: number, waits: boolean, data = 'value'): Promise<number> {
    const records = Array.from({ length: count }, (_, index) => ({ topic, data, key: String(index) }))
    return this.post('/kprf/push', JSON.stringify({ records, wait_for_send: waits }), 'application/json')
  }

  async poll(topic: string, group: string, acknowledges: boolean): Promise<void> {
    const query = acknowledges ? `group=${group}` : `group=${group}&noAck`
    const answer = await fetch(`${this.url}/pixy/topics/${topic}/messages?${query}`)
    await answer.arrayBuffer()
  }
}

function setAcls(kafka: KafkaCluster, acls: readonly { [field: string]: number | string }[]): Promise<unknown> {
  const forAlice = { resourcePatternType: LITERAL, principal: `User:${saslUser.username}`, host: '*' }
  const acl = acls.map(one => ({ ...forAlice, ...one })) as never
  return withAdmin(kafka.bootstrap, admin => admin.createAcls({ acl }))
}

const say = sayWithTime()
endOnSignals()
const version = `Apache Kafka ${kafkaVersion}, 3 nodes`
const parts = {
  'without-kafka': recordWithoutKafka,
  trouble: recordTrouble,
  'lost-records': recordLostRecords,
  lag: recordLag
}
const only = process.argv[process.argv.indexOf('--only') + 1]
for (const [name, record] of Object.entries(parts)) if (!(only! in parts) || name === only) await record()
process.exit(0)

/** Kafka with rights, which only `User:alice` lacks. */
function startKafka(): Promise<KafkaCluster> {
  return KafkaCluster.start({
    'authorizer.class.name': 'org.apache.kafka.metadata.authorizer.StandardAuthorizer',
    'super.users': 'User:ANONYMOUS',
    'allow.everyone.if.no.acl.found': 'true'
  })
}

/** How a gateway logs in as alice. */
function loginOf(kafka: KafkaCluster): object {
  return {
    'clusters.default.tls.enabled': true,
    'clusters.default.tls.caFile': kafka.certificate.certificatePath,
    'clusters.default.sasl.mechanism': 'plain',
    'clusters.default.sasl.username': saslUser.username,
    'clusters.default.sasl.password': saslUser.password
  }
}

/** @returns what ends it */
function scrapeAll(gateways: readonly Recorded[]): () => Promise<void> {
  let isOver = false
  const scraping = (async () => {
    let at = performance.now()
    while (!isOver) {
      await Promise.all(gateways.map(gateway => gateway.scrape()))
      at += INTERVAL_MS
      await sleep(Math.max(0, at - performance.now()))
    }
  })()
  return () => {
    isOver = true
    return scraping
  }
}

async function recordTrouble(): Promise<void> {
  const kafka = await startKafka()
  try {
    say(`Apache Kafka ${kafka.version} is up`)
    for (const topic of ['orders', 'denied', 'stuck']) await kafka.createTopic(topic, 3)
    await kafka.createTopic('small', 1, { 'max.message.bytes': '1000' })
    // Its partitions may be seen, so records are accepted.
    const denial = { resourceType: TOPIC, resourceName: 'denied' }
    await setAcls(kafka, [
      { ...denial, operation: WRITE, permissionType: DENY },
      { ...denial, operation: DESCRIBE, permissionType: ALLOW }
    ])
    const asAlice = loginOf(kafka)
    const { bootstrap, saslSslBootstrap } = kafka
    const busy = await Recorded.start(kafka.workspace, 'busy', bootstrap)
    const denied = await Recorded.start(kafka.workspace, 'denied', saslSslBootstrap, asAlice)
    const full = await Recorded.start(kafka.workspace, 'full', saslSslBootstrap, {
      ...asAlice,
      'wal.maxBytes': 16 * 1024 * 1024,
      'advanced.wal.segmentBytes': 1024 * 1024
    })
    const stuck = await Recorded.start(kafka.workspace, 'stuck', bootstrap, { 'consumer.ackTimeoutMs': 3_000 })
    const late = await Recorded.start(kafka.workspace, 'late', bootstrap, {
      'delivery.maxBytes': 1024 * 1024,
      'delivery.timeoutMs': 20_000
    })
    const all = [busy, denied, full, stuck, late]
    say('all gateways are up')

    const stopScraping = scrapeAll(all)

    // Healthy clients, those of the API that answers before Kafka has the record included.
    for (const gateway of [busy, late]) {
      gateway.repeat(500, time => gateway.push('orders', 3, time % 2 === 0))
    }
    busy.repeat(100, () => busy.poll('orders', 'billing', true))
    // A client that takes messages and never acknowledges them.
    stuck.repeat(1_000, () => stuck.push('stuck', 1, true))
    stuck.repeat(200, () => stuck.poll('stuck', 'slow', false))
    // A full durable log: its records may not be written.
    full.repeat(300, () => full.post('/arion/async/denied', 'x'.repeat(100_000)))
    // One burst of each that ends badly, and clients that wait and are told.
    denied.repeat(1_000, () => denied.push('denied', 1, true))
    denied.repeat(200, () => denied.poll('orders', 'denied-later', true))
    await sleep(30_000)
    say(`answered as accepted, and to be refused: ${await denied.push('denied', 50, false)}`)
    say(`refused at once: ${await denied.push('no/topic', 5, true)}`)
    say(`a record that is too large: ${await denied.post('/arion/async/small', 'x'.repeat(2_000))}`)
    await sleep((HEALTHY_SECONDS - 30) * 1_000)

    const broken = busy.scrapes
    await setAcls(kafka, [{ resourceType: GROUP, resourceName: 'denied-later', operation: READ, permissionType: DENY }])
    await kafka.signal(3, 'SIGKILL')
    say('broker 3 is killed')
    await sleep(BROKER_DOWN_SECONDS * 1_000)
    const healed = busy.scrapes
    denied.end()
    stuck.end()
    busy.end()
    kafka.startNode(3)
    await kafka.healed('orders')
    say('broker 3 is back')

    const paused = late.scrapes
    await Promise.all(kafka.nodeIds.map(node => kafka.signal(node, 'SIGSTOP')))
    say(`all brokers stand still; accepted: ${await late.push('orders', 50, false)}`)
    late.repeat(50, () => late.post('/pixy/topics/orders/messages?key=k', 'x'.repeat(10_000)))
    await sleep(PAUSED_SECONDS * 1_000)
    await stopScraping()
    late.end()
    full.end()

    busy.save('healthy', 'Clients of several APIs and a consumer group; all is well.', version, 0, broken)
    busy.save('broker-killed', 'One of three brokers is killed.', version, broken - 6, healed)
    denied.save(
      'denied',
      'A topic, and later a group, that may not be used; records that are too large or refused.',
      version
    )
    full.save('log-full', 'The durable log is full of records that may not be written.', version)
    stuck.save('group-stuck', 'A client takes messages of a group and never acknowledges them.', version)
    late.save('brokers-paused', 'All brokers stand still.', version, Math.max(0, paused - 6))
    say('trouble is recorded')
  } finally {
    await kafka.stop()
  }
}

/** Records that wait for longer than Kafka keeps their topic, and a group whose log loses its end. */
async function recordLostRecords(): Promise<void> {
  const kafka = await startKafka()
  try {
    await kafka.createTopic('waits', 1, { 'retention.ms': '60000' })
    await kafka.createTopic('cut', 1)
    const denial = { resourceType: TOPIC, resourceName: 'waits' }
    await setAcls(kafka, [
      { ...denial, operation: WRITE, permissionType: DENY },
      { ...denial, operation: DESCRIBE, permissionType: ALLOW },
      { ...denial, operation: DESCRIBE_CONFIGS, permissionType: ALLOW }
    ])
    const waiting = await Recorded.start(kafka.workspace, 'waiting', kafka.saslSslBootstrap, loginOf(kafka))
    const cut = await Recorded.start(kafka.workspace, 'cut', kafka.bootstrap)
    const stopScraping = scrapeAll([waiting, cut])
    waiting.repeat(1_000, () => waiting.post('/arion/async/waits', 'x'))
    cut.repeat(1_000, () => cut.push('cut', 1, true))
    cut.repeat(50, () => cut.poll('cut', 'billing', true))
    await sleep(WAITING_SECONDS * 1_000)
    waiting.end()
    waiting.save('backlog-old', 'Records wait in the durable log for longer than Kafka keeps their topic.', version)
    const from = cut.scrapes
    await kafka.loseEnd('cut', 0, async () => {
      say(`to be lost: ${await cut.push('cut', 50, true)}`)
      await sleep(LOSING_SECONDS * 1_000)
    })
    say('the log has lost its end')
    await sleep(AFTER_LOSS_SECONDS * 1_000)
    await stopScraping()
    cut.end()
    cut.save('log-cut', 'An unclean election loses the end of a log that a consumer group has read.', version, from - 6)
    say('lost records are recorded')
  } finally {
    await kafka.stop()
  }
}

/** One of two groups whose committed offsets may not be read from some moment on. */
async function recordLag(): Promise<void> {
  const kafka = await startKafka()
  try {
    await kafka.createTopic('orders', 1)
    const gateway = await Recorded.start(kafka.workspace, 'lag', kafka.saslSslBootstrap, {
      ...loginOf(kafka),
      'metrics.lag.everyMs': 5_000,
      'metrics.lag.groups': 'billing,secret'
    })
    gateway.repeat(500, () => gateway.push('orders', 1, true))
    gateway.repeat(100, () => gateway.poll('orders', 'billing', true))
    const stopScraping = scrapeAll([gateway])
    await sleep(30_000)
    await setAcls(kafka, [{ resourceType: GROUP, resourceName: 'secret', operation: DESCRIBE, permissionType: DENY }])
    say('one group may not be described')
    await sleep(UNREADABLE_SECONDS * 1_000)
    await stopScraping()
    gateway.end()
    gateway.save('lag-unreadable', 'The committed offsets of one of two groups may not be read.', version)
    say('the lag is recorded')
  } finally {
    await kafka.stop()
  }
}

/** No broker is there at all: only probes ask one gateway, which is killed at last; the durable log of another fills up. */
async function recordWithoutKafka(): Promise<void> {
  const workspace = new Workspace()
  try {
    const nobody = '127.0.0.1:1'
    const alone = await Recorded.start(workspace, 'alone', nobody)
    const filled = await Recorded.start(workspace, 'filled', nobody, {
      'wal.maxBytes': 16 * 1024 * 1024,
      'advanced.wal.segmentBytes': 1024 * 1024
    })
    filled.repeat(100, time => filled.post(`/arion/async/orders-${time % 10}/k`, 'x'.repeat(100_000)))
    const scrapes = async (count: number): Promise<void> => {
      for (let scrape = 0; scrape < count; scrape++) {
        await Promise.all([alone.scrape(), filled.scrape(), sleep(INTERVAL_MS)])
      }
    }
    await scrapes(24)
    alone.kill('SIGKILL')
    await scrapes(15)
    filled.end()
    const { version: node } = process
    alone.save(
      'no-kafka',
      'No broker can be reached, and only probes ask; at last the process is killed.',
      `Node ${node}`
    )
    filled.save('log-fills-up', 'No broker can be reached, and the durable log fills up.', `Node ${node}`)
  } finally {
    await workspace.close()
  }
}
