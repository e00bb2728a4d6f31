import { expect } from 'chai'
import { brief, type Served, serve, taken } from './harness.js'

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
const endless: string[] = ['hangs', 'never-settles', 'loops', 'loops-later', 'decides-late']

describe('kafboy 8: a hook that misbehaves is contained', function () {
  this.timeout(120_000)
  let patient: Served
  let impatient: Served
  before(async () => {
    patient = await serve({ hooks: 'misbehaving.ts', settings: { callbackTimeoutMs: 60_000 } })
    impatient = await serve({ hooks: 'misbehaving.ts', settings: { callbackTimeoutMs: 1_000 } })
  })
  after(() => Promise.all([patient.close(), impatient.close()]))

  for (const [misbehaviour, answer] of table) {
    it(`${misbehaviour}: ${answer}, and the next request is served`, async () => {
      patient.gateway.calls.length = 0
      const all = await Promise.all([patient.post(`/async/${misbehaviour}`, 'a=1'), patient.ask('GET', '/disco')])
      expect(brief(all[0])).to.equal(answer)
      expect(all[1].status).to.equal(200)
      expect(brief(await patient.post('/sync/ok', 'a=1'))).to.equal('200 [{"ok":true}]')
      expect(taken(patient.gateway).at(-1)).to.equal('ok good')
      expect(Object.prototype).not.to.have.property('polluted')
    })
  }

  for (const misbehaviour of endless) {
    it(`${misbehaviour}: ${TIMED_OUT}, and nobody else waits`, async () => {
      const order: string[] = []
      const note = (what: string) => (answer: { status: number }) => void order.push(`${what} ${answer.status}`)
      const stuck = impatient.post(`/async/${misbehaviour}`, 'a=1')
      const behind = impatient.post('/async/ok', 'a=1')
      await Promise.all([
        stuck.then(note('stuck')),
        behind.then(note('behind')),
        impatient.ask('GET', '/disco').then(note('other'))
      ])
      expect(brief(await stuck)).to.equal(TIMED_OUT)
      expect(brief(await behind)).to.equal(GOOD)
      expect(order.indexOf('other 200')).to.be.lessThan(order.indexOf('stuck 504'))
      expect(brief(await impatient.post('/sync/ok', 'a=1'))).to.equal('200 [{"ok":true}]')
    })
  }

  it('a second decision never answers another request of the connection', async () => {
    const answers = []
    for (let i = 0; i < 10; i++) {
      answers.push(brief(await patient.post('/async/decides-twice', 'a=1')))
      answers.push(brief(await patient.post('/async/returns-201', 'a=1')))
    }
    expect(new Set(answers.filter((_, i) => i % 2 === 0))).to.deep.equal(new Set([GOOD]))
    expect(new Set(answers.filter((_, i) => i % 2 === 1))).to.deep.equal(new Set([UNEXPECTED]))
  })

  it('every misbehaviour is counted', async () => {
    const text = await patient.metrics.registry.metrics()
    const counted = [...text.matchAll(/^kafboy_hook_problems_total\{problem="(\w+)"\} (\d+)$/gm)]
    expect(counted.map(([, problem]) => problem).sort()).to.deep.equal(['stray', 'threw', 'twice'])
    expect(text).to.match(/^kafboy_hook_calls_pending 0$/m)
  })
})
