import { connect } from 'node:net'
import type { FastifyInstance } from 'fastify'
import { apis } from '../../../src/apis/apis.js'
import { kprf } from '../../../src/apis/kprf/api.js'
import { type KprfSettings, kprfSettings } from '../../../src/apis/kprf/settings.js'
import { CastellanError, ForbiddenError } from '../../../src/core/errors.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import type { Logger } from '../../../src/core/model.js'
import { notReady } from '../../../src/core/notice.js'
import { refusalStatus } from '../../../src/http/access/access.js'
import type { HttpApi, OwnListener } from '../../../src/http/api/api.js'
import type { SilenceLimit } from '../../../src/http/engine/silence-limit.js'
import type { Admission } from '../../../src/http/exchange/admission.js'
import { type ApiMount, type Http, type HttpOptions, mountOf } from '../../../src/http/server/http.js'
import { loadConfig } from '../../../src/server/config/config.js'
import type { Verbs } from '../../../src/verbs/verbs.js'
import { contextFor } from '../../support/api-context.js'
import { readyStatus, startServer } from '../../support/http-server.js'

export interface LogLine {
  readonly level: string
  readonly fields: object
  readonly message: string
}

export const recordingLogger = (lines: LogLine[]): Logger => {
  const write =
    (level: string) =>
    (fields: object, message: string): void => {
      lines.push({ level, fields, message })
    }
  return { debug: write('debug'), info: write('info'), warn: write('warn'), error: write('error') }
}

/** A request a test holds open: `arrived` when the API has it, `release` lets it answer. */
export interface Gate {
  readonly arrived: Promise<void>
  release(): void
}

/** An API that answers in capitals, so that its words cannot be mistaken for Fastify's. */
export function loudApi(gates: Map<string, { arrive(): void; released: Promise<void> }> = new Map()) {
  return async (app: FastifyInstance): Promise<void> => {
    app.addContentTypeParser('*', { parseAs: 'buffer' }, (_, body, done) => done(null, body))
    app.setErrorHandler((error, _, reply) => {
      const code = error instanceof CastellanError ? error.code : (error as { code?: string }).code
      const own = error instanceof CastellanError ? (refusalStatus(error) ?? 503) : undefined
      const message = error instanceof ForbiddenError ? error.message : undefined
      reply.code(own ?? (error as { statusCode?: number }).statusCode ?? 500).send({ LOUD: code, message })
    })
    app.setNotFoundHandler((_, reply) => {
      reply.code(404).send({ LOUD: 'not here' })
    })
    app.post('/push', request => ({ LOUD: (request.body as Buffer | undefined)?.length ?? 0 }))
    app.get('/topics/:topic', request => ({ LOUD: (request.params as { topic: string }).topic }))
    app.get('/broken', () => {
      throw new Error('a bug')
    })
    app.post('/hold/:gate', async request => {
      const gate = gates.get((request.params as { gate: string }).gate)!
      gate.arrive()
      await gate.released
      return { LOUD: 'held' }
    })
  }
}

export function gate(gates: Map<string, { arrive(): void; released: Promise<void> }>, name: string): Gate {
  let arrive!: () => void
  let release!: () => void
  const arrived = new Promise<void>(resolve => (arrive = resolve))
  const released = new Promise<void>(resolve => (release = resolve))
  gates.set(name, { arrive, released })
  return { arrived, release }
}

export interface Started {
  readonly http: Http
  readonly lines: LogLine[]
  readonly reasons: string[]
  metricsText(): Promise<string>
  /** A gauge's or counter's value; 0 when it has never been counted. */
  metric(name: string): Promise<number>
}

/** What clients hold of the process; at rest all of them are 0. */
export const HELD_GAUGES = [
  'castellan_http_bodies_in_flight_bytes',
  'castellan_http_requests_in_flight',
  'castellan_http_connections',
  'castellan_http_unread_bytes'
] as const

/** Waits until nothing is held for any client. */
export async function untilNothingIsHeld({ metric }: Started): Promise<void> {
  for (const name of HELD_GAUGES)
    await until(
      async () => (await metric(name)) === 0,
      `${name} 0`,
      () => metric(name)
    )
}

export async function until(
  isTrue: () => Promise<boolean> | boolean,
  what: string,
  last: () => unknown = () => ''
): Promise<void> {
  const giveUpAt = performance.now() + 50_000
  while (!(await isTrue())) {
    if (performance.now() > giveUpAt) throw new Error(`never saw ${what} ${await last()}`)
    await new Promise(resolve => setImmediate(resolve))
  }
}

type HttpOptionsOfServer = Parameters<typeof startServer>[0]

export interface StartSettings {
  readonly http?: object
  readonly management?: object
  /** Whether `/loud` has a port of its own, too. */
  readonly own?: boolean
  /** Listeners of `/loud` besides. */
  readonly listeners?: readonly OwnListener[]
  readonly plugin?: ApiMount['plugin']
  readonly silence?: SilenceLimit
  /** Mounts `/kprf` over it. */
  readonly verbs?: Verbs
  /** Before `/kprf`. */
  readonly admission?: Admission
  readonly now?: () => number
  /** Limit of the bodies of `/loud`. */
  readonly maxBodyBytes?: number
  /** Checks requests before their bodies are read. Default: nothing does. */
  readonly requestAccess?: HttpOptionsOfServer['requestAccess']
  readonly accessLog?: HttpOptionsOfServer['accessLog']
  readonly certificates?: HttpOptions['certificates']
  /** The page of the management port. Default: there is none. */
  readonly page?: HttpOptions['status']['page']
  /** Of `/status.json`. Default: there is none. */
  readonly source?: HttpOptions['status']['source']
}

/** The event loop of a test is late on a busy machine, and refuses nothing for that. */
const lateIsFine = { maxEventLoopDelayMs: 0 }

/** All listeners on free ports, with `/loud` mounted. */
export async function startHttp(settings: StartSettings = {}): Promise<Started> {
  const { http, management } = loadConfig({})
  const lines: LogLine[] = []
  const reasons: string[] = []
  const metrics = createPrometheusMetrics()
  const ofServer = { ...http, port: 0, ...lateIsFine, ...settings.http }
  const options = {
    http: ofServer,
    management: { ...management, port: 0, ...settings.management },
    apis: [
      {
        name: 'loud',
        prefix: '/loud',

        plugin: settings.plugin ?? loudApi(),
        ...(settings.silence && { silence: settings.silence }),
        ...(settings.maxBodyBytes !== undefined && { maxBodyBytes: settings.maxBodyBytes }),
        listeners: [...(settings.own ? [ownPortOf('loud')] : []), ...(settings.listeners ?? [])]
      },
      ...(settings.verbs
        ? [
            kprfMount(settings.verbs, ofServer.maxBodyBytes, {
              metrics,
              log: recordingLogger(lines),
              admission: settings.admission
            })
          ]
        : [])
    ],
    metrics,
    status: {
      ...readyStatus,
      unreadyReasons: () => reasons.map(notReady),
      kafkaReasons: () => reasons.map(notReady),
      page: settings.page,
      source: settings.source
    },
    log: recordingLogger(lines),
    ...(settings.now && { now: settings.now }),
    accessLog: settings.accessLog,
    requestAccess: settings.requestAccess,
    certificates: settings.certificates
  }
  const metricsText = (): Promise<string> => metrics.registry.metrics()
  const metric = async (name: string): Promise<number> =>
    Number(new RegExp(`^${name}(?:\\{[^}]*\\})? (.+)$`, 'm').exec(await metricsText())?.[1] ?? 0)
  return { http: await startServer(options), lines, reasons, metricsText, metric }
}

/** @param maxBodyBytes of the server */
const kprfMount = (
  verbs: Verbs,
  maxBodyBytes: number,
  parts: Parameters<typeof contextFor<KprfSettings>>[2]
): ApiMount => mountOf(kprf, contextFor(verbs, kprfSettings.parse({ maxBodyBytes }), parts))

/** {@link startHttp} with an API in the place of `/loud`. @param settings of the API */
export async function startApi(
  name: string,
  verbs: Verbs,
  settings: object = {},
  overrides: object = {}
): Promise<Started> {
  const api = apis.find(one => one.name === name) as HttpApi
  const context = contextFor(verbs, api.settings.parse(settings), overrides)
  return startHttp({ plugin: async scope => (await api.plugin(context))(scope) })
}

const ownPortOf = (name: string): OwnListener => ({
  label: name,
  prefix: `/${name}`,
  address: { host: '127.0.0.1', port: 0, setting: `apis.${name}.port` },
  tls: true
})

/** Sends bytes as they are and gives back everything until the server ends the connection. */
export function sendRaw(url: string, bytes: string | Buffer): Promise<string> {
  const { hostname, port } = new URL(url)
  return new Promise((resolve, reject) => {
    let text = ''
    const socket = connect(Number(port), hostname, () => socket.write(bytes))
    socket.on('data', data => (text += data.toString('latin1')))
    socket.on('close', () => resolve(text))
    socket.on('error', error => ('code' in error && error.code === 'ECONNRESET' ? resolve(text) : reject(error)))
  })
}
