import { randomUUID } from 'node:crypto'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { setTimeout as sleep } from 'node:timers/promises'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import { startInProcess } from './tools/in-process.js'
import type { BenchOptions } from './tools/options.js'
import { OWN_FOLDER } from './tools/own-folder.js'
import { readProcessStats } from './tools/process-stats.js'
import { median, type Row } from './tools/report.js'
import { startGateway } from './tools/servers.js'
import type { PeerRun } from './tools/webhook-peer.js'

const TOPIC = 'deliveries'
const PARTITIONS = 4
const RECORDS = 150_000
const RECORD_BYTES = 1_024
const RECORDS_PER_CALL = 250
const RETENTION_BYTES = 512 * 1024 * 1024
/** The default of `maxInFlight`. */
const IN_FLIGHT = 16
/** Answers before a window, for the compiler. */
const WARM_UP = 5_000
const TIMEOUT_MS = 120_000
/** By CPU time. */
const LEAST_RATIO = 0.7

const works = ['webhook', 'peer-undici', 'peer-http'] as const
type Work = (typeof works)[number]
const AGAINST = 'peer-undici'

interface Figures {
  readonly recordsPerSecond: number
  readonly cpuUsPerRecord: number
  readonly rssMb: number
}
interface Scene {
  readonly bootstrap: string
  readonly endpoint: Child
  readonly url: string
  readonly options: BenchOptions
}

/**
 * Records of 1 KiB, each of a key of its own, that a webhook of a gateway sends to a bare server of `node:http`, beside a program
 * that reads by `@platformatic/kafka` and posts by `undici`, or by `node:http`; 16 requests at a time. Each run reads the
 * topic from its beginning in a process of its own.
 */
export async function webhooks(options: BenchOptions): Promise<readonly Row[]> {
  const topics = [{ topic: TOPIC, partitions: PARTITIONS }]
  const broker = await startBroker({ retentionBytes: RETENTION_BYTES, topics })
  const { child: endpoint, ready } = await Child.start<{ readonly port: number }>('./floor.ts')
  try {
    await fill(broker.bootstrap)
    const url = `http://127.0.0.1:${ready.port}/raw`
    return await measureAll({ bootstrap: broker.bootstrap, endpoint, url, options })
  } finally {
    await Promise.all([endpoint.stop(), broker.stop()])
  }
}

async function fill(brokers: string): Promise<void> {
  const castellan = await startInProcess({ brokers })
  const value = Buffer.alloc(RECORD_BYTES, 'x')
  for (let written = 0; written < RECORDS; written += RECORDS_PER_CALL) {
    const records = Array.from({ length: RECORDS_PER_CALL }, (_, at) => ({
      topic: TOPIC,
      partition: at % PARTITIONS,
      key: Buffer.from(String(written + at)),
      value
    }))
    const { outcomes } = await castellan.askRouter(castellan.router.ref, { type: 'produce', records })
    const failed = outcomes.find(({ type }) => type !== 'delivered')
    if (failed !== undefined) throw new Error(`not written: ${JSON.stringify(failed)}`)
  }
  await castellan.close()
}

async function measureAll(scene: Scene): Promise<readonly Row[]> {
  const { only, rounds } = scene.options
  const chosen = works.filter(work => work === AGAINST || (only?.includes(work) ?? true))
  const measured = new Map<Work, Figures[]>(chosen.map(work => [work, []]))
  for (let round = 0; round < rounds; round++)
    for (const work of chosen) measured.get(work)!.push(await measure(work, scene))
  const of = (work: Work, figure: keyof Figures): number => median(measured.get(work)!.map(each => each[figure]))
  return chosen.map(work => {
    const [value, cpuUsPerRecord] = [of(work, 'recordsPerSecond'), of(work, 'cpuUsPerRecord')]
    const figures = { work, value, unit: 'records/s', cpuUsPerRecord, rssMb: of(work, 'rssMb') }
    if (work === AGAINST) return figures
    return {
      ...figures,
      ratio: of(AGAINST, 'cpuUsPerRecord') / cpuUsPerRecord,
      ratioRequests: value / of(AGAINST, 'recordsPerSecond'),
      against: AGAINST,
      ...(work === 'webhook' && { leastRatio: LEAST_RATIO })
    }
  })
}

async function measure(work: Work, scene: Scene): Promise<Figures> {
  const { endpoint, options } = scene
  const served = (): Promise<number> => endpoint.ask<number>('served')
  const before = await served()
  const { pid, stop } = await (work === 'webhook' ? startWebhook(scene) : startPeer(work, scene))
  try {
    const deadline = performance.now() + TIMEOUT_MS
    while ((await served()) - before < WARM_UP) {
      if (performance.now() > deadline) throw new Error(`${work}: nothing was sent in ${TIMEOUT_MS} ms`)
      await sleep(20)
    }
    const [startedAtMs, from, { cpuMicros }] = [performance.now(), await served(), readProcessStats(pid)]
    await sleep(options.seconds * 1_000)
    const [endedAtMs, to, after] = [performance.now(), await served(), readProcessStats(pid)]
    if (to - before >= RECORDS) throw new Error(`${work}: all records were sent; use shorter windows`)
    return {
      recordsPerSecond: (to - from) / ((endedAtMs - startedAtMs) / 1_000),
      cpuUsPerRecord: (after.cpuMicros - cpuMicros) / (to - from),
      rssMb: after.rssBytes / 1e6
    }
  } finally {
    await stop()
  }
}

async function startPeer(work: Exclude<Work, 'webhook'>, { bootstrap, url }: Scene) {
  const { child } = await Child.start('./webhook-peer.ts')
  const client = work === 'peer-http' ? 'http' : 'undici'
  const run: PeerRun = { client, bootstrap, topic: TOPIC, groupId: randomUUID(), url, inFlight: IN_FLIGHT }
  await child.ask('run', run)
  return { pid: child.pid, stop: () => child.stop() }
}

async function startWebhook({ bootstrap, url }: Scene) {
  // Its group begins at the beginning, since it has a name of its own.
  const name = `bench-${randomUUID()}`
  const secretFile = join(OWN_FOLDER, 'webhook.secret')
  writeFileSync(secretFile, `whsec_${Buffer.alloc(32, 'x').toString('base64')}\n`)
  const settings = join(OWN_FOLDER, 'webhook.yaml')
  const definition = { topic: TOPIC, url, secretFile, start: 'earliest', maxInFlight: IN_FLIGHT }
  const webhooks = { networks: ['127.0.0.0/8'], definitions: { [name]: definition } }
  // JSON is YAML.
  writeFileSync(settings, JSON.stringify({ webhooks }))
  return startGateway(bootstrap, [], settings)
}
