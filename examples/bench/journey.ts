import { mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { stringify } from 'yaml'
import { type Executed, executedBy, type FileCalls, functionsIn, type Round, type Window } from './journey/executed.js'
import type { Subject } from './journey/process.js'
import { writeBacklog } from './pixy/backlog.js'
import { ORDER, startRegistry } from './schemas.js'
import { startBroker } from './tools/broker.js'
import { Child } from './tools/child.js'
import { DIST } from './tools/in-process.js'
import type { BenchOptions } from './tools/options.js'
import type { Row } from './tools/report.js'
import { freePort } from './tools/servers.js'

const WRITTEN = 'push'
const READ = 'backlog'
const BACKLOG_MESSAGES = 20_000
const WARM_UP_MS = 1_500
/** In this time, the commits and deliveries of the warm-up end. */
const SETTLE_MS = 1_500
const PAUSE_MS = 2
/** Requests with this pause are few, and timers run as often as among many. */
const LONG_PAUSE_MS = 50
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
  /** The URL of a schema registry. */
  readonly registry: string
}

interface Asking {
  readonly path: string
  readonly body?: string
}

interface Work {
  readonly name: string
  readonly subject: (scene: Scene) => Subject
  /** The HTTP request of the work. Absent: the benchmark tells the process to do its work. */
  readonly request?: Asking | ((port: number) => () => Promise<void>)
  /** Maximum number of Castellan's files: what 64b2f498 executes. */
  readonly mostFiles?: number
}

const pushOf = (isSync: boolean): string =>
  JSON.stringify({ records: [{ topic: WRITTEN, data: 'x'.repeat(1024) }], wait_for_send: isSync })

type Settings = Readonly<Record<string, unknown>>

const gateway =
  (settings: Settings) =>
  ({ bootstrap, directory, port, registry }: Scene): Subject => {
    const file = join(directory, 'castellan.yaml')
    writeFileSync(
      file,
      stringify({
        wal: { directory: join(directory, 'log') },
        log: { level: 'error' },
        ...withRegistry(settings, registry)
      })
    )
    return { type: 'gateway', args: ['serve', '--port', String(port), '--brokers', bootstrap, '--config', file] }
  }

/** Only the work with schemas knows the registry. */
const withRegistry = (settings: Settings, url: string): object =>
  settings.schemas === undefined ? settings : { ...settings, schemas: { registry: { urls: [url] } } }

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
    mostFiles: 92
  },
  { name: 'push-sync', subject: gateway({}), request: { path: '/kprf/push', body: pushOf(true) } },
  {
    name: 'push-disk',
    subject: gateway({ apis: { kprf: { durability: 'disk' } } }),
    request: { path: '/kprf/push', body: pushOf(false) },
    mostFiles: 126
  },
  { name: 'fetch-cached', subject: fetching(true), mostFiles: 33 },
  { name: 'fetch-uncached', subject: fetching(false), mostFiles: 48 },
  {
    name: 'pixy-consume',
    subject: gateway({ consumer: { start: 'earliest' } }),
    request: { path: `/pixy/topics/${READ}/messages?group=journey` },
    mostFiles: 64
  },
  { name: 'queue', subject: gateway({}), request: acquiring, mostFiles: 96 },
  { name: 'v3-avro', subject: gateway({ schemas: {} }), request: producingAvro, mostFiles: 113 },
  {
    name: 'transaction',
    subject: ({ bootstrap }) => ({ type: 'transaction', bootstrap, topic: WRITTEN }),
    mostFiles: 73
  },
  { name: 'fastify-kafkajs', subject: peer('kafkajs'), request: { path: '/push', body: pushOf(true) } },
  { name: 'fastify-platformatic', subject: peer('platformatic'), request: { path: '/push', body: pushOf(true) } }
]

/**
 * Counts the files and functions of Castellan and of packages that serving a request executes. V8 counts the calls in
 * the serving process. Broker and client run in other processes. {@link executedBy} leaves out what timers call.
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
  const registry = await startRegistry()
  const scene = {
    bootstrap,
    directory: mkdtempSync(join(tmpdir(), 'castellan-bench-journey-')),
    port: await freePort(),
    registry: registry.url
  }
  const { child } = await Child.start('../journey/process.ts', work.subject(scene), [COVERAGE])
  const take = (): Promise<readonly FileCalls[]> => child.ask('take')
  const once = onceOf(work, scene.port, () => child.ask<void>('once'))
  try {
    await untilServed(once)
    await keepAsking(once, WARM_UP_MS, PAUSE_MS)
    const window = async (pauseMs: number): Promise<Window> => {
      await take()
      const requests = await keepAsking(once, windowMs, pauseMs)
      return { requests, calls: await take() }
    }
    const measured: Round[] = []
    while (measured.length < rounds) {
      await sleep(SETTLE_MS)
      measured.push({ few: await window(LONG_PAUSE_MS), many: await window(PAUSE_MS) })
    }
    const requests = measured.reduce((sum, { many }) => sum + many.requests, 0)
    return { executed: executedBy(measured, DIST.href, textOf), requests }
  } finally {
    await child.stop()
    registry.stop()
    rmSync(scene.directory, { recursive: true, force: true })
  }
}

function onceOf({ request }: Work, port: number, byItself: () => Promise<void>): () => Promise<void> {
  if (request === undefined) return byItself
  return typeof request === 'function' ? request(port) : async () => void (await ask(port, request))
}

/** @returns the body of the answer */
async function ask(
  port: number,
  { path, body }: Asking,
  method = body === undefined ? 'GET' : 'POST'
): Promise<string> {
  const headers = { 'content-type': 'application/json' }
  const asked = body === undefined ? { method } : { method, headers, body }
  const response = await fetch(`http://127.0.0.1:${port}${path}`, asked)
  const text = await response.text()
  if (!response.ok) throw new Error(`${path}: ${response.status} ${text}`)
  return text
}

/** Acquires a message of a queue and accepts it. */
function acquiring(port: number): () => Promise<void> {
  const queue = `/queues/${READ}/workers`
  const body = JSON.stringify({ count: 1, start: 'earliest' })
  return async () => {
    const { messages } = JSON.parse(await ask(port, { path: `${queue}/acquire`, body }))
    if (messages.length !== 1) throw new Error('the queue has no message')
    await ask(port, { path: `${queue}/messages/${messages[0].token}` }, 'DELETE')
  }
}

/** Produces a record with Avro by version 3 of Confluent's API. */
function producingAvro(port: number): () => Promise<void> {
  const body = JSON.stringify({ value: { schema_id: 1, data: ORDER } })
  let path: string | undefined
  return async () => {
    if (path === undefined) {
      const { data } = JSON.parse(await ask(port, { path: '/confluent/v3/clusters' }))
      path = `/confluent/v3/clusters/${data[0].cluster_id}/topics/${WRITTEN}/records`
    }
    const { error_code: code } = JSON.parse(await ask(port, { path, body }))
    if (code !== 200) throw new Error(`${path}: ${code}`)
  }
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
async function keepAsking(once: () => Promise<void>, ms: number, pauseMs: number): Promise<number> {
  let requests = 0
  for (const end = performance.now() + ms; performance.now() < end; requests++) {
    await once()
    await sleep(pauseMs)
  }
  return requests
}

const sleep = (ms: number) => new Promise(resolve => setTimeout(resolve, ms))

function toRow({ name, mostFiles }: Work, { ours, packages }: Executed, requests: number): Row {
  const byFiles = [...packages].sort(([, one], [, other]) => other.size - one.size)
  const packageFiles = byFiles.reduce((sum, [, files]) => sum + files.size, 0)
  const packageFunctions = byFiles.reduce((sum, [, files]) => sum + functionsIn(files), 0)
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
    note: `${requests} requests; files of ${named || 'no package'}`
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
