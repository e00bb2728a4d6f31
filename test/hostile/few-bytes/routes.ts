import type { Form, ShapeName } from './shapes.js'

/** A route with one type of body. */
export interface Route {
  /** The method and the path as in the served document. */
  readonly name: string
  readonly type: string
  readonly headers?: Readonly<Record<string, string>>
  readonly form: Form
  /** The shape that held the loop longest so far. */
  readonly worst: ShapeName
}

/** A step that docs/security.md names may take this long. */
export interface KnownStep {
  readonly name: string
  readonly route: RegExp
  readonly shape: RegExp
  readonly maxMs: number
}

const JSON_TYPE = 'application/json'
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
const text = (record = (value: string) => value): Form => ({
  open: '',
  close: '',
  separator: ' ',
  shortest: record('{}'),
  record
})
const pushed = list('records', value => `{"topic":"few","data":${value}}`, '{"topic":"few","data":""}')
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
  post(`${v3}/topics/{topic_name}/records`, JSON_TYPE, { ...text(v3Record), shortest: '{}' }, 'many'),
  post(
    `${v3}/topics/{topic_name}/records:batch`,
    JSON_TYPE,
    list('entries', value => `{"id":"1","value":{"type":"JSON","data":${value}}}`, '{"id":"1"}'),
    'many'
  ),
  ...['/strimzi/topics/{topicname}', '/strimzi/topics/{topicname}/partitions/{partitionid}'].map(path =>
    post(path, JSON_RECORDS, records, 'many')
  ),
  post('/events/{topic}', 'application/cloudevents+json', text(event), 'deep'),
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

/** Every route whose bodies are read, with each of their types in the served document. */
export const routes: readonly Route[] = [...producing]

export const knownSteps: readonly KnownStep[] = [
  { name: 'the durable log takes a record', route: /\/arion\/async/, shape: /./, maxMs: 71 },
  {
    name: 'one record of 15 MiB in a stream of version 3',
    route: /\/v3\/.*\/records /,
    shape: /./,
    maxMs: 800
  },
  { name: 'base64 of 15 MiB', route: /kafka\.binary/, shape: /long text/, maxMs: 60 },
  { name: 'the line of an error after 15 MiB of line breaks', route: /./, shape: /lines/, maxMs: 60 }
]
