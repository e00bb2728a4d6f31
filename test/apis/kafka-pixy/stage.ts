import { Agent, type IncomingHttpHeaders, type OutgoingHttpHeaders, request } from 'node:http'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { App } from '../../../src/server/app/app.js'
import { startTestApp } from '../../support/test-app.js'

export interface Answer {
  readonly status: number
  readonly type: string
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

export interface Asked {
  readonly method?: string
  readonly headers?: OutgoingHttpHeaders
  readonly body?: string | Buffer
  /** Further ones, names and values in turn; names may repeat. */
  readonly more?: readonly string[]
  /** Without a `Content-Length`. */
  readonly isChunked?: boolean
  readonly signal?: AbortSignal
}

/** Where the API is served: a port of its own, or a unix socket. */
export interface Place {
  readonly port?: number
  readonly socketPath?: string
  /** Of its paths there. */
  readonly prefix: string
}

/** A client of the API that keeps its connections. */
export class PixyClient {
  readonly #place: Place
  readonly #agent = new Agent({ keepAlive: true })

  constructor(place: Place) {
    this.#place = place
  }

  ask(path: string, { method = 'GET', headers = {}, more = [], body, isChunked, signal }: Asked = {}): Promise<Answer> {
    const { port, socketPath, prefix } = this.#place
    const place = socketPath === undefined ? { host: '127.0.0.1', port } : { socketPath }
    return new Promise((resolve, reject) => {
      const options = { ...place, method, path: prefix + path, headers: { ...headers }, agent: this.#agent, signal }
      const sent = request(options, response => {
        const chunks: Buffer[] = []
        response.on('data', (chunk: Buffer) => chunks.push(chunk))
        response.on('error', reject)
        response.on('end', () => {
          const type = response.headers['content-type'] ?? ''
          const text = Buffer.concat(chunks).toString()
          resolve({ status: response.statusCode!, type, headers: response.headers, body: text })
        })
      })
      sent.on('error', reject)
      for (let at = 0; at < more.length; at += 2) sent.appendHeader(more[at]!, more[at + 1]!)
      if (body === undefined) {
        // Node would announce a body of 0 bytes.
        sent.removeHeader('content-length')
        sent.removeHeader('transfer-encoding')
      } else if (isChunked) sent.flushHeaders()
      else if (!('content-length' in headers)) sent.setHeader('content-length', Buffer.byteLength(body))
      sent.end(body)
    })
  }

  get(path: string): Promise<Answer> {
    return this.ask(path)
  }

  post(path: string, body?: string | Buffer, headers: Asked['headers'] = {}): Promise<Answer> {
    return this.ask(path, { method: 'POST', headers, ...(body !== undefined && { body }) })
  }

  /** A message as text. */
  produce(path: string, message: string | Buffer, headers: Asked['headers'] = {}): Promise<Answer> {
    return this.post(path, message, { 'content-type': 'text/plain', ...headers })
  }

  close(): void {
    this.#agent.destroy()
  }
}

/** `200 {"partition":1,"offset":0}`: with JSON on one line. */
export const brief = ({ status, type, body }: Answer): string =>
  `${status} ${type === 'application/json' ? JSON.stringify(JSON.parse(body)) : body}`.trim()

/** The whole gateway over an embedded broker, with the API on a port of its own. */
export class PixyGateway extends PixyClient {
  readonly app: App
  readonly #cluster: EmbeddedCluster | undefined

  private constructor(app: App, cluster: EmbeddedCluster | undefined) {
    super({ port: Number(new URL(app.urls.apis.get('kafka-pixy')!).port), prefix: '' })
    this.#cluster = cluster
    this.app = app
  }

  /** Topics `test.1`, `test.4` and `test.64` are there, and none is created on demand. */
  static async start(settings: Readonly<Record<string, string>> = {}): Promise<PixyGateway> {
    const cluster = await startEmbeddedCluster({ autoCreateTopics: false })
    for (const partitions of [1, 4, 64]) cluster.createTopic(`test.${partitions}`, { partitions })
    return PixyGateway.over(cluster, settings)
  }

  /** A further process over the same broker. */
  static async over(cluster: EmbeddedCluster, settings: Readonly<Record<string, string>> = {}): Promise<PixyGateway> {
    return new PixyGateway(await startPixy(cluster.bootstrap, settings), cluster)
  }

  /** A process over any cluster. */
  static async at(bootstrap: string, settings: Readonly<Record<string, string>> = {}): Promise<PixyGateway> {
    return new PixyGateway(await startPixy(bootstrap, settings), undefined)
  }

  /** The embedded broker. */
  get cluster(): EmbeddedCluster {
    return this.#cluster!
  }

  /** Ends of the partitions of a topic. */
  ends(topic: string, partitions: number): number[] {
    return Array.from({ length: partitions }, (_, partition) => this.cluster.records(topic, partition).length)
  }

  /** Stops the process only. */
  async stop(): Promise<void> {
    super.close()
    await this.app.stop()
  }

  async stopAll(): Promise<void> {
    await this.stop()
    await this.cluster.close()
  }
}

const startPixy = (bootstrap: string, settings: Readonly<Record<string, string>>): Promise<App> =>
  startTestApp(bootstrap, { 'apis.kafka-pixy.port': '0', 'advanced.router.unknownTopicTimeoutMs': '100', ...settings })
