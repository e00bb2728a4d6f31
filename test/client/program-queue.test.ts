import { expect } from 'chai'
import { ProgramQueues, programQueueLimits, type Queue } from '../../src/client/program-queue.js'
import type { AcquireResult } from '../../src/consumer/queue/queue-verbs.js'
import { silentLogger } from '../../src/core/model.js'
import { LOCK_MS, ScriptedQueues } from '../consumer/queue/scripted-queues.js'
import { FakeTime } from '../support/fake-time.js'

describe('a queue of a program', () => {
  let script: ScriptedQueues
  let programs: ProgramQueues
  let queue: Queue
  beforeEach(() => {
    script = new ScriptedQueues({ limits: programQueueLimits, time: new FakeTime('performance') })
    programs = new ProgramQueues(async () => script.queues, silentLogger)
    queue = programs.open({ topic: 'orders', group: 'workers' })
  })
  afterEach(async () => {
    const closed = programs.close(0)
    await script.time.pass(20)
    await closed
    script.time.restore()
  })
  const waiting = (): number => [...script.queues.views()].reduce((sum, view) => sum + view.waiting, 0)

  it('gives a message that comes as its run ends to the next client, without a further delivery', async () => {
    const handled: number[] = []
    const end = new AbortController()
    const running = queue.run(({ offset }) => handled.push(offset), { signal: end.signal })
    await script.time.pass(0)
    script.reader.acquire({ offset: 7 })
    end.abort()
    await running
    const next = await script.acquire()
    expect([handled, next.offsets, next.messages[0]?.deliveryCount]).to.deep.equal([[], [7], 1])
    expect(script.reader.words).to.deep.equal([])
  })

  it('tells what is left of a lock, and gives no message whose lock is over when it comes', async () => {
    const acquired = queue.acquire()
    await script.time.pass(0)
    script.reader.acquire({ offset: 7 })
    const [message] = await acquired
    expect(message!.lockMs).to.equal(LOCK_MS - 500)
    await script.time.pass(1_000)
    expect(await message!.renew()).to.deep.equal({ outcome: 'done', lockMs: LOCK_MS - 500 })
    const { acquire } = script.queues
    script.queues.acquire = function (topic, group, options, { reply, ...asker }) {
      const late = (result: AcquireResult): void => {
        if (result.type === 'acquired')
          reply({ ...result, messages: result.messages.map(one => ({ ...one, lockEndsAt: performance.now() })) })
      }
      return acquire.call(this, topic, group, options, { ...asker, reply: late })
    }
    const late = queue.acquire()
    await script.time.pass(0)
    script.reader.acquire({ offset: 8 })
    expect(await late).to.deep.equal([])
    script.queues.acquire = acquire
    expect((await script.acquire()).offsets, 'it is for the next client').to.deep.equal([8])
  })

  it('acquires nothing for a signal that is none, or that was aborted before', async () => {
    const told = await queue.acquire({ signal: new AbortController() as never }).catch(error => error.message)
    expect(told).to.equal('acquire: signal has to be an AbortSignal')
    const ofRun = await queue.run(() => undefined, { signal: {} as never }).catch(error => error.message)
    expect(ofRun).to.equal('run: signal has to be an AbortSignal')
    expect(await queue.acquire({ signal: AbortSignal.abort() })).to.deep.equal([])
    await script.time.pass(0)
    expect([script.queues.size, waiting()], 'no group is joined for it').to.deep.equal([0, 0])
  })

  it('is one of a hundred that a program may have', async () => {
    const end = new AbortController()
    const names = Array.from({ length: 100 }, (_, at) => `workers-${at}`)
    const acquired = names.map(group => programs.open({ topic: 'orders', group }).acquire({ signal: end.signal }))
    await script.time.pass(0)
    end.abort()
    expect((await Promise.all(acquired)).flat()).to.deep.equal([])
  })

  it('holds a message for longer than the longest lock while its handler works', async () => {
    const ends: (() => void)[] = []
    const end = new AbortController()
    const running = queue.run(() => new Promise<void>(resolve => ends.push(resolve)), { signal: end.signal })
    await script.time.pass(0)
    script.reader.acquire({ offset: 7 })
    await script.time.pass(7_300_000, 5_000)
    end.abort()
    ends[0]!()
    await running
    expect([ends.length, script.reader.words.at(-1)]).to.deep.equal([1, 'accept 7'])
  })

  it('asks for as many messages as there are free handlers, while one of them goes on', async () => {
    const ends: (() => void)[] = []
    const handled: number[] = []
    const end = new AbortController()
    const handle = async ({ offset }: { offset: number }): Promise<void> => {
      handled.push(offset)
      if (offset === 0) await new Promise<void>(resolve => ends.push(resolve))
    }
    const running = queue.run(handle, { concurrency: 2, signal: end.signal })
    await script.time.pass(0)
    for (let offset = 0; offset < 5; offset++) {
      script.reader.acquire({ offset })
      await script.time.pass(200)
    }
    expect([handled, waiting()]).to.deep.equal([[0, 1, 2, 3, 4], 1])
    end.abort()
    ends[0]!()
    await running
    expect(script.reader.words).to.deep.equal(['accept 1', 'accept 2', 'accept 3', 'accept 4', 'accept 0'])
  })
})
