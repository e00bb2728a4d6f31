import type { ClientHttp2Session, ClientHttp2Stream } from 'node:http2'
import { connect as connectTcp, type Socket } from 'node:net'
import { startGrpc } from '../../../src/apis/kafka-pixy/grpc/server.js'
import { kafkaPixySettings } from '../../../src/apis/kafka-pixy/settings.js'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { silentLogger } from '../../../src/core/model.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { type Access, openAccess } from '../../../src/http/access/access.js'
import type { LifetimeStep } from '../../../src/http/api/api.js'
import { callCounts, contextFor } from '../../support/api-context.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { answerOf, connectHttp2, openCall } from '../../support/raw-grpc.js'

export const LIMITS = { maxArriving: 1_000, arrivalMs: 20_000, answerMs: 20_000 }
/** `Produce` of a message `m` to the topic `t`, as gRPC frames it. */
export const PRODUCE = Buffer.from([0, 0, 0, 0, 6, 0x12, 1, 0x74, 0x2a, 1, 0x6d])

/** The service alone, and clients that know nothing of gRPC. */
export class RawService {
  readonly verbs: FakeVerbs
  readonly metrics = createPrometheusMetrics()
  readonly records = new RecordBudget(128 * 1024 * 1024, () => performance.now())
  readonly #steps: LifetimeStep[] = []
  readonly #sessions: ClientHttp2Session[] = []
  port = 0

  private constructor(verbs: FakeVerbs) {
    this.verbs = verbs
  }

  static async start(
    {
      limits = LIMITS,
      access = openAccess,
      http = {},
      grpcHost = '127.0.0.1',
      verbs = new FakeVerbs(),
      ...own
    } = {} as Partial<{
      limits: typeof LIMITS
      access: Access
      http: object
      verbs: FakeVerbs
      grpcHost: string
      grpcMaxConnections: number
    }>
  ): Promise<RawService> {
    const service = new RawService(verbs)
    const settings = kafkaPixySettings.parse({ grpcPort: 0, grpcHost, ...own })
    const add = (step: LifetimeStep): void => void service.#steps.push(step)
    const log = { ...silentLogger, info: (fields: object) => (service.port = (fields as { port: number }).port) }
    const lifetime = { onDrain: add, onStop: add, onCut: add }
    const { metrics, records } = service
    const otherProtocols = { calls: callCounts({ ...http }, metrics) }
    const context = { access, log, lifetime, metrics, records, otherProtocols }
    await startGrpc(contextFor(service.verbs, settings, context), limits)
    return service
  }

  /** @param localAddress what the service takes for the address of the client */
  async connect(settings = {}, host = '127.0.0.1', localAddress?: string): Promise<ClientHttp2Session> {
    const session = await connectHttp2(this.port, settings, host, localAddress)
    this.#sessions.push(session)
    return session
  }

  connectTcp(localAddress = '127.0.0.1'): Socket {
    return connectTcp({ port: this.port, host: '127.0.0.1', localAddress }).on('error', () => undefined)
  }

  openCalls(): Promise<string | undefined> {
    return this.metric('kafka_pixy_open_calls')
  }

  async metric(name: string): Promise<string | undefined> {
    const metrics = await this.metrics.registry.metrics()
    return metrics
      .split('\n')
      .find(line => line.startsWith(`${name} `))
      ?.slice(name.length + 1)
  }

  /** Resolves when the metric has the value. */
  async until(name: string, value: string): Promise<void> {
    const giveUpAt = performance.now() + 50_000
    for (let found = await this.metric(name); found !== value; found = await this.metric(name)) {
      if (performance.now() > giveUpAt)
        throw new Error(`${name} is ${found}, not ${value}: ${await this.#grpcMetrics()}`)
      await new Promise(resolve => setTimeout(resolve, 5))
    }
  }

  async #grpcMetrics(): Promise<string> {
    const lines = (await this.metrics.registry.metrics()).split('\n')
    return lines.filter(line => /^kafka_pixy_|http_/.test(line)).join(', ')
  }

  async stop(): Promise<void> {
    for (const session of this.#sessions) session.destroy()
    for (const step of this.#steps) await step(1_000)
  }
}

export const statusOf = async (stream: ClientHttp2Stream): Promise<string> => {
  const { status } = await answerOf(stream)
  return status
}

export const answered = async (session: ClientHttp2Session): Promise<string> => {
  const stream = openCall(session)
  stream.end(PRODUCE)
  return statusOf(stream)
}
