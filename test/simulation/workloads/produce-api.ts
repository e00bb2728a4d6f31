import { requestText } from './http-connection.js'

/** A record as a client of an HTTP API sends it. */
export interface ClientRecord {
  readonly topic: string
  readonly key: string
  readonly data: string
}

/** How an HTTP API is asked to produce. */
export interface ProduceApi {
  /** Whether a request may have several records, also of several topics. */
  readonly takes: 'one' | 'several' | 'severalOfOneTopic'
  /** @param waits the answer comes when Kafka has answered */
  requestOf(records: readonly ClientRecord[], waits: boolean): string
}

export const kprfApi: ProduceApi = {
  takes: 'several',
  requestOf: (records, waits) =>
    requestText('POST', '/kprf/push', JSON.stringify({ records, wait_for_send: waits }), 'application/json')
}

export const arionApi: ProduceApi = {
  takes: 'one',
  requestOf: ([record], waits) => {
    const { topic, key, data } = record!
    return requestText('POST', `/arion/${waits ? 'sync' : 'async'}/${topic}/${key}`, data, 'text/plain')
  }
}

/** Each field of a form is a record, as with the setting `payload: fields`. */
export const kafboyApi = (asyncPath: '/async' | '/batch/async'): ProduceApi => ({
  takes: 'severalOfOneTopic',
  requestOf: (records, waits) => {
    const form = records.map(({ key, data }) => `${key}=${encodeURIComponent(data)}`).join('&')
    const path = `/kafboy${waits ? '/sync' : asyncPath}/${records[0]!.topic}`
    return requestText('POST', path, form, 'application/x-www-form-urlencoded')
  }
})

export const pixyApi: ProduceApi = {
  takes: 'one',
  requestOf: ([record], waits) => {
    const { topic, key, data } = record!
    const path = `/pixy/topics/${topic}/messages?key=${encodeURIComponent(key)}${waits ? '&sync' : ''}`
    return requestText('POST', path, data, 'text/plain')
  }
}
