import { expect } from 'chai'
import { partitioners } from '../../../src/producer/memory/partitioners.js'
import { DeliveryStage, offsetsOf, record, resultsOf } from '../../support/delivery-stage.js'

describe('delivery: topics', () => {
  let stage: DeliveryStage
  beforeEach(() => {
    stage = new DeliveryStage({ orders: 2 })
  })
  afterEach(() => stage.restore())
  const namesOf = (lookUp: { topics?: readonly string[] | null | undefined }) => lookUp.topics

  it('lets records wait for a topic to be created, in order', async () => {
    stage.router.createsTopics = 3
    const sent = ['A', 'B', 'C'].map(value => stage.send(record('new', value, 2)))
    await stage.pass(1_000)
    expect(stage.router.partition('new', 2).values).to.deep.equal(['A', 'B', 'C'])
    expect(sent.map(offsetsOf)).to.deep.equal([[0], [1], [2]])
    expect(stage.router.lookUps.map(({ mayCreate }) => mayCreate)).to.deep.equal([false, true, false])
  })

  it('places records anew, in order, where a topic that was created anew has no such partition', async () => {
    const topic = 'shrinks'
    stage.router.create(topic, 8)
    for (let partition = 0; partition < 8; partition++) await stage.warmUp(topic, partition)
    stage.router.wipe({ [topic]: 2 })
    const keys = Array.from({ length: 12 }, (_, at) => `key-${at}`)
    const sent = keys.flatMap(key =>
      ['A', 'B', 'C'].map(value => ({
        key,
        value,
        sent: stage.send(record(topic, `${key} ${value}`, undefined, key))
      }))
    )
    const without = stage.send([record(topic, 'D'), record(topic, 'E')])
    const named = stage.send([record(topic, 'F', 7), record(topic, 'G', undefined, 'key-0')])
    await stage.pass(5_000)
    for (const { key, value, sent: one } of sent) {
      const partition = partitioners.murmur2(Buffer.from(key), 2, topic)
      expect(one.outcomes?.[0], value).to.include({ type: 'delivered', partition })
    }
    for (const key of keys) {
      const values = stage.router.values(topic).filter(value => value!.startsWith(`${key} `))
      expect(values).to.deep.equal(['A', 'B', 'C'].map(value => `${key} ${value}`))
    }
    expect(resultsOf(without)!.filter(result => result.startsWith('unknown'))).to.deep.equal([])
    expect(named.outcomes?.map(outcome => (outcome.type === 'failed' ? outcome.code : outcome.type))).to.deep.equal([
      'unknownPartition',
      'delivered'
    ])
    expect(stage.delivery.stats()).to.include({ failed: 1, bufferedBytes: 0, bufferedRecords: 0 })
  })

  it('copies what it lets wait', async () => {
    const [key, value, header] = [Buffer.from('key'), Buffer.from('value'), Buffer.from('header')]
    stage.delivery.accept([{ topic: 'orders', partition: 0, key, value, headers: [{ key: 'h', value: header }] }], {
      partitioner: 'murmur2',
      deadlineMs: 1_000
    })
    for (const buffer of [key, value, header]) buffer.fill('x')
    await stage.pass(100)
    expect(stage.router.partition('orders', 0).log).to.deep.equal([{ key: 'key', value: 'value' }])
  })

  it('does not create topics when it is not to', async () => {
    stage.restore()
    stage = new DeliveryStage({}, { createTopics: false })
    stage.send(record('new', 'A'))
    await stage.pass(1_000)
    expect(stage.router.lookUps.length).to.be.greaterThan(1)
    expect(stage.router.lookUps.some(lookUp => lookUp.mayCreate)).to.equal(false)
  })

  it('answers unknownTopic after 5 s and remembers it for 5 s', async () => {
    const sent = stage.send(record('nowhere', 'A'))
    await stage.pass(4_900)
    expect(sent.outcomes).to.equal(undefined)
    await stage.pass(300)
    expect(resultsOf(sent)).to.deep.equal(['unknownTopic, no'])
    const lookUps = stage.router.lookUps.length
    const again = stage.send(record('nowhere', 'B'))
    expect(again.refused?.[0]).to.include({ code: 'unknownTopic', errorCode: 3 })
    await stage.pass(4_000)
    expect(stage.router.lookUps).to.have.length(lookUps)
    stage.router.create('nowhere', 1)
    await stage.pass(1_000)
    const third = stage.send(record('nowhere', 'C'))
    await stage.pass(500)
    expect(offsetsOf(third)).to.deep.equal([0])
  })

  it('says at the deadline that the topic is unknown when that is what brokers say', async () => {
    const sent = stage.send(record('nowhere', 'A'), 2_000)
    await stage.pass(2_100)
    expect(resultsOf(sent)).to.deep.equal(['unknownTopic, no'])
    stage.router.isAway = true
    const away = stage.send(record('elsewhere', 'A'), 2_000)
    await stage.pass(2_100)
    expect(resultsOf(away)).to.deep.equal(['timedOut, no'])
  })

  it('believes no old denial: a topic may have come since', async () => {
    stage.send(record('nowhere', 'A'), 1_000)
    await stage.pass(60_000)
    stage.router.create('nowhere', 1)
    const sent = stage.send(record('nowhere', 'B'), 1_000)
    await stage.pass(500)
    expect(offsetsOf(sent)).to.deep.equal([0])
  })

  it('fails an unknown topic alone: the others of the same request go on', async () => {
    const sent = stage.send([record('orders', 'A', 0), record('nowhere', 'B'), record('orders', 'C', 0)])
    await stage.pass(6_000)
    expect(resultsOf(sent)).to.deep.equal(['delivered', 'unknownTopic, no', 'delivered'])
  })

  it('asks at most 50 times a second for topics, and 20 times a second to create some, for all of the moment together', async () => {
    for (let at = 0; at < 300; at++) {
      stage.send(record(`nowhere-${at}`, 'A'))
      await stage.pass(10)
    }
    const creating = stage.router.lookUps.filter(({ mayCreate }) => mayCreate)
    expect(stage.router.lookUps.length - creating.length).to.be.within(5, 151)
    expect(creating.flatMap(({ topics }) => topics).length).to.be.within(5, 81)
    expect(Math.max(...stage.router.lookUps.map(lookUp => namesOf(lookUp)!.length))).to.be.greaterThan(1)
  })

  it('keeps records while nobody answers at all, until their deadline', async () => {
    stage.router.isAway = true
    const patient = stage.send(record('orders', 'A', 0), 60_000)
    const hasty = stage.send(record('orders', 'B', 0), 2_000)
    await stage.pass(30_000)
    expect(resultsOf(hasty)).to.deep.equal(['timedOut, no'])
    expect(patient.outcomes).to.equal(undefined)
    stage.router.isAway = false
    await stage.pass(2_000)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['A'])
  })

  it('refuses names Kafka does not allow, without asking anybody', async () => {
    for (const topic of ['', '.', 'bad topic!', 'x'.repeat(260)]) {
      expect(stage.send(record(topic, 'A')).refused?.[0]).to.include({ code: 'invalidTopic', persisted: 'no' })
    }
    await stage.pass(1_000)
    expect(stage.router.messages).to.deep.equal([])
  })

  it('takes the brokers at their word about names and rights', async () => {
    stage.router.topicErrors.set('secret', 29).set('odd', 17)
    const sent = stage.send([record('secret', 'A'), record('odd', 'B')])
    await stage.pass(100)
    expect(resultsOf(sent)).to.deep.equal(['notAuthorized, no', 'invalidTopic, no'])
  })

  it('delivers to topics named like properties of every object', async () => {
    for (const topic of ['__proto__', 'constructor', 'toString']) {
      stage.router.create(topic, 1)
      const sent = stage.send(record(topic, topic))
      await stage.pass(200)
      expect(offsetsOf(sent), topic).to.deep.equal([0])
    }
    expect(Object.prototype).not.to.have.property('0')
  })

  it('refuses a partition that is not there, after a look whether there is a new one', async () => {
    await stage.warmUp('orders', 0)
    const absent = stage.send(record('orders', 'A', 2))
    await stage.pass(200)
    expect(resultsOf(absent)).to.deep.equal(['unknownPartition, no'])
    expect(stage.send(record('orders', 'A', 2)).refused?.[0]).to.include({ code: 'unknownPartition' })
    for (const partition of [-1, 1.5, Number.NaN, 2 ** 31]) {
      expect(stage.send(record('orders', 'A', partition)).refused?.[0]).to.include({ code: 'unknownPartition' })
    }
    await stage.pass(2_000)
    const gone = stage.send(record('orders', 'A', 2))
    await stage.pass(200)
    expect(resultsOf(gone)).to.deep.equal(['unknownPartition, no'])
    await stage.pass(2_000)
    stage.router.create('orders', 3)
    const grown = stage.send(record('orders', 'B', 2))
    await stage.pass(200)
    expect(offsetsOf(grown)).to.deep.equal([0])
  })

  it('sees added partitions after 10 s of use', async () => {
    stage.restore()
    let turn = 0
    stage = new DeliveryStage({ orders: 2 }, {}, () => (turn++ % 10) / 10)
    await stage.warmUp('orders', 0)
    stage.router.create('orders', 4)
    for (let second = 0; second < 12; second++) {
      stage.send(record('orders', 'A'))
      await stage.pass(1_000)
    }
    for (let at = 0; at < 20; at++) {
      stage.send(record('orders', 'B'))
      await stage.pass(100)
    }
    expect(stage.router.partition('orders', 3).values).to.include('B')
    expect(stage.router.lookUps.length).to.be.within(2, 3)
  })

  it('keeps its sequences through a moment in which the topic is not there', async () => {
    await stage.warmUp('orders', 0)
    const gone = stage.router.topics.get('orders')!
    stage.router.topics.delete('orders')
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(3_000)
    stage.router.topics.set('orders', gone)
    await stage.pass(2_000)
    expect(offsetsOf(sent)).to.deep.equal([1])
    expect(gone[0]!.attempts.at(-1)).to.include({ epoch: 0, baseSequence: 1 })
  })

  it('answers unknownTopic when a topic stays deleted, and goes on when it is made again', async () => {
    await stage.warmUp('orders', 0)
    stage.router.topics.delete('orders')
    const sent = stage.send([record('orders', 'A', 0), record('orders', 'B', 1)])
    await stage.pass(12_000)
    expect(resultsOf(sent), 'after 5 s it is gone, after 5 s more nobody has created it').to.deep.equal([
      'unknownTopic, no',
      'unknownTopic, no'
    ])
    expect(stage.send(record('orders', 'C', 0)).refused?.[0]).to.include({ code: 'unknownTopic' })
    stage.router.create('orders', 1)
    await stage.pass(6_000)
    const again = stage.send([record('orders', 'D', 0), record('orders', 'E', 1)])
    await stage.pass(1_000)
    expect(resultsOf(again)).to.deep.equal(['delivered', 'unknownPartition, no'])
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['D'])
  })

  it('creates a topic again that a record waits for, where creating is allowed', async () => {
    await stage.warmUp('orders', 0)
    stage.router.topics.delete('orders')
    stage.router.createsTopics = 2
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(3_000)
    expect(offsetsOf(sent)).to.deep.equal([0])
  })
})
