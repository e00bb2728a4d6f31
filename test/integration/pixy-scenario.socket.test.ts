import { expect } from 'chai'
import { Kafka, logLevel } from 'kafkajs'
import { brief, PixyUnderTest } from '../apis/kafka-pixy/harness.js'
import { GroupInstance } from '../support/group-instance.js'
import { checkRows } from '../support/rows.js'
import { type TargetCluster, targetCluster } from '../support/target-cluster.js'

/** Topics of the scenario, with their partitions. Those that are gone are in none. */
const partitionsByTopic: Readonly<Record<string, number>> = {
  'run-any': 4,
  'run-quad': 4,
  'run-ch': 1,
  'run-one': 1,
  'run-four': 4,
  'run-keys': 4,
  'run-async': 1,
  'run-ct': 1,
  'run-form': 4,
  'run-lim': 1,
  'run-hdr': 1,
  'run-clu': 1,
  'run-nul': 1,
  'run-ack': 1,
  'run-ackh': 1,
  'run-neg': 1,
  'run-off': 4,
  'run-pre': 1,
  'run-conf': 2
}
const topicNames = Object.keys(partitionsByTopic).sort()
const configOfConf = { 'cleanup.policy': 'compact', 'retention.ms': '3600000' }
const LONG_METADATA = `[{"partition":0,"offset":1,"metadata":"${'m'.repeat(5_000)}"}]`

/** Ids of brokers differ from cluster to cluster. */
const partitionsOf = (count: number): object[] =>
  Array.from({ length: count }, (_, partition) => ({ partition, leader: 'ID', replicas: ['ID'], isr: ['ID'] }))

const described = (members: { withConfig?: true; withPartitions: true }): object =>
  Object.fromEntries(
    topicNames.map(topic => [
      topic,
      {
        ...(members.withConfig && { config: { version: 1, config: topic === 'run-conf' ? configOfConf : {} } }),
        partitions: partitionsOf(partitionsByTopic[topic]!)
      }
    ])
  )

interface Details {
  readonly type?: string
  readonly body?: string
  /** A body of so many bytes. */
  readonly bytes?: number
  /** Names and values in turn. */
  readonly headers?: readonly string[]
  readonly location?: string
  /** Partition and offset are not told before. */
  readonly isAnywhere?: boolean
  /** It becomes true in a moment. */
  readonly isSoon?: boolean
  /** Topic, partition and values of records that another client writes before. */
  readonly before?: readonly [topic: string, partition: number, values: readonly string[]]
}

type Step = readonly [name: string, ask: string, status: number, said: unknown, details?: Details]

/** What Kafka-Pixy answered, one request after another. */
const scenario: readonly Step[] = [
  ['ping', 'GET /_ping', 200, 'pong'],
  ['POST ping', 'POST /_ping', 405, ''],
  ['ping with a slash', 'GET /_ping/', 404, '404 page not found\n'],
  ['root', 'GET /', 404, '404 page not found\n'],
  ['unknown path', 'GET /nope', 404, '404 page not found\n'],
  ['topic with a slash', 'GET /topics/run-one/', 404, '404 page not found\n'],
  ['double slash', 'GET //topics?withPartitions', 301, '', { location: '/topics?withPartitions' }],
  ['encoded slash in a topic', 'GET /topics/a%2Fb/messages?group=g', 404, '404 page not found\n'],
  ['clusters alone', 'GET /clusters', 404, '404 page not found\n'],
  ['DELETE messages', 'DELETE /topics/run-one/messages', 405, ''],
  ['HEAD messages', 'HEAD /topics/run-one/messages?group=g', 405, ''],
  ['OPTIONS topics', 'OPTIONS /topics', 405, ''],
  ['GET acks', 'GET /topics/run-one/acks?group=g&partition=0&offset=0', 405, ''],
  ['POST consumers', 'POST /topics/run-one/consumers', 405, ''],
  ['consumers of a topic nobody reads', 'GET /topics/run-four/consumers', 200, {}],
  [
    'sync, key foo',
    'POST /topics/run-four/messages?key=foo&sync',
    200,
    { partition: 1, offset: 0 },
    { type: 'text/plain', body: 'v1' }
  ],
  [
    'sync, key foo again',
    'POST /topics/run-four/messages?sync&key=foo',
    200,
    { partition: 1, offset: 1 },
    { type: 'text/plain', body: 'v2' }
  ],
  [
    'sync, key 1',
    'POST /topics/run-four/messages?key=1&sync',
    200,
    { partition: 0, offset: 0 },
    { type: 'text/plain', body: 'v3' }
  ],
  [
    'sync, empty key',
    'POST /topics/run-four/messages?key=&sync',
    200,
    { partition: 3, offset: 0 },
    { type: 'text/plain', body: 'v4' }
  ],
  [
    'sync, key bar',
    'POST /topics/run-four/messages?key=bar&sync=true',
    200,
    { partition: 2, offset: 0 },
    { type: 'text/plain', body: 'v6' }
  ],
  [
    'sync, no key',
    'POST /topics/run-any/messages?sync',
    200,
    { partition: 'N', offset: 'N' },
    { type: 'text/plain', body: 'v7', isAnywhere: true }
  ],
  [
    'sync=false is sync',
    'POST /topics/run-four/messages?sync=false&key=foo',
    200,
    { partition: 1, offset: 2 },
    { type: 'text/plain', body: 'v8' }
  ],
  [
    'key ü percent-encoded',
    'POST /topics/run-keys/messages?sync&key=%C3%BC',
    200,
    { partition: 2, offset: 0 },
    { type: 'text/plain', body: 'v' }
  ],
  [
    'key with a plus and a space',
    'POST /topics/run-keys/messages?sync&key=a+b%2Bc',
    200,
    { partition: 0, offset: 0 },
    { type: 'text/plain', body: 'v' }
  ],
  ['async, key', 'POST /topics/run-async/messages?key=foo', 200, {}, { type: 'text/plain', body: 'a1' }],
  ['async, no key', 'POST /topics/run-async/messages', 200, {}, { type: 'text/plain', body: 'a2' }],
  [
    'async reaches the log',
    'POST /topics/run-async/messages?sync',
    200,
    { partition: 0, offset: 2 },
    { type: 'text/plain', body: 'a3' }
  ],
  [
    'json',
    'POST /topics/run-ct/messages?sync',
    200,
    { partition: 0, offset: 0 },
    { type: 'application/json', body: '{"a": [1, 2]}' }
  ],
  [
    'json with charset',
    'POST /topics/run-ct/messages?sync',
    200,
    { partition: 0, offset: 1 },
    { type: 'application/json; charset=utf-8', body: '{}' }
  ],
  [
    'cloudevents +json with parameter',
    'POST /topics/run-ct/messages?sync',
    200,
    { partition: 0, offset: 2 },
    { type: 'application/cloudevents+json;charset=utf-8', body: '{}' }
  ],
  [
    'text with charset',
    'POST /topics/run-ct/messages?sync',
    400,
    { error: 'unsupported content type text/plain; charset=utf-8' },
    { type: 'text/plain; charset=utf-8', body: 'x' }
  ],
  [
    'octets',
    'POST /topics/run-ct/messages',
    400,
    { error: 'unsupported content type application/octet-stream' },
    { type: 'application/octet-stream', body: 'x' }
  ],
  [
    'type with < and &',
    'POST /topics/run-ct/messages?sync',
    400,
    { error: 'unsupported content type a/<b>&c' },
    { type: 'a/<b>&c', body: 'x' }
  ],
  ['no content type', 'POST /topics/run-ct/messages?sync', 400, { error: 'unsupported content type ' }, { body: 'x' }],
  [
    'empty text',
    'POST /topics/run-ct/messages?sync',
    200,
    { partition: 0, offset: 3 },
    { type: 'text/plain', body: '' }
  ],
  [
    'no body, no length',
    'POST /topics/run-ct/messages?sync',
    400,
    { error: 'missing Content-Length header' },
    { type: 'text/plain' }
  ],
  [
    'chunked',
    'POST /topics/run-ct/messages?sync',
    400,
    { error: 'missing Content-Length header' },
    { type: 'text/plain', body: 'x', headers: ['Transfer-Encoding', 'chunked'] }
  ],
  [
    'form',
    'POST /topics/run-form/messages?key=foo&sync',
    200,
    { partition: 1, offset: 0 },
    { type: 'application/x-www-form-urlencoded', body: 'msg=foo' }
  ],
  [
    'form with everything inside',
    'POST /topics/run-form/messages',
    200,
    { partition: 2, offset: 0 },
    { type: 'application/x-www-form-urlencoded', body: 'key=bar&sync=&msg=a%26b%3Dc' }
  ],
  [
    'form, async',
    'POST /topics/run-form/messages',
    200,
    {},
    { type: 'application/x-www-form-urlencoded', body: 'msg=y&key=foo' }
  ],
  [
    'form without msg',
    'POST /topics/run-form/messages?sync',
    400,
    { error: 'empty message' },
    { type: 'application/x-www-form-urlencoded', body: 'message=foo' }
  ],
  [
    'form with charset',
    'POST /topics/run-form/messages?sync',
    400,
    { error: 'unsupported content type application/x-www-form-urlencoded; charset=utf-8' },
    { type: 'application/x-www-form-urlencoded; charset=utf-8', body: 'msg=foo' }
  ],
  [
    'multipart',
    'POST /topics/run-form/messages?sync',
    400,
    { error: 'unsupported content type multipart/form-data; boundary=b' },
    { type: 'multipart/form-data; boundary=b', body: '--b--' }
  ],
  [
    'largest that fits',
    'POST /topics/run-lim/messages?key=foo&sync',
    200,
    { partition: 0, offset: 0 },
    { type: 'text/plain', bytes: 999961 }
  ],
  [
    'one byte too large',
    'POST /topics/run-lim/messages?key=foo&sync',
    500,
    { error: 'kafka server: Message was too large, server rejected it to avoid allocation error.' },
    { type: 'text/plain', bytes: 999962 }
  ],
  ['too large, async', 'POST /topics/run-lim/messages?key=foo', 200, {}, { type: 'text/plain', bytes: 1000001 }],
  [
    'nothing of that was stored',
    'POST /topics/run-lim/messages?key=foo&sync',
    200,
    { partition: 0, offset: 1 },
    { type: 'text/plain', body: 'x' }
  ],
  [
    'header',
    'POST /topics/run-hdr/messages?key=k&sync',
    200,
    { partition: 0, offset: 0 },
    { type: 'text/plain', body: 'h0', headers: ['X-Kafka-Foo', 'YmFy'] }
  ],
  [
    'headers, lower case, repeated, spare bits',
    'POST /topics/run-hdr/messages?key=k&sync',
    200,
    { partition: 0, offset: 1 },
    { type: 'text/plain', body: 'h1', headers: ['x-kafka-foo-BAR', 'YQ==', 'X-KAFKA-FOO-bar', 'YR=='] }
  ],
  [
    'header with an empty value and name',
    'POST /topics/run-hdr/messages?key=k&sync',
    200,
    { partition: 0, offset: 2 },
    { type: 'text/plain', body: 'h2', headers: ['X-Kafka-', ''] }
  ],
  [
    'header name with & and _',
    'POST /topics/run-hdr/messages?key=k&sync',
    200,
    { partition: 0, offset: 3 },
    { type: 'application/json', body: 'h3', headers: ['X-Kafka-a&b_c', '/+8='] }
  ],
  [
    'header that is no base64',
    'POST /topics/run-hdr/messages?key=k&sync',
    400,
    { error: 'Invalid base64 encoding for header: X-Kafka-Foo' },
    { type: 'text/plain', body: 'x', headers: ['X-Kafka-Foo', 'bar!'] }
  ],
  [
    'content type before headers',
    'POST /topics/run-hdr/messages?sync',
    400,
    { error: 'unsupported content type text/html' },
    { type: 'text/html', body: 'x', headers: ['X-Kafka-Foo', '!'] }
  ],
  ['unknown topic, async', 'POST /topics/run-gone0/messages', 200, {}, { type: 'text/plain', body: 'x' }],
  [
    'unknown topic, sync',
    'POST /topics/run-gone/messages?sync',
    404,
    { error: 'kafka server: Request was for a topic or partition that does not exist on this broker.' },
    { type: 'text/plain', body: 'x' }
  ],
  [
    'unknown topic, sync, twice',
    'POST /topics/run-gone/messages?sync&key=a',
    404,
    { error: 'kafka server: Request was for a topic or partition that does not exist on this broker.' },
    { type: 'text/plain', body: 'x' }
  ],
  [
    'unknown topic, sync, three times',
    'POST /topics/run-gone/messages?sync',
    404,
    { error: 'kafka server: Request was for a topic or partition that does not exist on this broker.' },
    { type: 'text/plain', body: 'x' }
  ],
  [
    'unknown topic, sync, four times',
    'POST /topics/run-gone/messages?sync',
    500,
    { error: 'circuit breaker is open' },
    { type: 'text/plain', body: 'x' }
  ],
  [
    'bad topic name, sync',
    'POST /topics/bad!name/messages?sync',
    500,
    { error: 'kafka server: The request attempted to perform an operation on an invalid topic.' },
    { type: 'text/plain', body: 'x' }
  ],
  [
    'produce under the cluster',
    'POST /clusters/default/topics/run-clu/messages?key=k&sync',
    200,
    { partition: 0, offset: 0 },
    { type: 'text/plain', body: 'c0' }
  ],
  [
    'produce to an unknown cluster',
    'POST /clusters/nope/topics/run-clu/messages?sync',
    400,
    { error: 'proxy `nope` does not exist' },
    { type: 'text/plain', body: 'x' }
  ],
  [
    'consume without a group',
    'GET /topics/run-one/messages',
    400,
    { error: 'one consumer group is expected, but 0 provided' }
  ],
  [
    'consume with two groups',
    'GET /topics/run-one/messages?group=a&group=b',
    400,
    { error: 'one consumer group is expected, but 2 provided' }
  ],
  [
    'ackPartition alone',
    'GET /topics/run-one/messages?group=g&ackPartition=0',
    400,
    { error: 'ackPartition and ackOffset either both should be provided or neither' }
  ],
  [
    'ackPartition no number',
    'GET /topics/run-one/messages?group=g&ackPartition=x&ackOffset=1',
    400,
    { error: 'bad ackPartition: [x]: strconv.ParseInt: parsing "x": invalid syntax' }
  ],
  [
    'ackOffset no number',
    'GET /topics/run-one/messages?group=g&ackPartition=0&ackOffset=1.5',
    400,
    { error: 'bad ackOffset: [1.5]: strconv.ParseInt: parsing "1.5": invalid syntax' }
  ],
  [
    'ackPartition out of range',
    'GET /topics/run-one/messages?group=g&ackPartition=2147483648&ackOffset=1',
    400,
    { error: 'bad ackPartition: [2147483648]: strconv.ParseInt: parsing "2147483648": value out of range' }
  ],
  [
    'ackOffset bad and alone',
    'GET /topics/run-one/messages?group=g&ackOffset=%3Cb%3E',
    400,
    { error: 'bad ackOffset: [<b>]: strconv.ParseInt: parsing "<b>": invalid syntax' }
  ],
  [
    'consume from an unknown cluster',
    'GET /clusters/nope/topics/run-one/messages?group=g',
    400,
    { error: 'proxy `nope` does not exist' }
  ],
  ['first poll of a group', 'GET /topics/run-one/messages?group=run-g', 408, { error: 'long polling timeout' }],
  [
    'offsets right after the first poll',
    'GET /topics/run-one/offsets?group=run-g',
    200,
    [{ partition: 0, begin: 0, end: 0, count: 0, offset: 0, lag: 0 }],
    { isSoon: true }
  ],
  [
    'produce for the group',
    'POST /topics/run-one/messages?key=k1&sync',
    200,
    { partition: 0, offset: 0 },
    { type: 'text/plain', body: 'hello' }
  ],
  [
    'consume',
    'GET /topics/run-one/messages?group=run-g',
    200,
    { key: 'azE=', value: 'aGVsbG8=', partition: 0, offset: 0, headers: [] }
  ],
  [
    'produce without key, <&>',
    'POST /topics/run-one/messages?sync',
    200,
    { partition: 0, offset: 1 },
    { type: 'text/plain', body: '<&>' }
  ],
  [
    'produce with empty key and value',
    'POST /topics/run-one/messages?sync&key=',
    200,
    { partition: 0, offset: 2 },
    { type: 'text/plain', body: '' }
  ],
  [
    'consume without key',
    'GET /topics/run-one/messages?group=run-g',
    200,
    { key: null, value: 'PCY+', partition: 0, offset: 1, headers: [] }
  ],
  [
    'consume empty key and value',
    'GET /topics/run-one/messages?group=run-g',
    200,
    { key: '', value: '', partition: 0, offset: 2, headers: [] }
  ],
  [
    'offsets after auto-ack',
    'GET /topics/run-one/offsets?group=run-g',
    200,
    [{ partition: 0, begin: 0, end: 3, count: 3, offset: 3, lag: 0 }],
    { isSoon: true }
  ],
  ['consumers of the group', 'GET /topics/run-one/consumers?group=run-g', 200, { 'run-g': { CLIENT: [0] } }],
  ['consumers of all groups', 'GET /topics/run-one/consumers', 200, { 'run-g': { CLIENT: [0] } }],
  [
    'consumers, group reads another topic',
    'GET /topics/run-four/consumers?group=run-g',
    400,
    { error: 'topic run-four is not consumed by run-g' }
  ],
  ['nothing left', 'GET /topics/run-one/messages?group=run-g', 408, { error: 'long polling timeout' }],
  [
    'consumers, unknown group',
    'GET /topics/run-one/consumers?group=run-nobody',
    400,
    { error: 'unknown consumer group run-nobody' }
  ],
  [
    'consumers, two groups',
    'GET /topics/run-one/consumers?group=a&group=b',
    400,
    { error: 'one consumer group is expected, but 2 provided' }
  ],
  [
    'start at the oldest',
    'POST /topics/run-hdr/offsets?group=run-h',
    200,
    {},
    { type: 'application/json', body: '[{"partition":0,"offset":-2}]' }
  ],
  [
    'consume header',
    'GET /topics/run-hdr/messages?group=run-h',
    200,
    { key: 'aw==', value: 'aDA=', partition: 0, offset: 0, headers: [{ key: 'Foo', value: 'YmFy' }] },
    { isSoon: true }
  ],
  [
    'consume headers of one name',
    'GET /topics/run-hdr/messages?group=run-h',
    200,
    {
      key: 'aw==',
      value: 'aDE=',
      partition: 0,
      offset: 1,
      headers: [
        { key: 'Foo-Bar', value: 'YQ==' },
        { key: 'Foo-Bar', value: 'YQ==' }
      ]
    }
  ],
  [
    'consume empty header',
    'GET /topics/run-hdr/messages?group=run-h',
    200,
    { key: 'aw==', value: 'aDI=', partition: 0, offset: 2, headers: [{ key: '', value: '' }] }
  ],
  [
    'consume header with &',
    'GET /topics/run-hdr/messages?group=run-h',
    200,
    { key: 'aw==', value: 'aDM=', partition: 0, offset: 3, headers: [{ key: 'A&b_c', value: '/+8=' }] }
  ],
  [
    'ack before anything was consumed',
    'POST /topics/run-ack/acks?group=run-e&partition=0&offset=0',
    500,
    { error: 'acks channel missing for {run-e run-ack 0}' }
  ],
  ['pin the group, noAck', 'GET /topics/run-ack/messages?group=run-e&noAck', 408, { error: 'long polling timeout' }],
  [
    'record 0 to be acked',
    'POST /topics/run-ack/messages?key=k&sync',
    200,
    { partition: 0, offset: 0 },
    { type: 'text/plain', body: 'm0' }
  ],
  [
    'record 1 to be acked',
    'POST /topics/run-ack/messages?key=k&sync',
    200,
    { partition: 0, offset: 1 },
    { type: 'text/plain', body: 'm1' }
  ],
  [
    'record 2 to be acked',
    'POST /topics/run-ack/messages?key=k&sync',
    200,
    { partition: 0, offset: 2 },
    { type: 'text/plain', body: 'm2' }
  ],
  [
    'record 3 to be acked',
    'POST /topics/run-ack/messages?key=k&sync',
    200,
    { partition: 0, offset: 3 },
    { type: 'text/plain', body: 'm3' }
  ],
  [
    'record 4 to be acked',
    'POST /topics/run-ack/messages?key=k&sync',
    200,
    { partition: 0, offset: 4 },
    { type: 'text/plain', body: 'm4' }
  ],
  [
    'record 5 to be acked',
    'POST /topics/run-ack/messages?key=k&sync',
    200,
    { partition: 0, offset: 5 },
    { type: 'text/plain', body: 'm5' }
  ],
  [
    'consume m0, noAck',
    'GET /topics/run-ack/messages?group=run-e&noAck',
    200,
    { key: 'aw==', value: 'bTA=', partition: 0, offset: 0, headers: [] }
  ],
  [
    'consume m1, ack m0',
    'GET /topics/run-ack/messages?group=run-e&ackPartition=0&ackOffset=0',
    200,
    { key: 'aw==', value: 'bTE=', partition: 0, offset: 1, headers: [] }
  ],
  ['ack m1', 'POST /topics/run-ack/acks?group=run-e&partition=0&offset=1', 200, {}],
  [
    'consume m2, noAck=false is noAck',
    'GET /topics/run-ack/messages?group=run-e&noAck=false',
    200,
    { key: 'aw==', value: 'bTI=', partition: 0, offset: 2, headers: [] }
  ],
  [
    'consume m3, noAck beats bad numbers',
    'GET /topics/run-ack/messages?group=run-e&noAck&ackPartition=x',
    200,
    { key: 'aw==', value: 'bTM=', partition: 0, offset: 3, headers: [] }
  ],
  [
    'ack m3 before m2, form',
    'POST /topics/run-ack/acks',
    200,
    {},
    { type: 'application/x-www-form-urlencoded', body: 'group=run-e&partition=0&offset=3' }
  ],
  [
    'offsets with a sparse ack',
    'GET /topics/run-ack/offsets?group=run-e',
    200,
    [{ partition: 0, begin: 0, end: 6, count: 6, offset: 2, lag: 4, metadata: 'BB', sparse_acks: '1-2' }],
    { isSoon: true }
  ],
  ['ack m3 again', 'POST /topics/run-ack/acks?group=run-e&partition=0&offset=3', 200, {}],
  ['ack m2', 'POST /topics/run-ack/acks?group=run-e&partition=0&offset=2', 200, {}],
  [
    'offsets after the gap closed',
    'GET /topics/run-ack/offsets?group=run-e',
    200,
    [{ partition: 0, begin: 0, end: 6, count: 6, offset: 4, lag: 2 }],
    { isSoon: true }
  ],
  [
    'consume m4, ack of an unknown partition is only logged',
    'GET /topics/run-ack/messages?group=run-e&ackPartition=7&ackOffset=0',
    200,
    { key: 'aw==', value: 'bTQ=', partition: 0, offset: 4, headers: [] }
  ],
  [
    'consume m5, auto-ack',
    'GET /topics/run-ack/messages?group=run-e',
    200,
    { key: 'aw==', value: 'bTU=', partition: 0, offset: 5, headers: [] }
  ],
  ['ack m4 under the cluster', 'POST /clusters/default/topics/run-ack/acks?group=run-e&partition=0&offset=4', 200, {}],
  [
    'offsets, all acked',
    'GET /topics/run-ack/offsets?group=run-e',
    200,
    [{ partition: 0, begin: 0, end: 6, count: 6, offset: 6, lag: 0 }],
    { isSoon: true }
  ],
  [
    'ack without a group',
    'POST /topics/run-ack/acks?partition=0&offset=0',
    400,
    { error: 'one consumer group is expected, but 0 provided' }
  ],
  [
    'ack with two groups',
    'POST /topics/run-ack/acks?group=a&group=b&partition=0&offset=0',
    400,
    { error: 'one consumer group is expected, but 2 provided' }
  ],
  [
    'ack, partition alone',
    'POST /topics/run-ack/acks?group=run-e&partition=0',
    400,
    { error: 'partition and offset either both should be provided or neither' }
  ],
  [
    'ack, bad partition',
    'POST /topics/run-ack/acks?group=run-e&partition=x&offset=0',
    400,
    { error: 'bad partition: [x]: strconv.ParseInt: parsing "x": invalid syntax' }
  ],
  [
    'ack, neither',
    'POST /topics/run-ack/acks?group=run-e',
    500,
    { error: 'acks channel missing for {run-e run-ack -2}' }
  ],
  [
    'ack, negative partition',
    'POST /topics/run-ack/acks?group=run-e&partition=-5&offset=0',
    500,
    { error: 'acks channel missing for {run-e run-ack -1}' }
  ],
  [
    'ack, unknown partition',
    'POST /topics/run-ack/acks?group=run-e&partition=7&offset=0',
    500,
    { error: 'acks channel missing for {run-e run-ack 7}' }
  ],
  [
    'ack, unknown group',
    'POST /topics/run-ack/acks?group=run-nobody&partition=0&offset=0',
    500,
    { error: 'acks channel missing for {run-nobody run-ack 0}' }
  ],
  [
    'ack, unknown cluster',
    'POST /clusters/nope/topics/run-ack/acks?group=run-e&partition=0&offset=0',
    400,
    { error: 'proxy `nope` does not exist' }
  ],
  [
    'pin for negative numbers',
    'GET /topics/run-neg/messages?group=run-m&noAck',
    408,
    { error: 'long polling timeout' }
  ],
  [
    'a record for negative numbers',
    'POST /topics/run-neg/messages?key=k&sync',
    200,
    { partition: 0, offset: 0 },
    { type: 'text/plain', body: 'n0' }
  ],
  [
    'negative ackPartition acts as noAck',
    'GET /topics/run-neg/messages?group=run-m&ackPartition=-1&ackOffset=0',
    200,
    { key: 'aw==', value: 'bjA=', partition: 0, offset: 0, headers: [] }
  ],
  [
    'nothing was acked',
    'GET /topics/run-neg/offsets?group=run-m',
    200,
    [{ partition: 0, begin: 0, end: 1, count: 1, offset: 0, lag: 1 }],
    { isSoon: true }
  ],
  ['ack what was left', 'POST /topics/run-neg/acks?group=run-m&partition=0&offset=0', 200, {}],
  ['ack of an offset never offered', 'POST /topics/run-neg/acks?group=run-m&partition=0&offset=99', 200, {}],
  [
    'pin a group on four partitions',
    'GET /topics/run-quad/messages?group=run-q',
    408,
    { error: 'long polling timeout' }
  ],
  [
    'consumers of four partitions',
    'GET /topics/run-quad/consumers?group=run-q',
    200,
    { 'run-q': { CLIENT: [0, 1, 2, 3] } }
  ],
  [
    'a record for partition 1',
    'POST /topics/run-quad/messages?key=foo&sync',
    200,
    { partition: 1, offset: 0 },
    { type: 'text/plain', body: 'q0' }
  ],
  [
    'consume from partition 1',
    'GET /topics/run-quad/messages?group=run-q',
    200,
    { key: 'Zm9v', value: 'cTA=', partition: 1, offset: 0, headers: [] }
  ],
  [
    'a record for partition 3',
    'POST /topics/run-quad/messages?key=&sync',
    200,
    { partition: 3, offset: 0 },
    { type: 'text/plain', body: 'q1' }
  ],
  [
    'consume from partition 3, noAck',
    'GET /topics/run-quad/messages?group=run-q&noAck',
    200,
    { key: '', value: 'cTE=', partition: 3, offset: 0, headers: [] }
  ],
  [
    'offsets of four partitions',
    'GET /topics/run-quad/offsets?group=run-q',
    200,
    [
      { partition: 0, begin: 0, end: 0, count: 0, offset: 0, lag: 0 },
      { partition: 1, begin: 0, end: 1, count: 1, offset: 1, lag: 0 },
      { partition: 2, begin: 0, end: 0, count: 0, offset: 0, lag: 0 },
      { partition: 3, begin: 0, end: 1, count: 1, offset: 0, lag: 1 }
    ],
    { isSoon: true }
  ],
  ['ack on partition 3', 'POST /topics/run-quad/acks?group=run-q&partition=3&offset=0', 200, {}],
  [
    'offsets of four partitions, all acked',
    'GET /topics/run-quad/offsets?group=run-q',
    200,
    [
      { partition: 0, begin: 0, end: 0, count: 0, offset: 0, lag: 0 },
      { partition: 1, begin: 0, end: 1, count: 1, offset: 1, lag: 0 },
      { partition: 2, begin: 0, end: 0, count: 0, offset: 0, lag: 0 },
      { partition: 3, begin: 0, end: 1, count: 1, offset: 1, lag: 0 }
    ],
    { isSoon: true }
  ],
  [
    'offsets, group never seen',
    'GET /topics/run-off/offsets?group=run-o',
    200,
    [
      { partition: 0, begin: 0, end: 0, count: 0, offset: -1, lag: 0 },
      { partition: 1, begin: 0, end: 0, count: 0, offset: -1, lag: 0 },
      { partition: 2, begin: 0, end: 0, count: 0, offset: -1, lag: 0 },
      { partition: 3, begin: 0, end: 0, count: 0, offset: -1, lag: 0 }
    ]
  ],
  [
    'offsets without a group',
    'GET /topics/run-off/offsets',
    400,
    { error: 'one consumer group is expected, but 0 provided' }
  ],
  ['offsets of an unknown topic', 'GET /topics/run-gone/offsets?group=run-o', 404, { error: 'Unknown topic' }],
  [
    'set offsets',
    'POST /topics/run-off/offsets?group=run-o',
    200,
    {},
    {
      type: 'application/json',
      body: '[{"partition":0,"offset":1,"metadata":"A<&>"},{"partition":1,"offset":-1},{"partition":2,"offset":-2,"metadata":""},{"partition":3,"offset":0}]',
      before: ['run-off', 0, ['a', 'b', 'c']]
    }
  ],
  [
    'offsets as set',
    'GET /topics/run-off/offsets?group=run-o',
    200,
    [
      { partition: 0, begin: 0, end: 3, count: 3, offset: 1, lag: 2, metadata: 'A<&>' },
      { partition: 1, begin: 0, end: 0, count: 0, offset: -1, lag: 0 },
      { partition: 2, begin: 0, end: 2, count: 2, offset: -2, lag: 2 },
      { partition: 3, begin: 0, end: 0, count: 0, offset: 0, lag: 0 }
    ],
    { before: ['run-off', 2, ['d', 'e']] }
  ],
  [
    'set one, others stay',
    'POST /clusters/default/topics/run-off/offsets?group=run-o',
    200,
    {},
    { type: 'application/json', body: '[{"Partition":2,"OFFSET":7,"lag":5,"metadata":"BB"}]' }
  ],
  [
    'offsets under the cluster, beyond the end',
    'GET /clusters/default/topics/run-off/offsets?group=run-o',
    200,
    [
      { partition: 0, begin: 0, end: 3, count: 3, offset: 1, lag: 2, metadata: 'A<&>' },
      { partition: 1, begin: 0, end: 0, count: 0, offset: -1, lag: 0 },
      { partition: 2, begin: 0, end: 2, count: 2, offset: 7, lag: -5, metadata: 'BB', sparse_acks: '1-2' },
      { partition: 3, begin: 0, end: 0, count: 0, offset: 0, lag: 0 }
    ]
  ],
  ['set nothing', 'POST /topics/run-off/offsets?group=run-o', 200, {}, { type: 'application/json', body: '[]' }],
  [
    'set, unknown topic',
    'POST /topics/run-gone/offsets?group=run-o',
    404,
    { error: 'Unknown topic' },
    { type: 'application/json', body: '[{"partition":0,"offset":1}]' }
  ],
  [
    'set, partition that is not there',
    'POST /topics/run-off/offsets?group=run-o',
    404,
    { error: 'Unknown topic' },
    { type: 'application/json', body: '[{"partition":4,"offset":1}]' }
  ],
  [
    'set, garbage',
    'POST /topics/run-off/offsets?group=run-o',
    400,
    { error: "Failed to parse the request: err=(invalid character 'g' looking for beginning of value)" },
    { type: 'application/json', body: 'garbage' }
  ],
  [
    'set, no body',
    'POST /topics/run-off/offsets?group=run-o',
    400,
    { error: 'Failed to parse the request: err=(unexpected end of JSON input)' },
    { type: 'application/json' }
  ],
  [
    "set, curl's form type",
    'POST /topics/run-off/offsets?group=run-o',
    400,
    { error: 'Failed to parse the request: err=(unexpected end of JSON input)' },
    { type: 'application/x-www-form-urlencoded', body: '[{"partition":0,"offset":1}]' }
  ],
  [
    'set, an object',
    'POST /topics/run-off/offsets?group=run-o',
    400,
    {
      error:
        'Failed to parse the request: err=(json: cannot unmarshal object into Go value of type []httpsrv.partitionInfo)'
    },
    { type: 'application/json', body: '{"partition":0,"offset":1}' }
  ],
  [
    'set, partition is text',
    'POST /topics/run-off/offsets?group=run-o',
    400,
    {
      error:
        'Failed to parse the request: err=(json: cannot unmarshal string into Go struct field partitionInfo.partition of type int32)'
    },
    { type: 'application/json', body: '[{"partition":"0","offset":1}]' }
  ],
  [
    'set, cut off',
    'POST /topics/run-off/offsets?group=run-o',
    400,
    { error: 'Failed to parse the request: err=(unexpected end of JSON input)' },
    { type: 'application/json', body: '[{"partition":0,' }
  ],
  [
    'set, single quotes',
    'POST /topics/run-off/offsets?group=run-o',
    400,
    { error: "Failed to parse the request: err=(invalid character '\\'' looking for beginning of object key string)" },
    { type: 'application/json', body: "[{'partition':0}]" }
  ],
  [
    'set without a group',
    'POST /topics/run-off/offsets',
    400,
    { error: 'one consumer group is expected, but 0 provided' },
    { type: 'application/json', body: '[]' }
  ],
  [
    'set, unknown cluster',
    'POST /clusters/nope/topics/run-off/offsets?group=a',
    400,
    { error: 'proxy `nope` does not exist' },
    { type: 'application/json', body: 'garbage' }
  ],
  [
    'set, metadata too long',
    'POST /topics/run-off/offsets?group=run-o4',
    500,
    { error: 'kafka server: Specified a string larger than the configured maximum for offset metadata.' },
    { type: 'application/json', body: LONG_METADATA }
  ],
  ['topics', 'GET /topics', 200, topicNames],
  ['topics with partitions', 'GET /topics?withPartitions', 200, described({ withPartitions: true })],
  [
    'topics with both',
    'GET /clusters/default/topics?withConfig&withPartitions=true',
    200,
    described({ withConfig: true, withPartitions: true })
  ],
  ['topics, unknown cluster', 'GET /clusters/nope/topics', 400, { error: 'proxy `nope` does not exist' }],
  ['topics, malformed query', 'GET /topics?a=%zz', 400, { error: 'invalid URL escape "%zz"' }],
  ['topic', 'GET /topics/run-one', 200, { config: { version: 1, config: {} } }],
  [
    'topic with partitions',
    'GET /topics/run-four?withPartitions',
    200,
    { config: { version: 1, config: {} }, partitions: partitionsOf(4) }
  ],
  [
    'topic with settings',
    'GET /topics/run-conf?withConfig',
    200,
    { config: { version: 1, config: { 'cleanup.policy': 'compact', 'retention.ms': '3600000' } } }
  ],
  [
    'topic, unknown',
    'GET /topics/run-gone',
    500,
    { error: 'failed to fetch topic configuration: zk: node does not exist' }
  ],
  [
    'topic, unknown, with partitions',
    'GET /topics/run-gone?withPartitions',
    500,
    {
      error:
        'failed to get partitions: kafka server: Request was for a topic or partition that does not exist on this broker.'
    }
  ],
  ['consume an unknown topic', 'GET /topics/run-gone/messages?group=run-g', 408, { error: 'long polling timeout' }]
]

/** Steps whose answer is another one here: status and error. The reasons are in docs/compatibility/kafka-pixy.md. */
const deviations: ReadonlyMap<string, [status: number, error: string]> = new Map([
  [
    'unknown topic, sync, four times',
    [404, 'kafka server: Request was for a topic or partition that does not exist on this broker.']
  ],
  ['ack of an offset never offered', [400, 'offset 99 of {run-m run-neg 0} has not been offered']]
])

/** JSON to the byte as Go writes it. */
const asGo = (value: unknown): string =>
  JSON.stringify(value, null, 2).replace(/[<>&]/g, letter => `\\u00${letter.charCodeAt(0).toString(16)}`)

const NO_MESSAGE = `408 ${asGo({ error: 'long polling timeout' })}`

describe('pixy: what Kafka-Pixy answered', function () {
  this.timeout(120_000)
  let cluster: TargetCluster
  let pixy: PixyUnderTest
  let others: GroupInstance

  before(async () => {
    cluster = await targetCluster()
    await createTopics(cluster.bootstrap)
    pixy = await PixyUnderTest.at(cluster.bootstrap, {
      'delivery.createTopics': 'false',
      'consumer.longPollMs': '250',
      'advanced.consumer.commitIntervalMs': '20',
      'clusters.default.clientId': 'pixy-client'
    })
    others = await GroupInstance.start(cluster.bootstrap)
  })
  after(async () => {
    await others?.stop()
    await pixy?.stop()
    await cluster.close()
  })

  it('each request of the scenario gets the answer that Kafka-Pixy gave', () =>
    checkRows(scenario, async ([name, ask, status, said, details = {}]) => {
      if (details.before) await others.produce(details.before[0], details.before[1], details.before[2])
      const [instead, error] = deviations.get(name) ?? [status, undefined]
      const body = error === undefined ? said : { error }
      const expected = `${instead} ${typeof body === 'string' ? body : asGo(body)}`
      let answer = await request(ask, details)
      // On a busy machine a long poll of a quarter of a second may end before the message has come. It changes nothing.
      const isEarly = (): boolean => status === 200 && answer.said === NO_MESSAGE
      const isAskedAgain = (): boolean => answer.said !== expected && (details.isSoon === true || isEarly())
      for (const endsAt = Date.now() + 20_000; isAskedAgain() && Date.now() < endsAt; ) {
        await new Promise(resolve => setTimeout(resolve, 20))
        answer = await request(ask, details)
      }
      expect(answer.said).to.equal(expected)
      const type = typeof said !== 'string' ? 'application/json' : said === '' ? '' : 'text/plain; charset=utf-8'
      expect([answer.type, answer.allow, answer.location]).to.deep.equal([type, undefined, details.location])
      if (status === 408) await isPinned(ask)
    }))

  it('pixy C10: a group that asks for nothing any more leaves', async () => {
    const quick = await PixyUnderTest.at(cluster.bootstrap, {
      'consumer.longPollMs': '250',
      'consumer.subscriptionTimeoutMs': '300'
    })
    try {
      await quick.get('/topics/run-ch/messages?group=run-idle')
      const left = '400 {"error":"unknown consumer group run-idle"}'
      while (brief(await quick.get('/topics/run-ch/consumers?group=run-idle')) !== left);
    } finally {
      await quick.stop()
    }
  })

  async function request(ask: string, details: Details) {
    const [method, path] = ask.split(' ') as [string, string]
    const headers: Record<string, string | string[]> =
      details.type === undefined ? {} : { 'content-type': details.type }
    const isChunked = details.headers?.includes('chunked') ?? false
    const body = details.bytes === undefined ? details.body : Buffer.alloc(details.bytes, 'x')
    const more = isChunked ? [] : (details.headers ?? [])
    const {
      status,
      type,
      headers: answered,
      body: text
    } = await pixy.ask(path, {
      method,
      headers,
      more,
      isChunked,
      ...(body === undefined ? {} : { body })
    })
    const { allow, location } = answered
    return { said: `${status} ${normalized(text, details)}`, type, allow, location }
  }

  /** The first poll of a group has told where it begins; on a slow machine that takes longer than the poll. */
  async function isPinned(ask: string): Promise<void> {
    const path = ask.slice('GET '.length).replace('/messages', '/offsets')
    for (;;) {
      const { status, body } = await pixy.get(path)
      if (status === 404 || !body.includes('"offset": -1')) return
    }
  }
})

function normalized(text: string, { isAnywhere }: Details): string {
  const known = isAnywhere ? text.replace(/: \d+/g, ': "N"') : text
  return ofRun(known)
    .replace(/("leader": )\d+/g, '$1"ID"')
    .replace(/("(?:replicas|isr)": )\[[\d\s,]+\]/g, '$1[\nID\n]')
    .replace(/( +)("(?:replicas|isr)": \[)\nID\n\]/g, '$1$2\n$1  "ID"\n$1]')
    .replace(/"pixy-client[^"]*": \[([\d,]+)\]/g, (_, numbers: string) => {
      const lines = numbers.split(',').map(number => `      ${number}`)
      return `"CLIENT": [\n${lines.join(',\n')}\n    ]`
    })
}

/** Without topics of others. */
function ofRun(text: string): string {
  if (/^\[\s+"/.test(text)) return asGo((JSON.parse(text) as string[]).filter(topic => topic.startsWith('run-')))
  if (!/^\{\s+"(run-|__)[^"]*": \{\s+"(config|partitions)"/.test(text)) return text
  const topics = Object.entries(JSON.parse(text) as object).filter(([topic]) => topic.startsWith('run-'))
  return asGo(Object.fromEntries(topics))
}

async function createTopics(bootstrap: string): Promise<void> {
  const admin = new Kafka({ brokers: bootstrap.split(','), logLevel: logLevel.NOTHING }).admin()
  await admin.connect()
  const configEntries = Object.entries(configOfConf).map(([name, value]) => ({ name, value }))
  await admin.createTopics({
    waitForLeaders: true,
    topics: Object.entries(partitionsByTopic).map(([topic, numPartitions]) => ({
      topic,
      numPartitions,
      replicationFactor: 3,
      configEntries: topic === 'run-conf' ? configEntries : []
    }))
  })
  await admin.disconnect()
}
