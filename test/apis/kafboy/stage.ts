import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import fastify from 'fastify'
import { kafboy } from '../../../src/apis/kafboy/api.js'
import type { KafboyHooks } from '../../../src/apis/kafboy/hooks/hooks.js'
import { kafboyPlugin } from '../../../src/apis/kafboy/plugin.js'
import { type KafboySettings, kafboySettings } from '../../../src/apis/kafboy/settings.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { type Logger, type MonotonicClock, silentLogger } from '../../../src/core/model.js'
import type { Verbs } from '../../../src/verbs/verbs.js'
import { type Started, startApi } from '../../http/server/stage.js'
import { contextFor } from '../../support/api-context.js'
import { FakeVerbs } from '../../support/fake-verbs.js'

declare global {
  /** The hooks of the next module that is loaded. */
  var kafboyHooks: KafboyHooks | undefined
}

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface ServeOptions<G extends Verbs> {
  readonly verbs?: G
  readonly settings?: Partial<KafboySettings>
  readonly hooks?: KafboyHooks
  readonly log?: Logger
  readonly clock?: MonotonicClock
}

/** A module with hooks, in a folder of its own. It is to be loaded before the next one is made. */
export function moduleWith(hooks: KafboyHooks | undefined): { readonly folder: string; readonly module: string } {
  const folder = mkdtempSync(join(tmpdir(), 'kafboy-'))
  const module = join(folder, 'hooks.mjs')
  writeFileSync(module, 'export default globalThis.kafboyHooks')
  globalThis.kafboyHooks = hooks
  return { folder, module }
}

/** kafboy on the gateway's own HTTP server, which keeps the order of a connection. Its prefix is `/loud`. */
export async function serveInOrder(
  hooks: KafboyHooks
): Promise<{ readonly verbs: FakeVerbs; readonly started: Started }> {
  const verbs = new FakeVerbs()
  const { folder, module } = moduleWith(hooks)
  const started = await startApi('kafboy', verbs, { callbackEditJson: module })
  rmSync(folder, { recursive: true })
  return { verbs, started }
}

/** kafboy on a free port, over a fake gateway unless another one is given. */
export async function serve<G extends Verbs = FakeVerbs>(options: ServeOptions<G> = {}) {
  const { log = silentLogger } = options
  const verbs = (options.verbs ?? new FakeVerbs()) as G
  const metrics = createPrometheusMetrics()
  const stops: (() => Promise<unknown>)[] = []
  const { folder, module } = moduleWith(options.hooks)
  const settings = kafboySettings.parse({ ...options.settings, ...(options.hooks && { callbackEditJson: module }) })
  const lifetime = {
    onDrain: () => {},
    onCut: () => {},
    onStop: (step: (ms: number) => Promise<unknown>) => void stops.push(() => step(1_000))
  }
  const { clock = () => performance.now() } = options
  const addRoutes = await kafboyPlugin(contextFor(verbs, settings, { log, metrics, lifetime, clock }))
  rmSync(folder, { recursive: true })
  const app = fastify({ logger: false, forceCloseConnections: true, genReqId: () => 'made-up' })
  await app.register(async scope => addRoutes(scope), { prefix: kafboy.prefix })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true })
  const ask = (method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}) =>
    send({ port, method, path: kafboy.prefix + path, headers, agent }, body)
  return {
    verbs,
    port,
    /** Names and values of kafboy's metrics, durations apart. */
    counted: async (): Promise<string[]> =>
      (await metrics.registry.metrics()).split('\n').filter(line => /^kafboy_(?!request_seconds)/.test(line)),
    ask,
    post: (path: string, body?: string | Buffer, headers?: Record<string, string>) => ask('POST', path, body, headers),
    postJson: (path: string, body: string | Buffer) => ask('POST', path, body, { 'content-type': 'application/json' }),
    stop: async () => {
      for (const stop of stops) await stop()
    },
    close: async () => {
      agent.destroy()
      await app.close()
      for (const stop of stops) await stop()
    }
  }
}

export type Served<G extends Verbs = FakeVerbs> = Awaited<ReturnType<typeof serve<G>>>

const send = (options: object, body: string | Buffer | undefined): Promise<Answer> =>
  new Promise((resolve, reject) => {
    const sent = request({ host: '127.0.0.1', ...options }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        resolve({ status: response.statusCode!, headers: response.headers, body: String(Buffer.concat(chunks)) })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })

/** `200 {"ok":1}`. */
export const brief = ({ status, body }: Answer): string => `${status} ${body}`.trim()

/** Partition or partitioner of every record that the gateway was given. */
export const placed = ({ calls }: FakeVerbs): string[] =>
  calls.flatMap(({ records, options }) => records.map(({ partition }) => `${partition ?? options.partitioner}`))

/** Waits until the gateway was given so many records. */
export async function untilTaken({ verbs }: Served, records: number): Promise<void> {
  while (verbs.records.length < records) await new Promise(setImmediate)
}

/** `topic key=value` of every record that the gateway was given. */
export const taken = ({ records }: FakeVerbs): string[] =>
  records.map(({ topic, key, value }) => `${topic} ${key === null ? '' : `${key}=`}${value}`)
