import type { KafkaRecord } from '../../src/core/model.js'
import { askRouter } from '../../src/index.js'
import type { App } from '../../src/server/app/app.js'
import { type Answer, call } from './access.js'
import { startTestApp } from './app-under-test.js'
import { confluentContract } from './confluent-contract.js'
import { checkAnswersOf } from './described-answers.js'
import { GroupInstance } from './group-instance.js'
import { freshTopic, type TargetCluster, targetCluster } from './target-cluster.js'

export const V2 = 'application/vnd.kafka.v2+json'
export const BINARY = 'application/vnd.kafka.binary.v2+json'
export const JSON_RECORDS = 'application/vnd.kafka.json.v2+json'
export const JSON_TYPE = 'application/json'

/** What a client sees of an answer. */
export interface Seen {
  readonly status: number
  /** `undefined`: none. */
  readonly type: string | undefined
  /** JSON is parsed; no body: `undefined`. */
  readonly body: unknown
  readonly persisted: string | string[] | undefined
  readonly headers: Answer['headers']
}

const seen = ({ status, headers, body }: Answer): Seen => ({
  status,
  type: headers['content-type'],
  body: body === '' ? undefined : JSON.parse(body),
  persisted: headers['x-castellan-persisted'],
  headers
})

/**
 * Confluent's API over the embedded broker or real Kafka, with another client to look at what is in the log. Each answer is
 * compared with `/openapi.json` and with the document that Confluent publishes.
 */
export class ConfluentStage {
  readonly cluster: TargetCluster
  readonly app: App
  /** The API's own port. */
  readonly url: string
  readonly #library: GroupInstance
  readonly #endChecks: readonly (() => void)[]

  private constructor(cluster: TargetCluster, app: App, library: GroupInstance) {
    this.cluster = cluster
    this.app = app
    this.url = app.urls.apis.get('confluent')!
    this.#library = library
    const urls = [this.url, `${app.urls.shared}/confluent`]
    this.#endChecks = urls.map(url => checkAnswersOf(url, confluentContract.check))
  }

  static async open(settings: Readonly<Record<string, string>> = {}): Promise<ConfluentStage> {
    const cluster = await targetCluster()
    let app: App | undefined
    try {
      const all = { 'apis.confluent.port': '0', 'delivery.createTopics': 'false', ...settings }
      app = await startTestApp(cluster.bootstrap, all)
      return new ConfluentStage(cluster, app, await GroupInstance.start(cluster.bootstrap))
    } catch (error) {
      // What stays open would keep the process of the tests alive.
      await app?.stop()
      await cluster.close()
      throw error
    }
  }

  async close(): Promise<void> {
    for (const end of this.#endChecks) end()
    await Promise.all([this.app.stop(), this.#library.stop()])
    await this.cluster.close()
  }

  /** A topic of its own. */
  async topic(partitions: number): Promise<string> {
    const topic = freshTopic(`test.${partitions}`)
    await this.cluster.createTopic(topic, partitions)
    return topic
  }

  async get(path: string, accept?: string): Promise<Seen> {
    return seen(await call(this.url + path, { headers: accept === undefined ? {} : { accept } }))
  }

  async post(
    path: string,
    type: string | undefined,
    body: unknown,
    headers: Record<string, string> = {}
  ): Promise<Seen> {
    const text = typeof body === 'string' ? body : JSON.stringify(body)
    const all = { ...(type !== undefined && { 'content-type': type }), ...headers }
    return seen(await call(this.url + path, { method: 'POST', headers: all, body: text }))
  }

  /** Records, produced as one request. */
  produce(topic: string, type: string, records: readonly object[], query = ''): Promise<Seen> {
    return this.post(`/topics/${topic}${query}`, type, { records })
  }

  /** Commits offsets of a group that has no members. */
  async commit(group: string, topic: string, offsets: ReadonlyMap<number, number>): Promise<void> {
    const all = new Map([...offsets].map(([partition, offset]) => [partition, { offset }]))
    await this.#library.castellan.gateway.groups.commit(group, topic, all, 30_000)
  }

  /** Makes this client a member of a group, which has read one record. */
  async join(group: string, topic: string): Promise<void> {
    await this.#library.take(group, topic, 1)
  }

  async endOf(topic: string, partition: number): Promise<number> {
    const asked = { topicPartition: { topic, partition }, offsetType: 'latest' } as const
    const result = await askRouter(this.#library.castellan.router.ref, { type: 'fetchOffset', ...asked })
    if (result.type !== 'success') throw new Error(JSON.stringify(result))
    return result.offset
  }

  /** The record at an offset. */
  async record(topic: string, partition: number, offset: number): Promise<KafkaRecord> {
    const asked = { topicPartition: { topic, partition }, offset }
    const result = await askRouter(this.#library.castellan.router.ref, { type: 'fetchData', ...asked })
    if (result.type !== 'success') throw new Error(JSON.stringify(result))
    return [...result.batch].find(record => record.offset === offset)!
  }
}
