/**
 * What a user of Node writes at first, one test for each thing. package.system.test.ts compiles this file against the packed
 * packages under `strict` without `skipLibCheck`, and runs it; from the sources `node --import tsx --test FILE` does.
 */
import assert from 'node:assert/strict'
import { after, before, test } from 'node:test'
import {
  AdminError,
  askRouter,
  type Castellan,
  type Message,
  type NewRecord,
  openCastellan,
  ProduceError,
  TransactionError
} from 'castellan-client'
import { type EmbeddedCluster, startEmbeddedCluster } from 'castellan-testing'

let cluster: EmbeddedCluster
let castellan: Castellan
before(async () => {
  cluster = await startEmbeddedCluster()
  castellan = await openCastellan({ brokers: cluster.bootstrap })
})
after(async () => {
  assert.equal(await castellan.close({ timeoutMs: 5_000 }), 0)
  await cluster.close()
})

let topics = 0
/** A topic of its own for a test. */
async function newTopic(partitions = 1, values: readonly string[] = []): Promise<string> {
  const name = `topic-${++topics}`
  await castellan.admin.createTopic({ name, partitions })
  if (values.length > 0) await castellan.produceOrThrow(values.map(value => ({ topic: name, value })))
  return name
}
const textOf = ({ value }: { readonly value: Buffer | null }): string => String(value)

/** Those that a group gets within a loop, which it leaves after so many. */
async function take(group: string, topic: string, count: number, isAcked = true): Promise<string[]> {
  const values: string[] = []
  for await (const message of castellan.consume({ group, topics: topic, start: 'earliest' })) {
    if (isAcked) message.ack()
    if (values.push(textOf(message)) === count) break
  }
  return values
}

test('a transaction commits its records and acknowledgements together, and what its function throws comes out', async () => {
  const [orders, bills] = [await newTopic(1, ['a', 'b']), await newTopic()]
  await using etl = await openCastellan({ brokers: cluster.bootstrap, router: { isolationLevel: 'readCommitted' } })
  const bill = (fails: boolean): Promise<number> =>
    etl.transaction('etl-1', async tx => {
      const consumed = etl.consume({ group: 'etl', topics: orders, start: 'earliest' }).batches({ maxMessages: 2 })
      let billed = 0
      for await (const batch of consumed) {
        for (const { value } of batch) void tx.produce({ topic: bills, value })
        tx.ack(batch)
        billed += batch.length
        if (fails) throw new RangeError('no paper')
        if (billed === 2) break
      }
      return billed
    })
  await assert.rejects(bill(true), RangeError)
  assert.equal(await bill(false), 2)
  const seen: string[] = []
  for await (const record of etl.read(bills, { from: 'earliest', follow: false })) seen.push(textOf(record))
  assert.deepEqual(seen, ['a', 'b'])
  const wrong = etl.transaction('etl-1', async tx =>
    tx.commitOffsets('etl', [{ topic: orders, partition: 0, offset: -1 }])
  )
  await assert.rejects(wrong, { name: 'InvalidRequestError' })
  const late = etl.transaction('etl-1', () => new Promise(() => undefined), { timeoutMs: 50 })
  await assert.rejects(late, (error: unknown) => error instanceof TransactionError && error.committed === 'no')
})

test('await using closes a client and a cluster with their block', async () => {
  let left: Castellan
  {
    await using other = await startEmbeddedCluster()
    await using client = await openCastellan({ brokers: other.bootstrap })
    await client.produceOrThrow({ topic: 'orders', value: 'x' })
    left = client
  }
  const [outcome] = await left.produce({ topic: 'orders', value: 'x' })
  assert.equal(outcome?.type === 'failed' && outcome.code, 'shuttingDown')
})

test('one record is produced without options, and the outcome says where it is', async () => {
  const topic = await newTopic()
  const [outcome] = await castellan.produce({ topic, value: 'one book' })
  if (outcome?.type !== 'delivered') throw new Error(outcome?.message)
  assert.deepEqual([outcome.partition, outcome.offset], [0, 0])
  assert.ok(Math.abs(outcome.timestampMs - Date.now()) < 60_000)
})

test('keys, values and headers are texts or a Uint8Array, and headers an object of texts', async () => {
  const topic = await newTopic()
  const headers: Record<string, string> = { type: 'order', via: 'web' }
  const records: NewRecord[] = [
    { topic, key: new TextEncoder().encode('ann'), value: new Uint8Array([1, 2]), headers },
    { topic, key: 'bob', value: null, headers: { via: ['web', new Uint8Array([101, 117])], none: null } }
  ]
  await castellan.produceOrThrow(records)
  const read = []
  for await (const record of castellan.read(topic, { from: 'earliest', follow: false })) read.push(record)
  assert.deepEqual(
    read.map(({ key, value }) => [String(key), value && [...value]]),
    [
      ['ann', [1, 2]],
      ['bob', null]
    ]
  )
  const texts = read.map(record => record.headers.map(({ key, value }) => `${key}=${value}`))
  assert.deepEqual(texts, [
    ['type=order', 'via=web'],
    ['via=web', 'via=eu', 'none=null']
  ])
})

test('a record has the partition and the time that it names', async () => {
  const topic = await newTopic(3)
  const timestampMs = Date.UTC(2026, 0, 1)
  const [delivered] = await castellan.produceOrThrow({ topic, value: 'x', partition: 2, timestampMs })
  assert.deepEqual([delivered?.partition, delivered?.timestampMs], [2, timestampMs])
  for await (const record of castellan.read(topic, { from: { timestampMs } })) {
    assert.equal(new Date(record.timestampMs).getUTCFullYear(), 2026)
    break
  }
})

test('a function chooses partitions', async () => {
  const topic = await newTopic(4)
  const partitioner = (key: Buffer | null, partitions: number): number => (key === null ? 0 : key[0]! % partitions)
  const records = [0, 1, 2, 3].map(at => ({ topic, key: new Uint8Array([at]), value: 'x' }))
  const delivered = await castellan.produceOrThrow(records, { partitioner })
  assert.deepEqual(
    delivered.map(({ partition }) => partition),
    [0, 1, 2, 3]
  )
})

test('an error names what is wrong with a record', async () => {
  const produced = castellan.produceOrThrow([{ topic: 'no topic', value: 'x' }])
  await assert.rejects(produced, error => error instanceof ProduceError && error.persisted === 'no')
})

test('a group consumes several topics, and begins where it says', async () => {
  const [orders, returns] = [await newTopic(1, ['o1']), await newTopic(1, ['r1'])]
  const seen: string[] = []
  await using consumer = castellan.consume({ group: 'several', topics: [orders, returns], start: 'earliest' })
  for await (const message of consumer) {
    message.ack()
    if (seen.push(`${message.topic} ${textOf(message)}`) === 2) break
  }
  assert.deepEqual(seen.sort(), [`${orders} o1`, `${returns} r1`])
})

test('leaving a loop releases at once what was not acknowledged, in order', async () => {
  const topic = await newTopic(1, ['a', 'b', 'c'])
  assert.deepEqual(await take('leaving', topic, 2, false), ['a', 'b'])
  const startedAt = Date.now()
  assert.deepEqual(await take('leaving', topic, 3), ['a', 'b', 'c'])
  assert.ok(Date.now() - startedAt < 5_000)
})

test('batches are acknowledged together', async () => {
  const topic = await newTopic(1, ['a', 'b', 'c'])
  const seen: string[] = []
  const consumer = castellan.consume({ group: 'batches', topics: topic, start: 'earliest' })
  for await (const batch of consumer.batches({ maxMessages: 2 })) {
    assert.ok(batch.length <= 2)
    seen.push(...Array.from(batch, textOf))
    batch.ack()
    if (seen.length === 3) break
  }
  assert.deepEqual(seen, ['a', 'b', 'c'])
})

test('run handles messages of different keys at the same time, and those of a key one after another', async () => {
  const topic = await newTopic()
  const records = ['ann 1', 'ann 2', 'bob 1'].map(value => ({ topic, key: value.slice(0, 3), value }))
  await castellan.produceOrThrow(records)
  const stop = new AbortController()
  const begun: string[] = []
  let bob = (): void => undefined
  const bobHasBegun = new Promise<void>(resolve => (bob = resolve))
  const handle = async (message: Message): Promise<void> => {
    begun.push(textOf(message))
    if (textOf(message) === 'bob 1') bob()
    await bobHasBegun
    if (begun.length === records.length) stop.abort()
  }
  const consumer = castellan.consume({ group: 'run', topics: topic, start: 'earliest', signal: stop.signal })
  await consumer.run(handle, { concurrency: 2, order: 'key' })
  assert.deepEqual(begun, ['ann 1', 'bob 1', 'ann 2'])
})

test('an error of a handler comes out of run, and its message is offered next', async () => {
  const topic = await newTopic(1, ['a'])
  const failing = castellan.consume({ group: 'failing', topics: topic, start: 'earliest' })
  await assert.rejects(
    failing.run(async () => {
      throw new RangeError('no stock')
    }),
    { name: 'RangeError', message: 'no stock' }
  )
  assert.deepEqual(await take('failing', topic, 1), ['a'])
})

test('topics are made, told and deleted, and their settings are an object', async () => {
  const { admin } = castellan
  const name = await newTopic(2)
  const configs: Record<string, string> = { 'cleanup.policy': 'compact' }
  await admin.createTopic({ name: 'x', partitions: 1, configs })
  assert.equal((await admin.topics()).get(name)?.partitions.length, 2)
  const settings = await admin.describeConfigs({ topic: 'x' })
  assert.equal(settings.x?.['cleanup.policy']?.value, 'compact')
  await admin.alterConfigs({ topic: 'x' }, { 'retention.ms': '60000', 'cleanup.policy': null })
  await admin.deleteTopic('x')
  assert.equal((await admin.topics()).has('x'), false)
  const unknown = admin.deleteTopic('x', { timeoutMs: 5_000 })
  await assert.rejects(unknown, error => error instanceof AdminError && error.code === 'unknownTopicOrPartition')
})

test('a group tells its offsets, and is moved to others', async () => {
  const topic = await newTopic(1, ['a', 'b'])
  const { admin } = castellan
  await take('moved', topic, 2)
  await admin.setOffsets('moved', [{ topic, partition: 0, offset: 1 }])
  const [place] = await admin.offsets('moved', topic)
  assert.deepEqual(place, { topic, partition: 0, committed: 1, earliest: 0, latest: 2 })
  assert.deepEqual(await take('moved', topic, 1), ['b'])
})

test('the Router answers typed requests, one or a list', async () => {
  const topic = await newTopic(1, ['a'])
  const topicPartition = { topic, partition: 0 }
  const { ref } = castellan.router
  const end = await askRouter(ref, { type: 'fetchOffset', topicPartition, offsetType: 'latest' })
  const offset: number = end.type === 'success' ? end.offset : -1
  assert.equal(offset, 1)
  const [first, records] = await askRouter(ref, [
    { type: 'fetchOffset', topicPartition, offsetType: 'earliest' },
    { type: 'fetchData', topicPartition, offset: 0 }
  ])
  assert.equal(first.type === 'success' && first.offset, 0)
  assert.equal(records.type === 'success' && String(records.batch.at(0).value), 'a')
})
