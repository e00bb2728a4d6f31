import { expect } from 'chai'
import { costOf, type InPieces, PIECE_COST } from '../../../src/core/loop-turns.js'
import type { DeliverySettings } from '../../../src/producer/memory/settings.js'
import type { TopicFollower } from '../../../src/router/messages/operations.js'
import { DeliveryStage, record, resultsOf, type Sent } from '../../support/delivery-stage.js'

const MIB = 1024 * 1024
/** As many records of {@link many} as are entered in one piece. */
const PER_PIECE = Math.ceil(PIECE_COST / costOf('A0000'.length, 1))
const textOf = (name: string, at: number): string => `${name}${`${at}`.padStart(4, '0')}`

/** The turns of the loop, which come when the test wants. */
class HeldTurns {
  readonly #works: InPieces<void>[] = []
  /** The largest cost of one turn so far. */
  largestCost = 0

  run(work: InPieces<void>): void {
    this.#works.push(work)
  }

  get waiting(): number {
    return this.#works.length
  }

  /** @returns how many turns were used: fewer than `most` when nothing was left to do */
  turn(most = Number.POSITIVE_INFINITY): number {
    let turns = 0
    while (turns < most && this.#works.length > 0) {
      const { done, value } = this.#works[0]!.next()
      if (done === true) this.#works.shift()
      else this.largestCost = Math.max(this.largestCost, value)
      turns++
    }
    return turns
  }
}

/** What delivery has the Router tell news of topics. */
function followerOf({ router }: DeliveryStage): TopicFollower {
  const [follower] = router.messages.flatMap(message => (message.type === 'followTopics' ? message.follower : []))
  return follower!
}

describe('delivery: records that waited for the metadata of their topic', () => {
  let stage: DeliveryStage
  let turns: HeldTurns
  afterEach(() => stage.restore())
  const start = (topics: Record<string, number> = { orders: 1 }, settings: Partial<DeliverySettings> = {}): void => {
    turns = new HeldTurns()
    stage = new DeliveryStage(topics, settings, undefined, 64 * MIB, turns)
  }
  const many = (name: string, count: number, topic = 'orders') =>
    Array.from({ length: count }, (_, at) => record(topic, textOf(name, at), 0))
  const valuesOf = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => textOf(name, at))
  const held = () => stage.delivery.stats()
  const isOver = (): void => {
    expect(held()).to.include({ bufferedBytes: 0, bufferedRecords: 0, unknownTopics: 0 })
  }
  /** Requests of 2,000 records of a topic that no broker was asked about yet, until they are about to enter it. */
  const sendMany = async (...names: string[]): Promise<Sent[]> => {
    const sent = names.map(name => stage.send(many(name, 2_000)))
    await stage.pass(100)
    expect([stage.router.partition('orders', 0).values, turns.waiting]).to.deep.equal([[], 1])
    return sent
  }

  it('enter it in pieces, one in each turn, in order, and those that come meanwhile behind them', async () => {
    start()
    const sent = await sendMany('A', 'B', 'C')
    expect(turns.turn(2)).to.equal(2)
    await stage.pass(100)
    expect(stage.router.partition('orders', 0).values).to.have.length.within(1, 2 * PER_PIECE)
    const late = [stage.send(record('orders', 'late', 0)), stage.send(many('row', 300))]
    await stage.pass(100)
    expect(turns.turn()).to.be.within(6_300 / PER_PIECE - 2, 6_300 / PER_PIECE + 2)
    expect(turns.largestCost).to.be.within(PIECE_COST, PIECE_COST + costOf(7, 1))
    const direct = stage.send(record('orders', 'direct', 0))
    await stage.pass(1_000)
    expect([...sent, ...late, direct].flatMap(resultsOf).filter(result => result !== 'delivered')).to.deep.equal([])
    const all = ['A', 'B', 'C'].flatMap(name => valuesOf(name, 2_000))
    expect(stage.router.partition('orders', 0).values).to.deep.equal([
      ...all,
      'late',
      ...valuesOf('row', 300),
      'direct'
    ])
    isOver()
  })

  it('that are few enter it at once', async () => {
    stage = new DeliveryStage({ orders: 1 })
    const sent = stage.send(many('A', PER_PIECE))
    await stage.pass(60)
    expect(resultsOf(sent)).to.deep.equal(sent.outcomes!.map(() => 'delivered'))
  })

  it('and found no room there enter it in pieces, too', async () => {
    start({ orders: 1 }, { maxBytes: 4 * MIB, maxPartitionBytes: MIB })
    const sent = ['A', 'B', 'C', 'D'].map(name => stage.send(many(name, 2_000), 30_000, 20_000))
    expect(sent.map(({ pendingProduce }) => pendingProduce.isWaiting)).to.deep.equal([false, false, true, true])
    for (let second = 0; second < 40; second++) {
      await stage.pass(100)
      turns.turn(1)
    }
    expect(turns.largestCost).to.be.within(PIECE_COST, PIECE_COST + costOf(7, 1))
    turns.turn()
    await stage.pass(5_000)
    const all = ['A', 'B', 'C', 'D'].flatMap(name => valuesOf(name, 2_000))
    expect(stage.router.partition('orders', 0).values).to.deep.equal(all)
    expect(sent.flatMap(resultsOf).filter(result => result !== 'delivered')).to.deep.equal([])
    isOver()
  })

  it('stay in order where their partitions are full and ticks come between two turns', async () => {
    start({ orders: 2 }, { maxBytes: MIB, maxPartitionBytes: MIB / 4 })
    const values = Array.from({ length: 4_000 }, (_, at) => textOf('A', at).padEnd(1_000))
    const all = values.map((value, at) => record('orders', value, at % 2))
    stage.router.latencyMs = 400
    const sent = stage.send(all, 60_000, 60_000)
    while (sent.outcomes === undefined) {
      await stage.pass(60)
      turns.turn(3)
    }
    expect(resultsOf(sent)!.filter(result => result !== 'delivered')).to.deep.equal([])
    for (const partition of [0, 1])
      expect(stage.router.partition('orders', partition).values).to.deep.equal(
        values.filter((_, at) => at % 2 === partition)
      )
    isOver()
  })

  it('are given up between two turns when their time is over', async () => {
    start()
    const hasty = stage.send(many('A', 2_000), 1_000)
    const patient = stage.send(many('B', 2_000))
    await stage.pass(100)
    turns.turn(1)
    await stage.pass(1_000)
    const results = resultsOf(hasty)!
    expect(results.filter(result => result === 'timedOut, no').length).to.equal(2_000 - PER_PIECE)
    expect(results.filter(result => result === 'delivered').length).to.equal(PER_PIECE)
    turns.turn()
    await stage.pass(1_000)
    expect(resultsOf(patient)!.every(result => result === 'delivered')).to.equal(true)
    isOver()
  })

  it('are withdrawn between two turns when their call is given up', async () => {
    start()
    const over = new AbortController()
    const sent = stage.sendWith(many('A', 2_000), { signal: over.signal })
    await stage.pass(100)
    turns.turn(1)
    over.abort()
    const next = stage.send(record('orders', 'next', 0))
    expect(turns.turn()).to.equal(1)
    await stage.pass(100)
    expect(resultsOf(sent)!.filter(result => result === 'aborted, no')).to.have.length.within(2_000 - PER_PIECE, 2_000)
    expect(resultsOf(next)).to.deep.equal(['delivered'])
    isOver()
  })

  it('wait on, in order, when another cluster is connected between two turns', async () => {
    start()
    const sent = await sendMany('A', 'B')
    turns.turn(3)
    stage.delivery.clusterChanged({ before: 'one', now: 'other' })
    const behind = stage.send(record('orders', 'C', 0))
    await stage.pass(100)
    turns.turn()
    await stage.pass(1_000)
    expect([...sent, behind].flatMap(resultsOf).filter(result => result !== 'delivered')).to.deep.equal([])
    const values = [...valuesOf('A', 2_000), ...valuesOf('B', 2_000), 'C']
    expect(stage.router.partition('orders', 0).values).to.deep.equal(values)
    isOver()
  })

  it('fail between two turns when the delivery is closed, and no later turn brings them back', async () => {
    start()
    const [sent] = await sendMany('A')
    turns.turn(1)
    const closed = stage.delivery.close(100)
    await stage.pass(200)
    await closed
    expect(resultsOf(sent!)!.filter(result => result === 'shuttingDown, no').length).to.equal(2_000 - PER_PIECE)
    turns.turn()
    await stage.pass(1_000)
    expect(stage.router.partition('orders', 0).values).to.have.length(PER_PIECE)
  })

  it('of a partition that is absent fail, those of others go on', async () => {
    start()
    const sent = stage.send([...many('A', 500), record('orders', 'absent', 7), ...many('B', 500)])
    await stage.pass(100)
    turns.turn()
    await stage.pass(1_000)
    expect(resultsOf(sent)!.filter(result => result !== 'delivered')).to.deep.equal(['unknownPartition, no'])
    expect(resultsOf(sent)![500]).to.equal('unknownPartition, no')
    isOver()
  })

  it('fail in pieces where brokers refuse the topic, and those that come meanwhile are refused', async () => {
    start({})
    stage.router.topicErrors.set('orders', 29)
    const sent = ['A', 'B'].map(name => stage.send(many(name, 2_000)))
    await stage.pass(100)
    expect([sent.map(resultsOf), turns.waiting]).to.deep.equal([[undefined, undefined], 1])
    turns.turn(2)
    expect(held().failed).to.equal(2 * PER_PIECE)
    expect(stage.send(record('orders', 'C', 0)).refused?.[0]?.code).to.equal('notAuthorized')
    stage.delivery.topicChanged('orders')
    expect(stage.send(record('orders', 'D', 0)).refused?.[0]?.code, 'not behind those that fail').to.equal(
      'notAuthorized'
    )
    turns.turn()
    expect(turns.largestCost).to.be.within(PIECE_COST, PIECE_COST + costOf(7, 1))
    await stage.pass(0)
    expect(new Set(sent.flatMap(resultsOf))).to.deep.equal(new Set(['notAuthorized, no']))
    await stage.pass(20_000)
    isOver()
  })

  it('fail in pieces where the topic is missing, and enter it if it comes meanwhile', async () => {
    start({}, { createTopics: false })
    const sent = stage.send(many('A', 2_000))
    await stage.pass(2_000)
    expect(turns.waiting).to.equal(1)
    turns.turn(3)
    expect(held().failed).to.equal(3 * PER_PIECE)
    stage.router.create('orders', 1)
    // Until then the Router remembers that there is no such topic.
    await stage.pass(6_000)
    stage.router.tell({ type: 'followTopics', topics: ['orders'], follower: followerOf(stage), anew: true })
    await stage.pass(1_000)
    turns.turn()
    await stage.pass(1_000)
    const results = resultsOf(sent)!
    expect(results.filter(result => result === 'unknownTopic, no').length).to.equal(3 * PER_PIECE)
    expect(results.filter(result => result === 'delivered').length).to.equal(2_000 - 3 * PER_PIECE)
    isOver()
  })

  it('of one topic take turns with those of others', async () => {
    turns = new HeldTurns()
    stage = new DeliveryStage({ orders: 1, payments: 1 })
    const [large, small] = [stage.send(many('A', 20_000)), stage.send(many('B', 10, 'payments'))]
    while (stage.router.topics.get('payments')![0]!.values.length === 0) await stage.clock.nextAsync()
    expect(stage.router.partition('orders', 0).values.length).to.be.lessThan(20_000)
    await stage.pass(1_000)
    expect([...resultsOf(large)!, ...resultsOf(small)!].filter(result => result !== 'delivered')).to.deep.equal([])
  })
})
