import { expect } from 'chai'
import type { DeliverySettings } from '../../../src/producer/memory/settings.js'
import { DeliveryStage, record, resultsOf, type Sent } from '../../support/delivery-stage.js'

const KIB = 1024
const ASYNC_MS = 120_000
/** The request was answered `pending`. */
const ANSWERED = { deadlineMs: ASYNC_MS, answeredBy: 'kprf' } as const

describe('delivery: records that were answered pending, of a topic that brokers have not created yet', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())
  const start = (topics: Record<string, number> = {}, settings: Partial<DeliverySettings> = {}): void => {
    stage = new DeliveryStage(topics, settings)
  }
  const answered = (topic: string, value: string): Sent => stage.sendWith([record(topic, value, 0)], ANSWERED)
  const lost = () => stage.metrics.of('lost_records')

  it('wait until it is there, in order, however long brokers that were asked to create it take', async () => {
    start()
    const before = ['A', 'B'].map(value => answered('orders', value))
    await stage.pass(12_000)
    expect(before.map(resultsOf)).to.deep.equal([undefined, undefined])
    const behind = answered('orders', 'C')
    await stage.pass(8_000)
    stage.router.createsTopics = 1
    await stage.pass(10_000)
    expect([...before, behind].map(resultsOf)).to.deep.equal([['delivered'], ['delivered'], ['delivered']])
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['A', 'B', 'C'])
    expect(stage.delivery.stats()).to.include({ bufferedBytes: 0, bufferedRecords: 0 })
  })

  it('wait for 120 s, and are told and counted as lost then, as of an unknown topic', async () => {
    start()
    const sent = answered('orders', 'A')
    await stage.pass(119_900)
    expect(resultsOf(sent)).to.equal(undefined)
    await stage.pass(200)
    expect(resultsOf(sent)).to.deep.equal(['unknownTopic, no'])
    expect(lost()).to.equal(1)
    await stage.pass(20_000)
    expect(stage.delivery.stats()).to.include({ unknownTopics: 0, bufferedBytes: 0, bufferedRecords: 0 })
  })

  it('are told by their receipt that brokers have no such topic', async () => {
    start()
    answered('orders', 'A')
    await stage.pass(8_000)
    expect(stage.whyWaiting('orders')).to.equal('brokers report that there is no such topic, and are asked again')
  })

  it('do not keep requests that wait for Kafka from their answer after five seconds', async () => {
    start()
    const first = answered('orders', 'A')
    const waits = stage.send(record('orders', 'B', 0))
    const last = answered('orders', 'C')
    await stage.pass(5_500)
    expect([first, waits, last].map(resultsOf)).to.deep.equal([undefined, ['unknownTopic, no'], undefined])
    expect(stage.send(record('orders', 'D', 0)).refused?.[0]?.code, 'not accepted yet').to.equal('unknownTopic')
    stage.router.createsTopics = 1
    await stage.pass(10_000)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['A', 'C'])
  })

  it('are given up at once where brokers report that they create none', async () => {
    start()
    stage.router.createsNone = true
    const sent = answered('orders', 'A')
    await stage.pass(2_000)
    expect(resultsOf(sent)).to.deep.equal(['unknownTopic, no'])
    expect(lost()).to.equal(1)
  })

  it('are given up at once where brokers report so while they wait', async () => {
    start()
    const sent = answered('orders', 'A')
    await stage.pass(8_000)
    stage.router.createsNone = true
    await stage.pass(5_000)
    expect(resultsOf(sent)).to.deep.equal(['unknownTopic, no'])
  })

  for (const [errorCode, code] of [
    [29, 'notAuthorized'],
    [17, 'invalidTopic'],
    [44, 'recordRejected']
  ] as const)
    it(`are given up at once where brokers refuse it: ${code}`, async () => {
      start()
      const sent = answered('orders', 'A')
      await stage.pass(8_000)
      stage.router.topicErrors.set('orders', errorCode)
      await stage.pass(5_000)
      expect(resultsOf(sent)).to.deep.equal([`${code}, no`])
    })

  it('wait, too, where it was deleted behind them: those in its partitions, with their sequences', async () => {
    start()
    stage.router.create('orders', 2)
    await stage.warmUp('orders', 0)
    const gone = stage.router.topics.get('orders')!
    stage.router.topics.delete('orders')
    const mixed = [answered('orders', 'A'), stage.send(record('orders', 'B', 0)), answered('orders', 'C')]
    await stage.pass(200)
    const behind = [answered('orders', 'D'), stage.send(record('orders', 'E', 0))]
    await stage.pass(14_000)
    expect([...mixed, ...behind].map(resultsOf)).to.deep.equal([
      undefined,
      ['unknownTopic, no'],
      undefined,
      undefined,
      ['unknownTopic, no']
    ])
    stage.router.topics.set('orders', gone)
    await stage.pass(12_000)
    expect(stage.router.partition('orders', 0).values).to.deep.equal(['warm-up', 'A', 'C', 'D'])
    expect(stage.delivery.stats()).to.include({ bufferedBytes: 0, bufferedRecords: 0 })
  })

  it('have no more than 1 MiB of a topic and an eighth of the buffer, and those of other topics the rest', async () => {
    start({ known: 1 }, { maxBytes: 256 * KIB, maxPartitionBytes: 64 * KIB, unknownTopicMaxBytes: 8 * KIB })
    await stage.warmUp('known', 0)
    for (let at = 0; at < 20; at++) answered(`invented-${at}`, '')
    await stage.pass(7_000)
    const more = Array.from({ length: 200 }, (_, at) => answered(`invented-${at % 20}`, 'x'.repeat(2 * KIB)))
    const refused = more.filter(({ refused }) => refused?.[0]?.code === 'unknownTopic').length
    expect(refused, 'while brokers have just reported them missing').to.equal(200)
    await stage.pass(5_000)
    for (let at = 0; at < 200; at++) answered(`invented-${at % 20}`, 'x'.repeat(2 * KIB))
    expect(stage.delivery.stats().bufferedBytes).to.be.within(28 * KIB, 32 * KIB)
    const known = answered('known', 'x'.repeat(32 * KIB))
    await stage.pass(100)
    expect(resultsOf(known)).to.deep.equal(['delivered'])
  })

  it('take nothing from a topic that exists beside 10,000 invented names, and are gone after their time', async () => {
    start({ innocent: 1 })
    const innocent: Sent[] = []
    for (let second = 0; second < 100; second++) {
      for (let at = 0; at < 100; at++) {
        const holder = { principal: 'stranger', client: 'stranger', receipt: undefined }
        stage.sendWith([record(`invented-${second}-${at}`, 'x'.repeat(KIB))], ANSWERED, holder)
      }
      innocent.push(stage.sendAs('innocent', record('innocent', 'x'), 1_000))
      await stage.pass(1_000)
    }
    expect(innocent.flatMap(resultsOf)).to.deep.equal(innocent.map(() => 'delivered'))
    const { unknownTopics, bufferedBytes } = stage.delivery.stats()
    expect(unknownTopics).to.be.within(1_000, 2_400)
    expect(bufferedBytes).to.be.at.most(8 * KIB * KIB)
    stage.router.create('late', 1)
    const late = stage.sendAs('innocent', record('late', 'x'), 1_000)
    await stage.pass(1_000)
    expect(resultsOf(late)).to.deep.equal(['delivered'])
    await stage.pass(140_000)
    expect(stage.delivery.stats()).to.include({ unknownTopics: 0, bufferedBytes: 0, bufferedRecords: 0 })
    const before = stage.router.lookUps.length
    await stage.pass(20_000)
    expect(stage.router.lookUps, 'nobody asks for what nobody waits for').to.have.length(before)
  })
})
