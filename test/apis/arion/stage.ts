import { arion } from '../../../src/apis/arion/api.js'
import { type ArionSettings, arionSettings } from '../../../src/apis/arion/settings.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import type { StatsdSource } from '../../../src/core/metrics/statsd.js'
import type { LifetimeStep } from '../../../src/http/api/api.js'
import { loadConfig } from '../../../src/server/config/config.js'
import { type LogLine, recordingLogger, type Started } from '../../http/server/stage.js'
import { contextFor } from '../../support/api-context.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { startServer } from '../../support/http-server.js'
import { RawSocket } from '../../support/raw-socket.js'

export interface ServedArion extends Started {
  readonly verbs: FakeVerbs
  /** Its own port. */
  readonly url: string
  /** Its prefix on the shared port. */
  readonly sharedUrl: string
  /** What it reports by StatsD, by name. */
  readonly statsd: () => Promise<Readonly<Record<string, number>>>
  /** Ends the API as the process does. */
  readonly stop: () => Promise<void>
}

export interface ServeOptions {
  readonly verbs?: FakeVerbs
  readonly settings?: Partial<ArionSettings>
  readonly http?: object
  readonly now?: () => number
}

/** Arion over a fake gateway, on its own port and on the shared one. */
export async function serveArion({ verbs = new FakeVerbs(), ...options }: ServeOptions = {}): Promise<ServedArion> {
  const { http, management } = loadConfig({})
  const lines: LogLine[] = []
  const log = recordingLogger(lines)
  const metrics = createPrometheusMetrics()
  const settings = arionSettings.parse({ durability: 'memory', ...options.settings })
  const sources: StatsdSource[] = []
  const stops: LifetimeStep[] = []
  const context = contextFor(verbs, settings, {
    log,
    metrics,
    statsd: { add: source => sources.push(source) },
    lifetime: { onDrain: () => {}, onStop: step => stops.push(step), onCut: () => {} },
    ...(options.now && { now: options.now })
  })
  const addRoutes = await arion.plugin(context)
  const started = await startServer({
    http: { ...http, port: 0, ...options.http },
    management: { ...management, port: 'off' },
    apis: [
      {
        name: 'arion',
        prefix: '/arion',
        silence: context.silence,
        plugin: async scope => addRoutes(scope),
        listeners: [
          {
            label: 'arion',
            prefix: '/arion',
            address: { host: '127.0.0.1', port: 0, setting: 'apis.arion.port' },
            tls: true
          }
        ]
      }
    ],
    metrics,
    log
  })
  const metricsText = (): Promise<string> => metrics.registry.metrics()
  const metric = async (name: string): Promise<number> =>
    Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (.+)$`, 'm').exec(await metricsText())?.[1] ?? 0)
  const url = started.urls.apis.get('arion')!
  return {
    http: started,
    lines,
    reasons: [],
    metricsText,
    metric,
    verbs,
    url,
    sharedUrl: `${started.urls.shared}/arion`,
    statsd: async () => {
      const values = (await Promise.all(sources.map(source => source()))).flatMap(one => [...one])
      return Object.fromEntries(values.map(({ name, value }) => [name, value]))
    },
    stop: async () => {
      for (const stop of stops) await stop(1_000)
    }
  }
}

export interface RawAnswer {
  readonly status: number
  readonly headers: ReadonlyMap<string, string>
  readonly body: string
}

/** The first answer in what a server has sent, when all of it is there. */
export function parseAnswer(received: string, isHead = false): RawAnswer | undefined {
  const end = received.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const [statusLine = '', ...lines] = received.slice(0, end).split('\r\n')
  const headers = new Map(
    lines.map(line => [line.slice(0, line.indexOf(':')).toLowerCase(), line.replace(/^[^:]*: ?/, '')])
  )
  const body = received.slice(end + 4)
  const isWhole = isHead || body.length >= Number(headers.get('content-length') ?? 0)
  return isWhole ? { status: Number(statusLine.split(' ')[1]), headers, body } : undefined
}

/** Sends one request as bytes; `path` is not touched, which HTTP clients would do. */
export async function ask(
  url: string,
  method: string,
  path: string,
  body: Buffer | string = '',
  headers: readonly string[] = []
): Promise<RawAnswer> {
  const { pathname } = new URL(url)
  const socket = await RawSocket.open(url)
  const bytes = Buffer.from(body as string)
  const framing = headers.some(header => /^(transfer-encoding|content-length)/i.test(header))
    ? []
    : method === 'GET' || method === 'HEAD'
      ? []
      : [`content-length: ${bytes.length}`]
  const prefix = pathname === '/' ? '' : pathname
  const head = [`${method} ${prefix}${path} HTTP/1.1`, 'host: localhost', ...framing, ...headers, '', ''].join('\r\n')
  await socket.send(Buffer.concat([Buffer.from(head, 'latin1'), bytes]))
  const received = await socket.until(text => parseAnswer(text, method === 'HEAD') !== undefined)
  socket.destroy()
  const answer = parseAnswer(received, method === 'HEAD')
  if (answer === undefined) throw new Error(`no answer, but ${JSON.stringify(received)}`)
  return answer
}

export const jsonOf = ({ body }: RawAnswer): Record<string, unknown> =>
  JSON.parse(Buffer.from(body, 'latin1').toString()) as Record<string, unknown>
