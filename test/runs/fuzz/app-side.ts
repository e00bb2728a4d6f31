import { crc32 } from '@node-rs/crc32'
import { apis } from '../../../src/apis/apis.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { type Logger, type ProduceRecord, silentLogger } from '../../../src/core/model.js'
import type { ApiSettings, HttpApi } from '../../../src/http/api/api.js'
import { type ApiMount, type Http, mountOf } from '../../../src/http/server/http.js'
import { loadConfig } from '../../../src/server/config/config.js'
import type { PendingProduce, ProduceOptions } from '../../../src/verbs/verbs.js'
import { contextFor } from '../../support/api-context.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { startServer } from '../../support/http-server.js'
import type { Address } from './client.js'
import { clock } from './clock.js'
import { type Handled, ID_PREFIX } from './comparison.js'
import { echoRoutes, Journal } from './echo.js'
import { serveByNode } from './oracle.js'
import type { Side } from './play.js'

/** The server of Node, with which the gateway's own is compared. */
export const NODE = 'node'
export const OWN = 'castellan'

/** The time in answers that do not take it from Node. */
const NOW = Date.UTC(2026, 0, 1)

/** Longer than any connection lasts: a run is about bytes, and time limits differ by a moment. */
const FOR_EVER_MS = 600_000

const patient = {
  headersTimeoutMs: FOR_EVER_MS,
  requestTimeoutMs: FOR_EVER_MS,
  keepAliveTimeoutMs: FOR_EVER_MS,
  socketTimeoutMs: FOR_EVER_MS,
  maxEventLoopDelayMs: 0,
  maxHeapShare: 1
}

/** Limits that many of the scripts reach. */
export const TIGHT_LIMITS = {
  maxHeaderBytes: 1024,
  maxHeaders: 12,
  maxBodyBytes: 1_000,
  maxBodyBytesPerConnection: 500,
  maxRequestsPerConnection: 2
}

/** Partition and offset of a record are made of its bytes, so answers tell whether they were read rightly. */
class HashingVerbs extends FakeVerbs {
  constructor() {
    super({ outcome: 'by hand' })
    this.partitions.set('orders', 3)
    // Sides get different requests: what one connection commits must not be seen by another.
    this.commits.set = () => this.commits
  }

  override produce(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce {
    const pending = super.produce(records, options)
    const call = this.calls.pop()!
    const outcomes = call.records.map(({ topic, key, value }) => ({
      type: 'delivered' as const,
      partition: crc32(`${topic} ${key}`) % 1_000,
      offset: crc32(value ?? ''),
      timestampMs: NOW
    }))
    if (records.some(({ topic }) => topic === 'slow')) setImmediate(() => setImmediate(() => call.settle(outcomes)))
    else call.settle(outcomes)
    return pending
  }
}

const mount = (api: HttpApi, verbs: FakeVerbs): ApiMount =>
  mountOf<ApiSettings>(api, contextFor(verbs, api.settings.parse({}), { now: () => NOW, log: failing }))

/** What is logged as an error while bytes come in is a bug of ours. */
const bugs: string[] = []
const failing: Logger = { ...silentLogger, error: (fields, message) => void bugs.push(`${message} ${inspect(fields)}`) }
const inspect = (fields: object): string =>
  JSON.stringify(fields, (_, value) => (value instanceof Error ? value.stack : value))

/** A whole HTTP side of the gateway, with all APIs and the routes that echo, over a gateway without Kafka. */
export class AppSide implements Side {
  readonly name: string
  readonly address: Address
  readonly #journal: Journal
  readonly #http: Http
  readonly #gauge: (name: string) => Promise<number>

  private constructor(name: string, http: Http, journal: Journal, gauge: (name: string) => Promise<number>) {
    this.name = name
    this.#http = http
    this.#journal = journal
    this.#gauge = gauge
    const { hostname, port } = new URL(http.urls.shared)
    this.address = { host: hostname, port: Number(port) }
  }

  /**
   * @param http settings of the section `http`
   * @param isNode whether `node:http` reads its connections
   */
  static async start(name: string, http: object, isNode = false): Promise<AppSide> {
    const config = loadConfig({})
    const metrics = createPrometheusMetrics()
    const journal = new Journal()
    const verbs = new HashingVerbs()
    const echo: ApiMount = {
      name: 'echo',
      prefix: '/echo',

      listeners: [],
      plugin: echoRoutes(journal)
    }
    const started = await startServer({
      http: { ...config.http, port: 0, ...patient, ...http },
      management: { ...config.management, port: 'off' },
      apis: [echo, ...apis.map(api => mount(api as unknown as HttpApi, verbs))],
      metrics,
      log: failing,
      idPrefix: ID_PREFIX
    })
    const gauge = async (wanted: string): Promise<number> => {
      const text = await metrics.registry.metrics()
      return Number(new RegExp(`^${wanted}(?:\\{[^}]*\\})? (.+)$`, 'm').exec(text)?.[1] ?? 0)
    }
    const side = new AppSide(name, started, journal, gauge)
    if (isNode) serveByNode(side.address)
    return side
  }

  handled(port: number): readonly Handled[] {
    return this.#journal.of(port)
  }

  /** Share of the requests that Node's own parser has not read: comparing Node with itself proves nothing. */
  get shareByHand(): number {
    const { byHand, byNode } = this.#journal.counts
    return byHand / Math.max(1, byHand + byNode)
  }

  forget(port: number): void {
    this.#journal.forget(port)
  }

  /** What is still held for clients that have all gone; each line is a defect. */
  async stillHeld(patienceMs: number): Promise<string[]> {
    const names = ['bodies_in_flight_bytes', 'requests_in_flight', 'connections'].map(name => `castellan_http_${name}`)
    const giveUpAt = clock() + patienceMs
    for (;;) {
      const held: string[] = []
      for (const name of names) {
        const value = await this.#gauge(name)
        if (value !== 0) held.push(`${this.name} holds ${name} ${value}`)
      }
      if (held.length === 0 || clock() > giveUpAt) return held
      await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  close(): Promise<void> {
    return this.#http.close()
  }
}

/** What any side has logged as an error until now; forgotten when it is told. */
export const takeBugs = (): string[] => bugs.splice(0)
