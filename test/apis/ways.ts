import { arion } from '../../src/apis/arion/api.js'
import { cloudevents } from '../../src/apis/cloudevents/api.js'
import { confluent } from '../../src/apis/confluent/api.js'
import { kafboy } from '../../src/apis/kafboy/api.js'
import { kafkaPixy } from '../../src/apis/kafka-pixy/api.js'
import { kprf } from '../../src/apis/kprf/api.js'
import { strimzi } from '../../src/apis/strimzi/api.js'
import type { HttpApi } from '../../src/http/api/api.js'

const JSON_TYPE = 'application/json'
const V2_TYPE = 'application/vnd.kafka.json.v2+json'
/** The largest body, or record, of each way. */
export const LIMIT = 1_000
/** A record that is too large. */
export const large = 'x'.repeat(2 * LIMIT)

/** How an API is asked to produce one record. */
export interface Way {
  readonly api: HttpApi
  readonly what: string
  readonly url: string
  readonly type: string
  readonly body: (value: string) => string
  readonly settings?: object
  readonly headers?: Readonly<Record<string, string>>
  /** A body that cannot be read. `undefined`: every body can be. */
  readonly broken: string | undefined
}

const wayOf = (api: unknown, what: string, url: string, rest: Omit<Way, 'api' | 'what' | 'url'>): Way => ({
  api: api as HttpApi,
  what,
  url,
  ...rest
})
const push = (wait_for_send: boolean) => (data: string) =>
  JSON.stringify({ records: [{ topic: 't', data }], wait_for_send })
const list = (value: string): string => JSON.stringify({ records: [{ value }] })
const typed = (data: string): object => ({ value: { type: 'STRING', data } })
const event = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/a', 'ce-type': 'b' }
const json = { type: JSON_TYPE, broken: '{' }
const v2 = { type: V2_TYPE, body: list, broken: '{' }
const raw = { type: 'text/plain', body: (value: string) => value, broken: undefined }
const message = { ...raw, settings: { maxMessageBytes: LIMIT } }

/** All ways to produce a record over HTTP. */
export const ways: readonly Way[] = [
  wayOf(kprf, 'sync', '/push', { ...json, body: push(true), settings: { messageMaxBytes: LIMIT } }),
  wayOf(kprf, 'async', '/push', { ...json, body: push(false), settings: { messageMaxBytes: LIMIT } }),
  wayOf(kafboy, 'sync', '/sync/t', { ...json, body: value => JSON.stringify({ value }), broken: undefined }),
  wayOf(kafboy, 'async', '/async/t', { ...json, body: value => JSON.stringify({ value }), broken: undefined }),
  wayOf(arion, 'sync', '/sync/t', { ...message, settings: { ...message.settings, durability: 'memory' } }),
  wayOf(arion, 'async', '/async/t', { ...message, settings: { ...message.settings, durability: 'memory' } }),
  wayOf(kafkaPixy, 'sync', '/topics/t/messages?sync', message),
  wayOf(kafkaPixy, 'sync, within the limit of bodies', '/topics/t/messages?sync', {
    ...raw,
    settings: { maxMessageBytes: LIMIT, maxBodyBytes: 4 * LIMIT }
  }),
  wayOf(kafkaPixy, 'async', '/topics/t/messages', message),
  wayOf(confluent, 'v2', '/topics/t', v2),
  wayOf(confluent, 'v3', '/v3/clusters/c/topics/t/records', { ...json, body: value => JSON.stringify(typed(value)) }),
  wayOf(confluent, 'v3 batch', '/v3/clusters/c/topics/t/records:batch', {
    ...json,
    body: value => JSON.stringify({ entries: [{ id: '1', ...typed(value) }] })
  }),
  wayOf(strimzi, 'sync', '/topics/t', v2),
  wayOf(strimzi, 'async', '/topics/t?async=true', v2),
  wayOf(cloudevents, 'sync', '/t', { ...raw, headers: event }),
  wayOf(cloudevents, 'async', '/t?async=true', { ...raw, headers: event })
]
