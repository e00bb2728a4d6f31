import { expect } from 'chai'
import type { DeliverySettings } from '../../../src/producer/memory/settings.js'
import { DeliveryStage, record, resultsOf, type Sent } from '../../support/delivery-stage.js'

const ASYNC_MS = 120_000
/** In which 400 can be created. */
const TWENTY_SECONDS = { timeoutMs: 20_000 }

describe('delivery: new topics, of which brokers are asked to create 20 a second', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())

  const namesOf = (prefix: string, count: number): string[] =>
    Array.from({ length: count }, (_, at) => `${prefix}-${at}`)
  const stageThatCreates = (settings: Partial<DeliverySettings> = {}): void => {
    stage = new DeliveryStage({}, settings)
    stage.router.createsTopics = 1
  }
  const countOf = (sent: readonly Sent[], result: string): number =>
    sent.flatMap(one => resultsOf(one) ?? ['open']).filter(one => one === result).length
  const refusalsOf = (sent: readonly Sent[]): (string | undefined)[] => sent.map(({ refused }) => refused?.[0]?.code)

  it('lose no accepted record while their creation waits its turn', async () => {
    stageThatCreates()
    const sent = namesOf('new', 200).map(name => stage.send(record(name, 'x'), ASYNC_MS))
    await stage.pass(15_000)
    expect(countOf(sent, 'delivered')).to.equal(200)
    expect(stage.delivery.stats().bufferedRecords).to.equal(0)
  })

  it('answer who waits for less than their turn that others come first, and never that there is no such topic', async () => {
    stageThatCreates()
    const sent = namesOf('new', 200).map(name => stage.send(record(name, 'x'), 6_000))
    await stage.pass(20_000)
    const delivered = countOf(sent, 'delivered')
    expect(delivered).to.be.greaterThan(100)
    expect(countOf(sent, 'overloaded, no')).to.equal(200 - delivered)
  })

  it('are not called missing while a broker that was asked for them creates them', async () => {
    stageThatCreates()
    stage.router.lateCreation = 2
    const sent = namesOf('new', 200).map(name => stage.send(record(name, 'x'), 3_000))
    await stage.pass(20_000)
    const delivered = countOf(sent, 'delivered')
    expect(delivered).to.be.greaterThan(40)
    expect(countOf(sent, 'overloaded, no')).to.equal(200 - delivered)
  })

  it('say which was waited for: their turn, or a broker that was asked for them', async () => {
    stageThatCreates()
    stage.router.lateCreation = 2
    const [first, ...others] = namesOf('new', 200).map(name => stage.send(record(name, 'x'), 3_000))
    await stage.pass(20_000)
    const why = async ({ pendingProduce }: Sent): Promise<string> => {
      const [outcome] = await pendingProduce.outcomes()
      return outcome?.type === 'failed' ? outcome.message : 'delivered'
    }
    const texts = new Set((await Promise.all([first!, ...others].map(why))).map(text => text.split(': ').at(-1)))
    expect([...texts].sort()).to.deep.equal([
      'brokers are asked for 20 new topics a second, and clients take turns',
      'brokers were asked to create it, and none has told it yet',
      'delivered'
    ])
  })

  it('are missing when brokers that were asked to create them have not for five seconds', async () => {
    stage = new DeliveryStage({})
    const sent = namesOf('new', 200).map(name => stage.send(record(name, 'x'), ASYNC_MS))
    await stage.pass(5_000)
    expect(countOf(sent, 'unknownTopic, no')).to.equal(0)
    await stage.pass(1_500)
    expect(countOf(sent, 'unknownTopic, no'), 'asked for in the first second and a half').to.be.within(20, 50)
    await stage.pass(10_000)
    expect(countOf(sent, 'unknownTopic, no')).to.equal(200)
  })

  it('go in turns of the clients that named them first', async () => {
    stageThatCreates()
    const stranger = namesOf('strange', 300).map(name => stage.sendAs('stranger', record(name, 'x'), ASYNC_MS))
    await stage.pass(100)
    const own = namesOf('own', 20).map(name => stage.sendAs('client', record(name, 'x'), 5_000))
    await stage.pass(3_000)
    expect(countOf(own, 'delivered')).to.equal(20)
    expect(countOf(stranger, 'delivered')).to.be.greaterThan(40)
    await stage.pass(15_000)
    expect(countOf(stranger, 'delivered')).to.equal(300)
  })

  it('are refused at acceptance where there are more than can be made in the time of their records', async () => {
    stageThatCreates(TWENTY_SECONDS)
    const sent = namesOf('new', 450).map(name => stage.send(record(name, 'x')))
    expect(refusalsOf(sent)).to.deep.equal([...Array(400).fill(undefined), ...Array(50).fill('overloaded')])
    await stage.pass(19_900)
    expect(countOf(sent, 'delivered')).to.equal(400)
  })

  it('of one client or request take no more than half of the places from others', async () => {
    stageThatCreates(TWENTY_SECONDS)
    const stranger = namesOf('strange', 300).map(name => stage.sendAs('stranger', record(name, 'x')))
    expect(refusalsOf(stranger).filter(Boolean)).to.have.length(99)
    const request = stage.send(namesOf('bulk', 200).map(name => record(name, 'x')))
    expect(request.refused?.filter(Boolean)).to.have.length(100)
    const own = namesOf('own', 40).map(name => stage.sendAs('client', record(name, 'x')))
    expect(refusalsOf(own).filter(Boolean)).to.deep.equal([])
    await stage.pass(6_000)
    expect(countOf(own, 'delivered')).to.equal(40)
  })

  it('that are too many wait for their look-up where their request may wait: a topic that exists is found', async () => {
    stageThatCreates(TWENTY_SECONDS)
    stage.router.create('existing', 1)
    const sent = namesOf('new', 400).map(name => stage.send(record(name, 'x')))
    const existing = stage.send(record('existing', 'x'), 10_000, 40)
    const oneMore = stage.send(record('one-more', 'x'), 10_000, 40)
    expect([existing, oneMore].map(({ pendingProduce }) => pendingProduce.isWaiting)).to.deep.equal([true, true])
    await stage.pass(100)
    expect([existing, oneMore].map(resultsOf)).to.deep.equal([['delivered'], ['overloaded, no']])
    expect((await oneMore.pendingProduce.accepted())?.[0]?.message).to.match(/^400 new topics wait already/)
    await stage.pass(19_000)
    expect(countOf(sent, 'delivered')).to.equal(400)
  })

  it('have all places where brokers are not asked to create any', async () => {
    stage = new DeliveryStage({}, { ...TWENTY_SECONDS, createTopics: false })
    const sent = namesOf('new', 450).map(name => stage.send(record(name, 'x')))
    expect(refusalsOf(sent).filter(Boolean)).to.deep.equal([])
  })

  it('tell why their records wait', async () => {
    stageThatCreates()
    namesOf('new', 200).map(name => stage.send(record(name, 'x'), ASYNC_MS))
    await stage.pass(100)
    expect(stage.whyWaiting('new-199')).to.contain('20 new topics a second')
    const view = [...stage.delivery.topicViews()].find(one => one?.topic === 'new-199')
    expect(view?.state).to.equal('lookingUp')
  })
})
