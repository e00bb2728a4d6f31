import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { type PostedCall, packRecords } from '../../../../src/apis/kafboy/hooks/hook-messages.js'
import { HookThread } from '../../../../src/apis/kafboy/hooks/hook-thread.js'
import { silentLogger } from '../../../../src/core/model.js'

/**
 * A thread that is as good as its calls say: it ends a batch, keeps silent after `hang`, and ends at `exit`. No further
 * one starts while HOOKS_FOR_GOOD is set.
 */
const worker = new URL(
  `data:text/javascript,${encodeURIComponent(`
    import { parentPort, workerData } from 'node:worker_threads'
    if (process.env.HOOKS_FOR_GOOD) process.exit(4)
    parentPort.postMessage({ type: 'ready', hooks: ['editJson', 'onEvent'] })
    parentPort.on('message', batch => {
      for (const { id, message } of batch) {
        Atomics.store(workerData.begun, 0, id)
        if (message === 'exit') process.exit(3)
        if (message === 'hang') return
      }
      parentPort.postMessage({ type: 'replies', replies: [], endsBatch: true })
    })
  `)}`
)

const calls = (...items: [id: number, message: string][]): PostedCall[] =>
  items.map(([id, message]) => ({ type: 'error', id, message, records: packRecords([]) }))

describe('kafboy: the thread of the hooks', function () {
  this.timeout(300_000)
  let timers: SinonFakeTimers
  let thread: HookThread | undefined
  beforeEach(() => {
    timers = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  })
  afterEach(async () => {
    delete process.env.HOOKS_FOR_GOOD
    await thread?.close()
    timers.restore()
  })

  const until = async (isOver: () => boolean): Promise<void> => {
    while (!isOver()) await new Promise(setImmediate)
  }

  async function open() {
    const time = { nowMs: 0 }
    const seen = { ready: 0, replies: 0 }
    const losses: string[] = []
    const reasons: unknown[] = []
    thread = new HookThread(
      { module: 'data:text/javascript,', maxDecisionBytes: 1_000, worker },
      { ...silentLogger, error: what => reasons.push((what as { reason: string }).reason) },
      () => time.nowMs,
      {
        received: () => seen.replies++,
        threadReady: () => seen.ready++,
        threadLost: loss => losses.push(`${loss} ${thread!.begunId}`)
      }
    )
    const hooks = await thread.open()
    return { thread, hooks, time, seen, losses, reasons }
  }

  it('tells which hooks there are, and that it is ready', async () => {
    const { thread, hooks, seen } = await open()
    expect([[...hooks], thread.isReady, seen.ready]).to.deep.equal([['editJson', 'onEvent'], true, 1])
    expect(timers.countTimers(), 'nothing waits for its start any more').to.equal(0)
  })

  it('that ends by itself is lost with the call that it had begun, and the next one is ready soon', async () => {
    const { thread, seen, losses, reasons } = await open()
    thread.post(calls([1, '']))
    await until(() => seen.replies === 1)
    thread.post(calls([2, ''], [3, 'exit'], [4, '']))
    await until(() => losses.length > 0)
    expect([losses, reasons]).to.deep.equal([['ended 3'], ['it ended with code 3']])
    expect(thread.isReady).to.equal(false)
    timers.tick(79)
    expect(timers.countTimers()).to.equal(1)
    timers.tick(41)
    await until(() => thread.isReady)
    expect([seen.ready, timers.countTimers()]).to.deep.equal([2, 0])
    thread.post(calls([5, '']))
    await until(() => seen.replies === 2)
    expect(thread.begunId).to.equal(5)
  })

  it('that has lived for a second is followed by another at once', async () => {
    for (const [livedMs, isAtOnce] of [
      [999, false],
      [1_000, true]
    ] as const) {
      const { thread, time, losses } = await open()
      time.nowMs = livedMs
      thread.post(calls([1, 'exit']))
      await until(() => losses.length > 0)
      if (!isAtOnce) {
        const before = timers.now
        timers.next()
        expect(timers.now - before, 'the pause').to.be.within(80, 120)
      }
      await until(() => thread.isReady)
      expect(timers.countTimers()).to.equal(0)
      await thread.close()
    }
  })

  it('that is stuck is replaced at once, however young it is', async () => {
    const { thread, seen, losses } = await open()
    thread.post(calls([1, 'hang']))
    thread.replace()
    expect(losses).to.have.length(1)
    expect(losses[0]).to.match(/^stuck [01]$/)
    await until(() => thread.isReady)
    expect(seen.ready).to.equal(2)
  })

  it('that cannot be started again is tried after ever longer pauses', async () => {
    const { thread, losses, reasons } = await open()
    process.env.HOOKS_FOR_GOOD = 'yes'
    thread.post(calls([99, 'exit']))
    await until(() => reasons.length === 1)
    for (const [attempt, pauseMs] of [100, 200, 400, 800, 1_600, 3_200, 6_400, 10_000, 10_000].entries()) {
      timers.tick(0.8 * pauseMs - 1)
      expect(timers.countTimers(), `${pauseMs}`).to.equal(1)
      expect(reasons).to.have.length(attempt + 1)
      timers.tick(0.4 * pauseMs + 2)
      await until(() => reasons.length === attempt + 2)
    }
    expect([losses, new Set(reasons.slice(1))]).to.deep.equal([['ended 99'], new Set(['it ended with code 4'])])
    await thread.close()
    expect(timers.countTimers()).to.equal(0)
  })

  it('that is closed is not followed by another, and its end is no loss', async () => {
    const { thread, losses, reasons } = await open()
    await thread.close()
    expect([thread.isReady, losses, reasons, timers.countTimers()]).to.deep.equal([false, [], [], 0])
  })
})
