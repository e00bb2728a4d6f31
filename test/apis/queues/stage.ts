import { type ClientRequest, request } from 'node:http'
import { queues } from '../../../src/apis/queues/api.js'
import { queuesOperations } from '../../../src/apis/queues/routes.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { type KafkaRecord, silentLogger } from '../../../src/core/model.js'
import type { ApiContext, LifetimeStep } from '../../../src/http/api/api.js'
import { type Http, mountOf } from '../../../src/http/server/http.js'
import { httpSettings, managementSettings } from '../../../src/http/server/settings.js'
import type {
  AcquireOptions,
  AcquireResult,
  QueueChanges,
  QueueDescription,
  QueueMessage,
  QueueSettings,
  QueueVerbs,
  Settlement,
  ShareGroupVerbs,
  TokenResult
} from '../../../src/verbs/verbs.js'
import { contextFor } from '../../support/api-context.js'
import { DescribedAnswers } from '../../support/described-answers.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { startServer } from '../../support/http-server.js'

export const record = (parts: Partial<KafkaRecord> = {}): KafkaRecord => ({
  offset: 7,
  timestampMs: 1_700_000_000_000,
  key: null,
  value: Buffer.from('hello'),
  headers: [],
  ...parts
})

export const message = (token: string, parts: Partial<KafkaRecord> = {}): QueueMessage => ({
  token,
  topic: 'orders',
  partition: 3,
  record: record(parts),
  deliveryCount: 2,
  lastDelivery: false,
  lockEndsAt: performance.now() + 30_000
})

export const acquired = (...messages: QueueMessage[]): AcquireResult => ({
  type: 'acquired',
  messages,
  isNewGroup: false
})

export const SETTINGS: QueueSettings = {
  start: 'earliest',
  lockMs: 30_000,
  deliveryLimit: 5,
  deadLetters: null,
  isolation: 'readUncommitted'
}

/** Queues whose answers the test gives. They keep what they were asked, in order. */
export class PlayedQueues implements QueueVerbs {
  readonly asked: unknown[] = []
  /** `none`: the test replies by {@link reply}. */
  result: AcquireResult | 'none' = acquired()
  reply: (result: AcquireResult) => void = () => undefined
  results: readonly TokenResult[] | Error = []
  description: QueueDescription | Error = {
    state: 'absent',
    members: [],
    partitions: [],
    settings: SETTINGS,
    topics: []
  }
  configured: QueueSettings | Error = SETTINGS
  /** What is answered to everything that is asked of share groups. */
  ofGroups: unknown
  readonly groups = new Proxy({} as ShareGroupVerbs, {
    get:
      (_, verb) =>
      async (...asked: unknown[]) => {
        this.#note([verb, ...asked])
        return given(this.ofGroups)
      }
  })
  #told: () => void = () => undefined

  /** Resolves with the next thing that they are asked or told. */
  next(): Promise<unknown> {
    return new Promise(resolve => (this.#told = () => resolve(this.asked.at(-1))))
  }

  acquire(topic: string, group: string, options: AcquireOptions, asker: { reply(result: AcquireResult): void }) {
    this.reply = result => asker.reply(result)
    this.#note(['acquire', topic, group, options])
    if (this.result !== 'none') asker.reply(this.result)
    return () => this.#note('cancelled')
  }

  takeBack(messages: readonly QueueMessage[]): void {
    this.#note(['unseen', ...messages.map(({ token }) => token)])
  }

  async settle(topic: string, group: string, settlement: Settlement, client: string): Promise<readonly TokenResult[]> {
    this.#note(['settle', topic, group, settlement, client])
    return given(this.results)
  }

  async describe(topic: string, group: string): Promise<QueueDescription> {
    this.#note(['describe', topic, group])
    return given(this.description)
  }

  async configure(topic: string, group: string, changes: QueueChanges): Promise<QueueSettings> {
    this.#note(['configure', topic, group, changes])
    return given(this.configured)
  }

  #note(what: unknown): void {
    this.asked.push(what)
    this.#told()
  }
}

function given<Value>(value: Value | Error): Value {
  if (value instanceof Error) throw value
  return value
}

export interface Answer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

const ERRORS = { type: 'object', required: ['type', 'title', 'status', 'code', 'retriable'] }
const described = new DescribedAnswers('queues', queuesOperations, [], ERRORS)

/** Settings of HTTP, and what the API is given, where they are not the usual ones. */
export interface Scene extends Partial<ApiContext<never>> {
  readonly http?: object
}

/** The API over queues that the test plays, on the shared port and on its own. Each answer in JSON is compared with its description. */
export class QueuesPlay {
  readonly queues: PlayedQueues
  readonly url: string
  readonly ownUrl: string
  readonly #http: Http
  readonly #drains: readonly LifetimeStep[]

  private constructor(http: Http, drains: readonly LifetimeStep[], played: PlayedQueues) {
    this.queues = played
    this.url = `${http.urls.shared}${queues.prefix}`
    this.ownUrl = http.urls.apis.get('queues')!
    this.#http = http
    this.#drains = drains
  }

  static async open({ http = {}, ...overrides }: Scene = {}): Promise<QueuesPlay> {
    const verbs = new FakeVerbs()
    const played = new PlayedQueues()
    verbs.queues = played
    verbs.shareGroups = played.groups
    const drains: LifetimeStep[] = []
    const lifetime = {
      onDrain: (step: LifetimeStep) => void drains.push(step),
      onStop: () => undefined,
      onCut: () => undefined
    }
    const metrics = createPrometheusMetrics()
    const context = contextFor(verbs, queues.settings.parse({}), { lifetime, ...overrides } as object, metrics)
    const address = { host: '127.0.0.1', port: 0, setting: 'apis.queues.port' }
    const mounted = mountOf(queues, context, [{ label: 'queues', prefix: queues.prefix, address, tls: false }])
    const started = await startServer({
      http: httpSettings.parse({ port: 0, maxEventLoopDelayMs: 0, ...http }),
      management: managementSettings.parse({ port: 'off' }),
      apis: [mounted],
      metrics,
      log: silentLogger
    })
    return new QueuesPlay(started, drains, played)
  }

  close(): Promise<unknown> {
    return this.#http.close()
  }

  async drain(): Promise<void> {
    for (const step of this.#drains) await step(0)
  }

  async ask(
    method: string,
    path: string,
    body?: string | object,
    headers: Readonly<Record<string, string>> = {},
    at = this.url
  ): Promise<Answer> {
    const answer = await new Promise<Answer>((resolve, reject) =>
      this.send(method, path, body, headers, resolve, reject, at)
    )
    const { status, headers: got, body: text } = answer
    const type = got['content-type'] as string | undefined
    if (type !== 'application/octet-stream')
      described.check({ method, path, status, type, persisted: undefined, body: text })
    return answer
  }

  /** @returns the request, which the test may abandon */
  send(
    method: string,
    path: string,
    body: string | object | undefined,
    headers: Readonly<Record<string, string>> = {},
    answered: (answer: Answer) => void = () => undefined,
    failed: (error: Error) => void = () => undefined,
    at = this.url
  ): ClientRequest {
    const bytes = typeof body === 'object' ? JSON.stringify(body) : (body ?? '')
    const all = { ...(bytes !== '' && { 'content-length': String(Buffer.byteLength(bytes)) }), ...headers }
    // As it is: a URL would leave `.` and `..` out.
    const whole = new URL(at).pathname.replace(/\/$/, '') + path
    const sent = request(at, { path: whole, method, headers: all, agent: false }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('error', failed)
      response.on('end', () => {
        const { statusCode: status = 0, headers } = response
        answered({ status, headers, body: Buffer.concat(chunks).toString() })
      })
    })
    sent.on('error', failed)
    sent.end(bytes)
    return sent
  }

  /** Status, code and detail of a problem. */
  async problem(...asked: Parameters<QueuesPlay['ask']>): Promise<[status: number, code: string, detail: string]> {
    const { status, body } = await this.ask(...asked)
    const problem = JSON.parse(body) as { status: number; code: string; detail: string }
    if (problem.status !== status) throw new Error(`answered ${status}, and the document says ${problem.status}`)
    return [status, problem.code, problem.detail]
  }
}
