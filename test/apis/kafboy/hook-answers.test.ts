import { expect } from 'chai'
import { FakeGateway, failure } from '../../support/fake-gateway.js'
import { brief, type Served, serve, taken } from './harness.js'

const PATIENT = { callbackTimeoutMs: 60_000 }

describe('kafboy: what hooks see, and what is said of records beside their answers', () => {
  let served: Served
  afterEach(() => served.close())

  const persistedOf = async (path: string, decision: string): Promise<unknown> =>
    (await served.post(path, decision)).headers['x-castellan-persisted']

  it('a hook sees the request as it came', async () => {
    served = await serve({ hooks: 'head.ts', settings: PATIENT })
    const answer = await served.post('/batch/sync/a%20b?x=%2F&y', 'a=1', {
      'X-Tag': 'one, two',
      'content-type': 'text/csv'
    })
    expect(JSON.parse(answer.body)).to.deep.equal({
      topic: 'a b',
      mode: 'batchSync',
      requestId: 'made-up',
      method: 'POST',
      url: '/kafboy/batch/sync/a%20b?x=%2F&y',
      remoteAddress: '127.0.0.1',
      type: 'text/csv',
      tag: 'one, two'
    })
  })

  it('an error needs no hook that is told of it', async () => {
    served = await serve({ hooks: 'head.ts', settings: PATIENT })
    const answer = await served.post('/sync/refused', 'a=1')
    expect([brief(answer), answer.headers['x-castellan-persisted']]).to.deep.equal(['400 {"error":"refused"}', 'no'])
    expect(brief(await served.post('/sync/t', 'x'.repeat(64_001)))).to.equal('400 {"error":"no_body"}')
  })

  it('of an answer of its own nothing is known, unless something is produced beside it', async () => {
    served = await serve({ hooks: 'table.ts', settings: PATIENT })
    expect(await persistedOf('/sync/t', 'reply')).to.equal('unknown')
    expect(await persistedOf('/sync/t', 'reply-and-produce')).to.equal('pending')
    expect(served.gateway.calls.map(({ options: { deadlineMs } }) => deadlineMs)).to.deep.equal([120_000])
    await served.close()
    served = await serve({
      hooks: 'table.ts',
      settings: PATIENT,
      gateway: new FakeGateway({ refuse: () => failure('overloaded') })
    })
    expect(await persistedOf('/sync/t', 'reply-and-produce')).to.equal('no')
  })

  it('what a hook gives in another mode is answered as that mode has it', async () => {
    served = await serve({ hooks: 'table.ts', settings: { ...PATIENT, bufferTtlMs: 1 } })
    expect(await persistedOf('/async/t', 'as-sync')).to.equal('yes')
    expect(await persistedOf('/sync/t', 'as-batch')).to.equal('pending')
  })

  it('records with keys are answered as such, whether a hook or the form made them', async () => {
    served = await serve({ hooks: 'table.ts', settings: { ...PATIENT, payload: 'fields' } })
    expect(brief(await served.post('/sync/t', 'unchanged'))).to.equal('200 []')
    expect(taken(served.gateway)).to.deep.equal(['t unchanged=true'])
    expect(brief(await served.post('/sync/t', 'text'))).to.equal('200 [{"ok":true}]')
  })

  it('large bodies that a hook leaves unchanged are produced as they came, however many are asked about at a time', async () => {
    served = await serve({ hooks: 'table.ts', settings: PATIENT })
    const headers = { 'content-type': 'application/json' }
    const bodies = Array.from({ length: 60 }, (_, at) => JSON.stringify([`${at}`.padEnd(15_000 + 200 * at, 'ü')]))
    for (const round of [bodies.slice(0, 30), bodies.slice(30)]) {
      const answers = await Promise.all(round.map(body => served.post('/sync/t', body, headers)))
      expect(new Set(answers.map(brief))).to.deep.equal(new Set(['200 [{"ok":true}]']))
    }
    expect(taken(served.gateway).sort()).to.deep.equal(bodies.map(body => `t ${body}`).sort())
  })

  it('a request for which too many others wait for the hook is 503, and may come again', async () => {
    served = await serve({ hooks: 'misbehaving.ts', settings: { callbackTimeoutMs: 60_000 }, hookMaxRequests: 1 })
    const waiting = served.post('/async/hangs', 'a=1').catch(() => undefined)
    const pending = async (): Promise<boolean> =>
      /^kafboy_hook_calls_pending 1$/m.test(await served.metrics.registry.metrics())
    while (!(await pending())) await new Promise(setImmediate)
    const answer = await served.post('/async/ok', 'a=1')
    expect(brief(answer)).to.equal('503 {"error":"system overload"}')
    expect(answer.headers).to.include({ 'retry-after': '1', 'x-castellan-persisted': 'no' })
    expect(await served.metrics.registry.metrics()).to.match(/^kafboy_hook_problems_total\{problem="overloaded"\} 1$/m)
    await served.stop()
    expect((await waiting)?.status).to.equal(500)
  })

  it('after a hook that threw nothing is known of what it has produced', async () => {
    served = await serve({ hooks: 'misbehaving.ts', settings: PATIENT })
    expect(await persistedOf('/async/throws', 'a=1')).to.equal('unknown')
  })
})
