import { expect } from 'chai'
import sinon from 'sinon'
import type { RunOptions } from '../../../src/consumer/group/handler-run.js'
import { ParkedBytes } from '../../../src/consumer/group/parking-limits.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { run } from './fake-runtime.js'
import { RunStage } from './run-stage.js'

const ACK_MS = 1_000
/** Odd offsets have one key, even ones another. */
const twoKeys = (offset: number): string => `k${offset % 2}`

describe('handlers of a loop', () => {
  let stage: RunStage
  let running: Promise<void>
  afterEach(() => stage.kill())

  /** Handlers of one partition with so many messages. */
  async function begin(
    count: number,
    options: RunOptions = { concurrency: 2 },
    settings: ConstructorParameters<typeof RunStage>[2] = {},
    keyOf: ConstructorParameters<typeof RunStage>[1] = twoKeys
  ): Promise<void> {
    stage = new RunStage(count, keyOf, { ackTimeoutMs: ACK_MS, revocationMs: 300, ...settings })
    running = stage.start(options)
    await stage.pass()
  }
  const committed = () => stage.runtime.committed?.offset

  it('have all of the time for each message, however long it waits behind others', async () => {
    await begin(10, { concurrency: 8 }, { maxRetries: 0 })
    for (const offset of run(0, 10)) {
      expect(stage.begun).to.deep.equal(run(0, offset + 1))
      await stage.pass(ACK_MS - 50)
      expect(committed(), 'nothing counts before it was handled').to.equal(offset)
      await stage.end(offset)
    }
    expect(committed()).to.equal(10)
    expect(stage.runtime.metrics.of('given_up_messages')).to.equal(0)
    expect(stage.runtime.metrics.of('retried_messages')).to.equal(0)
    expect(stage.runtime.metrics.of('offered_messages')).to.equal(10)
  })

  it('count as offered only those messages that they were called with', async () => {
    await begin(20, { concurrency: 4, order: 'key' })
    expect(stage.begun).to.deep.equal([0, 1])
    expect(stage.consumer.view().pending).to.equal(2)
    expect(stage.parkedBytes.value, 'the others are parked').to.be.greaterThan(0)
    await stage.pass(ACK_MS + 1)
    expect(stage.consumer.view().pending).to.equal(2)
  })

  for (const order of ['partition', 'none'] as const)
    it(`have several messages taken at once while they are quick, and one when they are not: by ${order}`, async () => {
      stage = new RunStage(300, twoKeys)
      stage.onBegun = ({ offset }) => {
        if (offset < 100) queueMicrotask(() => stage.handling.find(({ message }) => message.offset === offset)!.end())
      }
      running = stage.start({ order })
      await stage.pass()
      expect(stage.begun).to.deep.equal(run(0, 101))
      expect(stage.asked).to.be.below(12)
      for (const offset of run(100, 100)) {
        await stage.pass(10)
        await stage.end(offset)
      }
      expect(stage.begun).to.deep.equal(run(0, 201))
      expect(stage.parkedBytes.value, 'none waits behind a slow one').to.equal(0)
      expect(committed()).to.equal(200)
    })

  it('leave in the log what cannot begin, however many have begun without an end', async () => {
    await begin(1_000, { concurrency: 350, order: 'none' }, { maxPendingMessages: 1_000 })
    expect(stage.begun).to.deep.equal(run(0, 350))
    expect(stage.parkedBytes.value).to.equal(0)
  })

  for (const what of ['handled', 'released again and again'] as const)
    it(`let the event loop go on while messages are ${what} that wait for nothing`, async () => {
      stage = new RunStage(1_000, twoKeys, { maxPendingMessages: 1_000 })
      let [inTurn, most, isOver] = [0, 0, false]
      const count = (): void => {
        inTurn = 0
        if (!isOver) setImmediate(count)
      }
      count()
      let released = 0
      stage.onBegun = message => {
        most = Math.max(most, ++inTurn)
        if (what !== 'handled' && message.offset === 0 && released++ < 500) message.release()
        queueMicrotask(() => stage.handling.find(handling => handling.message === message)!.end())
      }
      running = stage.start({})
      for (let round = 0; round < 20; round++) await stage.pass()
      isOver = true
      expect(stage.begun.at(-1)).to.equal(999)
      expect(most).to.be.below(70)
    })

  it('have messages keep no large batch that wait behind one for more than a moment', async () => {
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      stage = new RunStage(7, twoKeys, { maxPendingMessages: 4 })
      const batch = Buffer.alloc(500_000, 'x')
      const { recordAt } = stage.runtime
      stage.runtime.recordAt = offset => ({ ...recordAt(offset), value: batch.subarray(offset, offset + 1_000) })
      running = stage.start({ concurrency: 3, order: 'key' })
      await stage.pass()
      const keptBy = (offset: number): number => stage.messageOf(offset).value!.buffer.byteLength
      expect([keptBy(0), keptBy(1)]).to.deep.equal([500_000, 500_000])
      clock.tick(4)
      await stage.end(0)
      clock.tick(1)
      await stage.end(2)
      expect(keptBy(4), 'it came to wait a moment ago').to.equal(500_000)
      clock.tick(5)
      await stage.end(1)
      expect(keptBy(3)).to.be.at.most(10_000)
      expect(stage.messageOf(3).value).to.deep.equal(Buffer.alloc(1_000, 'x'))
    } finally {
      clock.restore()
    }
  })

  it('go on beside one that never resolves, of other keys, and take back its place when it does', async () => {
    await begin(40, { concurrency: 2, order: 'key' }, { maxPendingMessages: 30 })
    for (const offset of run(0, 20).map(at => 2 * at + 1)) await stage.end(offset)
    expect(stage.begun).to.deep.equal([0, ...run(0, 20).map(at => 2 * at + 1)])
    for (const offset of run(0, 20).map(at => 2 * at)) await stage.end(offset)
    expect(committed()).to.equal(40)
    expect(stage.parkedBytes.value).to.equal(0)
  })

  it('leave a partition in the log whose messages wait behind one, as many as it may have, until one begins', async () => {
    await begin(100, { concurrency: 2, order: 'key' }, { maxPendingMessages: 5 }, () => 'k')
    const reads = stage.runtime.newly('fetchData')
    await stage.pass(ACK_MS / 2)
    expect(stage.runtime.newly('fetchData'), 'nothing is read in vain').to.equal(0)
    expect(reads).to.be.below(4)
    for (const offset of run(0, 100)) await stage.end(offset)
    expect(stage.begun).to.deep.equal(run(0, 100))
    expect(committed()).to.equal(100)
  })

  for (const order of ['key', 'none'] as const)
    it(`are of one partition as many at a time as may be pending, whatever their concurrency: by ${order}`, async () => {
      await begin(100, { concurrency: 50, order }, { maxPendingMessages: 5 }, offset => `k${offset}`)
      expect(stage.handling).to.have.length(5)
      for (const offset of run(0, 100)) {
        await stage.end(offset)
        expect(stage.handling).to.have.length(Math.min(5, 99 - offset))
      }
      expect(committed()).to.equal(100)
    })

  it('acknowledge nothing that belonged to a transaction, also where it was aborted and is offered again', async () => {
    await begin(3)
    const transaction = stage.hold(0)
    transaction.end('aborted')
    await stage.pass()
    expect(stage.begun, 'its handler runs still').to.deep.equal([0])
    await stage.end(0)
    expect(stage.begun).to.deep.equal([0, 0])
    expect(committed()).to.equal(0)
    for (const offset of [0, 1, 2]) await stage.end(offset)
    expect(stage.begun).to.deep.equal([0, 0, 1, 2])
    expect(committed()).to.equal(3)
  })

  for (const [end, expected] of [
    ['committed', [0, 1, 2, 3]],
    ['aborted', [0, 0, 1, 2, 3]],
    ['unknown', [0, 0, 1, 2, 3]]
  ] as const)
    it(`wait for the end of the transaction of the message before: ${end}`, async () => {
      await begin(4, { concurrency: 3 })
      const transaction = stage.hold(0)
      await stage.end(0)
      await stage.pass(10)
      expect(stage.begun).to.deep.equal([0])
      if (end === 'committed') expect(await stage.commit(transaction)).to.equal(true)
      transaction.end(end)
      for (await stage.pass(); stage.handling.length > 0; await stage.pass()) {
        expect(stage.handling).to.have.length(1)
        await stage.end(stage.begun.at(-1)!)
      }
      expect(stage.begun).to.deep.equal(expected)
      expect(committed()).to.equal(4)
    })

  it('are called with nothing of a partition until its position is known, where the end of a transaction is not', async () => {
    await begin(8, { concurrency: 4, order: 'key' })
    const transaction = stage.hold(0)
    expect(await stage.commit(transaction)).to.equal(true)
    stage.runtime.held.add('fetchConsumerOffset')
    await stage.end(0)
    transaction.end('unknown')
    await stage.pass()
    await stage.end(1)
    await stage.pass(100)
    expect(stage.begun).to.deep.equal([0, 1])
    stage.runtime.held.clear()
    await stage.pass()
    expect(stage.begun, 'what is below the position is done').to.deep.equal([0, 1, 1, 2])
  })

  for (const order of ['partition', 'key'] as const)
    it(`are called again first with a message that they release, before those behind it: by ${order}`, async () => {
      await begin(6, { concurrency: 4, order }, {}, () => 'k')
      stage.messageOf(0).release()
      await stage.end(0)
      expect(stage.begun).to.deep.equal([0, 0])
      for (const offset of run(0, 6)) await stage.end(offset)
      expect(stage.begun).to.deep.equal([0, 0, 1, 2, 3, 4, 5])
    })

  for (const how of ['acknowledge', 'fail'] as const)
    it(`are not called again for a message that is offered again while they handle it, and ${how} that offer`, async () => {
      await begin(1, { concurrency: 2, order: 'none' })
      for (let times = 0; times < 3; times++) await stage.pass(ACK_MS + 10)
      expect(stage.begun).to.deep.equal([0])
      expect(stage.runtime.metrics.of('retried_messages')).to.be.within(2, 3)
      await stage.end(0, how === 'fail' ? new Error('no more') : undefined)
      if (how === 'fail') expect(await running.catch(({ message }: Error) => message)).to.equal('no more')
      else expect(committed()).to.equal(1)
    })

  it('give back what waits when one of them fails, with its message first', async () => {
    await begin(6, { concurrency: 4, order: 'key' })
    await stage.end(1)
    await stage.end(0, new Error('no more'))
    await stage.end(3)
    expect(await running.catch(({ message }: Error) => message)).to.equal('no more')
    expect(stage.parkedBytes.value).to.equal(0)
    const others = stage.start({ concurrency: 1 })
    for (const offset of [0, 2, 4, 5]) {
      await stage.pass()
      expect(stage.begun.at(-1)).to.equal(offset)
      await stage.end(offset)
    }
    stage.stop.abort()
    await others
    await stage.pass()
    expect(committed()).to.equal(6)
  })

  for (const order of ['partition', 'key', 'none'] as const)
    for (const concurrency of [1, 10])
      it(`may run an aborted transaction again, with their message, as often as they like: by ${order}, ${concurrency}`, async () => {
        await begin(6, { concurrency, order }, {}, () => (order === 'none' ? null : 'k'))
        for (let tries = 0; tries < 3; tries++) {
          stage.hold(0).end('aborted')
          await stage.pass(10)
        }
        const last = stage.hold(0)
        expect(await stage.commit(last)).to.equal(true)
        last.end('committed')
        await stage.end(0)
        for (const offset of run(1, 5)) await stage.end(offset)
        expect(stage.begun).to.deep.equal(run(0, 6))
        expect(committed()).to.equal(6)
        expect(stage.parkedBytes.value).to.equal(0)
      })

  it('read nothing again that waits behind a message that comes again, and begin it in order', async () => {
    await begin(100, { concurrency: 4, order: 'key' })
    stage.runtime.newly('fetchData')
    for (let tries = 0; tries < 17; tries++) {
      const transaction = stage.hold(0)
      await stage.end(0)
      transaction.end('aborted')
      await stage.pass()
      stage.messageOf(1).release()
      await stage.end(1)
    }
    expect(stage.runtime.newly('fetchData')).to.equal(0)
    for (const offset of run(0, 100)) await stage.end(offset)
    expect(stage.begun.slice(-100).sort((one, other) => one - other)).to.deep.equal(run(0, 100))
    expect(committed()).to.equal(100)
  })

  it('take the acknowledgement of a message that they have released, while it waits to come again', async () => {
    await begin(3)
    const message = stage.messageOf(0)
    message.release()
    message.ack()
    await stage.pass()
    await stage.end(0)
    for (const offset of [1, 2]) await stage.end(offset)
    expect(stage.begun).to.deep.equal([0, 1, 2])
    expect(committed()).to.equal(3)
  })

  it('are called again first with a message that they release when it has been offered again, and its time ends again', async () => {
    await begin(3)
    const message = stage.messageOf(0)
    await stage.pass(ACK_MS + 10)
    message.release()
    await stage.pass(ACK_MS + 10)
    for (const offset of [0, 0, 1, 2]) await stage.end(offset)
    expect(stage.begun).to.deep.equal([0, 0, 1, 2])
    expect(committed()).to.equal(3)
  })

  it('have one message once where they release it as it is about to be offered again', async () => {
    await begin(4, { concurrency: 2 })
    await stage.pass(ACK_MS - 2)
    const message = stage.messageOf(0)
    stage.runtime.held.add('fetchData')
    await stage.pass(10)
    message.release()
    stage.runtime.held.clear()
    await stage.pass()
    await stage.end(0)
    for (const offset of run(0, 4)) await stage.end(offset)
    expect(stage.begun).to.deep.equal([0, 0, 1, 2, 3])
    expect(committed()).to.equal(4)
    expect(stage.parkedBytes.value).to.equal(0)
  })

  it('give back what they had begun among what waited, in the order of the partition', async () => {
    await begin(12, { concurrency: 3, order: 'key' }, {}, offset => (offset % 4 === 0 ? 'slow' : `k${offset}`))
    for (const offset of [1, 2, 3, 5, 6, 7]) await stage.end(offset)
    const [ninth, tenth] = [stage.messageOf(9), stage.messageOf(10)]
    await stage.end(0, new Error('no more'))
    for (const message of [ninth, tenth]) {
      message.release()
      await stage.end(message.offset)
    }
    await running.catch(() => undefined)
    const others = stage.start({ concurrency: 1 })
    const again: number[] = []
    stage.onBegun = ({ offset }) => again.push(offset)
    for (const _ of run(0, 6)) {
      await stage.pass()
      await stage.end(stage.begun.at(-1)!)
    }
    expect(again).to.deep.equal([0, 4, 8, 9, 10, 11])
    stage.stop.abort()
    await others
    expect(committed()).to.equal(12)
  })

  it('go on beside a group of the process whose handlers never resolve', async () => {
    const parkedBytes = new ParkedBytes(new RecordBudget(60_000, () => 0))
    stage = new RunStage(300, () => 'stuck', {}, 'audit', parkedBytes)
    running = stage.start({ concurrency: 2, order: 'key' })
    await stage.pass()
    const stuck = stage
    expect(parkedBytes.value, 'it has all that it may have').to.be.greaterThan(14_000)
    try {
      stage = new RunStage(60, offset => (offset % 3 === 0 ? 'slow' : `k${offset}`), {}, 'billing', parkedBytes)
      running = stage.start({ concurrency: 2, order: 'key' })
      await stage.pass()
      const others = run(0, 60).filter(offset => offset % 3 > 0)
      for (const offset of others) await stage.end(offset)
      expect(stage.begun).to.deep.equal([0, ...others])
    } finally {
      stuck.kill()
      await stuck.pass()
    }
  })

  it('are waited for in a rebalance, and only those messages that they handle', async () => {
    await begin(20, { concurrency: 2, order: 'key' })
    const { generation } = stage.runtime
    await stage.rebalance()
    expect(stage.parkedBytes.value, 'what waits is given back first').to.equal(0)
    expect(stage.runtime.generation).to.equal(generation)
    await stage.end(0)
    await stage.end(1)
    await stage.pass(10)
    expect(stage.runtime.generation).to.equal(generation + 1)
    for (const offset of run(2, 18)) await stage.end(offset)
    expect(stage.begun).to.deep.equal(run(0, 20))
    expect(committed()).to.equal(20)
  })

  it('are waited for when the groups stop, and those messages are released at once that wait behind', async () => {
    await begin(3)
    let isStopped = false
    stage.consumer.receive({ type: 'stop', graceMs: 500, onStopped: () => (isStopped = true) })
    await stage.pass()
    expect([stage.parkedBytes.value, isStopped]).to.deep.equal([0, false])
    await stage.end(0)
    await running
    await stage.pass(10)
    expect(isStopped).to.equal(true)
    expect(stage.begun).to.deep.equal([0])
    expect(committed()).to.equal(1)
  })
})
