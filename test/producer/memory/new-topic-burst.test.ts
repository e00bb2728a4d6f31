import { expect } from 'chai'
import { DeliveryHarness, record, resultsOf, type Sent } from '../../support/delivery-harness.js'

const KIB = 1024
const WAIT_MS = 5_000

describe('delivery: the first burst to a topic that is being created', () => {
  let harness: DeliveryHarness
  afterEach(() => harness.restore())
  const start = async (settings: ConstructorParameters<typeof DeliveryHarness>[1] = {}): Promise<void> => {
    harness = new DeliveryHarness({}, { unknownTopicMaxBytes: 10 * KIB, maxBytes: 400 * KIB, ...settings })
    // The brokers have said that it is not there.
    send('first')
    await harness.pass(100)
  }
  const send = (value: string, topic = 'fresh', capacityWaitMs = WAIT_MS): Sent =>
    harness.send(record(topic, value.padEnd(2 * KIB, '.'), undefined, 'key'), 30_000, capacityWaitMs)
  const burst = (count: number): Sent[] => Array.from({ length: count }, (_, at) => send(`${at}`))
  const numbers = (): number[] =>
    harness.router
      .values('fresh')
      .slice(1)
      .map(value => Number.parseInt(value!, 10))

  it('waits for room, and is delivered in order', async () => {
    await start()
    const sent = burst(20)
    expect(sent.filter(({ refused }) => refused !== undefined)).to.deep.equal([])
    expect(sent.filter(({ pendingProduce }) => pendingProduce.isWaiting).length).to.be.within(10, 19)
    harness.router.create('fresh', 1)
    await harness.pass(2_000)
    expect(sent.flatMap(resultsOf)).to.deep.equal(sent.map(() => 'delivered'))
    expect(numbers()).to.deep.equal(Array.from(sent, (_, at) => at))
    expect(sent.map(({ pendingProduce }) => pendingProduce.isWaiting)).to.deep.equal(sent.map(() => false))
    expect(harness.delivery.stats()).to.include({ bufferedBytes: 0, bufferedRecords: 0, stuckBytes: 0 })
  })

  it('is not overtaken by a smaller record that would fit', async () => {
    await start()
    const sent = [...burst(10), harness.send(record('fresh', '10', undefined, 'key'), 30_000, WAIT_MS)]
    harness.router.create('fresh', 1)
    await harness.pass(2_000)
    expect(numbers()).to.deep.equal(Array.from(sent, (_, at) => at))
  })

  it('is told that there is no such topic when none appears; who waits less is told that there was no room', async () => {
    await start()
    const sent = burst(20)
    const impatient = send('impatient', 'fresh', 200)
    expect(send('at once', 'fresh', 0).refused?.[0]?.code).to.equal('overloaded')
    await harness.pass(300)
    expect(resultsOf(impatient)).to.deep.equal(['overloaded, no'])
    await harness.pass(20_000)
    expect(new Set(sent.flatMap(resultsOf))).to.deep.equal(new Set(['unknownTopic, no']))
    expect((await sent.at(-1)!.pendingProduce.accepted())?.[0]?.persisted).to.equal('no')
    expect(harness.delivery.stats()).to.include({ bufferedBytes: 0, bufferedRecords: 0, stuckBytes: 0 })
  })

  it('takes a quarter of the buffer at most beside it, all topics together', async () => {
    await start()
    const sent = burst(200)
    const waiting = sent.filter(({ pendingProduce }) => pendingProduce.isWaiting).length
    expect(waiting * 2 * KIB).to.be.within(60 * KIB, 100 * KIB)
    await harness.pass(20_000)
    expect(send('0').refused?.[0]?.code, 'the topic is missing').to.be.oneOf(['unknownTopic', undefined])
    await harness.pass(20_000)
    harness.router.create('fresh', 1)
    await harness.pass(10_000)
    const next = burst(20)
    await harness.pass(2_000)
    expect(next.flatMap(resultsOf), 'nothing is left of the wait').to.deep.equal(next.map(() => 'delivered'))
  })

  it('is told when delivery ends', async () => {
    await start()
    const sent = burst(20)
    void harness.delivery.close(0)
    await harness.pass(100)
    expect(new Set(sent.flatMap(resultsOf))).to.deep.equal(new Set(['shuttingDown, no']))
    expect(sent.map(({ pendingProduce }) => pendingProduce.isWaiting)).to.deep.equal(sent.map(() => false))
  })
})
