import { expect } from 'chai'
import { DeliveryStage, record, resultsOf, type Sent } from '../../support/delivery-stage.js'

const KIB = 1024
const MIB = 1024 * KIB

describe('delivery: topics whose partitions are not known yet', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())
  const refusalOf = (sent: Sent) => sent.refused?.find(Boolean)?.code

  it('takes the first burst after the start, as much as a partition holds', async () => {
    stage = new DeliveryStage({ orders: 4 })
    const burst = Array.from({ length: 12 }, () => stage.send(record('orders', 'x'.repeat(1_000_000))))
    expect(burst.map(refusalOf)).to.deep.equal(burst.map(() => undefined))
    await stage.pass(1_000)
    expect(burst.flatMap(resultsOf)).to.deep.equal(burst.map(() => 'delivered'))
    expect(stage.delivery.stats()).to.include({ bufferedBytes: 0, bufferedRecords: 0 })
  })

  it('has a quarter of the buffer for all of them together', async () => {
    const names = Array.from({ length: 10 }, (_, at) => `topic-${at}`)
    stage = new DeliveryStage(Object.fromEntries(names.map(name => [name, 1])), {
      maxBytes: 64 * KIB,
      maxPartitionBytes: 8 * KIB
    })
    const sent = names.map(name => stage.send(record(name, 'x'.repeat(3 * KIB))))
    expect(sent.map(refusalOf)).to.deep.equal([...Array(4).fill(undefined), ...Array(6).fill('overloaded')])
    expect(stage.delivery.stats().bufferedBytes).to.be.within(14 * KIB, 17 * KIB)
    await stage.pass(100)
    expect(sent.slice(0, 4).flatMap(resultsOf)).to.deep.equal(Array(4).fill('delivered'))
    expect(refusalOf(stage.send(record('topic-9', 'x'.repeat(3 * KIB))))).to.equal(undefined)
  })

  it('keeps the small capacity for names that the brokers denied', async () => {
    stage = new DeliveryStage({}, { unknownTopicMaxBytes: 10 * KIB })
    const first = stage.send(record('nowhere', 'x'.repeat(100 * KIB)))
    expect(refusalOf(first)).to.equal(undefined)
    await stage.pass(100)
    expect(refusalOf(stage.send(record('nowhere', 'x'.repeat(KIB)))), 'the room holds more already').to.equal(
      'overloaded'
    )
    await stage.pass(6_000)
    expect(resultsOf(first)).to.deep.equal(['unknownTopic, no'])
  })

  it('tells the largest limit of a topic that no broker has answered for, and that it may be less', async () => {
    stage = new DeliveryStage({}, { maxBytes: 400 * KIB, maxPartitionBytes: 80 * KIB })
    stage.router.isAway = true
    const send = (topic: string) => stage.send(record(topic, 'x'.repeat(60 * KIB))).refused?.[0]?.message
    expect(send('orders')).to.equal(undefined)
    // The 100 KiB of such topics are used up, and not the 80 of this one.
    expect(send('others')).to.equal(
      'the buffer of records that wait until the partitions of others are known is full (limit 81920; ' +
        'advanced.delivery.maxPartitionBytes, delivery.maxBytes; less while other such topics wait or the buffer fills)'
    )
  })

  for (const isAway of [false, true]) {
    it(`fails records at their own deadlines, not at that of those before them: ${isAway ? 'away' : 'denied'}`, async () => {
      stage = new DeliveryStage({}, { maxBytes: 840 * KIB, unknownTopicMaxBytes: 400 * KIB }, undefined, 16 * MIB)
      stage.router.isAway = isAway
      const send = (deadlineMs: number, length: number) =>
        Array.from({ length }, () => stage.send(record('nowhere', 'x'.repeat(4 * KIB)), deadlineMs, deadlineMs))
      const [first, second] = [send(1_000, 40), send(4_000, 20)]
      await stage.pass(1_100)
      expect([...first, ...second].map(({ outcomes }) => outcomes !== undefined)).to.deep.equal([
        ...Array(40).fill(true),
        ...Array(20).fill(false)
      ])
      await stage.pass(3_000)
      expect(new Set(second.flatMap(resultsOf))).to.deep.equal(new Set([isAway ? 'timedOut, no' : 'unknownTopic, no']))
      expect(stage.delivery.stats()).to.include({ bufferedBytes: 0, bufferedRecords: 0 })
    })
  }

  it('never refuses a record later that it has accepted', async () => {
    stage = new DeliveryStage({ orders: 1 }, { maxPartitionBytes: 100 * KIB, maxBytes: 4 * MIB })
    // As text it is a third of what it is as bytes.
    const sent = Array.from({ length: 80 }, () => stage.send(record('orders', '€'.repeat(200))))
    expect(sent.map(refusalOf).filter(Boolean), 'refused at once').to.deep.equal([])
    await stage.pass(1_000)
    expect(sent.flatMap(resultsOf)).to.deep.equal(sent.map(() => 'delivered'))
  })

  it('takes existing topics at once while invented ones come by the thousand', async () => {
    const names = Array.from({ length: 12 }, (_, at) => `existing-${at}`)
    stage = new DeliveryStage(Object.fromEntries(names.map(name => [name, 1])))
    const existing: Sent[] = []
    for (let second = 0; second < 12; second++) {
      for (let at = 0; at < 300; at++) stage.send(record(`invented-${second}-${at}`, 'x'))
      await stage.pass(500)
      existing.push(stage.send(record(names[second]!, 'x')))
      await stage.pass(200)
      expect(resultsOf(existing.at(-1)!), names[second]).to.deep.equal(['delivered'])
      await stage.pass(300)
    }
  })

  it('asks for names nobody has met before those that were denied', async () => {
    stage = new DeliveryStage({ existing: 1 })
    for (let at = 0; at < 900; at++) stage.send(record(`invented-${at}`, 'x'))
    await stage.pass(300)
    const before = stage.router.lookUps.length
    stage.send(record('existing', 'x'))
    await stage.pass(60)
    const next = stage.router.lookUps.slice(before)
    expect(next.findIndex(({ topics }) => topics!.includes('existing'))).to.be.within(0, 1)
  })

  it('sends away the name that was denied first when there are too many and nobody creates them, and says why', async () => {
    stage = new DeliveryStage({}, { maxUnknownTopics: 5, createTopics: false })
    const sent: Sent[] = []
    for (let at = 0; at < 8; at++) {
      sent.push(stage.send(record(`invented-${at}`, 'x')))
      await stage.pass(50)
    }
    expect(sent.map(resultsOf)).to.deep.equal([...Array(3).fill(['unknownTopic, no']), ...Array(5).fill(undefined)])
    await stage.pass(6_000)
    expect(sent.flatMap(resultsOf)).to.deep.equal(Array(8).fill('unknownTopic, no'))
  })

  it('leaves places to others when one request names very many topics', async () => {
    stage = new DeliveryStage({ existing: 1 })
    stage.send(Array.from({ length: 50_000 }, (_, at) => record(`invented-${at}`, 'x')))
    const existing = stage.send(record('existing', 'x'))
    expect(refusalOf(existing)).to.equal(undefined)
    await stage.pass(3_000)
    expect(resultsOf(existing)).to.deep.equal(['delivered'])
  })

  it('holds no more and works no longer after very many names', async () => {
    stage = new DeliveryStage({ existing: 1 })
    for (let round = 0; round < 40; round++) {
      for (let at = 0; at < 500; at++) stage.send(record(`invented-${round}-${at}`, 'x'))
      await stage.pass(50)
    }
    expect(stage.delivery.stats().unknownTopics).to.be.at.most(2_400)
    await stage.pass(40_000)
    expect(stage.delivery.stats()).to.include({ unknownTopics: 0, bufferedRecords: 0, bufferedBytes: 0 })
    const before = stage.router.lookUps.length
    await stage.pass(20_000)
    expect(stage.router.lookUps, 'nobody asks for what nobody waits for').to.have.length(before)
  })
})
