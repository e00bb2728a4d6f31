import type { Form, ShapeName } from './shapes.js'

/** A route with one type of body. */
export interface Route {
  /** The method and the path as in the served document. */
  readonly name: string
  readonly type: string
  readonly headers?: Readonly<Record<string, string>>
  readonly form: Form
  /** Tells apart what one route is sent. */
  readonly label?: string
  readonly query?: string
  /** Bodies are taken as they are sent, whatever their coding. */
  readonly isPlain?: true
  /** In place of the common parts of paths. */
  readonly parts?: Readonly<Record<string, string>>
  /** The most that the first case has: above it there is nothing new. */
  readonly maxBytes?: number
  /** The shape that held the loop longest so far. */
  readonly worst: ShapeName
}

/** A step that docs/security.md names may take this long. */
export interface KnownStep {
  readonly name: string
  /** Of the name of a case up to its shape. */
  readonly route: RegExp
  readonly shape: RegExp
  readonly maxMs: number
}

/** The most of a body that an operation reads which has no records. */
const OPERATION_BYTES = 255 * 1024

const JSON_TYPE = 'application/json'
const LINES = 'application/x-ndjson'
const V2 = 'application/vnd.kafka.v2+json'
const BINARY_RECORDS = 'application/vnd.kafka.binary.v2+json'
const JSON_RECORDS = 'application/vnd.kafka.json.v2+json'

const list = (name: string, record: (value: string) => string, shortest = record('1')): Form => ({
  open: `{"${name}":[`,
  close: ']}',
  separator: ',',
  shortest,
  record
})
const records = list('records', value => `{"value":${value}}`, '{}')
const strimziRecords = list('records', value => `{"value":${value}}`, '{"value":{}}')
const text = (record = (value: string) => value): Form => ({
  open: '',
  close: '',
  separator: ' ',
  shortest: record('{}'),
  record
})
const pushedRecord = (value: string): string => `{"topic":"few","data":${value}}`
const pushed = list('records', pushedRecord, pushedRecord('""'))
const event = (value: string): string => `{"specversion":"1.0","id":"1","source":"s","type":"t","data":${value}}`
const v3Record = (value: string): string => `{"value":{"type":"JSON","data":${value}}}`

const post = (path: string, type: string, form: Form, worst: ShapeName): Route => ({
  name: `POST ${path}`,
  type,
  form,
  worst
})

const v2 = '/confluent/topics/{topic}'
const v3 = '/confluent/v3/clusters/{cluster_id}'

const producing: readonly Route[] = [
  post('/kprf/push', JSON_TYPE, pushed, 'many'),
  post('/kprf/push', LINES, { ...text(pushedRecord), separator: '\n', shortest: pushedRecord('""') }, 'many'),
  ...['sync', 'async', 'batch/sync', 'batch/async'].map(how =>
    post(`/kafboy/${how}/{topic}`, JSON_TYPE, text(), how.startsWith('batch') ? 'many' : 'escaped')
  ),
  ...['sync', 'async'].flatMap(how =>
    ['', '/{key}'].map(key => post(`/arion/${how}/{topic}${key}`, 'application/octet-stream', text(), 'long text'))
  ),
  ...['', '/clusters/{cluster}'].flatMap(cluster =>
    ['text/plain', JSON_TYPE].map(type => post(`/pixy${cluster}/topics/{topic}/messages`, type, text(), 'long text'))
  ),
  ...[v2, `${v2}/partitions/{partition}`].flatMap(path => [
    post(path, BINARY_RECORDS, records, 'long text'),
    post(path, JSON_RECORDS, records, 'many')
  ]),
  ...[JSON_TYPE, LINES].map(type =>
    post(`${v3}/topics/{topic_name}/records`, type, { ...text(v3Record), shortest: '{}' }, 'many')
  ),
  post(
    `${v3}/topics/{topic_name}/records:batch`,
    JSON_TYPE,
    list('entries', value => `{"id":"1","value":{"type":"JSON","data":${value}}}`, '{"id":"1"}'),
    'many'
  ),
  ...['/strimzi/topics/{topicname}', '/strimzi/topics/{topicname}/partitions/{partitionid}'].map(path =>
    post(path, JSON_RECORDS, strimziRecords, 'many')
  ),
  post('/events/{topic}', 'application/cloudevents+json', text(event), 'lists'),
  post(
    '/events/{topic}',
    'application/cloudevents-batch+json',
    {
      open: '[',
      close: ']',
      separator: ',',
      shortest: '{"specversion":"1.0","id":"1","source":"s","type":"t"}',
      record: event
    },
    'many'
  )
]

const partition = (value: string): string => `{"topic":"few","partition":${value}}`
const offset = (value: string): string => `{"topic":"few","partition":0,"offset":${value}}`
const config = (value: string): string => `{"name":"retention.ms","value":${value}}`
const ofTopic = (value: string): string => `{"topic_name":"few","name":"retention.ms","value":${value}}`
const partitions = list('partitions', partition, partition('0'))
const offsets = list('offsets', offset)
const configs = list('data', config, config('"1"'))

/** Operations on a consumer instance, which two APIs have with other names of the parts. */
function ofInstances(group: string, instance: string): readonly Route[] {
  const one = `${group}/instances/${instance}`
  const subscribing = { parts: { group: 'subscribing', groupid: 'strimzi-subscribing' } }
  return [
    post(
      group,
      V2,
      text(value => `{"name":"few","format":${value}}`),
      'escaped'
    ),
    {
      ...post(
        `${one}/subscription`,
        V2,
        list('topics', value => value, '"few"'),
        'many'
      ),
      ...subscribing
    },
    {
      ...post(
        `${one}/subscription`,
        V2,
        text(value => `{"topic_pattern":${value}}`),
        'escaped'
      ),
      ...subscribing
    },
    post(`${one}/assignments`, V2, partitions, 'many'),
    post(`${one}/positions`, V2, offsets, 'many'),
    post(`${one}/positions/beginning`, V2, partitions, 'many'),
    post(`${one}/positions/end`, V2, partitions, 'many'),
    post(`${one}/offsets`, V2, offsets, 'many')
  ]
}

const operations: readonly Route[] = [
  post('/kafboy/echo_post', JSON_TYPE, text(), 'wide'),
  post('/kafboy/disco', JSON_TYPE, text(), 'wide'),
  ...['', '/clusters/{cluster}'].map(cluster => ({
    query: '?group=few',
    isPlain: true as const,
    ...post(
      `/pixy${cluster}/topics/{topic}/offsets`,
      JSON_TYPE,
      {
        open: '[',
        close: ']',
        separator: ',',
        shortest: '{"partition":0,"offset":0}',
        record: value => `{"partition":0,"offset":0,"metadata":${value}}`
      },
      'many'
    )
  })),
  ...ofInstances('/confluent/consumers/{group}', '{instance}'),
  ...ofInstances('/strimzi/consumers/{groupid}', '{name}'),
  ...['topics/{topic_name}/configs', 'brokers/{broker_id}/configs', 'broker-configs'].map(
    (of): Route => ({
      name: `PUT ${v3}/${of}/{name}`,
      type: JSON_TYPE,
      form: text(value => `{"value":${value}}`),
      parts: { name: 'retention.ms' },
      worst: 'escaped'
    })
  ),
  ...['topics/{topic_name}/configs', 'brokers/{broker_id}/configs', 'broker-configs'].map(of =>
    post(`${v3}/${of}:alter`, JSON_TYPE, configs, 'many')
  ),
  post(`${v3}/topics/-/configs:alter`, JSON_TYPE, list('data', ofTopic, ofTopic('"1"')), 'many'),
  post(`${v3}/topics`, JSON_TYPE, { ...configs, open: '{"topic_name":"few-made","configs":[' }, 'many'),
  {
    name: `PATCH ${v3}/topics/{topic_name}`,
    type: JSON_TYPE,
    form: text(value => `{"partitions_count":${value}}`),
    worst: 'number of 1 MB' as const
  },
  post(
    '/strimzi/admin/topics',
    JSON_RECORDS,
    text(value => `{"topic_name":${value}}`),
    'escaped'
  ),
  post(
    '/webhooks/{name}/skip',
    JSON_TYPE,
    text(value => `{"partition":0,"offset":${value}}`),
    'escaped'
  ),
  ...['', '/clusters/{cluster}'].flatMap((cluster): Route[] => {
    const queue = `/queues${cluster}/{topic}/{group}`
    const dead = text(value => `{"deadLetters":${value}}`)
    return [
      post(
        `${queue}/acquire`,
        JSON_TYPE,
        text(value => `{"waitMs":0,"start":${value}}`),
        'escaped'
      ),
      post(
        `${queue}/settle`,
        JSON_TYPE,
        list('accept', value => value, '""'),
        'many'
      ),
      post(
        `${queue}/reset`,
        JSON_TYPE,
        text(value => `{"to":${value},"dryRun":true}`),
        'escaped'
      ),
      { name: `PATCH ${queue}`, type: JSON_TYPE, form: dead, worst: 'escaped' }
    ]
  })
].map(route => ({ ...route, maxBytes: OPERATION_BYTES }))

/** Every route whose bodies are read, with each of their types in the served document. */
export const routes: readonly Route[] = [...producing, ...operations]

export const knownSteps: readonly KnownStep[] = [
  { name: 'the durable log takes a record', route: /\/arion\/async/, shape: /./, maxMs: 71 },
  {
    name: 'one record of 15 MiB in a stream of version 3',
    route: /\/v3\/.*\/records application\/(?:json|x-ndjson)$/,
    shape: /^(?!many)/,
    maxMs: 800
  },
  { name: 'many records with schemas in a stream of version 3', route: /\/v3\/.*\/records/, shape: /./, maxMs: 200 },
  { name: 'base64 of 15 MiB', route: /kafka\.binary/, shape: /long text/, maxMs: 60 },
  { name: 'the line of an error after 15 MiB of line breaks', route: /./, shape: /lines/, maxMs: 60 }
]
