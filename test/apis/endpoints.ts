import { apis } from '../../src/apis/apis.js'
import type { ApiSettings, HttpApi } from '../../src/http/api/api.js'
import type { Operation } from '../../src/http/openapi/operation.js'

/** An operation of an API, by the name of both: `queues acquire`. */
export interface Endpoint {
  readonly name: string
  readonly api: HttpApi
  readonly operation: Operation
}

/** All endpoints of all APIs, with the default settings. */
export const endpoints: readonly Endpoint[] = apis.flatMap(listed => {
  const api = listed as HttpApi
  return api
    .operations(api.settings.parse({}) as ApiSettings)
    .map(operation => ({ name: `${api.name} ${operation.id}`, api, operation }))
})

const NUMBER = /partition|broker/i

/** The name of an endpoint that is served for the default cluster alone, and below the path of each cluster. */
export const withoutCluster = (name: string): string => name.replace(/OfCluster$/, '')

/** A path that the operation answers, below the prefix of its API: parameters are `t`, numbers 0. */
export const pathOf = ({ api: { prefix }, operation: { path } }: Endpoint): string =>
  prefix +
  path.replace(/\{(\w+)\}/g, (_, name: string) => (NUMBER.test(name) ? '0' : name === 'cluster' ? 'default' : 't'))

/** What a request needs besides its path, to be served. */
export interface Sent {
  readonly query?: string
  readonly headers?: Readonly<Record<string, string>>
  readonly body?: string
}

const V2 = 'application/vnd.kafka.v2+json'
const JSON_TYPE = 'application/json'
const jsonBody = (json: object, type = JSON_TYPE): Sent => ({
  headers: { 'content-type': type },
  body: JSON.stringify(json)
})
const pairs = jsonBody({ partitions: [{ topic: 't', partition: 0 }] }, V2)
const offsets = jsonBody({ offsets: [{ topic: 't', partition: 0, offset: 7 }] }, V2)
const records = (type: string): Sent => jsonBody({ records: [{ value: 'YQ==' }] }, type)
const value = { type: 'STRING', data: 'a' }
const setting = { name: 'retention.ms', value: '1' }
const changes = jsonBody({ data: [setting] })
const event = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/a', 'ce-type': 'b' }
const group: Sent = { query: '?group=g' }

/** By endpoint. Absent: nothing. */
const sent: Readonly<Record<string, Sent>> = {
  'kprf push': jsonBody({ records: [{ topic: 't', data: 'a' }], wait_for_send: true }),
  'kafka-pixy produceMessage': { query: '?sync', headers: { 'content-type': 'text/plain' }, body: 'a' },
  'kafka-pixy consumeMessage': group,
  'kafka-pixy ackMessage': { query: '?group=g&partition=0&offset=0' },
  'kafka-pixy readOffsets': group,
  'kafka-pixy writeOffsets': { ...group, body: '[{"partition":0,"offset":7}]' },
  'kafka-pixy readConsumers': group,
  'confluent produce': records('application/vnd.kafka.binary.v2+json'),
  'confluent produceToPartition': records('application/vnd.kafka.binary.v2+json'),
  'confluent produceRecords': jsonBody({ value }),
  'confluent produceBatch': jsonBody({ entries: [{ id: '1', value }] }),
  'confluent createInstance': jsonBody({}, V2),
  'confluent subscribe': jsonBody({ topics: ['t'] }, V2),
  'confluent assignPartitions': pairs,
  'confluent seekPositions': offsets,
  'confluent seekBeginning': pairs,
  'confluent seekEnd': pairs,
  'confluent commitOffsets': offsets,
  'confluent getCommitted': { query: '?topic=t&partition=0' },
  'confluent createTopic': jsonBody({ topic_name: 't' }),
  'confluent growTopic': jsonBody({ partitions_count: 2 }),
  'confluent alterAllTopicConfigs': jsonBody({ data: [{ topic_name: 't', configs: [setting] }] }),
  'strimzi send': records('application/vnd.kafka.binary.v2+json'),
  'strimzi sendToPartition': records('application/vnd.kafka.binary.v2+json'),
  'strimzi createTopic': jsonBody({ topic_name: 't' }, 'application/vnd.kafka.json.v2+json'),
  'strimzi createConsumer': jsonBody({}, V2),
  'strimzi subscribe': jsonBody({ topics: ['t'] }, V2),
  'strimzi assign': pairs,
  'strimzi seek': offsets,
  'strimzi seekToBeginning': pairs,
  'strimzi seekToEnd': pairs,
  'strimzi commit': offsets,
  'cloudevents produce': { headers: { ...event, 'content-type': 'text/plain' }, body: 'a' },
  'cloudevents consume': group,
  'cloudevents acknowledge': { query: '?group=g&offsets=0:7' },
  'queues acquire': jsonBody({ waitMs: 0, start: 'latest' }),
  'queues settle': jsonBody({ accept: ['t'] }),
  'queues reset': jsonBody({ to: 'latest' }),
  'queues configure': jsonBody({ deadLetters: 'letters' }),
  'mcp message': {
    ...jsonBody({ jsonrpc: '2.0', id: 1, method: 'tools/list' }),
    headers: { 'content-type': JSON_TYPE, accept: 'application/json, text/event-stream' }
  }
}

const CONFIGS = ['Topic', 'Broker', 'Cluster']
const ofConfigs = Object.fromEntries(
  CONFIGS.flatMap(of => [
    [`confluent set${of}Config`, jsonBody({ value: '1' })],
    [`confluent alter${of}Configs`, changes]
  ])
)

/** What has to be sent to an endpoint, so that it is served. */
export const sentTo = ({ name, operation: { produces } }: Endpoint): Sent => {
  const own = withoutCluster(name)
  return sent[own] ?? ofConfigs[own] ?? (produces === true ? { body: 'a' } : {})
}
