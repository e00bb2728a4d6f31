import { expect } from 'chai'
import { partitioners } from '../../../src/producer/memory/partitioners.js'
import { DeliveryHarness, offsetsOf, record, resultsOf } from '../../support/delivery-stage.js'

describe('delivery: topics', () => {
  let harness: DeliveryHarness
  beforeEach(() => {
    harness = new DeliveryHarness({ orders: 2 })
  })
  afterEach(() => harness.restore())
  const namesOf = (lookUp: { topics?: readonly string[] | null | undefined }) => lookUp.topics

  it('lets records wait for a topic to be created, in order', async () => {
    harness.router.createsTopics = 3
    const sent = ['A', 'B', 'C'].map(value => harness.send(record('new', value, 2)))
    await harness.pass(1_000)
    expect(harness.router.partition('new', 2).values).to.deep.equal(['A', 'B', 'C'])
    expect(sent.map(offsetsOf)).to.deep.equal([[0], [1], [2]])
    expect(harness.router.lookUps.map(({ mayCreate }) => mayCreate)).to.deep.equal([false, true, false])
  })

  it('places records anew, in order, where a topic that was created anew has no such partition', async () => {
    const topic = 'shrinks'
    harness.router.create(topic, 8)
    for (let partition = 0; partition < 8; partition++) await harness.warmUp(topic, partition)
    harness.router.wipe({ [topic]: 2 })
    const keys = Array.from({ length: 12 }, (_, at) => `key-${at}`)
    const sent = keys.flatMap(key =>
      ['A', 'B', 'C'].map(value => ({
        key,
        value,
        sent: harness.send(record(topic, `${key} ${value}`, undefined, key))
      }))
    )
    const without = harness.send([record(topic, 'D'), record(topic, 'E')])
    const named = harness.send([record(topic, 'F', 7), record(topic, 'G', undefined, 'key-0')])
    await harness.pass(5_000)
    for (const { key, value, sent: one } of sent) {
      const partition = partitioners.murmur2(Buffer.from(key), 2, topic)
      expect(one.outcomes?.[0], value).to.include({ type: 'delivered', partition })
    }
    for (const key of keys) {
      const values = harness.router.values(topic).filter(value => value!.startsWith(`${key} `))
      expect(values).to.deep.equal(['A', 'B', 'C'].map(value => `${key} ${value}`))
    }
    expect(resultsOf(without)!.filter(result => result.startsWith('unknown'))).to.deep.equal([])
    expect(named.outcomes?.map(outcome => (outcome.type === 'failed' ? outcome.code : outcome.type))).to.deep.equal([
      'unknownPartition',
      'delivered'
    ])
    expect(harness.delivery.stats()).to.include({ failed: 1, bufferedBytes: 0, bufferedRecords: 0 })
  })

  it('copies what it lets wait', async () => {
    const [key, value, header] = [Buffer.from('key'), Buffer.from('value'), Buffer.from('header')]
    harness.delivery.accept([{ topic: 'orders', partition: 0, key, value, headers: [{ key: 'h', value: header }] }], {
      partitioner: 'murmur2',
      deadlineMs: 1_000
    })
    for (const buffer of [key, value, header]) buffer.fill('x')
    await harness.pass(100)
    expect(harness.router.partition('orders', 0).log).to.deep.equal([{ key: 'key', value: 'value' }])
  })

  it('does not create topics when it is not to', async () => {
    harness.restore()
    harness = new DeliveryHarness({}, { createTopics: false })
    harness.send(record('new', 'A'))
    await harness.pass(1_000)
    expect(harness.router.lookUps.length).to.be.greaterThan(1)
    expect(harness.router.lookUps.some(lookUp => lookUp.mayCreate)).to.equal(false)
  })

  it('answers unknownTopic after 5 s and remembers it for 5 s', async () => {
    const sent = harness.send(record('nowhere', 'A'))
    await harness.pass(4_900)
    expect(sent.outcomes).to.equal(undefined)
    await harness.pass(300)
    expect(resultsOf(sent)).to.deep.equal(['unknownTopic, no'])
    const lookUps = harness.router.lookUps.length
    const again = harness.send(record('nowhere', 'B'))
    expect(again.refused?.[0]).to.include({ code: 'unknownTopic', errorCode: 3 })
    await harness.pass(4_000)
    expect(harness.router.lookUps).to.have.length(lookUps)
    harness.router.create('nowhere', 1)
    await harness.pass(1_000)
    const third = harness.send(record('nowhere', 'C'))
    await harness.pass(500)
    expect(offsetsOf(third)).to.deep.equal([0])
  })

  it('says at the deadline that the topic is unknown when that is what brokers say', async () => {
    const sent = harness.send(record('nowhere', 'A'), 2_000)
    await harness.pass(2_100)
    expect(resultsOf(sent)).to.deep.equal(['unknownTopic, no'])
    harness.router.isAway = true
    const away = harness.send(record('elsewhere', 'A'), 2_000)
    await harness.pass(2_100)
    expect(resultsOf(away)).to.deep.equal(['timedOut, no'])
  })

  it('believes no old denial: a topic may have come since', async () => {
    harness.send(record('nowhere', 'A'), 1_000)
    await harness.pass(60_000)
    harness.router.create('nowhere', 1)
    const sent = harness.send(record('nowhere', 'B'), 1_000)
    await harness.pass(500)
    expect(offsetsOf(sent)).to.deep.equal([0])
  })

  it('fails an unknown topic alone: the others of the same request go on', async () => {
    const sent = harness.send([record('orders', 'A', 0), record('nowhere', 'B'), record('orders', 'C', 0)])
    await harness.pass(6_000)
    expect(resultsOf(sent)).to.deep.equal(['delivered', 'unknownTopic, no', 'delivered'])
  })

  it('asks at most 50 times a second for topics, and 20 times a second to create some, for all of the moment together', async () => {
    for (let at = 0; at < 300; at++) {
      harness.send(record(`nowhere-${at}`, 'A'))
      await harness.pass(10)
    }
    const creating = harness.router.lookUps.filter(({ mayCreate }) => mayCreate)
    expect(harness.router.lookUps.length - creating.length).to.be.within(5, 151)
    expect(creating.flatMap(({ topics }) => topics).length).to.be.within(5, 81)
    expect(Math.max(...harness.router.lookUps.map(lookUp => namesOf(lookUp)!.length))).to.be.greaterThan(1)
  })

  it('keeps records while nobody answers at all, until their deadline', async () => {
    harness.router.isAway = true
    const patient = harness.send(record('orders', 'A', 0), 60_000)
    const hasty = harness.send(record('orders', 'B', 0), 2_000)
    await harness.pass(30_000)
    expect(resultsOf(hasty)).to.deep.equal(['timedOut, no'])
    expect(patient.outcomes).to.equal(undefined)
    harness.router.isAway = false
    await harness.pass(2_000)
    expect(harness.router.partition('orders', 0).values).to.deep.equal(['A'])
  })

  it('refuses names Kafka does not allow, without asking anybody', async () => {
    for (const topic of ['', '.', 'bad topic!', 'x'.repeat(260)]) {
      expect(harness.send(record(topic, 'A')).refused?.[0]).to.include({ code: 'invalidTopic', persisted: 'no' })
    }
    await harness.pass(1_000)
    expect(harness.router.messages).to.deep.equal([])
  })

  it('takes the brokers at their word about names and rights', async () => {
    harness.router.topicErrors.set('secret', 29).set('odd', 17)
    const sent = harness.send([record('secret', 'A'), record('odd', 'B')])
    await harness.pass(100)
    expect(resultsOf(sent)).to.deep.equal(['notAuthorized, no', 'invalidTopic, no'])
  })

  it('delivers to topics named like properties of every object', async () => {
    for (const topic of ['__proto__', 'constructor', 'toString']) {
      harness.router.create(topic, 1)
      const sent = harness.send(record(topic, topic))
      await harness.pass(200)
      expect(offsetsOf(sent), topic).to.deep.equal([0])
    }
    expect(Object.prototype).not.to.have.property('0')
  })

  it('refuses a partition that is not there, after a look whether there is a new one', async () => {
    await harness.warmUp('orders', 0)
    const absent = harness.send(record('orders', 'A', 2))
    await harness.pass(200)
    expect(resultsOf(absent)).to.deep.equal(['unknownPartition, no'])
    expect(harness.send(record('orders', 'A', 2)).refused?.[0]).to.include({ code: 'unknownPartition' })
    for (const partition of [-1, 1.5, Number.NaN, 2 ** 31]) {
      expect(harness.send(record('orders', 'A', partition)).refused?.[0]).to.include({ code: 'unknownPartition' })
    }
    await harness.pass(2_000)
    const gone = harness.send(record('orders', 'A', 2))
    await harness.pass(200)
    expect(resultsOf(gone)).to.deep.equal(['unknownPartition, no'])
    await harness.pass(2_000)
    harness.router.create('orders', 3)
    const grown = harness.send(record('orders', 'B', 2))
    await harness.pass(200)
    expect(offsetsOf(grown)).to.deep.equal([0])
  })

  it('sees added partitions after 10 s of use', async () => {
    harness.restore()
    let turn = 0
    harness = new DeliveryHarness({ orders: 2 }, {}, () => (turn++ % 10) / 10)
    await harness.warmUp('orders', 0)
    harness.router.create('orders', 4)
    for (let second = 0; second < 12; second++) {
      harness.send(record('orders', 'A'))
      await harness.pass(1_000)
    }
    for (let at = 0; at < 20; at++) {
      harness.send(record('orders', 'B'))
      await harness.pass(100)
    }
    expect(harness.router.partition('orders', 3).values).to.include('B')
    expect(harness.router.lookUps.length).to.be.within(2, 3)
  })

  it('keeps its sequences through a moment in which the topic is not there', async () => {
    await harness.warmUp('orders', 0)
    const gone = harness.router.topics.get('orders')!
    harness.router.topics.delete('orders')
    const sent = harness.send(record('orders', 'A', 0))
    await harness.pass(3_000)
    harness.router.topics.set('orders', gone)
    await harness.pass(2_000)
    expect(offsetsOf(sent)).to.deep.equal([1])
    expect(gone[0]!.attempts.at(-1)).to.include({ epoch: 0, baseSequence: 1 })
  })

  it('answers unknownTopic when a topic stays deleted, and goes on when it is made again', async () => {
    await harness.warmUp('orders', 0)
    harness.router.topics.delete('orders')
    const sent = harness.send([record('orders', 'A', 0), record('orders', 'B', 1)])
    await harness.pass(12_000)
    expect(resultsOf(sent), 'after 5 s it is gone, after 5 s more nobody has created it').to.deep.equal([
      'unknownTopic, no',
      'unknownTopic, no'
    ])
    expect(harness.send(record('orders', 'C', 0)).refused?.[0]).to.include({ code: 'unknownTopic' })
    harness.router.create('orders', 1)
    await harness.pass(6_000)
    const again = harness.send([record('orders', 'D', 0), record('orders', 'E', 1)])
    await harness.pass(1_000)
    expect(resultsOf(again)).to.deep.equal(['delivered', 'unknownPartition, no'])
    expect(harness.router.partition('orders', 0).values).to.deep.equal(['D'])
  })

  it('creates a topic again that a record waits for, where creating is allowed', async () => {
    await harness.warmUp('orders', 0)
    harness.router.topics.delete('orders')
    harness.router.createsTopics = 2
    const sent = harness.send(record('orders', 'A', 0))
    await harness.pass(3_000)
    expect(offsetsOf(sent)).to.deep.equal([0])
  })
})
