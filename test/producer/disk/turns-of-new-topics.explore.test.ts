import { expect } from 'chai'
import type { ProduceRecord } from '../../../src/core/model.js'
import { MAX_UNKNOWN_TOPICS } from '../../../src/producer/disk/durable-topics.js'
import { DurableStage, type SentToDisk } from '../durable-stage.js'

describe('durable: new topics, of which brokers are asked to create 20 a second', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())
  const to = (topic: string): ProduceRecord => ({ topic, key: null, value: 'x' })
  const namesOf = (prefix: string, count: number): string[] =>
    Array.from({ length: count }, (_, at) => `${prefix}-${at}`)
  const start = async (topics: Record<string, number> = {}): Promise<void> => {
    stage = new DurableStage({ topics, wal: { segmentBytes: 1024 * 1024 } })
    stage.router.createsTopics = 1
    await stage.start()
  }
  const send = (names: readonly string[], principal?: string): SentToDisk[] =>
    names.map(name => stage.send(to(name), 0, principal))
  const created = (prefix: string): number =>
    [...stage.router.topics].filter(([name, partitions]) => name.startsWith(prefix) && partitions[0]!.log.length === 1)
      .length

  it('use up what may be created, however many wait: the next names are asked for as soon as a turn is free', async () => {
    await start()
    send(namesOf('new', MAX_UNKNOWN_TOPICS + 400))
    await stage.pass(20_000)
    const early = created('new')
    expect(early).to.be.within(390, 420)
    await stage.pass(20_000)
    expect(created('new') - early).to.be.within(390, 401)
    await stage.pass(32_000)
    expect(created('new')).to.equal(MAX_UNKNOWN_TOPICS + 400)
    expect(stage.delivery.stats().deadLettered).to.equal(0)
  })

  it('go in turns of the clients that named them first, and hold up no topic that exists', async () => {
    await start({ orders: 1 })
    send(namesOf('strange', 2 * MAX_UNKNOWN_TOPICS), 'stranger')
    await stage.pass(1_000)
    send([...namesOf('own', 20), 'orders'], 'client')
    await stage.pass(4_000)
    expect([created('own'), created('orders')]).to.deep.equal([20, 1])
    expect(created('strange')).to.be.within(60, 120)
    await stage.pass(100_000)
    expect(created('strange')).to.equal(2 * MAX_UNKNOWN_TOPICS)
  })

  it('are created after a restart, too, with what comes meanwhile behind what came before', async () => {
    await start()
    const names = namesOf('new', MAX_UNKNOWN_TOPICS + 200)
    send(names)
    await stage.pass(3_000)
    await stage.restart()
    for (const name of names) stage.send({ ...to(name), value: 'later' })
    await stage.pass(70_000)
    const all = [...stage.router.topics.values()].map(([partition]) => partition!.values.join())
    expect(all).to.have.length(names.length)
    expect(new Set(all)).to.deep.equal(new Set(['x,later']))
  })

  it('are refused when so many wait that they would not be created in ten minutes', async () => {
    await start({ orders: 1 })
    stage.router.isAway = true
    const sent = send(namesOf('new', 12_050))
    const refused = sent.flatMap(({ refused }) => refused ?? [])
    expect(refused).to.have.length(50)
    expect(refused[0]).to.include({ code: 'overloaded', persisted: 'no', retriable: true })
    stage.router.isAway = false
    await stage.pass(10_000)
    expect(send(['another'])[0]!.refused, 'some were created').to.equal(undefined)
  })

  it('of one client leave half of the places to others', async () => {
    await start()
    stage.router.isAway = true
    const stranger = send(namesOf('strange', 7_000), 'stranger')
    expect(stranger.filter(({ refused }) => refused !== undefined)).to.have.length(999)
    expect(send(namesOf('own', 100), 'client').filter(({ refused }) => refused !== undefined)).to.deep.equal([])
  })

  it('give back their places where the log has refused their records', async () => {
    await start()
    stage.router.isAway = true
    stage.failing.add('commit')
    send(namesOf('lost', 7_000), 'client')
    await stage.pass(1_000)
    stage.failing.clear()
    await stage.pass(10_000)
    stage.broken.splice(0)
    expect(send(['another'], 'client')[0]!.refused?.[0]?.code).to.not.equal('overloaded')
  })

  it('take no place where brokers say that they create none, or are not asked', async () => {
    stage = new DurableStage({ delivery: { createTopics: false }, wal: { segmentBytes: 1024 * 1024 } })
    await stage.start()
    expect(send(namesOf('new', 12_050)).filter(({ refused }) => refused !== undefined)).to.deep.equal([])
  })
})
