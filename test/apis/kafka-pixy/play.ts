import fastify, { type FastifyInstance } from 'fastify'
import { kafkaPixy } from '../../../src/apis/kafka-pixy/api.js'
import { kafkaPixyOperations } from '../../../src/apis/kafka-pixy/routes.js'
import type { KafkaPixySettings } from '../../../src/apis/kafka-pixy/settings.js'
import type { ForbiddenError, QuotaExceededError } from '../../../src/core/errors.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { type OffsetAndMetadata, silentLogger } from '../../../src/core/model.js'
import { type Access, type AccessTarget, type Caller, openAccess } from '../../../src/http/access/access.js'
import type { ApiContext, LifetimeStep } from '../../../src/http/api/api.js'
import type {
  AckResult,
  AcquiredMessage,
  CommitOutcome,
  ConsumeManyResult,
  MessageId,
  MessageLimits
} from '../../../src/verbs/verbs.js'
import { contextFor } from '../../support/api-context.js'
import { DescribedAnswers } from '../../support/described-answers.js'
import { FakeVerbs } from '../../support/fake-verbs.js'

/** An access that lets everybody in until it is told otherwise, and keeps what it was asked. */
export class PlayedAccess implements Access {
  readonly asked: unknown[] = []
  readonly charged: [records: number, bytes: number][] = []
  /** The share groups that requests have made. */
  readonly created: AccessTarget[] = []
  refusal: ForbiddenError | undefined
  quota: QuotaExceededError | undefined
  /** What lists may name. */
  allows: Caller['allows'] = () => true

  callerOf(): Caller {
    return {
      ...openAccess.callerOf({} as never),
      allows: (operation, target) => this.allows(operation, target),
      refusalOf: (operation, target) => {
        this.asked.push([operation, target])
        return this.refusal
      },
      noteCreated: target => void this.created.push(target),
      spend: (records, bytes) => void this.charged.push([records, bytes]),
      charge: (records, bytes) => {
        if (records + bytes > 0) this.charged.push([records, bytes])
        return this.quota
      }
    }
  }
}

/** A gateway whose answers about groups the test gives. It keeps what it was asked, in order. */
export class PlayedVerbs extends FakeVerbs {
  readonly asked: unknown[] = []
  /** What became of messages that were given out. */
  readonly told: string[] = []
  result: ConsumeManyResult | 'none' | Error = { type: 'timedOut' }
  acked: AckResult | Error = { type: 'acked' }
  committing: ReadonlyMap<number, CommitOutcome> | Error | undefined

  /** What {@link consume} gives. */
  messages(...messages: Partial<AcquiredMessage>[]): ConsumeManyResult {
    const ack = (): void => void this.told.push('acknowledged')
    const release = (): void => void this.told.push('given back')
    return { type: 'messages', messages: { messages: messages.map(offered), ack, release } }
  }

  override consume(
    group: string,
    topic: string,
    limits: MessageLimits,
    timeoutMs: number | undefined,
    { reply }: { reply(result: ConsumeManyResult): void }
  ): () => void {
    this.asked.push(['consume', group, topic, limits, timeoutMs])
    const { result } = this
    if (result instanceof Error) throw result
    if (result !== 'none') queueMicrotask(() => reply(result))
    return () => this.told.push('cancelled')
  }

  override async ack(...asked: [group?: string, message?: MessageId]): Promise<AckResult> {
    this.asked.push(['ack', ...asked])
    if (this.acked instanceof Error) throw this.acked
    return this.acked
  }

  override async commit(
    groupId: string,
    topic: string,
    offsets: ReadonlyMap<number, OffsetAndMetadata>,
    ...rest: unknown[]
  ): Promise<ReadonlyMap<number, CommitOutcome>> {
    this.asked.push(['commit', groupId, topic, [...offsets], ...rest])
    if (this.committing instanceof Error) throw this.committing
    return this.committing ?? new Map()
  }
}

const offered = (message: Partial<AcquiredMessage>): AcquiredMessage => ({
  topic: 't',
  groupId: 'g',
  partition: 0,
  offset: 0,
  serial: 1,
  firstSerial: 1,
  retries: 0,
  timestampMs: 0,
  key: null,
  value: null,
  headers: [],
  ...message
})

export interface Said {
  readonly status: number
  readonly headers: Readonly<Record<string, unknown>>
  readonly body: string
}

const described = new DescribedAnswers('pixy', kafkaPixyOperations, [], { type: 'object', required: ['error'] })

/** The API over a gateway that the test plays, without a socket. Each answer in JSON is compared with its description. */
export class PixyPlay {
  readonly verbs: PlayedVerbs
  readonly access = new PlayedAccess()
  readonly metrics = createPrometheusMetrics()
  readonly logged: string[] = []
  readonly #drains: LifetimeStep[] = []
  #app: FastifyInstance | undefined

  constructor(verbs = new PlayedVerbs()) {
    this.verbs = verbs
  }

  static async start(settings: object = {}, { verbs, overrides = {} }: PlayOptions = {}): Promise<PixyPlay> {
    const play = new PixyPlay(verbs)
    const app = fastify({ logger: false, genReqId: () => 'made-up' })
    const context = contextFor(play.verbs, kafkaPixy.settings.parse(settings), {
      access: play.access,
      metrics: play.metrics,
      lifetime: { onDrain: step => play.#drains.push(step), onStop: () => undefined, onCut: () => undefined },
      log: { ...silentLogger, error: (...told: unknown[]) => void play.logged.push(String(told.at(-1))) },
      ...overrides
    })
    const addRoutes = await kafkaPixy.plugin(context)
    await app.register(async scope => addRoutes(scope), { prefix: '/pixy' })
    play.#app = app
    return play
  }

  async ask(
    method: 'GET' | 'POST',
    path: string,
    payload?: string | Buffer,
    headers: Readonly<Record<string, string | string[]>> = {}
  ): Promise<Said> {
    const asked = { method, url: `/pixy${path}`, headers: headers as Record<string, string> }
    const {
      statusCode: status,
      headers: told,
      body
    } = await this.#app!.inject(payload === undefined ? asked : { ...asked, payload })
    const type = told['content-type'] as string | undefined
    const persisted = told['x-castellan-persisted'] as string | undefined
    if (type?.includes('json')) described.check({ method, path, status, type, persisted, body })
    return { status, headers: told, body }
  }

  /** The same over a connection. {@link close} ends it. */
  async getOverSocket(path: string): Promise<Response> {
    if (!this.#app!.server.listening) await this.#app!.listen({ port: 0, host: '127.0.0.1' })
    const { port } = this.#app!.server.address() as { port: number }
    return fetch(`http://127.0.0.1:${port}/pixy${path}`)
  }

  close(): Promise<void> {
    return this.#app!.close()
  }

  get(path: string): Promise<Said> {
    return this.ask('GET', path)
  }

  /** The process stops. */
  async drain(): Promise<void> {
    for (const step of this.#drains) await step(1_000)
  }

  async metric(name: string): Promise<string | undefined> {
    return new RegExp(`^${name} (\\d+)$`, 'm').exec(await this.metrics.registry.metrics())?.[1]
  }
}

export interface PlayOptions {
  readonly verbs?: PlayedVerbs
  readonly overrides?: Partial<ApiContext<KafkaPixySettings>>
}

/** `503 overloaded`: status and error. */
export const errorOf = ({ status, body }: Said): string => `${status} ${(JSON.parse(body) as { error: string }).error}`
