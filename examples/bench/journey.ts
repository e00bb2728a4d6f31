import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { calledAtLeast, type Executed, executedBy, type FileCalls, functionsIn } from './journey/executed.js'
import type { Subject } from './journey/process.js'
import { writeBacklog } from './pixy/backlog.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import { DIST } from './tools/in-process.js'
import type { BenchOptions } from './tools/options.js'
import type { Row } from './tools/report.js'
import { freePort } from './tools/servers.js'

/** Maximum number of Castellan's files that a push may execute. */
const MOST_FILES = 75
const WRITTEN = 'push'
const READ = 'backlog'
const BACKLOG_MESSAGES = 20_000
const WARM_UP_MS = 1_500
/** In this time, the commits and deliveries of the warm-up end. */
const SETTLE_MS = 1_500
const PAUSE_MS = 2
const FIRST_TIMEOUT_MS = 20_000
const COVERAGE = fileURLToPath(new URL('./journey/coverage.mjs', import.meta.url))

const texts = new Map<string, string>()

/** The text of a built file. */
function textOf(url: string): string {
  const text = texts.get(url) ?? readFileSync(fileURLToPath(url), 'utf8')
  texts.set(url, text)
  return text
}

interface Scene {
  readonly bootstrap: string
  /** A directory of this work alone. */
  readonly directory: string
  readonly port: number
}

interface Work {
  readonly name: string
  readonly subject: (scene: Scene) => Subject
  /** The HTTP request of the work. Absent: the benchmark tells the process to do its work. */
  readonly request?: { readonly path: string; readonly body?: string }
  readonly mostFiles?: number
}

const pushOf = (isSync: boolean): string =>
  JSON.stringify({ records: [{ topic: WRITTEN, data: 'x'.repeat(1024) }], wait_for_send: isSync })

const gateway =
  (settings: object) =>
  ({ bootstrap, directory, port }: Scene): Subject => {
    const file = join(directory, 'castellan.yaml')
    writeFileSync(file, stringify({ wal: { directory: join(directory, 'log') }, log: { level: 'error' }, ...settings }))
    return { type: 'gateway', args: ['serve', '--port', String(port), '--brokers', bootstrap, '--config', file] }
  }

const fetching =
  (isCached: boolean) =>
  ({ bootstrap }: Scene): Subject => ({ type: 'router', bootstrap, topic: READ, records: BACKLOG_MESSAGES, isCached })

const peer =
  (client: 'kafkajs' | 'platformatic') =>
  ({ bootstrap, port }: Scene): Subject => ({ type: 'peer', client, bootstrap, port })

const works: readonly Work[] = [
  {
    name: 'push',
    subject: gateway({}),
    request: { path: '/kprf/push', body: pushOf(false) },
    mostFiles: MOST_FILES
  },
  { name: 'push-sync', subject: gateway({}), request: { path: '/kprf/push', body: pushOf(true) } },
  {
    name: 'push-disk',
    subject: gateway({ apis: { kprf: { durability: 'disk' } } }),
    request: { path: '/kprf/push', body: pushOf(false) }
  },
  { name: 'fetch-cached', subject: fetching(true) },
  { name: 'fetch-uncached', subject: fetching(false) },
  {
    name: 'pixy-consume',
    subject: gateway({ consumer: { start: 'earliest' } }),
    request: { path: `/pixy/topics/${READ}/messages?group=journey` }
  },
  { name: 'fastify-kafkajs', subject: peer('kafkajs'), request: { path: '/push', body: pushOf(true) } },
  { name: 'fastify-platformatic', subject: peer('platformatic'), request: { path: '/push', body: pushOf(true) } }
]

/**
 * Counts the files and functions of Castellan and of packages that serving a request executes. V8 counts the calls in
 * the serving process. Broker and client run in other processes. Functions that timers call are left out.
 */
export async function journey({ seconds, rounds, only, list }: BenchOptions): Promise<readonly Row[]> {
  const broker = await startBroker({ topics: [WRITTEN, READ].map(topic => ({ topic, partitions: 1 })) })
  try {
    const backlog = { topic: READ, partitions: 1, messages: BACKLOG_MESSAGES, value: 'x'.repeat(1024) }
    await writeBacklog(broker.bootstrap, backlog)
    const rows: Row[] = []
    for (const work of works.filter(({ name }) => only?.includes(name) ?? true)) {
      const { executed, requests } = await measure(work, broker.bootstrap, seconds * 1_000, rounds)
      if (work.name === list) process.stdout.write(toList(executed, requests))
      const row = toRow(work, executed, requests)
      rows.push(row)
      // All works together take minutes, and the table is printed at the end.
      process.stderr.write(`${row.work}: ${row.value} files\n`)
    }
    return rows
  } finally {
    await broker.stop()
  }
}

interface Measured {
  readonly executed: Executed
  readonly requests: number
}

async function measure(work: Work, bootstrap: string, windowMs: number, rounds: number): Promise<Measured> {
  const scene = {
    bootstrap,
    directory: mkdtempSync(join(tmpdir(), 'castellan-bench-journey-')),
    port: await freePort()
  }
  const { child } = await Child.start('../journey/process.ts', work.subject(scene), [COVERAGE])
  const take = (): Promise<readonly FileCalls[]> => child.ask('take')
  const once = work.request === undefined ? () => child.ask<void>('once') : requesting(scene.port, work.request)
  try {
    await untilServed(once)
    await keepAsking(once, WARM_UP_MS)
    const [busy, idle]: [FileCalls[], FileCalls[]] = [[], []]
    let requests = 0
    for (let round = 0; round < rounds; round++) {
      await sleep(SETTLE_MS)
      await take()
      await sleep(windowMs)
      idle.push(...(await take()))
      requests += await keepAsking(once, windowMs)
      busy.push(...(await take()))
    }
    return { executed: executedBy(busy, idle, DIST.href, textOf), requests }
  } finally {
    await child.stop()
    rmSync(scene.directory, { recursive: true, force: true })
  }
}

const requesting =
  (port: number, { path, body }: NonNullable<Work['request']>) =>
  async (): Promise<void> => {
    const headers = { 'content-type': 'application/json' }
    const asked = body === undefined ? {} : { method: 'POST', headers, body }
    const response = await fetch(`http://127.0.0.1:${port}${path}`, asked)
    const text = await response.text()
    if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`)
  }

async function untilServed(once: () => Promise<void>): Promise<void> {
  const deadline = performance.now() + FIRST_TIMEOUT_MS
  for (;;) {
    const error = await once().then(
      () => undefined,
      (reason: Error) => reason
    )
    if (error === undefined) return
    if (performance.now() > deadline) throw error
    await sleep(100)
  }
}

/** Sends one request after another, never two at a time. Returns the number of requests. */
async function keepAsking(once: () => Promise<void>, ms: number): Promise<number> {
  let requests = 0
  for (const end = performance.now() + ms; performance.now() < end; requests++) {
    await once()
    await sleep(PAUSE_MS)
  }
  return requests
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

function toRow({ name, mostFiles }: Work, { ours, packages }: Executed, requests: number): Row {
  const byFiles = [...packages].sort(([, one], [, other]) => other.size - one.size)
  const packageFiles = byFiles.reduce((sum, [, files]) => sum + files.size, 0)
  const packageFunctions = byFiles.reduce((sum, [, files]) => sum + functionsIn(files), 0)
  const often = calledAtLeast(requests / 20, ours)
  const named = byFiles.map(([name, files]) => `${name} ${files.size}`).join(', ')
  return {
    work: name,
    value: ours.size,
    unit: 'files',
    functions: functionsIn(ours),
    packageFiles,
    packageFunctions,
    ...(mostFiles !== undefined && {
      ratio: mostFiles / ours.size,
      against: `limit of ${mostFiles}`,
      mostValue: mostFiles
    }),
    note: `${requests} requests; ${often.size} files and ${functionsIn(often)} functions by one in twenty or more of them; files of ${named || 'no package'}`
  }
}

/** Lists files with their functions, and how often one request calls each function. */
function toList({ ours, packages }: Executed, requests: number): string {
  const files = [...ours].sort(([one], [other]) => (one < other ? -1 : 1))
  for (const [name, ofPackage] of packages)
    for (const [file, calls] of ofPackage) files.push([`${name}: ${file}`, calls])
  const lines = files.map(([file, functions]) => {
    const calls = functions.map(({ name, calls }) => `${name || '(anonymous)'} ${(calls / requests).toPrecision(2)}`)
    return `${file}\n    ${calls.join(', ')}\n`
  })
  return lines.join('')
}
