import {
  appendFileSync,
  cpSync,
  existsSync,
  lstatSync,
  mkdtempSync,
  readdirSync,
  rmSync,
  truncateSync,
  writeFileSync
} from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { Kafka, logLevel } from 'kafkajs'
import { ConfigError } from '../../src/core/errors.js'
import type { EmbeddedCluster, EmbeddedClusterOptions } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { batchOf, controlBatch, RawKafka } from '../support/raw-kafka.js'
import { fetchOne, initProducerId, metadata, produce } from '../support/raw-kafka-calls.js'
import { offsetCommit, offsetFetch } from '../support/raw-kafka-group-calls.js'

describe('broker: a directory', () => {
  let directory: string
  let cluster: EmbeddedCluster
  let client: RawKafka

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-broker-'))
    await start()
  })
  afterEach(async () => {
    await stop()
    rmSync(directory, { recursive: true, force: true })
  })

  async function start(options: EmbeddedClusterOptions = {}): Promise<void> {
    cluster = await startEmbeddedCluster({ directory, ...options })
    client = await RawKafka.connect(cluster.nodes[0]!)
  }
  async function stop(): Promise<void> {
    client.close()
    await cluster.close()
  }
  async function restart(options: EmbeddedClusterOptions = {}): Promise<void> {
    await stop()
    await start(options)
  }
  const values = () => cluster.records('orders', 0).map(({ value }) => value?.toString())
  const segments = () => readdirSync(join(directory, 'logs', 'orders-0')).sort()

  it('keeps what administrators have created, grown, altered and deleted', async () => {
    const kafka = new Kafka({ brokers: cluster.bootstrap.split(','), logLevel: logLevel.NOTHING })
    const admin = kafka.admin()
    await admin.connect()
    await admin.createTopics({ topics: ['orders', 'gone'].map(topic => ({ topic, numPartitions: 1 })) })
    await admin.createPartitions({ topicPartitions: [{ topic: 'orders', count: 3 }] })
    const configEntries = [{ name: 'max.message.bytes', value: '100' }]
    const resources = [{ type: 2, name: 'orders', configEntries }]
    await admin.alterConfigs({ validateOnly: false, resources })
    await admin.deleteTopics({ topics: ['gone'] })
    await admin.disconnect()
    await restart()
    const { topics } = await metadata(client, null)
    expect(topics.map(({ topic, partitions }) => [topic, partitions.length])).to.deep.equal([['orders', 3]])
    expect((await produce(client, 'orders', 2, batchOf(['x'.repeat(50)]))).errorCode).to.equal(10)
  })

  it('keeps topics, settings, records and committed offsets', async () => {
    cluster.createTopic('orders', { partitions: 2, config: new Map([['max.message.bytes', '100']]) })
    await produce(client, 'orders', 0, batchOf(['a', 'b']))
    await offsetCommit(
      client,
      'billing',
      'orders',
      [
        [0, 1],
        [1, 0]
      ],
      { metadata: 'note' }
    )
    const { clusterId } = await metadata(client, null)
    await restart()
    expect((await metadata(client, null)).clusterId).to.equal(clusterId)
    expect(values()).to.deep.equal(['a', 'b'])
    expect((await produce(client, 'orders', 0, batchOf(['c']))).baseOffset).to.equal(2)
    expect((await produce(client, 'orders', 1, batchOf(['x'.repeat(50)]))).errorCode).to.equal(10)
    const { partitions } = await offsetFetch(client, 'billing', 'orders', [0, 1])
    expect(partitions.map(({ offset, metadata: note }) => [offset, note])).to.deep.equal([
      [1, 'note'],
      [0, 'note']
    ])
  })

  it('keeps records that were answered when the process dies without closing', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    await produce(client, 'orders', 0, batchOf(['a']))
    // What was written so far is all that a killed process leaves, its lock among it.
    const left = mkdtempSync(join(tmpdir(), 'castellan-broker-'))
    try {
      cpSync(directory, left, { recursive: true, filter: source => !lstatSync(source).isSocket() })
      const survivor = await startEmbeddedCluster({ directory: left })
      expect(survivor.records('orders', 0).map(({ value }) => value?.toString())).to.deep.equal(['a'])
      await survivor.close()
    } finally {
      rmSync(left, { recursive: true, force: true })
    }
  })

  for (const [title, damage] of [
    ['half a batch', (path: string) => appendFileSync(path, batchOf(['torn']).subarray(0, 65))],
    ['half a header', (path: string) => appendFileSync(path, batchOf(['torn']).subarray(0, 20))],
    ['zeros', (path: string) => appendFileSync(path, Buffer.alloc(100))]
  ] as const) {
    it(`cuts a torn tail: ${title}`, async () => {
      cluster.createTopic('orders', { partitions: 1 })
      for (const value of ['a', 'b']) await produce(client, 'orders', 0, batchOf([value]))
      await stop()
      damage(join(directory, 'logs', 'orders-0', segments().at(-1)!))
      await start()
      expect(values()).to.deep.equal(['a', 'b'])
      expect((await produce(client, 'orders', 0, batchOf(['d']))).baseOffset).to.equal(2)
      await restart()
      expect(values()).to.deep.equal(['a', 'b', 'd'])
    })
  }

  it('remembers the last batch of each producer, and hands out no id twice', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    const { producerId } = await initProducerId(client)
    const send = async (baseSequence: number) =>
      (await produce(client, 'orders', 0, batchOf(['x'], { producerId, baseSequence, timestampMs: Date.now() })))
        .errorCode
    expect([await send(0), await send(1)]).to.deep.equal([0, 0])
    await restart()
    expect([await send(1), await send(0), await send(2)]).to.deep.equal([0, 45, 0])
    expect(values()).to.have.length(3)
    expect((await initProducerId(client)).producerId).to.be.greaterThan(producerId)
  })

  it('keeps offsets where compaction left holes, and transactions apart', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    for (const value of ['1', '2', '3']) await produce(client, 'orders', 0, batchOf([{ key: 'k', value }]))
    cluster.compact('orders', 0)
    cluster.appendRaw('orders', 0, batchOf(['t'], { producerId: 9, baseSequence: 0, isTransactional: true }))
    cluster.appendRaw('orders', 0, controlBatch('abort', 9))
    await restart()
    expect(cluster.records('orders', 0).map(({ offset }) => offset)).to.deep.equal([2, 3])
    const { aborted } = await fetchOne(client, 'orders', 0, 2, { isReadCommitted: true })
    expect(aborted).to.deep.equal([{ producerId: 9, firstOffset: 3 }])
    expect((await produce(client, 'orders', 0, batchOf(['x']))).baseOffset).to.equal(5)
  })

  it('drops oldest segment files beyond the limit and remembers where the log starts', async () => {
    await restart({ retentionBytes: 64 * 1024 })
    cluster.createTopic('orders', { partitions: 1 })
    for (let round = 0; round < 40; round++)
      await produce(client, 'orders', 0, batchOf([{ value: Buffer.alloc(5000) }]))
    const logStart = cluster.logStartOffset('orders', 0)
    expect(logStart).to.be.greaterThan(20)
    expect(segments()[0]).to.equal(`${String(logStart).padStart(20, '0')}.log`)
    await restart({ retentionBytes: 64 * 1024 })
    expect(cluster.logStartOffset('orders', 0)).to.equal(logStart)
    expect(cluster.highWatermark('orders', 0)).to.equal(40)
    expect(values()).to.have.length(40 - logStart)
  })

  describe('that lost files, or parts of them', () => {
    /** Three segments or more, of 100 records. */
    async function fill(policy = 'delete'): Promise<string[]> {
      await restart({ retentionBytes: 64 * 1024 })
      cluster.createTopic('orders', { partitions: 1, config: new Map([['cleanup.policy', policy]]) })
      for (let round = 0; round < 10; round++) {
        const values = Array.from({ length: 10 }, (_, at) => ({
          key: Buffer.from(`${round}`),
          value: Buffer.alloc(100, `${at}`)
        }))
        await produce(client, 'orders', 0, batchOf(values))
      }
      await stop()
      expect(segments().length).to.be.at.least(3)
      return segments().map(name => join(directory, 'logs', 'orders-0', name))
    }
    const firstOf = (path: string): number => Number(path.slice(-24, -4))
    async function warnings(): Promise<string[]> {
      const lines: string[] = []
      await start({ retentionBytes: 64 * 1024, warn: line => void lines.push(line) })
      return lines
    }
    const missing = (from: number, to: number): string =>
      `offsets ${from} to ${to} of orders/0 are missing: a file of the log is gone, or was cut; they are lost`

    it('says at the start which offsets a file had that is gone', async () => {
      const [first, second, third] = await fill()
      rmSync(second!)
      expect(await warnings()).to.deep.equal([missing(firstOf(second!), firstOf(third!) - 1)])
      await stop()
      rmSync(first!)
      expect(await warnings()).to.deep.equal([missing(0, firstOf(third!) - 1)])
      expect(values()).to.have.length(100 - firstOf(third!))
    })

    it('says at the start which offsets a file had that was cut, and uses none of them again', async () => {
      const files = await fill()
      const last = files.at(-1)!
      truncateSync(last, 0)
      expect(await warnings()).to.deep.equal([missing(firstOf(last), 99)])
      expect((await produce(client, 'orders', 0, batchOf(['next']))).baseOffset).to.equal(100)
      expect(values().at(-1)).to.equal('next')
    })

    it('says so of a batch that was acknowledged and is cut in the middle', async () => {
      cluster.createTopic('orders', { partitions: 1 })
      for (const value of ['a', 'b', 'c']) await produce(client, 'orders', 0, batchOf([value]))
      await stop()
      truncateSync(join(directory, 'logs', 'orders-0', segments().at(-1)!), 2 * batchOf(['a']).length + 64)
      expect(await warnings()).to.deep.equal([missing(2, 2)])
      expect(values()).to.deep.equal(['a', 'b'])
      expect((await produce(client, 'orders', 0, batchOf(['d']))).baseOffset).to.equal(3)
    })

    it('says so when all are gone', async () => {
      for (const file of await fill()) rmSync(file)
      expect(await warnings()).to.deep.equal([missing(0, 99)])
      expect((await produce(client, 'orders', 0, batchOf(['next']))).baseOffset).to.equal(100)
    })

    it('says nothing of what compaction left out', async () => {
      const [, second] = await fill('compact')
      rmSync(second!)
      expect(await warnings()).to.deep.equal([])
    })
  })

  it('removes the files of a deleted topic', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    await produce(client, 'orders', 0, batchOf(['a']))
    cluster.deleteTopic('orders')
    expect(existsSync(join(directory, 'logs', 'orders-0'))).to.equal(false)
    await restart()
    expect((await metadata(client, null)).topics).to.deep.equal([])
  })

  it('leads under a new epoch after a restart, with fewer nodes too', async () => {
    await restart({ nodes: 3 })
    cluster.createTopic('orders', { partitions: 3, replicationFactor: 1 })
    await restart({ nodes: 1 })
    const [topic] = (await metadata(client, ['orders'])).topics
    expect(topic!.partitions.map(({ leaderId, leaderEpoch }) => [leaderId, leaderEpoch])).to.deep.equal([
      [1, 1],
      [1, 1],
      [1, 1]
    ])
  })

  it('keeps a second cluster out', async () => {
    const refused = await startEmbeddedCluster({ directory }).catch((error: Error) => error)
    expect(refused).to.be.instanceOf(ConfigError)
    expect((refused as Error).message)
      .to.include(directory)
      .and.to.include(String(process.pid))
  })

  it('loses nothing when it cannot start because its port is taken', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    await produce(client, 'orders', 0, batchOf(['a']))
    await stop()
    const other = await startEmbeddedCluster()
    const { port } = other.nodes[0]!
    const refused = await startEmbeddedCluster({ directory, port }).catch((error: NodeJS.ErrnoException) => error.code)
    expect(refused).to.equal('EADDRINUSE')
    await other.close()
    await start()
    expect(values()).to.deep.equal(['a'])
  })

  it('says which file it cannot read', async () => {
    await stop()
    writeFileSync(join(directory, 'cluster.json'), '{')
    const refused = await startEmbeddedCluster({ directory }).catch((error: Error) => error)
    rmSync(join(directory, 'cluster.json'))
    await start()
    expect(refused).to.be.instanceOf(ConfigError)
    expect((refused as Error).message).to.include(join(directory, 'cluster.json'))
  })
})
