import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { kcat, kcatConsume, kcatGroup, kcatProduce } from './kcat.js'

const codecs = ['none', 'gzip', 'snappy', 'lz4', 'zstd']

interface Keyed {
  readonly key: string
  readonly value: string
}
const someRecords = (count: number, label: string): Keyed[] =>
  Array.from({ length: count }, (_, index) => ({
    key: `k${index % 7}`,
    value: `${label} ${index} ${'x'.repeat(index % 50)}`
  }))
const asText = ({ key, value }: { readonly key: Buffer | null; readonly value: Buffer | null }): Keyed => ({
  key: String(key),
  value: String(value)
})
const byValue = (left: Keyed, right: Keyed): number => (left.value < right.value ? -1 : 1)

describe('kcat against the embedded broker', () => {
  let cluster: EmbeddedCluster
  before(async () => {
    cluster = await startEmbeddedCluster({ nodes: 3 })
  })
  after(() => cluster.close())

  it('lists brokers and topics', async () => {
    cluster.createTopic('listed', { partitions: 5, replicationFactor: 3 })
    const metadata = JSON.parse((await kcat(['-L', '-J', '-b', cluster.bootstrap])).toString())
    expect(metadata.brokers.map((broker: { id: number }) => broker.id).sort()).to.deep.equal(
      cluster.nodes.map(node => node.nodeId)
    )
    const topic = metadata.topics.find((found: { topic: string }) => found.topic === 'listed')
    expect(topic.partitions).to.have.length(5)
  })

  for (const codec of codecs) {
    it(`produces and consumes with ${codec}`, async () => {
      const topic = `codec-${codec}`
      cluster.createTopic(topic, { partitions: 3, replicationFactor: 3 })
      const records = someRecords(500, codec)
      await kcatProduce(cluster.bootstrap, topic, records, ...(codec === 'none' ? [] : ['-z', codec]))
      const back = (await kcatConsume(cluster.bootstrap, topic)).map(asText)
      expect(back.sort(byValue)).to.deep.equal(records.toSorted(byValue))
      const stored = [0, 1, 2].flatMap(partition => cluster.records(topic, partition)).map(asText)
      expect(stored.sort(byValue)).to.deep.equal(records.toSorted(byValue))
    })
  }

  it('keeps the order of a partition and every byte', async () => {
    cluster.createTopic('bytes', { partitions: 1 })
    const all = Buffer.from(Array.from({ length: 256 }, (_, byte) => byte))
    const records = [
      { key: all, value: all },
      { key: 'k', value: Buffer.from([0]) },
      { key: Buffer.from([0xff, 0xfe]), value: Buffer.from([0xc3, 0x28, 0, 0xed, 0xa0, 0x80]) },
      { key: '__proto__', value: 'constructor' }
    ]
    await kcatProduce(cluster.bootstrap, 'bytes', records)
    const back = await kcatConsume(cluster.bootstrap, 'bytes')
    expect(back.map(({ key, value }) => [key?.toString('hex'), value?.toString('hex')])).to.deep.equal(
      records.map(({ key, value }) => [Buffer.from(key).toString('hex'), Buffer.from(value).toString('hex')])
    )
    expect(back.map(record => record.offset)).to.deep.equal([0, 1, 2, 3])
  })

  it('tells an empty value from a null one', async () => {
    cluster.createTopic('nulls', { partitions: 1 })
    await kcat(['-P', '-b', cluster.bootstrap, '-t', 'nulls', '-K', ':'], { input: 'k:\n' })
    await kcat(['-P', '-b', cluster.bootstrap, '-t', 'nulls', '-K', ':', '-Z'], { input: 'k:\n' })
    expect((await kcatConsume(cluster.bootstrap, 'nulls')).map(record => record.value?.length ?? null)).to.deep.equal([
      0,
      null
    ])
  })

  it('keeps headers', async () => {
    cluster.createTopic('headers', { partitions: 1 })
    await kcat(['-P', '-b', cluster.bootstrap, '-t', 'headers', '-H', 'a=1', '-H', 'b=two', '-H', 'a=3'], {
      input: 'v\n'
    })
    const output = await kcat(['-C', '-b', cluster.bootstrap, '-t', 'headers', '-e', '-q', '-f', '%h\\n'])
    expect(output.toString().trim()).to.equal('a=1,b=two,a=3')
  })

  it('produces idempotently', async () => {
    cluster.createTopic('idempotent', { partitions: 2, replicationFactor: 3 })
    const records = someRecords(1000, 'once')
    await kcatProduce(cluster.bootstrap, 'idempotent', records, '-X', 'enable.idempotence=true')
    expect((await kcatConsume(cluster.bootstrap, 'idempotent')).map(asText).sort(byValue)).to.deep.equal(
      records.toSorted(byValue)
    )
  })

  it('produces into a topic that is created by asking for it', async () => {
    await kcatProduce(cluster.bootstrap, 'created-by-kcat', someRecords(10, 'first'))
    expect(await kcatConsume(cluster.bootstrap, 'created-by-kcat')).to.have.length(10)
  })

  it('consumes in a group and goes on where the group stopped', async () => {
    cluster.createTopic('grouped', { partitions: 4, replicationFactor: 3 })
    const first = someRecords(300, 'first')
    await kcatProduce(cluster.bootstrap, 'grouped', first)
    expect((await kcatGroup(cluster.bootstrap, 'readers', ['grouped'])).map(asText).sort(byValue)).to.deep.equal(
      first.toSorted(byValue)
    )
    const second = someRecords(200, 'second')
    await kcatProduce(cluster.bootstrap, 'grouped', second)
    expect((await kcatGroup(cluster.bootstrap, 'readers', ['grouped'])).map(asText).sort(byValue)).to.deep.equal(
      second.toSorted(byValue)
    )
  })

  it('shares the partitions between two members of a group', async () => {
    cluster.createTopic('shared', { partitions: 4, replicationFactor: 3 })
    const records = someRecords(400, 'shared')
    await kcatProduce(cluster.bootstrap, 'shared', records)
    const halves = await Promise.all([1, 2].map(() => kcatGroup(cluster.bootstrap, 'halves', ['shared'])))
    const values = new Set(halves.flat().map(record => String(record.value)))
    expect(values).to.deep.equal(new Set(records.map(record => record.value)))
  })

  it('finds offsets by time, from the end, and waits for what comes later', async () => {
    cluster.createTopic('offsets', { partitions: 1 })
    await kcatProduce(cluster.bootstrap, 'offsets', someRecords(10, 'old'))
    const last = await kcat(['-C', '-b', cluster.bootstrap, '-t', 'offsets', '-o', '-3', '-e', '-q', '-f', '%o '])
    expect(last.toString().trim()).to.equal('7 8 9')
    const at = cluster.records('offsets', 0)[0]!.timestampMs
    const since = await kcat(['-Q', '-b', cluster.bootstrap, '-t', `offsets:0:${at}`])
    expect(since.toString()).to.match(/offset 0/)
    const tail = kcat([
      '-C',
      '-b',
      cluster.bootstrap,
      '-t',
      'offsets',
      '-p',
      '0',
      '-o',
      '10',
      '-c',
      '1',
      '-q',
      '-f',
      '%o %s'
    ])
    await kcatProduce(cluster.bootstrap, 'offsets', [{ key: 'k', value: 'new' }])
    expect((await tail).toString()).to.equal('10 new')
  })

  it('goes on through a leader move and a node that is away', async () => {
    cluster.createTopic('moving', { partitions: 1, replicationFactor: 3 })
    await kcatProduce(cluster.bootstrap, 'moving', someRecords(5, 'before'))
    const leader = cluster.leaderOf('moving', 0)
    await cluster.stopNode(leader)
    await kcatProduce(cluster.bootstrap, 'moving', someRecords(5, 'while away'), '-X', 'acks=all')
    await cluster.startNode(leader)
    cluster.moveLeader('moving', 0, leader)
    await kcatProduce(cluster.bootstrap, 'moving', someRecords(5, 'after'))
    const words = (await kcatConsume(cluster.bootstrap, 'moving')).map(record => String(record.value).split(' ')[0])
    expect(words).to.deep.equal([...Array(5).fill('before'), ...Array(5).fill('while'), ...Array(5).fill('after')])
  })
})
