import { execFileSync } from 'node:child_process'
import { closeSync, mkdirSync, mkdtempSync, openSync, readdirSync, rmSync, writeFileSync, writeSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { Command } from 'commander'
import { Children, Gateway } from '../../cli/child.js'
import { countOption, toolOptions } from '../../support/tool-options.js'
import { freePorts } from '../real-kafka/ports.js'
import { RECORDINGS } from './recording.js'
import { alertRules, metricsIn } from './rules.js'
import { Scraper } from './scraper.js'

/** Recordings that need no real Kafka: a quiet gateway, and troubles between clients and gateways. */

const command = new Command('node --import tsx test/runs/alerts/record-on-embedded.ts')
  .addOption(countOption('--minutes <N>', 'length of the quiet recording', 60))
  .option('--only <NAME>', 'one recording', '')
const { minutes, only } = toolOptions<{ readonly minutes: number; readonly only: string }>(command)

const folder = mkdtempSync(join(tmpdir(), 'castellan-alerts-'))
const children = new Children()

const start = (
  name: string,
  settings: Record<string, string | number> = {},
  environment: Record<string, string> = {}
): Promise<Gateway> => {
  const flags = Object.entries(settings).flatMap(([path, value]) => ['--set', `${path}=${value}`])
  const all = { CASTELLAN_WAL_DIRECTORY: join(folder, name), ...environment }
  return Gateway.start(children, ['--embedded-port', '0', ...flags], all)
}

/** What clients do until the recording is over; failures are part of the trouble. */
type Load = (gateway: Gateway, time: number) => Promise<unknown>

async function record(name: string, about: string, gateway: Gateway, seconds: number, everyS: number, load: Load) {
  const names = new Set(alertRules().flatMap(({ expr }) => metricsIn(expr)))
  const scraper = new Scraper(gateway.management, names)
  let isOver = false
  const running = (async () => {
    for (let time = 0; !isOver; time++) await load(gateway, time).catch(() => undefined)
  })()
  for (let scrape = 0; scrape <= seconds / everyS; scrape++, await sleep(everyS * 1_000)) await scraper.scrape()
  isOver = true
  await running
  const head = { about, recordedWith: 'the embedded broker', intervalSeconds: everyS }
  writeFileSync(join(RECORDINGS, `${name}.json`), `${JSON.stringify({ ...head, series: scraper.series() }, null, 1)}\n`)
  console.log(`${name}: ${scraper.scrapes} scrapes`)
}

async function ask({ url }: Gateway, path: string, body?: string, key?: string): Promise<void> {
  const headers = { 'content-type': 'application/json', ...(key !== undefined && { 'idempotency-key': key }) }
  const signal = AbortSignal.timeout(40_000)
  const answer = await fetch(url + path, body === undefined ? { signal } : { method: 'POST', body, headers, signal })
  await answer.arrayBuffer()
}

const recordsOf = (count: number, isSync: boolean): string =>
  JSON.stringify({
    records: Array.from({ length: count }, (_, key) => ({ topic: 'orders', key: String(key), data: 'x'.repeat(100) })),
    wait_for_send: isSync
  })

const binary = 'application/vnd.kafka.binary.v2+json'
const base64 = JSON.stringify({ records: [{ key: 'azE=', value: 'aGVsbG8=' }] })
const cloudevent = JSON.stringify({ specversion: '1.0', id: '1', source: '/shop', type: 'order', data: { total: 7 } })

/** One request of each API, or two; says which are not served as they should be. */
async function askEachApi({ url }: Gateway, time: number): Promise<void> {
  const asked: readonly (readonly [path: string, body?: string, type?: string, key?: string])[] = [
    ['/kprf/push', recordsOf(3, time % 2 === 0), 'application/json'],
    ['/arion/async/orders/k1', 'hello', 'text/plain', `key-${time}`],
    ['/arion/sync/orders/k1', 'hello', 'text/plain'],
    ['/confluent/topics/orders', base64, binary],
    ['/confluent/topics/orders/partitions'],
    ['/strimzi/topics/orders', base64, binary],
    ['/kafboy/sync/orders', 'hello=world', 'application/x-www-form-urlencoded'],
    ['/events/orders', cloudevent, 'application/cloudevents+json'],
    ['/pixy/topics/orders/messages?key=k1&sync', 'hello', 'text/plain'],
    ...Array.from({ length: 10 }, () => ['/pixy/topics/orders/messages?group=readers'] as const)
  ]
  for (const [path, body, type = '', key] of asked) {
    const headers = { ...(body !== undefined && { 'content-type': type }), ...(key && { 'idempotency-key': key }) }
    const init = body === undefined ? {} : { method: 'POST', headers, body }
    const answer = await fetch(url + path, { ...init, signal: AbortSignal.timeout(20_000) })
    const text = await answer.text()
    // 408: all messages were taken.
    if (!answer.ok && answer.status !== 408) console.log(`quiet: ${path}: ${answer.status} ${text}`)
  }
  await sleep(500)
}

/** Two gateways that know each other. @returns the first one, and what starts the other one */
async function startPeers(): Promise<[Gateway, () => Promise<Gateway>]> {
  const [one = 0, two = 0] = await freePorts(2)
  const broker = children.start(['broker', '--port', '0'])
  const [brokers] = await broker.line(/127\.0\.0\.1:\d+/)
  const peers = (port: number) => ({
    'peers.addresses': `127.0.0.1:${one},127.0.0.1:${two}`,
    'peers.listen': `127.0.0.1:${port}`,
    'peers.token': 'x'.repeat(32)
  })
  const startPeer = (port: number) => {
    const flags = Object.entries(peers(port)).flatMap(([path, value]) => ['--set', `${path}=${value}`])
    const environment = { CASTELLAN_WAL_DIRECTORY: join(folder, `peer-${port}`) }
    return Gateway.start(children, ['--brokers', brokers, ...flags], environment)
  }
  return [await startPeer(one), () => startPeer(two)]
}

const recordings: Readonly<Record<string, () => Promise<void>>> = {
  async quiet() {
    const gateway = await start('quiet', { 'metrics.lag.everyMs': 5_000 })
    await record('quiet', 'All APIs are used and nothing is wrong.', gateway, minutes * 60, 15, askEachApi)
  },
  async 'keys-full'() {
    const gateway = await start('keys-full', { 'idempotency.maxBytes': 1_048_576 })
    await record(
      'keys-full',
      'Clients use up the memory for keys, and go on with new ones.',
      gateway,
      120,
      5,
      (at, time) =>
        Promise.all([0, 1, 2, 3].map(client => ask(at, '/kprf/push', recordsOf(1, true), `key-${client}-${time}`)))
    )
  },
  async 'keys-away'() {
    const [gateway, startOther] = await startPeers()
    const other = await startOther()
    setTimeout(() => other.child.process.kill('SIGKILL'), 30_000)
    await record('keys-away', 'One of two gateways is gone for good.', gateway, 330, 5, async (at, time) => {
      await ask(at, '/kprf/push', recordsOf(1, true), `key-${time}`)
      await sleep(200)
    })
  },
  async 'planned-restart'() {
    const [gateway, startOther] = await startPeers()
    const other = await startOther()
    const restart = async (): Promise<void> => {
      await sleep(60_000)
      await other.child.stop('SIGTERM')
      await sleep(40_000)
      await startOther()
    }
    const restarted = restart()
    await record(
      'planned-restart',
      'One of two gateways is stopped, and started again after 40 s.',
      gateway,
      300,
      5,
      (at, time) =>
        Promise.all(
          Array.from({ length: 16 }, (_, client) =>
            Promise.all([ask(at, '/kprf/push', recordsOf(1, true), `key-${client}-${time}`), sleep(200)])
          )
        )
    )
    await restarted
  },
  async 'outcomes-lost'() {
    const receipts = join(folder, 'outcomes-lost', 'receipts')
    mkdirSync(receipts, { recursive: true })
    execFileSync('mount', ['-t', 'tmpfs', '-o', 'size=4k', 'tmpfs', receipts])
    try {
      const gateway = await start('outcomes-lost')
      await record('outcomes-lost', 'The disk of receipts is full.', gateway, 120, 5, at =>
        Promise.all([ask(at, '/arion/async/orders/k1', 'hello'), sleep(50)])
      )
    } finally {
      execFileSync('umount', ['-l', receipts])
    }
  },
  async 'log-set-aside'() {
    const directory = join(folder, 'log-set-aside')
    const environment = { CASTELLAN_WAL_DIRECTORY: directory }
    const before = await Gateway.start(children, ['--brokers', '127.0.0.1:1'], environment)
    for (let time = 0; time < 50; time++) await ask(before, '/arion/async/orders/k1', 'hello')
    await before.child.stop()
    for (const name of readdirSync(directory).filter(file => file.endsWith('.slab'))) {
      const file = openSync(join(directory, name), 'r+')
      writeSync(file, Buffer.alloc(32), 0, 32, 0)
      closeSync(file)
    }
    const gateway = await start('log-set-aside')
    await record('log-set-aside', 'The header of a file of the durable log was overwritten.', gateway, 120, 5, at =>
      Promise.all([ask(at, '/arion/async/orders/k1', 'hello'), sleep(200)])
    )
  },
  async bug() {
    const planted = join(folder, 'planted.mjs')
    const bug = `
{
  const { tell } = GroupActor.prototype
  setTimeout(() => {
    GroupActor.prototype.tell = function () { GroupActor.prototype.tell = tell; throw new Error('a planted bug') }
  }, 30_000).unref()
}`
    const hook = `export async function load(url, context, next) {
  const module = await next(url, context)
  const has = /\\bGroupActor = class\\b/.test(module.source ?? '')
  return has ? { ...module, source: module.source + ${JSON.stringify(bug)} } : module
}`
    writeFileSync(
      planted,
      `import { register } from 'node:module'
register('data:text/javascript,' + encodeURIComponent(${JSON.stringify(hook)}))`
    )
    const gateway = await start('bug', {}, { NODE_OPTIONS: `--import=${planted}` })
    await record('bug', 'A consumer group meets a bug that was planted into it.', gateway, 120, 5, async at => {
      await ask(at, '/kprf/push', recordsOf(3, true))
      await ask(at, '/pixy/topics/orders/messages?group=readers')
      await sleep(100)
    })
  },
  async overloaded() {
    const gateway = await start('overloaded', { 'advanced.http.maxEventLoopDelayMs': 20 })
    await record('overloaded', 'More requests come than the process can read.', gateway, 60, 5, at =>
      Promise.all(Array.from({ length: 64 }, () => ask(at, '/kprf/push', recordsOf(1_000, false))))
    )
  }
}

await Promise.all(
  Object.entries(recordings)
    .filter(([name]) => only === '' || name === only)
    .map(([, make]) => make())
)
await children.stopAll()
rmSync(folder, { recursive: true })
process.exit()
