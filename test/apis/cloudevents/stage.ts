import { request } from 'node:http'
import fastify, { type FastifyInstance } from 'fastify'
import { cloudevents } from '../../../src/apis/cloudevents/api.js'
import type { ProduceRecord, RecordHeader } from '../../../src/core/model.js'
import type { ApiContext } from '../../../src/http/api/api.js'
import type { PendingProduce, ProduceOptions } from '../../../src/verbs/verbs.js'
import { contextFor } from '../../support/api-context.js'
import { FakeVerbs } from '../../support/fake-verbs.js'

/** A record as Kafka would have it; header values as text. */
export interface Written {
  readonly topic: string
  readonly key: string | null
  readonly value: string | null
  readonly headers: readonly [key: string, value: string | null][]
}

const textOf = (bytes: Buffer | string | null): string | null =>
  typeof bytes === 'string' ? bytes : (bytes?.toString() ?? null)
const pairOf = ({ key, value }: RecordHeader): [string, string | null] => [key, textOf(value)]

/** Keeps the records with their headers. */
export class EventVerbs extends FakeVerbs {
  readonly written: Written[] = []

  override produce(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce {
    for (const { topic, key, value, headers = [] } of records) {
      this.written.push({ topic, key: textOf(key), value: textOf(value), headers: headers.map(pairOf) })
    }
    return super.produce(records, options)
  }
}

export interface EventAnswer {
  readonly status: number
  readonly headers: Readonly<Record<string, string | string[] | undefined>>
  readonly body: string
}

/** The headers of a request: an object, or names and values in turn, which may repeat. */
export type Headers = Readonly<Record<string, string>> | readonly string[]

/** One request; headers leave as they are given. */
export const ask = (url: string, method: string, headers: Headers, body?: string | Buffer): Promise<EventAnswer> =>
  new Promise((resolve, reject) => {
    const pairs = Array.isArray(headers) ? headers : Object.entries(headers).flat()
    // Node adds these only where headers are an object.
    const length = body === undefined ? [] : ['content-length', String(Buffer.byteLength(body))]
    const all = ['host', new URL(url).host, ...length, ...pairs]
    const sent = request(url, { method, headers: all as never, agent: false }, response => {
      const chunks: Buffer[] = []
      response.on('data', (chunk: Buffer) => chunks.push(chunk))
      response.on('end', () => {
        const { statusCode = 0, headers } = response
        resolve({ status: statusCode, headers, body: Buffer.concat(chunks).toString() })
      })
    })
    sent.on('error', reject)
    sent.end(body)
  })

/** The API over a gateway that the test plays. */
export class EventsPlay {
  readonly verbs: EventVerbs
  readonly url: string
  readonly #app: FastifyInstance

  private constructor(verbs: EventVerbs, url: string, app: FastifyInstance) {
    this.verbs = verbs
    this.url = url
    this.#app = app
  }

  static async open(
    verbs = new EventVerbs(),
    settings: object = {},
    overrides: Partial<ApiContext<never>> = {}
  ): Promise<EventsPlay> {
    const plugin = await cloudevents.plugin(
      contextFor(verbs, cloudevents.settings.parse(settings), overrides as object)
    )
    const { maxBodyBytes: bodyLimit = 1_048_576 } = settings as { maxBodyBytes?: number }
    const app = fastify({ logger: false, forceCloseConnections: true, genReqId: () => 'made-up', bodyLimit })
    await app.register(async scope => plugin(scope), { prefix: cloudevents.prefix })
    return new EventsPlay(verbs, `${await app.listen({ host: '127.0.0.1', port: 0 })}/events`, app)
  }

  close(): Promise<void> {
    return this.#app.close()
  }

  post(headers: Headers, body?: string | Buffer, path = '/orders'): Promise<EventAnswer> {
    return ask(this.url + path, 'POST', headers, body)
  }

  /** One event in structured mode. */
  structured(event: object | string, type = 'application/cloudevents+json', path = '/orders'): Promise<EventAnswer> {
    const body = typeof event === 'string' ? event : JSON.stringify(event)
    return this.post({ 'content-type': type }, body, path)
  }

  batch(events: readonly object[] | string, path = '/orders'): Promise<EventAnswer> {
    const body = typeof events === 'string' ? events : JSON.stringify(events)
    return this.post({ 'content-type': 'application/cloudevents-batch+json' }, body, path)
  }
}

/** The attributes without which there is no event, as headers and as members. */
export const REQUIRED = { 'ce-specversion': '1.0', 'ce-id': '7', 'ce-source': '/shop', 'ce-type': 'order' }
export const EVENT = { specversion: '1.0', id: '7', source: '/shop', type: 'order' }

/** The lines of a problem document about single events. */
export const linesOf = ({ body }: EventAnswer): string[] =>
  (JSON.parse(body) as { errors: { event?: number; message: string }[] }).errors.map(({ event, message }) =>
    event === undefined ? message : `${event}: ${message}`
  )
