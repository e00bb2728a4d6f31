import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import type { Castellan } from '../../support/castellan.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { Account, CountingReader } from './counting-reader.js'

const partitions = 2
const perStep = 20

describe('every request has exactly one answer, and every reader goes on right', () => {
  const stage = onCluster()
  let castellan: Castellan
  let account: Account
  before(async () => {
    castellan = stage.castellan()
  })
  beforeEach(() => {
    account = new Account(castellan.router.ref)
  })
  afterEach('sent = answered', () => {
    expect(account.sent).to.be.greaterThan(0)
    expect({ answered: account.answered, doubled: account.doubled }).to.deep.equal({
      answered: account.sent,
      doubled: 0
    })
    expect(castellan.router.stats().deferred).to.equal(0)
  })

  /** Writes some records to every partition and knows what each partition holds now. */
  class Writer {
    readonly written: string[][] = []
    constructor(readonly topic: string) {}

    async write(count = partitions): Promise<void> {
      const records: ProduceRecord[] = []
      for (let partition = 0; partition < count; partition++) {
        const values = (this.written[partition] ??= [])
        for (let index = 0; index < perStep; index++) {
          const value = `${partition}-${values.length}`
          values.push(value)
          records.push({ topic: this.topic, partition, key: null, value })
        }
      }
      expect(await this.#deliver(records)).to.deep.equal([])
    }

    /** A partition that is younger than the last look-up is refused for a second; such records never appear. */
    async #deliver(records: readonly ProduceRecord[]): Promise<string[]> {
      const outcomes = await castellan.produce(records)
      const tooYoung = records.filter((_, index) => {
        const outcome = outcomes[index]!
        return outcome.type === 'failed' && outcome.code === 'unknownPartition' && outcome.persisted === 'no'
      })
      if (tooYoung.length > 0) return this.#deliver(tooYoung)
      return outcomes.flatMap(outcome => (outcome.type === 'failed' ? [outcome.code] : []))
    }
  }

  const readersOf = (topic: string, count = partitions): CountingReader[] =>
    Array.from({ length: count }, (_, partition) => new CountingReader(account, topic, partition))

  const allCatchUp = (readers: readonly CountingReader[], writer: Writer): Promise<unknown> =>
    Promise.all(
      readers.map(reader =>
        reader.readUntil(() => reader.values.length >= writer.written[reader.partition]!.length, 'all that was written')
      )
    )

  const expectEachOnceInOrder = (readers: readonly CountingReader[], writer: Writer): void => {
    for (const reader of readers) expect(reader.values).to.deep.equal(writer.written[reader.partition])
  }

  it('when a broker is killed and comes back', async () => {
    const topic = freshTopic('answers-kill')
    await stage.cluster.createTopic(topic, partitions)
    const writer = new Writer(topic)
    const readers = readersOf(topic)
    await writer.write()
    await allCatchUp(readers, writer)
    const killed = await stage.cluster.leaderOf(topic, 0)
    await stage.cluster.killNode(killed)
    await Promise.all([writer.write(), Promise.all(readers.map(reader => reader.step()))])
    await allCatchUp(readers, writer)
    await stage.cluster.reviveNode(killed)
    await writer.write()
    await allCatchUp(readers, writer)
    expectEachOnceInOrder(readers, writer)
    expect(readers.flatMap(reader => reader.notable)).to.deep.equal([])
  })

  it('while leaders move', async () => {
    const topic = freshTopic('answers-moves')
    await stage.cluster.createTopic(topic, partitions)
    const writer = new Writer(topic)
    const readers = readersOf(topic)
    for (const nodeId of stage.cluster.nodeIds) {
      await writer.write()
      const catchingUp = allCatchUp(readers, writer)
      for (let partition = 0; partition < partitions; partition++)
        await stage.cluster.moveLeader(topic, partition, nodeId)
      await catchingUp
    }
    expectEachOnceInOrder(readers, writer)
    expect(readers.flatMap(reader => reader.notable)).to.deep.equal([])
  })

  it('when a topic is deleted and created again', async () => {
    const topic = freshTopic('answers-deleted')
    await stage.cluster.createTopic(topic, partitions)
    const before = new Writer(topic)
    const readers = readersOf(topic)
    await before.write()
    await before.write()
    await allCatchUp(readers, before)
    await stage.cluster.deleteTopic(topic)
    await Promise.all(readers.map(reader => reader.readUntil(() => reader.notable.length > 0, 'being told')))
    for (const reader of readers) {
      expect(reader.notable[0]).to.be.oneOf(['unknownTopicOrPartition', 'offsetOutOfRange'])
      reader.values.length = 0
    }
    await stage.cluster.createTopic(topic, partitions)
    const after = new Writer(topic)
    await after.write()
    await allCatchUp(readers, after)
    expectEachOnceInOrder(readers, after)
  })

  it('when partitions are added', async () => {
    const topic = freshTopic('answers-grown')
    await stage.cluster.createTopic(topic, partitions)
    const writer = new Writer(topic)
    const readers = readersOf(topic, partitions + 2)
    await writer.write()
    await allCatchUp(readers.slice(0, partitions), writer)
    await stage.cluster.growTopic(topic, partitions + 2)
    await writer.write(partitions + 2)
    await allCatchUp(readers, writer)
    expectEachOnceInOrder(readers, writer)
  })
})
