import { Client, StreamableHTTPClientTransport } from '@modelcontextprotocol/client'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { ThreadCodecs } from '../../../src/schemas/thread-codec-host.js'
import { type App, startApp } from '../../../src/server/app/app.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'
import { configOf, TestFolder } from '../../support/access.js'
import { codecWorker, logWorker } from '../../support/built.js'

export const REVISIONS = ['2026-07-28', '2025-11-25'] as const
export type Revision = (typeof REVISIONS)[number]

/** Every tool that changes nothing, with arguments that it takes. */
export const CALLS: Readonly<Record<string, Record<string, unknown>>> = {
  list_problems: {},
  list_topics: {},
  describe_topic: { topic: 'orders' },
  read_messages: { topic: 'orders' },
  find_record: { topic: 'orders', key: 'k1' },
  list_groups: {},
  group_lag: { group: 'billing' },
  queue_status: { topic: 'orders', group: 'workers' },
  get_schema: { topic: 'orders' }
}

/** A result of a tool: what agents get. */
export interface Called {
  readonly content: readonly { readonly type: string; readonly text: string }[]
  readonly structuredContent: Readonly<Record<string, unknown>>
  readonly isError?: boolean
}

/** The whole gateway with its tools for agents, over an embedded broker. */
export class McpGateway {
  readonly cluster: EmbeddedCluster
  readonly app: App
  readonly lines: LogLine[]
  readonly #folder: TestFolder
  #id = 0

  private constructor(cluster: EmbeddedCluster, app: App, lines: LogLine[], folder: TestFolder) {
    this.cluster = cluster
    this.app = app
    this.lines = lines
    this.#folder = folder
  }

  /** @param settings sections besides those that a test needs */
  static async open(mcp: object = {}, settings: object = {}): Promise<McpGateway> {
    const folder = new TestFolder()
    const cluster = await startEmbeddedCluster()
    const lines: LogLine[] = []
    const config = configOf(folder, {
      clusters: { default: { brokers: [cluster.bootstrap] } },
      http: { port: 0 },
      management: { port: 0 },
      apis: { mcp: { enabled: true, ...mcp } },
      ...settings
    })
    const codecs = new ThreadCodecs({ worker: codecWorker })
    const app = await startApp(config, { log: recordingLogger(lines), version: '1.2.3', logWorker, codecs })
    return new McpGateway(cluster, app, lines, folder)
  }

  get url(): string {
    return `${this.app.urls.shared}/mcp`
  }

  async close(): Promise<void> {
    await this.app.stop()
    await this.cluster.close()
    this.#folder.remove()
  }

  /** Sends a body as it is. */
  async post(
    body: string | object,
    headers: Readonly<Record<string, string>> = {}
  ): Promise<{
    readonly status: number
    readonly type: string | null
    readonly text: string
    /** Seconds. */
    readonly retryAfter: string | null
  }> {
    const answer = await fetch(this.url, {
      method: 'POST',
      headers: { 'content-type': 'application/json', accept: 'application/json, text/event-stream', ...headers },
      body: typeof body === 'string' ? body : JSON.stringify(body)
    })
    const [type, retryAfter] = ['content-type', 'retry-after'].map(name => answer.headers.get(name)) as [null, null]
    return { status: answer.status, type, retryAfter, text: await answer.text() }
  }

  /** Writes records to partition 0, one after another. */
  async write(
    topic: string,
    records: readonly { key?: string | null; value: string | Buffer | null }[]
  ): Promise<void> {
    const toText = (one: string | Buffer | null | undefined): string | null =>
      one === null || one === undefined ? null : Buffer.from(one as string).toString('base64')
    const answer = await fetch(`${this.app.urls.shared}/confluent/topics/${topic}`, {
      method: 'POST',
      headers: { 'content-type': 'application/vnd.kafka.binary.v2+json' },
      body: JSON.stringify({
        records: records.map(({ key, value }) => ({ key: toText(key), value: toText(value), partition: 0 }))
      })
    })
    if (answer.status !== 200) throw new Error(`answered ${answer.status}: ${await answer.text()}`)
  }

  /** Calls a tool without a client. */
  async call(name: string, args: object = {}, headers: Readonly<Record<string, string>> = {}): Promise<Called> {
    const message = { jsonrpc: '2.0', id: ++this.#id, method: 'tools/call', params: { name, arguments: args } }
    const { status, text } = await this.post(message, headers)
    if (status !== 200) throw new Error(`answered ${status}: ${text}`)
    const { result, error } = JSON.parse(text) as { result?: Called; error?: { message: string } }
    if (result === undefined) throw new Error(error?.message)
    return result
  }

  /** The official client, which has begun. */
  async client(revision: Revision, headers: Readonly<Record<string, string>> = {}): Promise<Client> {
    const mode = revision === '2025-11-25' ? 'legacy' : { pin: revision }
    const client = new Client({ name: 'test', version: '1' }, { versionNegotiation: { mode } })
    await client.connect(new StreamableHTTPClientTransport(new URL(this.url), { requestInit: { headers } }))
    return client
  }
}
