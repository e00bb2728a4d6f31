import { request } from 'node:http'
import { Kafka, logLevel } from 'kafkajs'
import { cloudeventsOperations } from '../../../src/apis/cloudevents/routes.js'
import type { Logger } from '../../../src/core/model.js'
import { ask, type EventAnswer, type Headers } from '../../apis/cloudevents/stage.js'
import { ApiStage } from '../../support/api-stage.js'
import { DescribedAnswers } from '../../support/described-answers.js'

/** A record as kafkajs reads it: a client that nobody here wrote. */
export interface ReadRecord {
  readonly key: Buffer | null
  readonly value: Buffer | null
  /** A key that repeats has a list. */
  readonly headers: Readonly<Record<string, string | string[]>>
}

const problems = { type: 'object', required: ['status', 'title'] }
const described = new DescribedAnswers('cloudevents', cloudeventsOperations, [], problems)

/** The API for CloudEvents on its own port, over the embedded broker or real Kafka. Answers are compared with their description. */
export class EventsStage extends ApiStage {
  /** The id of the Kafka cluster. */
  clusterId = ''

  static async open(settings: Readonly<Record<string, string>> = {}, log?: Logger): Promise<EventsStage> {
    const stage = new EventsStage(await ApiStage.opened('cloudevents', settings, log), 'cloudevents')
    const { body } = await ask(`${stage.app.urls.shared}/confluent/v3/clusters`, 'GET', {})
    stage.clusterId = (JSON.parse(body) as { data: { cluster_id: string }[] }).data[0]!.cluster_id
    return stage
  }

  async ask(method: string, path: string, headers: Headers, body?: string | Buffer): Promise<EventAnswer> {
    const answer = await ask(this.url + path, method, headers, body)
    const type = answer.headers['content-type'] as string | undefined
    if (type === undefined || /cloudevents|problem/.test(type)) {
      const persisted = answer.headers['x-castellan-persisted'] as string | undefined
      described.check({ method, path, status: answer.status, type, persisted, body: answer.body })
    }
    return answer
  }

  /** Produces one event in structured mode. */
  structured(topic: string, event: object | string): Promise<EventAnswer> {
    const body = typeof event === 'string' ? event : JSON.stringify(event)
    return this.ask('POST', `/${topic}`, { 'content-type': 'application/cloudevents+json' }, body)
  }

  /** Produces records that are no events, by another API. */
  async plain(topic: string, values: readonly string[]): Promise<void> {
    for (const value of values) {
      const answer = await ask(`${this.app.urls.shared}/arion/sync/${topic}`, 'POST', {}, value)
      if (answer.status !== 201) throw new Error(answer.body)
    }
  }

  /** The first server-sent events of a tail, without those that only name a place. */
  events(path: string, count: number, headers: Readonly<Record<string, string>> = {}): Promise<readonly SentEvent[]> {
    return new Promise((resolve, reject) => {
      const sent = request(this.url + path, { headers, agent: false }, response => {
        let text = ''
        response.on('data', (chunk: Buffer) => {
          text += chunk.toString()
          const events = eventsIn(text.slice(0, text.lastIndexOf('\n\n') + 2))
          if (events.length < count) return
          resolve(events.slice(0, count))
          sent.destroy()
        })
        response.on('end', () => reject(new Error(`the tail has ended: ${text}`)))
      })
      sent.on('error', reject)
      sent.end()
    })
  }

  /** The first records of a topic with one partition. */
  async read(topic: string, count: number): Promise<readonly ReadRecord[]> {
    const kafka = new Kafka({ brokers: this.cluster.bootstrap.split(','), logLevel: logLevel.NOTHING })
    const consumer = kafka.consumer({ groupId: this.group(), maxWaitTimeInMs: 50 })
    await consumer.connect()
    try {
      const records: ReadRecord[] = []
      await consumer.subscribe({ topic, fromBeginning: true })
      await new Promise<void>((resolve, reject) => {
        consumer.on(consumer.events.CRASH, ({ payload }) => reject(payload.error))
        const run = consumer.run({
          eachMessage: async ({ message: { key, value, headers = {} } }) => {
            const texts = Object.entries(headers).map(([name, all]) => [name, textOf(all)])
            if (records.push({ key, value, headers: Object.fromEntries(texts) }) === count) resolve()
          }
        })
        run.catch(reject)
      })
      return records
    } finally {
      await consumer.disconnect()
    }
  }
}

/** A server-sent event. */
export interface SentEvent {
  readonly type: string
  readonly id: string | undefined
  readonly data: string
}

/** Reads whole events as browsers do. */
function eventsIn(text: string): SentEvent[] {
  return text.split('\n\n').flatMap(block => {
    const fields = block.split('\n').map(line => /^(\w+): ?(.*)$/.exec(line))
    const of = (name: string): string[] => fields.flatMap(field => (field?.[1] === name ? [field[2]!] : []))
    const data = of('data')
    return data.length === 0 ? [] : [{ type: of('event')[0] ?? 'message', id: of('id')[0], data: data.join('\n') }]
  })
}

type HeaderValue = Buffer | string | (Buffer | string)[] | undefined
const textOf = (value: HeaderValue): string | string[] => (Array.isArray(value) ? value.map(String) : String(value))
