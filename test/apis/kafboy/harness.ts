import { Agent, type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { fileURLToPath } from 'node:url'
import fastify from 'fastify'
import { kafboy } from '../../../src/apis/kafboy/api.js'
import { kafboyPlugin } from '../../../src/apis/kafboy/plugin.js'
import { type KafboySettings, kafboySettings } from '../../../src/apis/kafboy/settings.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { type Logger, type MonotonicClock, silentLogger } from '../../../src/core/model.js'
import type { Gateway } from '../../../src/gateway/gateway.js'
import { contextFor } from '../../support/api-context.js'
import { FakeGateway } from '../../support/fake-gateway.js'

const hookWorker = new URL('../../support/hook-worker.mjs', import.meta.url)

export interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface ServeOptions<G extends Gateway> {
  readonly gateway?: G
  readonly settings?: Partial<KafboySettings>
  /** File of the module of hooks, in the folder `hooks`. */
  readonly hooks?: string
  readonly log?: Logger
  readonly clock?: MonotonicClock
  readonly hookMaxRequests?: number
}

/** kafboy on a free port, over a fake gateway unless another one is given. */
export async function serve<G extends Gateway = FakeGateway>(options: ServeOptions<G> = {}) {
  const { log = silentLogger } = options
  const gateway = (options.gateway ?? new FakeGateway()) as G
  const metrics = createPrometheusMetrics()
  const stops: (() => Promise<unknown>)[] = []
  const callbackEditJson = options.hooks && fileURLToPath(new URL(`./hooks/${options.hooks}`, import.meta.url))
  const settings = kafboySettings.parse({ ...options.settings, ...(callbackEditJson && { callbackEditJson }) })
  const lifetime = {
    onDrain: () => {},
    onStop: (step: (ms: number) => Promise<unknown>) => void stops.push(() => step(1_000))
  }
  const addRoutes = await kafboyPlugin(contextFor(gateway, settings, { log, metrics, lifetime }), {
    hookWorker,
    clock: options.clock,
    hookMaxRequests: options.hookMaxRequests
  })
  const app = fastify({ logger: false, forceCloseConnections: true, genReqId: () => 'made-up' })
  await app.register(async scope => addRoutes(scope), { prefix: kafboy.prefix })
  await app.listen({ host: '127.0.0.1', port: 0 })
  const { port } = app.server.address() as AddressInfo
  const agent = new Agent({ keepAlive: true })
  const ask = (method: string, path: string, body?: string | Buffer, headers: Record<string, string> = {}) =>
    send({ port, method, path: kafboy.prefix + path, headers, agent }, body)
  return {
    gateway,
    metrics,
    port,
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

export type Served<G extends Gateway = FakeGateway> = Awaited<ReturnType<typeof serve<G>>>

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

/** `topic key=value` of every record that the gateway was given. */
export const taken = ({ records }: FakeGateway): string[] =>
  records.map(({ topic, key, value }) => `${topic} ${key === null ? '' : `${key}=`}${value}`)
