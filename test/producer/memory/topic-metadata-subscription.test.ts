import { expect } from 'chai'
import type { RouterMessage } from '../../../src/router/messages/operations.js'
import { DeliveryHarness, record, resultsOf } from '../../support/delivery-stage.js'

describe('delivery: what the Router is asked to tell of topics', () => {
  let harness: DeliveryHarness
  const start = (...parts: ConstructorParameters<typeof DeliveryHarness>): void => {
    harness = new DeliveryHarness(...parts)
  }
  afterEach(() => harness.restore())

  const asked = (): unknown[] =>
    harness.router.messages.flatMap((message: RouterMessage) =>
      message.type === 'followTopics' || message.type === 'unfollowTopics'
        ? [[message.type, ...message.topics, ...('anew' in message ? [message.anew] : [])]]
        : []
    )

  it('is asked once for all topics of a turn', async () => {
    start({ orders: 1, users: 1 })
    harness.send([record('orders', 'A'), record('users', 'B')])
    harness.send(record('orders', 'C'))
    expect(asked()).to.deep.equal([])
    await harness.pass(0)
    expect(asked()).to.deep.equal([['followTopics', 'orders', 'users', false]])
    await harness.pass(1_000)
    expect(asked()).to.have.length(1)
  })

  it('is asked for nothing any more when delivery has been closed in the same turn', async () => {
    start({ orders: 1 })
    harness.send(record('orders', 'A'), 100)
    void harness.delivery.close(0)
    await harness.pass(1_000)
    expect(asked()).to.deep.equal([])
  })

  it('is told to stop when a topic that does not exist is forgotten', async () => {
    start({})
    const sent = harness.send(record('nowhere', 'A'))
    await harness.pass(20_000)
    expect(resultsOf(sent)).to.deep.equal(['unknownTopic, no'])
    expect(asked().at(-1)).to.deep.equal(['unfollowTopics', 'nowhere'])
  })

  it('is told to stop, too, when a topic has not been used for long, and asked again with its next record', async () => {
    start({ orders: 1, users: 1 }, { metadataMaxAgeMs: 1_000 })
    for (const topic of ['orders', 'users']) await harness.warmUp(topic, 0)
    const useUsers = async (seconds: number): Promise<void> => {
      for (let second = 0; second < seconds; second++) {
        harness.send(record('users', 'B', 0))
        await harness.pass(1_000)
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
    const sent = harness.send(record('orders', 'A', 0))
    await harness.pass(100)
    expect(asked().at(-1)).to.deep.equal(['followTopics', 'orders', false])
    expect(resultsOf(sent)).to.deep.equal(['delivered'])
  })
})

describe('delivery: closing', () => {
  let harness: DeliveryHarness
  beforeEach(() => {
    harness = new DeliveryHarness({ orders: 1 })
  })
  afterEach(() => harness.restore())

  const close = (timeoutMs: number): { lost: number | undefined } => {
    const closed: { lost: number | undefined } = { lost: undefined }
    void harness.delivery.close(timeoutMs).then(lost => (closed.lost = lost))
    return closed
  }

  it('waits until everything is sent, and loses nothing', async () => {
    const sent = harness.send(record('orders', 'A', 0))
    const closed = close(5_000)
    await harness.pass(1_000)
    expect([closed.lost, resultsOf(sent)]).to.deep.equal([0, ['delivered']])
  })

  it('counts what could not be sent in time, and says that it was not', async () => {
    harness.router.isAway = true
    const sent = [
      harness.send(record('orders', 'A', 0)),
      harness.send([record('orders', 'B', 0), record('orders', 'C', 0)])
    ]
    const closed = close(500)
    await harness.pass(400)
    expect(closed.lost).to.equal(undefined)
    await harness.pass(200)
    expect(closed.lost).to.equal(3)
    expect(sent.flatMap(resultsOf)).to.deep.equal(Array(3).fill('shuttingDown, no'))
  })

  it('says that it is not known where a batch was on its way', async () => {
    await harness.warmUp('orders', 0)
    harness.router.partition('orders', 0).script.push({ type: 'hold' })
    const sent = harness.send(record('orders', 'A', 0))
    await harness.pass(10)
    const closed = close(500)
    await harness.pass(600)
    expect([closed.lost, resultsOf(sent)]).to.deep.equal([1, ['shuttingDown, unknown']])
  })

  it('takes nothing from its beginning on, and leaves no timer', async () => {
    const closed = close(500)
    const late = harness.send(record('orders', 'A', 0))
    expect(late.refused?.[0]).to.include({ code: 'shuttingDown', persisted: 'no', retriable: true })
    await harness.pass(600)
    expect(closed.lost).to.equal(0)
    expect(harness.clock.countTimers()).to.equal(0)
  })
})

describe('delivery: a buffer that is full', () => {
  let harness: DeliveryHarness
  afterEach(() => harness.restore())

  it('refuses at once who does not wait for room, and names the setting; who waits has it when there is some', async () => {
    const KIB = 1024
    harness = new DeliveryHarness({ orders: 4 }, { maxBytes: 100 * KIB, maxPartitionBytes: 100 * KIB })
    for (const partition of [0, 1]) await harness.warmUp('orders', partition)
    harness.router.partition('orders', 0).script.push({ type: 'hold' })
    const held = harness.send(record('orders', 'x'.repeat(90 * KIB), 0))
    await harness.pass(10)
    const hasty = harness.send(record('orders', 'y'.repeat(20 * KIB), 1))
    expect(hasty.refused?.[0]).to.include({ code: 'overloaded', persisted: 'no' })
    expect(hasty.refused?.[0]?.message).to.contain('delivery.maxBytes')
    const small = harness.send(record('orders', 'z', 1))
    expect(small.refused).to.equal(undefined)
    const patient = harness.send(record('orders', 'y'.repeat(20 * KIB), 1), 30_000, 5_000)
    expect([patient.refused, patient.pendingProduce.isWaiting]).to.deep.equal([undefined, true])
    harness.router.release()
    await harness.pass(200)
    expect([held, small, patient].flatMap(resultsOf)).to.deep.equal(Array(3).fill('delivered'))
  })
})
