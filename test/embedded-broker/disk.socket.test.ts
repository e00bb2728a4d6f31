import * as fs from 'node:fs'
import { mkdtempSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import sinon from 'sinon'
import type { EmbeddedCluster, EmbeddedClusterOptions } from '../../src/embedded-broker/embedded-cluster.js'
import { startClusterOn } from '../../src/embedded-broker/start-embedded-cluster.js'
import type { FileSystem } from '../../src/embedded-broker/storage/file-bytes.js'
import { batchOf, RawKafka } from '../support/raw-kafka.js'
import { fetchOne, initProducerId, metadata, produce } from '../support/raw-kafka-calls.js'
import { offsetCommit, offsetFetch } from '../support/raw-kafka-group-calls.js'

const KAFKA_STORAGE_ERROR = 56
const COORDINATOR_NOT_AVAILABLE = 15

/** The real one, until its disk is full or its descriptors are used up. */
class FaultyDisk {
  isFull = false
  /** The next write puts down only so many bytes before the disk is full. */
  bytesLeft = 0
  maxDescriptors = Number.POSITIVE_INFINITY
  #descriptors = new Set<number>()

  readonly files = {
    ...fs,
    openSync: (path: string, flags: string, mode: number) => {
      if (this.#descriptors.size >= this.maxDescriptors) throw failure('EMFILE')
      const descriptor = fs.openSync(path, flags, mode)
      this.#descriptors.add(descriptor)
      return descriptor
    },
    closeSync: (descriptor: number) => {
      this.#descriptors.delete(descriptor)
      fs.closeSync(descriptor)
    },
    writeFileSync: (path: string, data: string | Buffer, options: fs.WriteFileOptions) => {
      if (this.isFull) throw failure('ENOSPC')
      fs.writeFileSync(path, data, options)
    },
    writeSync: (descriptor: number, bytes: Buffer, offset: number, length: number, position: number) => {
      if (!this.isFull) return fs.writeSync(descriptor, bytes, offset, length, position)
      if (this.bytesLeft === 0) throw failure('ENOSPC')
      const written = fs.writeSync(descriptor, bytes, offset, Math.min(length, this.bytesLeft), position)
      this.bytesLeft -= written
      return written
    },
    mkdirSync: (path: string, options: fs.MakeDirectoryOptions) => {
      if (this.isFull) throw failure('ENOSPC')
      return fs.mkdirSync(path, options)
    }
  } as unknown as FileSystem
}

const failure = (code: string) => Object.assign(new Error(`${code}: no more`), { code })

describe('broker: a disk that fails', () => {
  let directory: string
  let disk: FaultyDisk
  let cluster: EmbeddedCluster
  let client: RawKafka
  let warnings: string[]

  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-disk-'))
    disk = new FaultyDisk()
    warnings = []
    await start()
  })
  afterEach(async () => {
    disk.isFull = false
    await stop()
    rmSync(directory, { recursive: true, force: true })
  })

  async function start(options: EmbeddedClusterOptions = {}): Promise<void> {
    cluster = await startClusterOn(disk.files, { directory, warn: message => warnings.push(message), ...options })
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
  const values = (topic = 'orders') => cluster.records(topic, 0).map(({ value }) => value?.toString())
  const send = async (value: string, topic = 'orders') => (await produce(client, topic, 0, batchOf([value]))).errorCode
  const nextTurn = () => new Promise(resolve => setImmediate(resolve))

  it('is full: a batch is answered 56, half of it does not stay, and space heals it', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    expect(await send('a')).to.equal(0)
    disk.isFull = true
    disk.bytesLeft = 30
    expect([await send('b'), await send('c')]).to.deep.equal([KAFKA_STORAGE_ERROR, KAFKA_STORAGE_ERROR])
    expect((await fetchOne(client, 'orders', 0, 0)).errorCode).to.equal(0)
    disk.isFull = false
    expect(await send('d')).to.equal(0)
    await restart()
    expect(values()).to.deep.equal(['a', 'd'])
    expect(warnings).to.deep.equal([])
  })

  it('a topic made while the disk is full takes no record that would be forgotten with it', async () => {
    disk.isFull = true
    await metadata(client, ['orders'], true)
    while ((await metadata(client, ['orders'])).topics[0]!.errorCode !== 0) await nextTurn()
    await nextTurn()
    expect(await send('a')).to.equal(KAFKA_STORAGE_ERROR)
    expect(warnings.join()).to.match(/cluster\.json cannot be written/)
    disk.isFull = false
    expect(await send('b')).to.equal(0)
    await restart()
    expect(values()).to.deep.equal(['b'])
  })

  it('what is changed while the disk is full is written once there is space, without being asked', async () => {
    disk.isFull = true
    cluster.createTopic('orders', { partitions: 1 })
    while (warnings.length === 0) await nextTurn()
    disk.isFull = false
    const topics = () => {
      const path = join(directory, 'cluster.json')
      return fs.existsSync(path) ? JSON.parse(readFileSync(path, 'utf8')).topics.length : 0
    }
    while (topics() === 0) await new Promise(resolve => setTimeout(resolve, 10))
    expect(topics()).to.equal(1)
  })

  it('nothing is written or tried again after closing, however many changes a full disk has refused', async () => {
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    const timers: number[] = []
    disk.isFull = true
    for (const topic of ['orders', 'users', 'views']) {
      cluster.createTopic(topic, { partitions: 1 })
      await nextTurn()
      await nextTurn()
    }
    timers.push(clock.countTimers())
    await stop()
    timers.push(clock.countTimers())
    const warned = warnings.length
    clock.tick(10_000)
    timers.push(clock.countTimers())
    clock.restore()
    disk.isFull = false
    await start()
    expect(timers, 'one for all that was refused, none afterwards').to.deep.equal([1, 0, 0])
    expect(warnings).to.have.length(warned)
  })

  it('commits and producer ids are refused while they cannot be written, and work again after', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    await offsetCommit(client, 'billing', 'orders', [[0, 1]])
    disk.isFull = true
    disk.bytesLeft = 10
    const refused = await offsetCommit(client, 'billing', 'orders', [[0, 2]])
    expect(JSON.stringify(refused)).to.include(String(COORDINATOR_NOT_AVAILABLE))
    expect((await offsetFetch(client, 'billing', 'orders', [0])).partitions[0]!.offset).to.equal(1)
    expect((await initProducerId(client)).errorCode).to.equal(COORDINATOR_NOT_AVAILABLE)
    disk.isFull = false
    await offsetCommit(client, 'billing', 'orders', [[0, 3]])
    expect((await initProducerId(client)).errorCode).to.equal(0)
    await restart()
    expect((await offsetFetch(client, 'billing', 'orders', [0])).partitions[0]!.offset).to.equal(3)
  })

  it('closing on a full disk is no error', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    await nextTurn()
    disk.isFull = true
    await stop()
    expect(warnings).to.have.length(1)
    disk.isFull = false
    await start()
  })

  it('files of many partitions need one descriptor, beside that of the offsets', async () => {
    cluster.createTopic('orders', { partitions: 30 })
    disk.maxDescriptors = 2
    for (const round of ['0', '1'])
      for (let partition = 0; partition < 30; partition++)
        expect((await produce(client, 'orders', partition, batchOf([round]))).errorCode).to.equal(0)
    await restart()
    for (let partition = 0; partition < 30; partition++)
      expect(cluster.records('orders', partition).map(({ value }) => String(value))).to.deep.equal(['0', '1'])
  })

  it('a damaged middle is reported and put aside, what lies behind it is read', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    for (const value of ['a', 'b', 'c']) await send(value)
    await stop()
    const path = join(directory, 'logs', 'orders-0', '00000000000000000000.log')
    const bytes = readFileSync(path)
    const size = bytes.length / 3
    bytes[size + 65]! ^= 4
    writeFileSync(path, bytes)
    await start()
    expect(values()).to.deep.equal(['a', 'c'])
    expect(warnings).to.have.length(1)
    expect(warnings[0]).to.include(path).and.to.include('offsets 1 to 1 of orders/0')
    const [quarantined] = readdirSync(join(directory, 'quarantine'))
    expect(readFileSync(join(directory, 'quarantine', quarantined!)).equals(bytes.subarray(size, 2 * size))).to.equal(
      true
    )
    const { records, errorCode } = await fetchOne(client, 'orders', 0, 1)
    expect([errorCode, records.readInt32BE(4)]).to.deep.equal([0, 2])
    expect(await send('d')).to.equal(0)
    await restart()
    expect(values()).to.deep.equal(['a', 'c', 'd'])
  })

  it('what a deleted topic left behind does not come back with its name', async () => {
    cluster.createTopic('orders', { partitions: 1 })
    await send('old')
    await stop()
    const file = JSON.parse(readFileSync(join(directory, 'cluster.json'), 'utf8'))
    writeFileSync(join(directory, 'cluster.json'), JSON.stringify({ ...file, topics: [] }))
    await start()
    cluster.createTopic('orders', { partitions: 1 })
    expect(values()).to.deep.equal([])
    expect(await send('new')).to.equal(0)
    await restart()
    expect(values()).to.deep.equal(['new'])
  })

  it('a setting of a stored topic that is refused by now is left out, and the topic can be read', async () => {
    cluster.createTopic('orders', { partitions: 1, config: { 'segment.bytes': 1_048_576, 'max.message.bytes': 100 } })
    await send('old')
    await stop()
    const path = join(directory, 'cluster.json')
    writeFileSync(path, readFileSync(path, 'utf8').replace('1048576', '1000'))
    await start()
    expect(values()).to.deep.equal(['old'])
    await restart()
    expect(readFileSync(path, 'utf8')).to.include('max.message.bytes').and.not.to.include('segment.bytes')
  })

  it('files are for their owner only', async function () {
    if (process.platform === 'win32') {
      console.log('    SKIPPED: Windows has no permissions of this kind')
      this.skip()
    }
    await restart({ directory: join(directory, 'deeper') })
    cluster.createTopic('orders', { partitions: 1 })
    await send('a')
    await offsetCommit(client, 'billing', 'orders', [[0, 1]])
    await stop()
    const entries = readdirSync(join(directory, 'deeper'), { recursive: true, withFileTypes: true })
    const modes = entries.map(entry => [
      entry.isDirectory() ? 'folder' : 'file',
      (statSync(join(entry.parentPath, entry.name)).mode & 0o777).toString(8)
    ])
    expect(new Set(modes.map(String))).to.deep.equal(new Set(['folder,700', 'file,600']))
    expect((statSync(join(directory, 'deeper')).mode & 0o777).toString(8)).to.equal('700')
    await start()
  })

  describe('cluster.json by hand', () => {
    const good = { name: 'orders', config: [], partitions: [{ replicas: [1], leaderEpoch: 0, logStartOffset: 0 }] }
    const file = { format: 1, clusterId: 'abc', nextProducerId: 1000, topics: [good] }
    const [partition] = good.partitions
    for (const [title, content, problem] of [
      ['a path as a topic', { ...file, topics: [{ ...good, name: '../../outside' }] }, 'topics[0].name'],
      ['a topic without a name', { ...file, topics: [{ ...good, name: undefined }] }, 'topics[0].name'],
      ['a topic that is there twice', { ...file, topics: [good, good] }, 'topics[1].name'],
      ['topics that are no list', { ...file, topics: {} }, 'topics: '],
      ['a topic that is null', { ...file, topics: [null] }, 'topics[0]'],
      ['partitions that are no list', { ...file, topics: [{ ...good, partitions: 3 }] }, 'topics[0].partitions'],
      [
        'replicas that are text',
        { ...file, topics: [{ ...good, partitions: [{ ...partition, replicas: ['1'] }] }] },
        'topics[0].partitions[0].replicas'
      ],
      [
        'a log start that is text',
        { ...file, topics: [{ ...good, partitions: [{ ...partition, logStartOffset: '0' }] }] },
        'topics[0].partitions[0].logStartOffset'
      ],
      ['a setting without a value', { ...file, topics: [{ ...good, config: [['x']] }] }, 'topics[0].config[0]'],
      ['an id that is none', { ...file, topics: [{ ...good, id: '../x' }] }, 'topics[0].id'],
      ['a cluster id that is a number', { ...file, clusterId: 7 }, 'clusterId'],
      ['a producer id that is text', { ...file, nextProducerId: '7' }, 'nextProducerId'],
      ['another format', { ...file, format: 2 }, 'format: '],
      ['a list', [], 'object'],
      ['null', null, 'object']
    ] as const) {
      it(`${title} is refused in one line that says where`, async () => {
        await stop()
        const path = join(directory, 'cluster.json')
        writeFileSync(path, JSON.stringify(content))
        const refused = await startClusterOn(disk.files, { directory }).catch((error: Error) => error)
        rmSync(path)
        await start()
        expect(refused).to.be.instanceOf(Error)
        expect((refused as Error).message)
          .to.include(path)
          .and.to.include(problem)
          .and.not.to.include('\n')
      })
    }
  })
})
