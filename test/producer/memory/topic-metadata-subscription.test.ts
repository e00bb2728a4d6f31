import { expect } from 'chai'
import type { RouterMessage } from '../../../src/router/messages/operations.js'
import { DeliveryStage, record, resultsOf } from '../../support/delivery-stage.js'

describe('delivery: the Router, which tells of topics,', () => {
  let stage: DeliveryStage
  const start = (...parts: ConstructorParameters<typeof DeliveryStage>): void => {
    stage = new DeliveryStage(...parts)
  }
  afterEach(() => stage.restore())

  const asked = (): unknown[] =>
    stage.router.messages.flatMap((message: RouterMessage) =>
      message.type === 'followTopics' || message.type === 'unfollowTopics'
        ? [[message.type, ...message.topics, ...('anew' in message ? [message.anew] : [])]]
        : []
    )

  it('is asked once for all topics of a turn', async () => {
    start({ orders: 1, users: 1 })
    stage.send([record('orders', 'A'), record('users', 'B')])
    stage.send(record('orders', 'C'))
    expect(asked()).to.deep.equal([])
    await stage.pass(0)
    expect(asked()).to.deep.equal([['followTopics', 'orders', 'users', false]])
    await stage.pass(1_000)
    expect(asked()).to.have.length(1)
  })

  it('is asked for nothing any more when delivery has been closed in the same turn', async () => {
    start({ orders: 1 })
    stage.send(record('orders', 'A'), 100)
    void stage.delivery.close(0)
    await stage.pass(1_000)
    expect(asked()).to.deep.equal([])
  })

  it('is told to stop when a topic that does not exist is forgotten', async () => {
    start({})
    const sent = stage.send(record('nowhere', 'A'))
    await stage.pass(20_000)
    expect(resultsOf(sent)).to.deep.equal(['unknownTopic, no'])
    expect(asked().at(-1)).to.deep.equal(['unfollowTopics', 'nowhere'])
  })

  it('is told to stop, too, when a topic has not been used for long, and asked again with its next record', async () => {
    start({ orders: 1, users: 1 }, { metadataMaxAgeMs: 1_000 })
    for (const topic of ['orders', 'users']) await stage.warmUp(topic, 0)
    const useUsers = async (seconds: number): Promise<void> => {
      for (let second = 0; second < seconds; second++) {
        stage.send(record('users', 'B', 0))
        await stage.pass(1_000)
      }
    }
    const followed = [
      ['followTopics', 'orders', false],
      ['followTopics', 'users', false]
    ]
    await useUsers(9)
    expect(asked()).to.deep.equal(followed)
    await useUsers(3)
    expect(asked()).to.deep.equal([...followed, ['unfollowTopics', 'orders']])
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(100)
    expect(asked().at(-1)).to.deep.equal(['followTopics', 'orders', false])
    expect(resultsOf(sent)).to.deep.equal(['delivered'])
  })
})

describe('delivery: closing', () => {
  let stage: DeliveryStage
  beforeEach(() => {
    stage = new DeliveryStage({ orders: 1 })
  })
  afterEach(() => stage.restore())

  const close = (timeoutMs: number): { lost: number | undefined } => {
    const closed: { lost: number | undefined } = { lost: undefined }
    void stage.delivery.close(timeoutMs).then(lost => (closed.lost = lost))
    return closed
  }

  it('waits until everything is sent, and loses nothing', async () => {
    const sent = stage.send(record('orders', 'A', 0))
    const closed = close(5_000)
    await stage.pass(1_000)
    expect([closed.lost, resultsOf(sent)]).to.deep.equal([0, ['delivered']])
  })

  it('counts what could not be sent in time, and says that it was not', async () => {
    stage.router.isAway = true
    const sent = [
      stage.send(record('orders', 'A', 0)),
      stage.send([record('orders', 'B', 0), record('orders', 'C', 0)])
    ]
    const closed = close(500)
    await stage.pass(400)
    expect(closed.lost).to.equal(undefined)
    await stage.pass(200)
    expect(closed.lost).to.equal(3)
    expect(sent.flatMap(resultsOf)).to.deep.equal(Array(3).fill('shuttingDown, no'))
  })

  it('says that it is not known where a batch was on its way', async () => {
    await stage.warmUp('orders', 0)
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const sent = stage.send(record('orders', 'A', 0))
    await stage.pass(10)
    const closed = close(500)
    await stage.pass(600)
    expect([closed.lost, resultsOf(sent)]).to.deep.equal([1, ['shuttingDown, unknown']])
  })

  it('takes nothing from its beginning on, and leaves no timer', async () => {
    const closed = close(500)
    const late = stage.send(record('orders', 'A', 0))
    expect(late.refused?.[0]).to.include({ code: 'shuttingDown', persisted: 'no', retriable: true })
    await stage.pass(600)
    expect(closed.lost).to.equal(0)
    expect(stage.clock.countTimers()).to.equal(0)
  })
})

describe('delivery: a buffer that is full', () => {
  let stage: DeliveryStage
  afterEach(() => stage.restore())

  it('refuses at once who does not wait for capacity, and names the setting; who waits has it when there is some', async () => {
    const KIB = 1024
    stage = new DeliveryStage({ orders: 4 }, { maxBytes: 100 * KIB, maxPartitionBytes: 100 * KIB })
    for (const partition of [0, 1]) await stage.warmUp('orders', partition)
    stage.router.partition('orders', 0).script.push({ type: 'hold' })
    const held = stage.send(record('orders', 'x'.repeat(90 * KIB), 0))
    await stage.pass(10)
    const hasty = stage.send(record('orders', 'y'.repeat(20 * KIB), 1))
    expect(hasty.refused?.[0]).to.include({ code: 'overloaded', persisted: 'no' })
    expect(hasty.refused?.[0]?.message).to.contain('delivery.maxBytes')
    const small = stage.send(record('orders', 'z', 1))
    expect(small.refused).to.equal(undefined)
    const patient = stage.send(record('orders', 'y'.repeat(20 * KIB), 1), 30_000, 5_000)
    expect([patient.refused, patient.pendingProduce.isWaiting]).to.deep.equal([undefined, true])
    stage.router.release()
    await stage.pass(200)
    expect([held, small, patient].flatMap(resultsOf)).to.deep.equal(Array(3).fill('delivered'))
  })
})
