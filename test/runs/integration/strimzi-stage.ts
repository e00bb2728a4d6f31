import { strimziOperations } from '../../../src/apis/strimzi/operations.js'
import { type Answer, call, seenBy } from '../../support/access.js'
import { ApiStage } from '../../support/api-stage.js'
import { DescribedAnswers } from '../../support/described-answers.js'

export const V2 = 'application/vnd.kafka.v2+json'
export const typeOf = (format: string): string => `application/vnd.kafka.${format}.v2+json`

/** What a client sees of an answer. */
export interface Seen {
  readonly status: number
  readonly type: string | undefined
  /** JSON is parsed; no body: `undefined`. */
  // biome-ignore lint/suspicious/noExplicitAny: tests compare it
  readonly body: any
  readonly headers: Answer['headers']
}

const errors = { type: 'object', required: ['error_code', 'message'] }
const described = new DescribedAnswers('strimzi', strimziOperations, [], errors)

/** Strimzi's API on its own port, over the embedded broker or real Kafka. Each answer is compared with its description. */
export class StrimziStage extends ApiStage {
  static async open(settings: Readonly<Record<string, string>> = {}): Promise<StrimziStage> {
    return new StrimziStage(await ApiStage.opened('strimzi', settings), 'strimzi')
  }

  /** @param url that of the port of the API, if no other is given */
  async ask(
    method: string,
    path: string,
    headers: Readonly<Record<string, string>> = {},
    body?: unknown,
    url = this.url
  ): Promise<Seen> {
    const text = body === undefined || typeof body === 'string' ? (body as string | undefined) : JSON.stringify(body)
    const answer = await call(url + path, { method, headers, ...(text !== undefined && { body: text }) })
    const type = answer.headers['content-type']
    if (method !== 'OPTIONS' && (type === undefined || type.includes('json')))
      described.check(seenBy(method, path, answer))
    const isJson = type?.includes('json') === true
    return {
      status: answer.status,
      type,
      headers: answer.headers,
      body: isJson ? JSON.parse(answer.body) : answer.body || undefined
    }
  }

  get(path: string, headers: Readonly<Record<string, string>> = {}): Promise<Seen> {
    return this.ask('GET', path, headers)
  }

  /** A request whose body is no list of records. */
  post(path: string, body?: unknown, headers: Readonly<Record<string, string>> = {}): Promise<Seen> {
    return this.ask('POST', path, { ...(body !== undefined && { 'content-type': V2 }), ...headers }, body)
  }

  produce(path: string, format: string, records: unknown): Promise<Seen> {
    return this.ask('POST', path, { 'content-type': typeOf(format) }, { records })
  }

  /** A consumer. @returns the path of its routes */
  async consumer(format: string, settings: object = {}, group = this.group()): Promise<string> {
    const all = { format, 'auto.offset.reset': 'earliest', ...settings }
    const { status, body } = await this.post(`/consumers/${group}`, all)
    if (status !== 200) throw new Error(JSON.stringify(body))
    return `/consumers/${group}/instances/${body.instance_id}`
  }

  /** Reads until there are so many records. */
  async read(consumer: string, format: string, count: number): Promise<readonly Record<string, unknown>[]> {
    const records: Record<string, unknown>[] = []
    while (records.length < count) {
      const { status, body } = await this.get(`${consumer}/records?timeout=5000`, { accept: typeOf(format) })
      if (status !== 200) throw new Error(JSON.stringify(body))
      records.push(...body)
    }
    return records
  }
}
