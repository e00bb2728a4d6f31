import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { brief, type Served, serve, taken } from './harness.js'
import { StoppedTime } from './hooks/stopped-time.js'

const GOOD = '200 {"ok":1}'
const THREW = '500'
const UNEXPECTED = '400 {"error":"unexp"}'
const TIMED_OUT = '504 {"error":"timeout"}'

/** What a client is answered whose request meets a hook that misbehaves in such a way. */
const table: [misbehaviour: string, answer: string][] = [
  ['throws', THREW],
  ['throws-nothing', THREW],
  ['rejects', THREW],
  ['recurses', THREW],
  ['getter', THREW],
  ['circular', THREW],
  ['too-much', THREW],
  ['a-million-records', THREW],
  ['wrong-produce', THREW],
  ['exits', THREW],
  ['closes-its-port', THREW],
  ['sends-garbage', THREW],
  ['prototype-decision', UNEXPECTED],
  ['proxy', UNEXPECTED],
  ['returns-a-number', UNEXPECTED],
  ['returns-a-function', UNEXPECTED],
  ['returns-201', UNEXPECTED],
  ['decides-twice', GOOD],
  ['thenable', GOOD],
  ['mutates', GOOD],
  ['pollutes', GOOD],
  ['ten-megabytes', GOOD],
  ['throws-in-a-timer', GOOD],
  ['forgets-a-rejection', GOOD]
]
/** The same for those that are waited for until their time is over. */
const endless: [misbehaviour: string, isThreadLost: boolean][] = [
  ['hangs', false],
  ['never-settles', false],
  ['decides-late', false],
  ['loops', true],
  ['loops-later', true]
]

describe('kafboy 8: a hook that misbehaves is contained', function () {
  this.timeout(120_000)
  let served: Served
  let time: StoppedTime
  let lostThreads = 0
  before(async () => {
    time = new StoppedTime()
    const log = { ...silentLogger, error: () => lostThreads++ }
    served = await serve({
      hooks: 'misbehaving.ts',
      settings: { callbackTimeoutMs: 1_000 },
      log,
      clock: () => time.nowMs
    })
  })
  after(() => served.close())

  for (const [misbehaviour, answer] of table) {
    it(`${misbehaviour}: ${answer}, and the next request is served`, async () => {
      served.gateway.calls.length = 0
      const all = await Promise.all([served.post(`/async/${misbehaviour}`, 'a=1'), served.ask('GET', '/disco')])
      expect(brief(all[0])).to.equal(answer)
      expect(all[1].status).to.equal(200)
      expect(brief(await served.post('/sync/ok', 'a=1'))).to.equal('200 [{"ok":true}]')
      expect(taken(served.gateway).at(-1)).to.equal('ok good')
      expect(Object.prototype).not.to.have.property('polluted')
    })
  }

  for (const [misbehaviour, isThreadLost] of endless) {
    it(`${misbehaviour}: ${TIMED_OUT}, and nobody else waits`, async () => {
      lostThreads = 0
      const stuck = served.post(`/async/${misbehaviour}`, 'a=1')
      expect((await served.ask('GET', '/disco')).status).to.equal(200)
      expect(brief(await time.passUntilSettled(stuck))).to.equal(TIMED_OUT)
      const behind = served.post('/sync/ok', 'a=1')
      if (isThreadLost) await time.passUntil(() => lostThreads > 0)
      expect(brief(await behind)).to.equal('200 [{"ok":true}]')
    })
  }

  it('a second decision never answers another request of the connection', async () => {
    const answers = []
    for (let i = 0; i < 10; i++) {
      answers.push(brief(await served.post('/async/decides-twice', 'a=1')))
      answers.push(brief(await served.post('/async/returns-201', 'a=1')))
    }
    expect(new Set(answers.filter((_, i) => i % 2 === 0))).to.deep.equal(new Set([GOOD]))
    expect(new Set(answers.filter((_, i) => i % 2 === 1))).to.deep.equal(new Set([UNEXPECTED]))
  })

  it('every misbehaviour is counted', async () => {
    const text = await served.metrics.registry.metrics()
    const counted = [...text.matchAll(/^kafboy_hook_problems_total\{problem="(\w+)"\} (\d+)$/gm)]
    expect(counted.map(([, problem]) => problem).sort()).to.deep.equal(['stray', 'threw', 'timedOut', 'twice'])
    expect(text).to.match(/^kafboy_hook_calls_pending 0$/m)
  })
})
