import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import { findRecord } from '../../../src/server/app/find-record.js'
import { partitionsOf } from '../../../src/server/app/key-search.js'
import { type Castellan, startCastellan } from '../../support/castellan.js'

describe('the search for a record', () => {
  let cluster: EmbeddedCluster
  let castellan: Castellan
  before(async () => {
    cluster = await startEmbeddedCluster()
    castellan = await startCastellan(cluster.bootstrap)
  })
  after(async () => {
    await castellan?.close()
    await cluster?.close()
  })

  const find = (topic: string, key: string) => {
    const clusters = [{ name: 'default', router: castellan.router }]
    return findRecord({ clusters }, { by: 'key', topic, key }, 'ann')
  }
  const write = (topic: string, records: readonly { key: string | null; value: string | null }[]) =>
    castellan.produce(records.map(record => ({ topic, partition: 0, ...record })))

  it('finds all records with the key, the newest first, without their values', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    await write('orders', [
      { key: 'a', value: 'secret' },
      { key: 'b', value: 'secret' },
      { key: 'a', value: null }
    ])
    const found = await find('orders', 'a')
    expect(found.verdict).to.equal('yes')
    expect(
      found.records.map(({ partition, offset, valueBytes }) => [partition, offset, valueBytes])
    ).to.have.deep.members([
      [0, 2, null],
      [0, 0, 6]
    ])
    expect(JSON.stringify(found)).not.to.include('secret')
  })

  it('is sure where it has looked at all records, and tells an empty key from none', async () => {
    cluster.createTopic('few', { partitions: 1 })
    await write('few', [
      { key: '', value: 'x' },
      { key: null, value: 'y' }
    ])
    expect((await find('few', 'z')).verdict).to.equal('no')
    const { records } = await find('few', '')
    expect(records.map(({ offset }) => offset)).to.deep.equal([0])
    cluster.createTopic('empty', { partitions: 1 })
    expect(await find('empty', 'z')).to.deep.include({ verdict: 'no', records: [] })
  })

  it('looks at the last 10,000 records of a partition, and says that older ones may be there', async () => {
    cluster.createTopic('many', { partitions: 1 })
    await write('many', [{ key: 'old', value: 'x' }])
    for (let batch = 0; batch < 11; batch++)
      await write(
        'many',
        Array.from({ length: 1_000 }, () => ({ key: 'other', value: 'x' }))
      )
    await write('many', [{ key: 'new', value: 'x' }])
    const found = await find('many', 'old')
    expect(found.verdict).to.equal('notFound')
    expect(found.searched).to.deep.equal([{ partition: 0, from: 1_002, to: 11_001, records: 10_000, isWhole: false }])
    expect((await find('many', 'new')).records[0]).to.include({ offset: 11_001 })
  }).timeout(30_000)

  it('shares the limit where clients send records with the key to several partitions', async () => {
    const topic = 'shared'
    const partitions = Array.from({ length: 30 }, (_, at) => at + 2).find(
      count => partitionsOf(Buffer.from('k'), topic, count).length === 3
    )!
    cluster.createTopic(topic, { partitions })
    const [partition] = partitionsOf(Buffer.from('k'), topic, partitions)
    for (let batch = 0; batch < 4; batch++)
      await castellan.produce(
        Array.from({ length: 1_000 }, () => ({ topic, partition: partition!, key: 'other', value: 'x' }))
      )
    const { verdict, searched } = await find(topic, 'k')
    expect(verdict).to.equal('notFound')
    expect(searched.map(({ records }) => records)).to.have.members([3_333, 0, 0])
  }).timeout(30_000)

  it('reads about 16 MiB at most', async () => {
    cluster.createTopic('large', { partitions: 1 })
    const value = 'x'.repeat(500_000)
    for (let batch = 0; batch < 50; batch++) await write('large', [{ key: `k${batch}`, value }])
    const found = await find('large', 'k0')
    expect(found.verdict).to.equal('notFound')
    // One answer of Kafka more than the limit at most.
    expect(found.searched[0]!.records).to.be.below(50)
    expect((await find('large', 'k49')).verdict).to.equal('yes')
  }).timeout(30_000)

  it('looks in the partition of the key by each way in which an API chooses it', () => {
    const key = Buffer.from('k1')
    expect(partitionsOf(key, 'orders', 1)).to.deep.equal([0])
    const partitions = partitionsOf(key, 'orders', 1_000)
    expect(partitions.length).to.be.above(1).and.at.most(5)
    expect(new Set(partitions)).to.have.property('size', partitions.length)
  })

  it('says that the topic does not exist, or that Kafka does not let it be read', async () => {
    const failure = (topic: string): Promise<string> => find(topic, 'a').then(String, error => (error as Error).message)
    expect(await failure('no-such-topic')).to.include('no-such-topic')
    expect(await failure('not legal')).to.include('not a legal topic name')
    cluster.createTopic('forbidden', { partitions: 1 })
    await write('forbidden', [{ key: 'a', value: 'x' }])
    const fault = cluster.faults.add(
      { api: 'Fetch', topic: 'forbidden', count: Number.POSITIVE_INFINITY },
      { type: 'error', errorCode: errorCodes.TOPIC_AUTHORIZATION_FAILED }
    )
    expect(await failure('forbidden')).to.include('not authorized')
    fault.remove()
  })

  it('tells what became of the records of a receipt', async () => {
    const of = (records: readonly object[]) => {
      const receipts = { read: async () => ({ type: 'found', records, isSettled: true }) as never }
      return findRecord({ clusters: [], receipts }, { by: 'receipt', receipt: 'r1' }, 'ann')
    }
    const inKafka = { state: 'inKafka', partition: 1, offset: 7, timestampMs: 5 }
    expect(await of([inKafka])).to.deep.include({
      verdict: 'yes',
      message: '1 of 1 record is in Kafka.',
      records: [{ partition: 1, offset: 7, timestamp: 5 }]
    })
    expect(await of([inKafka, { state: 'waiting', why: 'no leader' }])).to.include({
      verdict: 'pending',
      message: '1 of 2 records are in Kafka, 1 wait: no leader.'
    })
    expect(await of([{ state: 'lost', why: 'too late' }])).to.include({ verdict: 'no' })
    expect(await of([{ state: 'unknown', why: 'gone' }])).to.include({ verdict: 'unknown' })
  })
})
