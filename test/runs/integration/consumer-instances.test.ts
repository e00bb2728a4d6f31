import { expect } from 'chai'
import type { openCastellan } from '../../../src/client/open-castellan.js'
import type { InstanceName, InstanceRecord, InstanceSettings, InstanceVerbs } from '../../../src/verbs/verbs.js'
import { done, instanceSettings } from '../../support/instances.js'
import { SeededRandom } from '../../support/random.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const base: InstanceSettings = { ...instanceSettings, maxWaitMs: 30_000 }
const limits = { timeoutMs: undefined, maxBytes: undefined }

const textsOf = (records: readonly InstanceRecord[]): string[] => records.map(({ value }) => String(value))

describe('consumer instances', () => {
  inWorld()
  const stage = onCluster()
  let castellan: Awaited<ReturnType<typeof openCastellan>>
  let instances: InstanceVerbs
  let counter = 0
  beforeEach(async () => {
    castellan = await stage.library({ consumer: { sessionTimeoutMs: 6_000 } })
    instances = castellan.verbs.instances
  })

  const freshGroup = (): string => `group-${process.pid}-${Date.now()}-${++counter}`
  const created = async (settings: Partial<InstanceSettings> = {}, groupId = freshGroup()): Promise<InstanceName> => {
    const instance = { groupId, name: `i${++counter}` }
    expect(done(await instances.create(instance, { ...base, ...settings }, undefined))).to.equal(true)
    return instance
  }
  const produce = async (topic: string, partition: number, ...values: (string | Buffer)[]): Promise<void> => {
    const records = values.map(value => ({ topic, partition, key: null, value }))
    for (const outcome of await castellan.verbs
      .produce(records, { partitioner: 'murmur2', deadlineMs: 30_000 })
      .outcomes())
      expect(outcome.type).to.equal('delivered')
  }
  /** Waits until the gateway has noticed a topic. */
  const known = async (topic: string): Promise<void> => {
    const count = async (): Promise<number> =>
      (await castellan.verbs.topics([topic], 30_000)).get(topic)?.partitions.length ?? 0
    while ((await count()) === 0) await new Promise(resolve => setTimeout(resolve, 50))
  }
  /** Reads until there are so many records, and accepts all. */
  const readSome = async (instance: InstanceName, count: number): Promise<InstanceRecord[]> => {
    const all: InstanceRecord[] = []
    while (all.length < count) {
      const { records, settle } = done(await instances.read(instance, limits))
      expect(records.length, 'a read without records').to.be.above(0)
      all.push(...records)
      settle(records.length)
    }
    return all
  }
  const assigned = async (topic: string, settings: Partial<InstanceSettings> = {}): Promise<InstanceName> => {
    const instance = await created(settings)
    done(await instances.assign(instance, [{ topic, partition: 0 }]))
    return instance
  }

  it('joins its group with the subscription, and divides partitions with other instances', async () => {
    const topic = await stage.topic('instances', 2)
    const groupId = freshGroup()
    const one = await created({}, groupId)
    const two = await created({}, groupId)
    for (const instance of [one, two]) {
      done(await instances.subscribe(instance, { topics: [topic] }))
      expect(done(await instances.subscription(instance))).to.deep.equal([topic])
    }
    const countOf = async (instance: InstanceName): Promise<number> => done(await instances.assignment(instance)).length
    while ((await countOf(one)) !== 1 || (await countOf(two)) !== 1)
      await new Promise(resolve => setTimeout(resolve, 50))
    await produce(topic, 0, 'a')
    await produce(topic, 1, 'b')
    const texts = [...textsOf(await readSome(one, 1)), ...textsOf(await readSome(two, 1))]
    expect(texts.sort()).to.deep.equal(['a', 'b'])
    done(await instances.remove(two))
    while ((await countOf(one)) !== 2) await new Promise(resolve => setTimeout(resolve, 50))
  })

  it('is subscribed to up to 1,000 topics, and assigned partitions of so many: its state is one record', async () => {
    const instance = await created()
    const named = Array.from({ length: 1_001 }, (_, at) => `many-${at}`)
    const partitions = named.map(topic => ({ topic, partition: 0 }))
    const tooMany = { code: 'invalidRequest', message: '1001 topics are too many (limit 1000)', retriable: false }
    expect(await instances.subscribe(instance, { topics: named })).to.deep.include(tooMany)
    expect(await instances.assign(instance, partitions)).to.deep.include(tooMany)
    done(await instances.assign(instance, partitions.slice(1)))
    expect(done(await instances.assignment(instance))).to.have.length(1_000)
  })

  it('returns the records of an answer that was not written to its end', async () => {
    const topic = await stage.topic('instances', 1)
    await produce(topic, 0, 'a', 'b', 'c')
    const instance = await assigned(topic)
    const first = done(await instances.read(instance, limits))
    expect(textsOf(first.records)).to.deep.equal(['a', 'b', 'c'])
    first.settle(1)
    const second = done(await instances.read(instance, limits))
    expect(textsOf(second.records)).to.deep.equal(['b', 'c'])
    second.settle(0)
    expect(textsOf(await readSome(instance, 2))).to.deep.equal(['b', 'c'])
  })

  it('commits accepted records only when a commit names no offsets', async () => {
    const topic = await stage.topic('instances', 1)
    await produce(topic, 0, 'a', 'b', 'c')
    const instance = await assigned(topic)
    expect(done(await instances.committed(instance, [{ topic, partition: 0 }]))).to.deep.equal([])
    done(await instances.read(instance, limits)).settle(2)
    const open = done(await instances.read(instance, limits))
    expect(textsOf(open.records)).to.deep.equal(['c'])
    done(await instances.commit(instance, 'accepted'))
    const offsets = [{ topic, partition: 0, offset: 2, metadata: '' }]
    expect(done(await instances.committed(instance, [{ topic, partition: 0 }]))).to.deep.equal(offsets)
    open.settle(1)
    done(await instances.commit(instance, [{ topic, partition: 0, offset: 1, metadata: 'mine' }]))
    const changed = [{ topic, partition: 0, offset: 1, metadata: 'mine' }]
    expect(done(await instances.committed(instance, [{ topic, partition: 0 }]))).to.deep.equal(changed)
  })

  it('commits automatically, and the next instance of the group continues there', async () => {
    const topic = await stage.topic('instances', 1)
    await produce(topic, 0, 'a', 'b')
    const groupId = freshGroup()
    const instance = await created({ autoCommitMs: 50 }, groupId)
    done(await instances.subscribe(instance, { topics: [topic] }))
    await readSome(instance, 2)
    const committed = async () => done(await instances.committed(instance, [{ topic, partition: 0 }]))
    while ((await committed())[0]?.offset !== 2) await new Promise(resolve => setTimeout(resolve, 20))
    await produce(topic, 0, 'c')
    await readSome(instance, 1)
    // The commit of the last record is made when the instance is removed.
    done(await instances.remove(instance))
    expect(await instances.read(instance, limits)).to.deep.equal({ type: 'unknownInstance' })
    await produce(topic, 0, 'd')
    const next = await created({}, groupId)
    done(await instances.subscribe(next, { topics: [topic] }))
    expect(textsOf(await readSome(next, 1))).to.deep.equal(['d'])
  })

  it('returns at least one record, and no more bytes than asked beyond it', async () => {
    const topic = await stage.topic('instances', 1)
    await produce(topic, 0, Buffer.alloc(1_000), Buffer.alloc(10), Buffer.alloc(10), Buffer.alloc(10))
    const instance = await assigned(topic)
    const counts: number[] = []
    for (let left = 4; left > 0; left -= counts.at(-1)!) {
      const { records, settle } = done(await instances.read(instance, { timeoutMs: undefined, maxBytes: 25 }))
      counts.push(records.length)
      settle(records.length)
    }
    expect(counts).to.deep.equal([1, 2, 1])
  })

  it('waits for as many bytes as the settings ask, at most for the time limit', async () => {
    const topic = await stage.topic('instances', 1)
    const instance = await assigned(topic, { minBytes: 3 })
    const reading = instances.read(instance, limits)
    await produce(topic, 0, 'a')
    await produce(topic, 0, 'bb')
    const read = done(await reading)
    expect(textsOf(read.records)).to.deep.equal(['a', 'bb'])
    read.settle(2)
    await produce(topic, 0, 'c')
    const short = done(await instances.read(instance, { timeoutMs: 2_000, maxBytes: undefined }))
    expect(textsOf(short.records)).to.deep.equal(['c'])
    short.settle(1)
    const none = done(await instances.read(instance, { timeoutMs: 100, maxBytes: undefined }))
    expect(none.records).to.deep.equal([])
    none.settle(0)
  })

  it('answers reads one after another, and drops one whose client is gone', async () => {
    const topic = await stage.topic('instances', 1)
    const instance = await assigned(topic)
    const gone = new AbortController()
    const first = instances.read(instance, { ...limits, gone: gone.signal })
    const second = instances.read(instance, limits)
    gone.abort()
    await produce(topic, 0, 'a')
    expect(textsOf(done(await second).records)).to.deep.equal(['a'])
    expect(done(await first).records).to.deep.equal([])
  })

  it('is unknown to other APIs, and reads nothing for a client that takes other formats', async () => {
    const topic = await stage.topic('instances', 1)
    await produce(topic, 0, 'a')
    const instance = await assigned(topic)
    expect(await instances.assignment({ ...instance, api: 'other' })).to.deep.equal({ type: 'unknownInstance' })
    const asked = { ...limits, formats: ['json', 'text'] }
    expect(await instances.read(instance, asked)).to.deep.equal({ type: 'otherFormat', format: 'binary' })
    const of = { ...instance, api: base.api }
    const { records, format } = done(await instances.read(of, { ...limits, formats: ['json', 'binary'] }))
    expect([textsOf(records), format]).to.deep.equal([['a'], 'binary'])
  })

  it('begins at the end when it is told so, with every record from the subscription on', async () => {
    const topic = await stage.topic('instances', 1)
    await produce(topic, 0, 'old')
    const instance = await created({ start: 'latest' })
    done(await instances.subscribe(instance, { topics: [topic] }))
    while (done(await instances.assignment(instance)).length === 0)
      await new Promise(resolve => setTimeout(resolve, 20))
    await produce(topic, 0, 'new')
    expect(textsOf(await readSome(instance, 1))).to.deep.equal(['new'])
  })

  for (const how of ['subscribed', 'subscribed by a pattern', 'assigned'] as const)
    it(`offers each record of a topic that comes after its first read, and of one that comes again, ${how}`, async () => {
      const topic = freshTopic('instances')
      const instance = await created({ start: 'latest', maxWaitMs: 500 })
      if (how === 'assigned') done(await instances.assign(instance, [{ topic, partition: 0 }]))
      else {
        const there = await stage.topic('instances', 1)
        const pattern = { pattern: `(${there}|${topic})` }
        done(await instances.subscribe(instance, how === 'subscribed' ? { topics: [there, topic] } : pattern))
        while (done(await instances.assignment(instance)).length === 0)
          await new Promise(resolve => setTimeout(resolve, 20))
      }
      const nothing = done(await instances.read(instance, limits))
      nothing.settle(0)
      expect(nothing.records).to.deep.equal([])
      for (const round of ['first', 'again']) {
        await stage.cluster.createTopic(topic, 1)
        await known(topic)
        const written = [1, 2, 3].map(number => `${round} ${number}`)
        await produce(topic, 0, ...written)
        const texts: string[] = []
        while (texts.length < written.length) {
          const { records, settle } = done(await instances.read(instance, limits))
          texts.push(...textsOf(records))
          settle(records.length)
        }
        expect(texts).to.deep.equal(written)
        await castellan.verbs.admin.deleteTopic(topic, 30_000)
      }
    })

  it('returns each record once to clients that take a part of the answers or leave, and commits exactly these', async () => {
    const seed = Date.now() % 1_000_000
    const random = new SeededRandom(seed)
    const topic = await stage.topic('instances', 3)
    const partitions = [0, 1, 2].map(partition => ({ topic, partition }))
    const instance = await created()
    done(await instances.assign(instance, partitions))
    const total = 600
    const producing = (async () => {
      for (let at = 0; at < total; at += 10)
        await produce(topic, at % 3, ...Array.from({ length: 10 }, (_, i) => `v${i}`))
    })()
    const next = new Map(partitions.map(({ partition }) => [partition, 0]))
    for (let left = total; left > 0; ) {
      const gone = new AbortController()
      const maxBytes = random.next() < 0.5 ? random.between(1, 50) : undefined
      const reading = instances.read(instance, { timeoutMs: random.between(0, 30), maxBytes, gone: gone.signal })
      if (random.next() < 0.1) setTimeout(() => gone.abort(), random.between(0, 10))
      const { records, settle } = done(await reading)
      const accepted = random.next() < 0.3 ? random.between(0, records.length) : records.length
      const expected = new Map(next)
      for (const [at, { partition, offset }] of records.entries()) {
        expect(offset, `seed ${seed}, partition ${partition}`).to.equal(expected.get(partition))
        expected.set(partition, offset + 1)
        if (at < accepted) next.set(partition, offset + 1)
      }
      left -= accepted
      settle(accepted)
      if (random.next() < 0.1) {
        done(await instances.commit(instance, 'accepted'))
        for (const { partition, offset } of done(await instances.committed(instance, partitions)))
          expect(offset, `seed ${seed}, committed in ${partition}`).to.equal(next.get(partition))
      }
    }
    await producing
  })

  it('answers that it shuts down while it stops, and not that it does not know its instances', async () => {
    const topic = await stage.topic('instances', 1)
    const instance = await assigned(topic)
    const reading = instances.read(instance, limits)
    // Its answer from a broker comes too late.
    const looking = instances.committed(instance, [{ topic, partition: 0 }])
    await new Promise(setImmediate)
    const closing = castellan.close()
    const stopping = { type: 'failed', code: 'shuttingDown' }
    expect(await reading).to.deep.include(stopping)
    expect(await looking).to.deep.include(stopping)
    expect(await instances.settingsOf(instance)).to.deep.include(stopping)
    expect(await instances.remove(instance)).to.deep.include(stopping)
    await closing
  })

  it('fails a read where it may begin nowhere, until a seek says where', async () => {
    const topic = await stage.topic('instances', 1)
    await produce(topic, 0, 'a')
    const instance = await assigned(topic, { start: 'none' })
    expect(await instances.read(instance, limits)).to.deep.include({ type: 'failed', code: 'invalidRequest' })
    done(await instances.seek(instance, [{ topic, partition: 0, position: 0 }]))
    expect(textsOf(await readSome(instance, 1))).to.deep.equal(['a'])
  })
})
