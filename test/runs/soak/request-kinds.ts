import { brotliCompressSync, gzipSync } from 'node:zlib'

/** One request. */
export interface Asked {
  readonly method: string
  readonly path: string
  readonly headers: Readonly<Record<string, string>>
  readonly body: string | Buffer
}

/** A kind of request, with what has to come before and after it. `nth`: no other request of the kind has it. */
export interface Kind {
  readonly name: string
  before?(nth: number): readonly Asked[]
  ask(nth: number): Asked
  after?(nth: number): readonly Asked[]
  /** Begins the answer. Default: 2. */
  readonly status?: RegExp
}

/** Has records. `empty` has none. */
export const FULL = 'full'
export const EMPTY = 'empty'
const WRITTEN = 'written'
export const topics = [FULL, EMPTY, WRITTEN]

const JSON_TYPE = 'application/json'
const V2 = 'application/vnd.kafka.v2+json'
const JSON_RECORDS = 'application/vnd.kafka.json.v2+json'
const value = 'x'.repeat(2_000)

const get = (path: string, headers: Asked['headers'] = {}): Asked => ({ method: 'GET', path, headers, body: '' })
const post = (path: string, type: string, body: unknown, headers: Asked['headers'] = {}): Asked => ({
  method: 'POST',
  path,
  headers: { 'content-type': type, ...headers },
  body: typeof body === 'string' || Buffer.isBuffer(body) ? body : JSON.stringify(body)
})
const simple = (name: string, asked: Asked): Kind => ({ name, ask: () => asked })
/** Takes a record that is written before; others may take it. */
const consuming = (name: string, path: string): Kind => ({
  ...simple(name, get(path)),
  before: () => [push(true)],
  status: /^(?:2|408)/
})
const coded = (coding: string, encode: (body: string) => Buffer, { body, ...asked }: Asked): Asked => ({
  ...asked,
  headers: { ...asked.headers, 'content-encoding': coding },
  body: encode(String(body))
})

const push = (isSync: boolean): Asked =>
  post('/kprf/push', JSON_TYPE, { records: [{ topic: WRITTEN, data: value }], wait_for_send: isSync })
const v2 = post(`/confluent/topics/${WRITTEN}`, JSON_RECORDS, { records: [{ value }] })
/** Clients put the id of the cluster in its place. */
export const CLUSTER = 'CLUSTER'
const v3 = `/confluent/v3/clusters/${CLUSTER}`
const event = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/a', 'ce-type': 'b' }

/** Reads of a consumer instance that exists for this read only. */
function instance(api: string): Kind {
  const of = (nth: number): string => `/${api}/consumers/${api}-${nth}`
  const one = (nth: number): string => `${of(nth)}/instances/one`
  return {
    name: `${api}: read of a consumer instance`,
    before: nth => [
      post(of(nth), V2, { name: 'one', format: 'json', 'auto.offset.reset': 'earliest' }),
      post(`${one(nth)}/subscription`, V2, { topics: [FULL, EMPTY] })
    ],
    ask: nth => get(`${one(nth)}/records?timeout=3000`, { accept: JSON_RECORDS }),
    after: nth => [{ method: 'DELETE', path: one(nth), headers: { 'content-type': V2 }, body: '' }]
  }
}

/** All APIs, and what the process answers besides. */
export const kinds: readonly Kind[] = [
  simple('kprf: push that waits for Kafka', push(true)),
  simple('kprf: push that does not', push(false)),
  simple('kprf: push in gzip', coded('gzip', gzipSync, push(false))),
  simple('kprf: push in brotli', coded('br', brotliCompressSync, push(false))),
  ...['sync', 'async'].flatMap(how => [
    simple(`kafboy: ${how}`, post(`/kafboy/${how}/${WRITTEN}`, JSON_TYPE, { value })),
    simple(`arion: ${how}`, post(`/arion/${how}/${WRITTEN}`, 'text/plain', value)),
    simple(
      `pixy: ${how}`,
      post(`/pixy/topics/${WRITTEN}/messages${how === 'sync' ? '?sync' : ''}`, 'text/plain', value)
    ),
    simple(`events: ${how}`, post(`/events/${WRITTEN}?async=${how !== 'sync'}`, 'text/plain', value, event)),
    simple(`strimzi: ${how}`, {
      ...post(`/strimzi/topics/${WRITTEN}?async=${how !== 'sync'}`, JSON_RECORDS, { records: [{ value }] })
    })
  ]),
  {
    name: 'kprf: push with a key',
    ask: nth => ({ ...push(true), headers: { ...push(true).headers, 'idempotency-key': `"k${nth}"` } })
  },
  simple('confluent: version 2', v2),
  simple('confluent: version 2 in brotli', coded('br', brotliCompressSync, v2)),
  simple(
    'confluent: version 3',
    post(`${v3}/topics/${WRITTEN}/records`, JSON_TYPE, { value: { type: 'STRING', data: value } })
  ),
  simple(
    'confluent: batch of version 3',
    post(`${v3}/topics/${WRITTEN}/records:batch`, JSON_TYPE, {
      entries: [{ id: '1', value: { type: 'STRING', data: value } }]
    })
  ),
  instance('confluent'),
  instance('strimzi'),
  consuming('pixy: consume', `/pixy/topics/${WRITTEN}/messages?group=readers`),
  simple('pixy: offsets', get(`/pixy/topics/${WRITTEN}/offsets?group=readers`)),
  simple('pixy: consumers', get(`/pixy/topics/${WRITTEN}/consumers`)),
  consuming('events: consume', `/events/${WRITTEN}?group=events&timeout=100`),
  ...[
    '/confluent/topics',
    `/confluent/topics/${FULL}`,
    `/confluent/topics/${FULL}/partitions/0/offsets`,
    '/confluent/brokers'
  ].map(path => simple(`GET ${path}`, get(path))),
  ...['', '/topics', `/topics/${FULL}`, `/topics/${FULL}/configs`, '/consumer-groups', '/brokers'].map(path =>
    simple(`GET ${v3}${path}`, get(v3 + path))
  ),
  ...[
    '/strimzi/topics',
    `/strimzi/topics/${FULL}`,
    `/strimzi/topics/${FULL}/partitions/0/offsets`,
    '/pixy/topics',
    '/',
    '/openapi.json'
  ].map(path => simple(`GET ${path}`, get(path, { 'accept-encoding': 'gzip' }))),
  { ...simple('GET /none', get('/none')), status: /^404/ }
]
