import type { KafkaRecord } from '../../src/core/model.js'
import { askRouter } from '../../src/index.js'
import { type Answer, call } from './access.js'
import { ApiStage, type Opened } from './api-stage.js'
import { confluentContract } from './confluent-contract.js'
import { checkAnswersOf } from './described-answers.js'
import { GroupInstance } from './group-instance.js'

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
export class ConfluentStage extends ApiStage {
  readonly #library: GroupInstance
  readonly #endChecks: readonly (() => void)[]

  private constructor(opened: Opened, library: GroupInstance) {
    super(opened, 'confluent')
    this.#library = library
    const urls = [this.url, `${this.app.urls.shared}/confluent`]
    this.#endChecks = urls.map(url => checkAnswersOf(url, confluentContract.check))
  }

  static async open(settings: Readonly<Record<string, string>> = {}): Promise<ConfluentStage> {
    const opened = await ApiStage.opened('confluent', settings)
    return new ConfluentStage(opened, await GroupInstance.start(opened.cluster.bootstrap))
  }

  override async close(): Promise<void> {
    for (const end of this.#endChecks) end()
    await this.#library.stop()
    await super.close()
  }

  /** @param body JSON if it is no text */
  async ask(
    method: string,
    path: string,
    body?: unknown,
    headers: Readonly<Record<string, string>> = {},
    url = this.url
  ): Promise<Seen> {
    const text = body === undefined || typeof body === 'string' ? body : JSON.stringify(body)
    // Node announces the body of no GET.
    const length = text !== undefined && { 'content-length': String(Buffer.byteLength(text)) }
    const sent = { method, headers: { ...length, ...headers }, ...(text && { body: text }) }
    return seen(await call(url + path, sent))
  }

  get(path: string, accept?: string): Promise<Seen> {
    return this.ask('GET', path, undefined, accept === undefined ? {} : { accept })
  }

  post(path: string, type: string | undefined, body: unknown, headers: Record<string, string> = {}): Promise<Seen> {
    return this.ask('POST', path, body, { ...(type !== undefined && { 'content-type': type }), ...headers })
  }

  /** Records, produced as one request. */
  produce(topic: string, type: string, records: readonly object[], query = ''): Promise<Seen> {
    return this.post(`/topics/${topic}${query}`, type, { records })
  }

  /** Commits offsets of a group that has no members. */
  async commit(group: string, topic: string, offsets: ReadonlyMap<number, number>): Promise<void> {
    const all = new Map([...offsets].map(([partition, offset]) => [partition, { offset }]))
    await this.#library.castellan.verbs.groups.commit(group, topic, all, 30_000)
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
