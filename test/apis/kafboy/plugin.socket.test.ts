import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { MODERN_TYPE } from '../../../src/http/exchange/modern-answers.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { brief, type Served, serve } from './stage.js'

describe('kafboy: its start, its end, and what goes wrong', () => {
  let served: Served
  let lines: string[]
  beforeEach(() => {
    lines = []
  })
  afterEach(() => served?.close())

  const note = (level: string) => (what: { setting?: string }, text: string) =>
    void lines.push(`${level} ${what.setting ?? ''} ${text}`)
  const log = { ...silentLogger, info: note('info'), warn: note('warn'), error: note('error') }

  it('obeys its limit for bodies', async () => {
    served = await serve({ settings: { maxBodyBytes: 200_000 } })
    const largest = 'x'.repeat(200_000)
    expect((await served.post('/async/t', largest)).status).to.equal(200)
    expect(brief(await served.post('/async/t', `${largest}x`))).to.equal('400 {"error":"no_body"}')
    expect(brief(await served.post('/echo_post', `${largest}x`))).to.equal('400 {"error":"no_body"}')
  })

  it('a bug is answered 500 without a body, and nothing is known of the records', async () => {
    const verbs = new FakeVerbs()
    verbs.produce = () => {
      throw new Error('made up')
    }
    served = await serve({ log, verbs })
    const answer = await served.post('/async/t', 'a=1')
    expect([brief(answer), answer.headers['x-castellan-persisted']]).to.deep.equal(['500', 'unknown'])
    expect(answer.headers).not.to.have.property('content-type')
    expect(lines).to.deep.equal(['error  a request to produce failed unexpectedly'])
    expect(await served.counted()).to.include('kafboy_requests_total{mode="async",code="500"} 1')
  })

  it('ends the connection where a body is left unread, and only there', async () => {
    served = await serve()
    const connectionOf = async (method: string, path: string, body?: string, headers = {}): Promise<unknown> =>
      (await served.ask(method, path, body, headers)).headers.connection
    const large = 'x'.repeat(64_001)
    const chunked = { 'transfer-encoding': 'chunked' }
    expect(await connectionOf('GET', '/async/t')).to.equal('keep-alive')
    expect(await connectionOf('PUT', '/async/t', 'a=1')).to.equal('close')
    expect(await connectionOf('PUT', '/async/t', 'a=1', chunked)).to.equal('close')
    expect(await connectionOf('POST', '/async/t', large)).to.equal('close')
    expect(await connectionOf('POST', '/disco', large)).to.equal('close')
    expect(await connectionOf('POST', '/async/t', '=x')).to.equal('keep-alive')
  })

  it('says nothing of records where none are produced', async () => {
    served = await serve()
    for (const [method, path, body] of [
      ['GET', '/disco', undefined],
      ['POST', '/echo_post', 'a=1'],
      ['POST', '/nowhere', 'a=1'],
      ['POST', '/async/%zz', 'a=1']
    ] as const) {
      expect((await served.ask(method, path, body)).headers).not.to.have.property('x-castellan-persisted')
    }
  })

  it('waits as long as its settings say: for Kafka, for an outcome nobody waits for, and for capacity', async () => {
    served = await serve({ settings: { syncTimeoutMs: 70 } })
    await served.post('/sync/t', 'a=1')
    await served.post('/async/t', 'a=1')
    expect(served.verbs.calls.map(({ options }) => options)).to.deep.equal([
      { partitioner: 'random', deadlineMs: 70, capacityWaitMs: 0 },
      { partitioner: 'random', durability: 'memory', deadlineMs: 120_000, capacityWaitMs: 0, answeredBy: 'kafboy' }
    ])
  })

  it('says of accepted records in the modern form which are, and which were refused', async () => {
    const refuse = (_: unknown, index: number) => (index === 1 ? failure('overloaded') : undefined)
    served = await serve({ verbs: new FakeVerbs({ refuse }), settings: { payload: 'fields' } })
    const answer = await served.post('/async/t', 'a=1&b=2', { accept: MODERN_TYPE })
    const { records } = JSON.parse(answer.body) as { records: { error?: { code: string } }[] }
    expect(records.map(({ error }) => error?.code)).to.deep.equal([undefined, 'overloaded'])
    expect(answer.headers['x-castellan-persisted']).to.equal('pn')
    expect(await served.counted()).to.include('kafboy_requests_total{mode="async",code="207"} 1')
  })

  it('says of records that were refused beside others which are on their way', async () => {
    const refuse = (_: unknown, index: number) => (index === 1 ? failure('overloaded') : undefined)
    const verbs = new FakeVerbs({ refuse, outcome: () => delivered() })
    served = await serve({ verbs, settings: { payload: 'fields' } })
    const answer = await served.post('/async/t', 'a=1&b=2&c=3')
    expect([brief(answer), answer.headers['x-castellan-persisted']]).to.deep.equal([
      '503 {"error":"system queue full"}',
      'pnp'
    ])
  })
})
