import { expect } from 'chai'
import { DeliveryStage, offsetsOf, record, resultsOf } from '../../support/delivery-stage.js'

const KIB = 1024

describe('delivery: what is remembered, and for how long', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())

  it('keeps no topic that nobody has produced to for long, nor its partitions', async () => {
    const names = Array.from({ length: 200 }, (_, at) => `topic-${at}`)
    stage = new DeliveryStage(Object.fromEntries([...names, 'busy'].map(name => [name, 1])))
    stage.send(names.map(name => record(name, 'x')))
    await stage.pass(1_000)
    expect(stage.delivery.stats().producers).to.equal(200)
    for (let second = 0; second < 310; second++) {
      stage.send(record('busy', 'x'))
      await stage.pass(1_000)
    }
    expect(stage.delivery.stats().producers).to.equal(1)
  })

  it('repeats no sequence of a partition that was forgotten', async () => {
    stage = new DeliveryStage({ orders: 1, busy: 1 }, { metadataMaxAgeMs: 1_000 })
    for (let round = 0; round < 3; round++) {
      const sent = stage.send([record('orders', `${round}a`, 0), record('orders', `${round}b`, 0)])
      for (let at = 0; at < 12; at++) {
        await stage.pass(1_000)
        stage.send(record('busy', 'x'))
      }
      expect(offsetsOf(sent)).to.deep.equal([2 * round, 2 * round + 1])
    }
    const { attempts, values } = stage.router.partition('orders', 0)
    expect(values).to.deep.equal(['0a', '0b', '1a', '1b', '2a', '2b'])
    expect(attempts.map(({ epoch, baseSequence }) => [epoch, baseSequence])).to.deep.equal([
      [0, 0],
      [1, 0],
      [2, 0]
    ])
    expect(stage.router.partition('busy', 0).attempts.every(({ epoch }) => epoch === 0)).to.equal(true)
  })

  it('has one producer per partition after a name was forgotten and met again', async () => {
    stage = new DeliveryStage({ other: 1 })
    stage.send(record('late', 'too early'), 500)
    await stage.pass(15_000)
    expect(stage.delivery.stats().unknownTopics).to.equal(0)
    stage.router.create('late', 1)
    const values = ['A', 'B', 'C', 'D']
    for (const value of values) {
      stage.send(record('late', value))
      stage.send(record('other', value))
      await stage.pass(200)
    }
    expect(stage.router.partition('late', 0).values).to.deep.equal(values)
    expect(stage.router.partition('late', 0).attempts.map(({ baseSequence }) => baseSequence)).to.deep.equal([
      0, 1, 2, 3
    ])
  })

  it('does not believe a broker that lags and names fewer partitions', async () => {
    stage = new DeliveryStage({ orders: 8 }, { metadataMaxAgeMs: 1_000 })
    await stage.warmUp('orders', 0)
    const all = stage.router.topics.get('orders')!
    const partitionsOf = async (): Promise<number[]> => {
      const sent = stage.send(Array.from({ length: 20 }, (_, at) => record('orders', 'x', undefined, `key-${at}`)))
      await stage.pass(100)
      return sent.outcomes!.map(outcome => (outcome.type === 'delivered' ? outcome.partition : -1))
    }
    const before = await partitionsOf()
    const lookUps = stage.router.lookUps.length
    stage.router.answerOnce('orders', 3)
    await stage.pass(1_000)
    await partitionsOf()
    await stage.pass(1_000)
    expect(await partitionsOf()).to.deep.equal(before)
    expect(stage.router.lookUps.length).to.be.greaterThan(lookUps + 1)
    stage.router.topics.set('orders', all.slice(0, 3))
    for (let second = 0; second < 6; second++) {
      stage.send(record('orders', 'x', 0))
      await stage.pass(1_000)
    }
    expect(Math.max(...(await partitionsOf())), 'fewer for good: the topic was made anew').to.equal(2)
  })

  const keysOf = async (): Promise<number[]> => {
    const sent = stage.send(Array.from({ length: 20 }, (_, at) => record('orders', 'x', undefined, `key-${at}`)))
    await stage.pass(100)
    return sent.outcomes!.map(outcome => (outcome.type === 'delivered' ? outcome.partition : -1))
  }
  /** Looked up again, and again where that left a doubt, while records keep coming. */
  const lookAgain = async (seconds = 1): Promise<void> => {
    for (let second = 0; second < seconds; second++) {
      stage.send(record('orders', 'x', 0))
      await stage.pass(1_100)
    }
  }

  const laggards: Record<string, { readonly now?: string; readonly told?: string }> = {
    'of the life before': { now: 'new', told: 'old' },
    'with an id where none was told': { told: 'id' },
    'without an id': { now: 'id' },
    'with the same id': { now: 'id', told: 'id' }
  }
  for (const [what, { now, told }] of Object.entries(laggards)) {
    it(`keeps keys where they are when a broker that lags tells another number, ${what}`, async () => {
      stage = new DeliveryStage({ orders: 8 }, { metadataMaxAgeMs: 1_000 })
      if (now !== undefined) stage.router.topicIds.set('orders', now)
      await stage.warmUp('orders', 0)
      const before = await keysOf()
      const lookUps = stage.router.lookUps.length
      for (let round = 0; round < 3; round++) {
        stage.router.answerOnce('orders', 3, { topicId: told })
        await lookAgain()
        expect(await keysOf()).to.deep.equal(before)
      }
      expect(stage.router.lookUps.length).to.be.greaterThan(lookUps + 2)
    })
  }

  it('never takes partitions from a topic that lives, however often brokers that lag tell fewer', async () => {
    stage = new DeliveryStage({ orders: 8 }, { metadataMaxAgeMs: 1_000 })
    stage.router.topicIds.set('orders', 'id')
    await stage.warmUp('orders', 0)
    const before = await keysOf()
    const all = stage.router.topics.get('orders')!
    stage.router.topics.set('orders', all.slice(0, 3))
    await lookAgain(6)
    stage.router.topics.set('orders', all)
    expect(await keysOf()).to.deep.equal(before)
  })

  it('follows a topic that was made anew with another number of partitions', async () => {
    stage = new DeliveryStage({ orders: 8 }, { metadataMaxAgeMs: 1_000 })
    stage.router.topicIds.set('orders', 'one')
    await stage.warmUp('orders', 0)
    stage.router.topicIds.set('orders', 'two')
    stage.router.topics.set('orders', stage.router.topics.get('orders')!.slice(0, 3))
    await lookAgain(5)
    expect(Math.max(...(await keysOf()))).to.equal(2)
  })

  it('learns how large the batches of a topic may be, and tries larger ones later', async () => {
    stage = new DeliveryStage({ orders: 1 }, { batchMaxBytes: 100 * KIB })
    await stage.warmUp('orders', 0)
    const partition = stage.router.partition('orders', 0)
    partition.maxBatchBytes = 60 * KIB
    const fill = async (): Promise<number> => {
      const before = partition.attempts.length
      const sent = stage.send(Array.from({ length: 190 }, () => record('orders', 'x'.repeat(KIB), 0)))
      await stage.pass(2_000)
      expect(resultsOf(sent)!.every(result => result === 'delivered')).to.equal(true)
      return partition.attempts.slice(before).filter(({ bytes }) => bytes.length > 60 * KIB).length
    }
    expect(await fill(), 'batches refused at first').to.equal(1)
    expect(await fill(), 'and later').to.equal(0)
    await stage.pass(600_000)
    expect(await fill(), 'after ten minutes').to.equal(1)
    partition.maxBatchBytes = 200 * KIB
    await stage.pass(600_000)
    await fill()
    expect(Math.max(...partition.attempts.slice(-2).map(({ bytes }) => bytes.length))).to.be.greaterThan(60 * KIB)
  })

  it('does not say of a record that may be written that it is not, when no id is given any more', async () => {
    stage = new DeliveryStage({ orders: 1 })
    stage.router.firstEpoch = 32767
    await stage.warmUp('orders', 0)
    stage.router.producerIdRefusal = 31
    stage.router.partition('orders', 0).script.push({ type: 'loseRequest' }, { type: 'reject', errorCode: 45 })
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(10)
    const behind = stage.send(record('orders', 'B', 0))
    await stage.pass(3_000)
    expect([sent, behind].flatMap(resultsOf)).to.deep.equal(['notAuthorized, unknown', 'notAuthorized, no'])
  })
})
