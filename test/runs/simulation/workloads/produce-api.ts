import { requestText } from './http-connection.js'

/** A record as a client of an HTTP API sends it. */
export interface ClientRecord {
  readonly topic: string
  readonly key: string
  /** A character for each byte. */
  readonly data: string
}

/** What the body of an answer says of one record. */
export interface ToldRecord {
  readonly isInKafka: boolean
  readonly partition?: number
  readonly offset?: number
}

/** How an HTTP API is asked to produce. */
export interface ProduceApi {
  /** Whether a request may have several records, also of several topics. */
  readonly takes: 'one' | 'several' | 'severalOfOneTopic'
  /** What it carries are characters in UTF-8, not bytes of any kind. */
  readonly carriesText: boolean
  /** A connection on which nothing was sent for so long is closed, also while a request waits. Absent: it is not. */
  readonly silenceLimitMs?: number
  /** @param waits the answer comes when Kafka has answered */
  requestOf(records: readonly ClientRecord[], waits: boolean): string
  /** What the answer to a request that waits says of each of so many records, beside its headers. */
  toldIn(status: number, body: string, records: number): readonly ToldRecord[]
}

const OK = 200
const CREATED = 201
const inKafka: ToldRecord = { isInKafka: true }
const notInKafka: ToldRecord = { isInKafka: false }

const decoded = (bytes: string): string => Buffer.from(bytes, 'latin1').toString()
const encoded = (text: string): string => Buffer.from(text).toString('latin1')

/** Of an API that names the place of its one record. */
function placeIn(status: number, body: string): readonly ToldRecord[] {
  if (status !== OK && status !== CREATED) return [notInKafka]
  const { partition, offset } = JSON.parse(body) as { partition: number; offset: number }
  return [{ isInKafka: true, partition, offset }]
}

export const kprfApi: ProduceApi = {
  takes: 'several',
  carriesText: true,
  requestOf(records, waits) {
    const texts = records.map(({ topic, key, data }) => ({ topic, key, data: decoded(data) }))
    const body = JSON.stringify({ records: texts, wait_for_send: waits })
    return requestText('POST', '/kprf/push', encoded(body), 'application/json')
  },
  toldIn(status, body, records) {
    if (status === OK) return new Array<ToldRecord>(records).fill(inKafka)
    const { errors } = JSON.parse(body) as { errors: readonly { error: boolean }[] }
    // Of a request that is refused as a whole, one error is told.
    if (errors.length < records) return new Array<ToldRecord>(records).fill(notInKafka)
    return errors.map(({ error }) => (error ? notInKafka : inKafka))
  }
}

/** Its silence is looked at in intervals. */
const ARION_SILENCE_MS = 15_000 * 0.9

export const arionApi: ProduceApi = {
  silenceLimitMs: ARION_SILENCE_MS,
  takes: 'one',
  carriesText: false,
  requestOf: ([record], waits) => {
    const { topic, key, data } = record!
    return requestText('POST', `/arion/${waits ? 'sync' : 'async'}/${topic}/${key}`, data, 'text/plain')
  },
  toldIn: placeIn
}

/** Each field of a form is a record, as with the setting `payload: fields`. */
export const kafboyApi = (asyncPath: '/async' | '/batch/async'): ProduceApi => ({
  takes: 'severalOfOneTopic',
  carriesText: true,
  requestOf: (records, waits) => {
    const form = records.map(({ key, data }) => `${key}=${encodeURIComponent(decoded(data))}`).join('&')
    const path = `/kafboy${waits ? '/sync' : asyncPath}/${records[0]!.topic}`
    return requestText('POST', path, form, 'application/x-www-form-urlencoded')
  },
  toldIn(_status, body, records) {
    const told = JSON.parse(body) as readonly { ok?: boolean }[] | { error: string }
    if (!Array.isArray(told)) return new Array<ToldRecord>(records).fill(notInKafka)
    const failed = told.filter(({ ok }) => ok !== true)
    // Where all is well, one word or none stands for all.
    if (failed.length === 0) return new Array<ToldRecord>(records).fill(inKafka)
    return told.map(({ ok }) => (ok === true ? inKafka : notInKafka))
  }
})

export const pixyApi: ProduceApi = {
  takes: 'one',
  carriesText: false,
  requestOf: ([record], waits) => {
    const { topic, key, data } = record!
    const path = `/pixy/topics/${topic}/messages?key=${encodeURIComponent(key)}${waits ? '&sync' : ''}`
    return requestText('POST', path, data, 'text/plain')
  },
  toldIn: placeIn
}
