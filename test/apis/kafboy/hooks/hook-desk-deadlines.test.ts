import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { type Edited, HookDesk, type HookProblem } from '../../../../src/apis/kafboy/hooks/hook-desk.js'
import { silentLogger } from '../../../../src/core/model.js'

/**
 * A thread whose calls say what it answers: `ok` at once, `later` together with the next message, `never` not at all. It
 * ends every batch, and the thread at a call with `isJson`. A call to massage is answered `later`, with two records.
 */
const workerWith = (...hooks: string[]): URL =>
  new URL(
    `data:text/javascript,${encodeURIComponent(`
      import { parentPort, workerData } from 'node:worker_threads'
      parentPort.postMessage({ type: 'ready', hooks: ${JSON.stringify(hooks)} })
      let kept = []
      const records = { bytes: new ArrayBuffer(2), lengths: Int32Array.of(1, 1) }
      parentPort.on('message', calls => {
        const replies = kept
        kept = []
        for (const call of calls) {
          const { id, type, topic, event } = call
          Atomics.store(workerData.begun, 0, id)
          if (type === 'massage') kept.push({ type: 'massaged', id, records })
          if (type === 'event') replies.push({ type: 'stray', message: event.topic })
          if (call.isJson) process.exit(1)
          const reply = { type: 'reply', id, body: topic + id, produce: undefined }
          if (topic?.startsWith('ok')) replies.push(reply)
          if (topic === 'garbage') replies.push({ ...reply, produce: { records: new ArrayBuffer(2) } })
          if (type === 'edit' && topic === 'later') kept.push(reply)
        }
        parentPort.postMessage({ type: 'replies', replies, endsBatch: true })
      })
    `)}`
  )

describe('kafboy: the deadlines of hooks', function () {
  this.timeout(300_000)
  let timers: SinonFakeTimers
  let desk: HookDesk | undefined
  beforeEach(() => {
    timers = useFakeTimers({ toFake: ['setInterval', 'clearInterval'] })
  })
  afterEach(async () => {
    await desk?.close()
    timers.restore()
  })

  const until = async (isOver: () => boolean): Promise<void> => {
    while (!isOver()) await new Promise(setImmediate)
  }

  async function open(options: { timeoutMs?: number; maxPendingCalls?: number; hooks?: string[] } = {}) {
    const { hooks = ['editJson'], ...others } = options
    const time = { nowMs: 0 }
    const problems: HookProblem[] = []
    const opened = await HookDesk.open(
      {
        module: 'data:text/javascript,',
        timeoutMs: 1_000,
        maxPendingCalls: 100,
        maxDecisionBytes: 1_000,
        worker: workerWith(...hooks),
        ...others
      },
      {
        log: silentLogger,
        clock: () => time.nowMs,
        onProblem: problem => problems.push(problem),
        ekaf: () => expect.fail('no hook asks for the producer')
      }
    )
    desk = opened
    const answers: string[] = []
    const ask = (topic: string, endsThread = false): void =>
      opened.edit({ topic, mode: 'async', isJson: endsThread, head: '' }, Buffer.alloc(0), (edited: Edited) =>
        answers.push(edited.type === 'reply' ? edited.body : edited.type)
      )
    /** Lets time pass at once, and then the desk look at its deadlines. */
    const pass = (ms: number): void => {
      time.nowMs += ms
      timers.next()
    }
    return { desk: opened, time, problems, answers, ask, pass }
  }

  it('end a call when its time is over, and not before', async () => {
    const { desk, problems, answers, ask, pass } = await open()
    ask('never')
    ask('ok')
    await until(() => answers.length === 1)
    expect([answers, desk.pendingCalls]).to.deep.equal([['ok2'], 1])
    pass(999)
    expect([answers.length, problems]).to.deep.equal([1, []])
    pass(1)
    expect([answers, problems, desk.pendingCalls]).to.deep.equal([['ok2', 'timedOut'], ['timedOut'], 0])
  })

  it('end the older calls only', async () => {
    const { time, answers, ask, pass } = await open()
    ask('never')
    time.nowMs = 10
    ask('never')
    ask('ok')
    await until(() => answers.length === 1)
    pass(990)
    expect(answers).to.deep.equal(['ok3', 'timedOut'])
    pass(10)
    expect(answers).to.deep.equal(['ok3', 'timedOut', 'timedOut'])
  })

  for (const [timeoutMs, sweepMs] of [
    [500, 50],
    [1_000, 100],
    [60_000, 100],
    [5, 1]
  ] as const) {
    it(`of ${timeoutMs} ms are looked at every ${sweepMs} ms while a call waits, and not when none does`, async () => {
      const { answers, ask } = await open({ timeoutMs })
      expect(timers.countTimers()).to.equal(0)
      ask('never')
      ask('ok')
      await until(() => answers.length === 1)
      const before = timers.now
      timers.next()
      expect([timers.now - before, timers.countTimers()]).to.deep.equal([sweepMs, 1])
      await desk!.close()
      expect([answers, timers.countTimers()]).to.deep.equal([['ok2', 'threw'], 0])
    })
  }

  it('leave no timer behind when every call is answered, and begin anew with the next', async () => {
    const { answers, ask } = await open()
    for (const count of [1, 2]) {
      ask('ok')
      await until(() => answers.length === count)
      expect(timers.countTimers()).to.equal(1)
      timers.next()
      expect(timers.countTimers()).to.equal(0)
    }
  })

  it('drop an answer that comes too late, with everything that belongs to it', async () => {
    const { desk, problems, answers, ask, pass } = await open({ hooks: ['editJson', 'massageBuffer'] })
    let massaged: unknown = 'not yet'
    desk.massage('t', [{ key: null, value: 'v' }], records => (massaged = records))
    ask('later')
    ask('ok')
    await until(() => answers.length === 1)
    pass(1_000)
    expect([massaged, answers, problems.splice(0)]).to.deep.equal([
      undefined,
      ['ok3', 'timedOut'],
      ['timedOut', 'timedOut']
    ])
    ask('ok')
    await until(() => answers.length === 3)
    expect([answers.at(-1), problems]).to.deep.equal(['ok4', ['late', 'late']])
  })

  it('do not pass when records that are none come back: the call has failed, and the thread serves on', async () => {
    const { desk, problems, answers, ask } = await open({ hooks: ['editJson', 'massageBuffer'] })
    const massaged: unknown[] = []
    desk.massage('t', [{ key: null, value: 'v' }], records => massaged.push(records))
    ask('garbage')
    ask('ok')
    await until(() => answers.length === 2)
    expect(answers.splice(0)).to.deep.equal(['threw', 'ok3'])
    ask('ok')
    await until(() => answers.length === 1)
    expect([massaged, answers, problems, desk.pendingCalls]).to.deep.equal([
      [undefined],
      ['ok4'],
      ['threw', 'threw'],
      0
    ])
  })

  it('count events as calls of the outbox, and drop those that are too many', async () => {
    const { desk, problems } = await open({ hooks: ['editJson', 'onEvent'], maxPendingCalls: 2 })
    for (const topic of ['a', 'b', 'c']) desk.event({ name: 'ekaf_callback_flush', topic })
    expect(problems).to.deep.equal(['eventDropped'])
    await until(() => problems.length === 3)
    expect([problems.slice(1), desk.pendingCalls]).to.deep.equal([['stray', 'stray'], 0])
  })

  it('are none for events without a hook, which are not even told', async () => {
    const { desk, problems, answers, ask } = await open({ maxPendingCalls: 1 })
    for (const topic of ['a', 'b', 'c']) desk.event({ name: 'ekaf_callback_flush', topic })
    ask('ok')
    await until(() => answers.length === 1)
    expect([answers, problems]).to.deep.equal([['ok1'], []])
  })

  it('do not matter to a call that finds no room: it is told at once', async () => {
    const { desk, problems, answers, ask } = await open({ maxPendingCalls: 2 })
    for (let i = 0; i < 3; i++) ask('never')
    expect([answers, problems, desk.pendingCalls]).to.deep.equal([['overloaded'], ['overloaded'], 2])
  })

  it('do not matter to calls that wait when the desk closes: they are told at once', async () => {
    const { desk, answers, ask } = await open()
    ask('never')
    ask('never')
    await desk.close()
    expect([answers, desk.pendingCalls, timers.countTimers()]).to.deep.equal([['threw', 'threw'], 0, 0])
  })

  it('keep calls of a topic that has ended a thread behind others for a minute', async () => {
    const { time, answers, ask, pass } = await open()
    ask('ok', true)
    await until(() => answers.length === 1)
    ask('ok')
    ask('ok/other')
    await until(() => answers.length === 2)
    pass(99)
    expect(answers).to.deep.equal(['threw', 'ok/other3'])
    pass(1)
    await until(() => answers.length === 3)
    time.nowMs += 59_900
    ask('ok')
    await until(() => answers.length === 4)
    expect(answers.slice(2)).to.deep.equal(['ok2', 'ok4'])
  })

  it('end a call of such a topic, too, although it was never made', async () => {
    const { desk, problems, answers, ask, pass } = await open()
    ask('ok', true)
    await until(() => answers.length === 1)
    ask('ok')
    pass(999)
    expect([answers, desk.pendingCalls]).to.deep.equal([['threw'], 1])
    pass(1)
    expect([answers, problems, desk.pendingCalls]).to.deep.equal([['threw', 'timedOut'], ['threw', 'timedOut'], 0])
  })
})
