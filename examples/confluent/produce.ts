/**
 * Records by Confluent's API with a client that openapi-client-axios makes of `/openapi.json`: version 2, version 3, and a
 * stream of version 3. What each answer means is decided by the code of each record and, for a record that failed, by
 * whether it may be in Kafka all the same.
 *
 *   npm pkg set type=module
 *   npm install openapi-client-axios axios
 *   npx tsx produce.ts http://127.0.0.1:8080 orders
 *
 * With a topic of one partition, and without creation of missing topics (`delivery.createTopics: false`):
 *
 * ```text
 * version 2: written at 0/0
 * version 2: written at 0/1
 * version 3: written at 0/2
 * stream: written at 0/3
 * stream: 400: fix the record; it is not in Kafka
 * stream: written at 0/4
 * unknown topic: 40401: fix the record; it is not in Kafka
 * ```
 */
import { createInterface } from 'node:readline'
import { Readable } from 'node:stream'
import { OpenAPIClientAxios } from 'openapi-client-axios'

type Persisted = 'yes' | 'no' | 'unknown' | 'pending'

/** The answer of version 2 to one record. */
interface Offset {
  readonly partition: number | null
  readonly offset: number | null
  /** `null`: it is in Kafka. */
  readonly error_code: number | null
}

/** The answer of version 3 to one record; 200: it is in Kafka. */
interface RecordAnswer {
  readonly error_code: number
  readonly message?: string
  readonly partition_id?: number
  readonly offset?: number
}

const [url = 'http://127.0.0.1:8080', topic = 'orders'] = process.argv.slice(2)
const api = new OpenAPIClientAxios({
  definition: `${url}/openapi.json`,
  // Longer than the gateway waits for Kafka (apis.confluent.syncTimeoutMs, a minute): its answer says more than a time-out here.
  axiosConfigDefaults: { baseURL: url, timeout: 90_000, validateStatus: () => true }
})
const client = await api.init()

/** What to do with a record that failed. */
function verdict(code: number, persisted: Persisted): string {
  if (persisted === 'pending') return `${code}: wait; it is in the durable log and will be written`
  if (persisted === 'unknown') return `${code}: it may be in Kafka; send it again only where a copy does no harm`
  if (code === 429 || code === 503 || code === 50003) return `${code}: send it again later; it is not in Kafka`
  return `${code}: fix the record; it is not in Kafka`
}

const words = { y: 'yes', n: 'no', u: 'unknown', p: 'pending' } as const

/** The header has one word, or one letter per record. */
function persistedOf(header: string, at: number): Persisted {
  const word = Object.values(words).find(one => one === header)
  return word ?? words[header[at] as keyof typeof words] ?? 'unknown'
}

/** Version 2: one code per record, in their order; one for all where the request is refused as a whole. */
async function produceV2(name: string, to: string, records: readonly object[]): Promise<void> {
  const headers = { 'content-type': 'application/vnd.kafka.json.v2+json' }
  const answer = await client.confluentProduce!({ topic: to }, { records }, { headers })
  const { offsets = [answer.data as Offset] } = answer.data as { offsets?: readonly Offset[] }
  for (const [at, { partition, offset, error_code: code }] of offsets.entries()) {
    const persisted = persistedOf(String(answer.headers['x-castellan-persisted']), at)
    console.log(`${name}: ${code === null ? `written at ${partition}/${offset}` : verdict(code, persisted)}`)
  }
}

/** Version 3: each record has an answer of one line, which comes as soon as Kafka has the record. */
async function produceV3(name: string, to: string, body: object | Readable): Promise<void> {
  // Answers to a stream come while it is sent: with redirects axios would keep all of it for another try.
  const { data } = await client.confluentProduceRecords!({ cluster_id: 'any', topic_name: to }, body, {
    headers: { 'content-type': 'application/json' },
    responseType: 'stream',
    maxRedirects: 0
  })
  for await (const line of createInterface({ input: data as Readable })) {
    const { error_code: code, message = '', partition_id: partition, offset } = JSON.parse(line) as RecordAnswer
    // The text of a record that failed says whether it is in Kafka.
    const persisted = (/\(in Kafka: (\w+)\)$/.exec(message)?.[1] ?? 'no') as Persisted
    console.log(`${name}: ${code === 200 ? `written at ${partition}/${offset}` : verdict(code, persisted)}`)
  }
}

function* stream(): Generator<string> {
  const key = { type: 'STRING', data: 'k1' }
  yield JSON.stringify({ key, value: { type: 'JSON', data: { total: 10 } } })
  yield JSON.stringify({ key, value: { type: 'BINARY', data: 'this is not base64' } })
  yield JSON.stringify({ key, value: { type: 'JSON', data: { total: 11 } } })
}

await produceV2(
  'version 2',
  topic,
  [7, 8].map(total => ({ key: 'k1', value: { total } }))
)
const key = { type: 'STRING', data: 'k1' }
await produceV3('version 3', topic, { key, value: { type: 'JSON', data: { total: 9 } } })
await produceV3('stream', topic, Readable.from(stream()))
await produceV2('unknown topic', `no-${topic}`, [{ value: 1 }])
