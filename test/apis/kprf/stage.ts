import { once } from 'node:events'
import { type AddressInfo, connect } from 'node:net'
import fastify, { type FastifyInstance } from 'fastify'
import type { z } from 'zod'
import { kprf } from '../../../src/apis/kprf/api.js'
import { kprfSettings } from '../../../src/apis/kprf/settings.js'
import { createPrometheusMetrics, type PrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { type Logger, silentLogger } from '../../../src/core/model.js'
import { contextFor } from '../../support/api-context.js'
import { FakeVerbs } from '../../support/fake-verbs.js'

export interface Served {
  readonly app: FastifyInstance
  readonly verbs: FakeVerbs
  readonly metrics: PrometheusMetrics
}

export interface ServeOptions {
  readonly verbs?: FakeVerbs
  readonly settings?: NonNullable<z.input<typeof kprfSettings>>
  readonly log?: Logger
  readonly now?: () => number
  readonly clock?: () => number
  readonly prefix?: string
  readonly prepare?: (app: FastifyInstance) => void
}

/** kprf over a fake gateway, in a Fastify that names requests but does nothing else. */
export async function serve(options: ServeOptions = {}): Promise<Served> {
  const { verbs = new FakeVerbs(), log = silentLogger, prefix = kprf.prefix } = options
  const { now = Date.now, clock = () => performance.now() } = options
  const metrics = createPrometheusMetrics()
  const app = fastify({
    logger: false,
    forceCloseConnections: true,
    genReqId: ({ headers }) => String(headers['x-request-id'] ?? 'made-up')
  })
  options.prepare?.(app)
  const settings = kprfSettings.parse(options.settings ?? {})
  const addRoutes = await kprf.plugin(contextFor(verbs, settings, { log, metrics, now, clock }))
  await app.register(async scope => addRoutes(scope), { prefix })
  return { app, verbs, metrics }
}

/** Starts listening on a free port. */
export async function listen(app: FastifyInstance): Promise<number> {
  await app.listen({ host: '127.0.0.1', port: 0 })
  return (app.server.address() as AddressInfo).port
}

/** Sends bytes and returns all that comes back until the server closes or `isEnough`. */
export async function exchange(
  port: number,
  request: string | Buffer,
  isEnough: (received: string) => boolean = () => false
): Promise<string> {
  const socket = connect(port, '127.0.0.1')
  let received = ''
  socket.setEncoding('latin1').on('data', (text: string) => {
    received += text
    if (isEnough(received)) socket.end()
  })
  socket.on('error', () => {})
  socket.write(request)
  await once(socket, 'close')
  return received
}

export const asJson = { 'content-type': 'application/json' }

/** A body with one record per topic given. */
export const pushOf = (topics: readonly string[], waitForSend: boolean): string =>
  JSON.stringify({ records: topics.map(topic => ({ topic, data: `to ${topic}` })), wait_for_send: waitForSend })
