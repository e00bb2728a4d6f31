import { readFileSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { delivered, FakeGateway, failure } from '../../support/fake-gateway.js'
import { brief, type Served, serve, taken } from './harness.js'

const PATIENT = { callbackTimeoutMs: 60_000 }

describe('kafboy over a fake gateway', () => {
  let served: Served
  afterEach(() => served.close())

  describe('without hooks', () => {
    it('kafboy 1: a form to /async is answered 200 and is one JSON object', async () => {
      served = await serve()
      const answer = await served.post('/async/t', 'test=a')
      expect(brief(answer)).to.equal('200 {"ok":1}')
      expect(answer.headers).to.include({
        'content-type': 'application/json; charset=utf-8',
        'x-castellan-persisted': 'pending',
        'x-request-id': 'made-up'
      })
      expect(taken(served.gateway)).to.deep.equal(['t {"test":"a"}'])
    })

    it('kafboy 1: with payload: fields every field is a keyed record', async () => {
      served = await serve({ settings: { payload: 'fields' } })
      expect(brief(await served.post('/async/t', 'a=1&b=2'))).to.equal('200 {"ok":1}')
      expect(brief(await served.post('/sync/t', 'a=1&b=2'))).to.equal('200 []')
      expect(taken(served.gateway)).to.deep.equal(['t a=1', 't b=2', 't a=1', 't b=2'])
    })

    it('kafboy 2: /sync says what Kafka said, /batch/sync and /batch/async that it was taken', async () => {
      served = await serve({ settings: { maxBufferRecords: 2 } })
      expect(brief(await served.post('/sync/t', 'a=1'))).to.equal('200 [{"ok":true}]')
      expect(brief(await served.post('/batch/sync/t', 'a=2'))).to.equal('200 {"ok":1}')
      expect(taken(served.gateway)).to.deep.equal(['t {"a":"1"}'])
      expect(brief(await served.post('/batch/async/t', 'a=3'))).to.equal('200 {"ok":1}')
      expect(taken(served.gateway).slice(1)).to.deep.equal(['t {"a":"2"}', 't {"a":"3"}'])
    })

    it('kafboy 6: GET on a produce route is 400 POST exp', async () => {
      served = await serve()
      for (const path of ['/async/t', '/sync/t', '/batch/async/t']) {
        expect(brief(await served.ask('GET', path))).to.equal('400 {"error":"POST exp"}')
      }
    })

    it('kafboy 7: other methods are 400 unexp, and nothing of them is produced', async () => {
      served = await serve()
      for (const method of ['PUT', 'DELETE', 'PATCH', 'OPTIONS']) {
        expect(brief(await served.ask(method, '/async/t', 'a=1'))).to.equal('400 {"error":"unexp"}')
      }
      expect(brief(await served.ask('HEAD', '/async/t'))).to.equal('400')
      expect(served.gateway.records).to.deep.equal([])
    })

    it('kafboy 9: 64,000 bytes are fine, 64,001 are 400 no_body', async () => {
      served = await serve()
      const body = (bytes: number): string => `a=${'x'.repeat(bytes - 2)}`
      expect(brief(await served.post('/async/t', body(64_000)))).to.equal('200 {"ok":1}')
      const refused = await served.post('/async/t', body(64_001))
      expect(brief(refused)).to.equal('400 {"error":"no_body"}')
      expect(refused.headers['x-castellan-persisted']).to.equal('no')
      const chunked = await served.post('/async/t', body(64_001), { 'transfer-encoding': 'chunked' })
      expect(brief(chunked)).to.equal('400 {"error":"no_body"}')
      expect(served.gateway.records).to.have.length(1)
    })

    it('kafboy 9: the limit is a setting', async () => {
      served = await serve({ settings: { maxBodyBytes: 100_000 } })
      expect(brief(await served.post('/async/t', 'x'.repeat(100_000)))).to.equal('200 {"ok":1}')
    })

    it('kafboy 10: an empty body is fine for /async, and publishes nothing; for /sync it is 400', async () => {
      served = await serve()
      const empty = await served.post('/async/t', '')
      expect(brief(empty)).to.equal('200 {"ok":1}')
      expect(empty.headers['x-castellan-persisted']).to.equal('yes')
      expect(brief(await served.post('/batch/async/t'))).to.equal('200 {"ok":1}')
      expect(brief(await served.post('/sync/t', ''))).to.equal('400 {"error":"empty"}')
      expect(served.gateway.records).to.deep.equal([])
    })

    it('kafboy 10: a form that cannot be read is 400 invalid', async () => {
      served = await serve()
      for (const body of ['=x', 'a=%zz', 'a=%FF']) {
        expect(brief(await served.post('/async/t', body))).to.equal('400 {"error":"invalid"}')
      }
    })

    it('kafboy 11: JSON reaches Kafka byte for byte', async () => {
      served = await serve()
      const body = Buffer.from('{"a":"b=c&d+e%","__proto__":1, "n":9007199254740993 }')
      expect(brief(await served.postJson('/sync/t', body))).to.equal('200 [{"ok":true}]')
      expect(served.gateway.records[0]!.value).to.deep.equal(body)
      expect(served.gateway.records[0]!.key).to.equal(null)
    })

    it('kafboy 12: /disco names the instance, /echo_post echoes a form', async () => {
      served = await serve()
      for (const path of ['/disco', '/echo_post', '/disco/']) {
        const answer = await served.ask('GET', path)
        expect(answer.status).to.equal(200)
        expect(answer.headers['content-type']).to.equal('text/plain')
        expect(answer.body).to.match(new RegExp(`^[^:]+:${served.port}$`))
        expect(brief(await served.post(path, 'a=b&c'))).to.equal('200 {"a":"b","c":true}')
        expect(brief(await served.post(path, ''))).to.equal('200 []')
      }
      expect(brief(await served.postJson('/echo_post', '{"a": 1}'))).to.equal('200 {"a": 1}')
      expect(brief(await served.post('/echo_post', '=x'))).to.equal('400 {"error":"invalid"}')
      expect(brief(await served.post('/echo_post', 'x'.repeat(64_001)))).to.equal('400 {"error":"no_body"}')
    })

    it('kafboy 13: what is no route is 404 and empty', async () => {
      served = await serve()
      for (const path of ['/', '/async/', '/async', '/info', '/safe/async/t', '/async/t/u', '/metrics']) {
        const answer = await served.post(path, 'a=1')
        expect([path, answer.status, answer.body, answer.headers['content-type']]).to.deep.equal([
          path,
          404,
          '',
          undefined
        ])
      }
      expect(brief(await served.post('/async/t/', 'a=1'))).to.equal('200 {"ok":1}')
      expect(brief(await served.post('/async/t?x=/sync/u', 'a=1'))).to.equal('200 {"ok":1}')
    })

    it('kafboy 14: custom routes have the mode of their list', async () => {
      served = await serve({
        settings: { routesSync: ['/1/foo/:topic'], routesAsyncBatch: ['/b/:topic'], maxBufferRecords: 1 }
      })
      expect(brief(await served.post('/1/foo/t', 'a=1'))).to.equal('200 [{"ok":true}]')
      expect(brief(await served.post('/b/t', 'a=1'))).to.equal('200 {"ok":1}')
      expect(served.gateway.records).to.have.length(2)
    })

    it('kafboy 19: more than 150 requests on a connection work', async () => {
      served = await serve()
      for (let i = 0; i < 200; i++) expect((await served.post('/async/t', `a=${i}`)).status).to.equal(200)
      expect(served.gateway.records).to.have.length(200)
    })

    it('topics are decoded once, and `__proto__` is one', async () => {
      served = await serve()
      await served.post('/async/__proto__', 'a=1')
      await served.post('/async/a%2561', 'a=1')
      expect(served.gateway.records.map(({ topic }) => topic)).to.deep.equal(['__proto__', 'a%61'])
    })
  })

  describe('when Kafka does not take a record', () => {
    const failing = (code: Parameters<typeof failure>[0], errorCode?: number): FakeGateway =>
      new FakeGateway({ outcome: () => failure(code, errorCode) })

    const cases: [code: Parameters<typeof failure>[0], errorCode: number | undefined, expected: string][] = [
      ['recordTooLarge', 10, '502 [{"error":10}]'],
      ['recordTooLarge', undefined, '502 [{"error":10}]'],
      ['unknownTopic', 3, '502 [{"error":3}]'],
      ['invalidTopic', undefined, '502 [{"error":17}]'],
      ['kafka', 56, '502 [{"error":56}]'],
      ['notAuthorized', 29, '502 [{"error":29}]'],
      ['brokerUnreachable', undefined, '503 [{"error":"downtime"}]'],
      ['overloaded', undefined, '503 [{"error":"system queue full"}]'],
      ['noLeader', undefined, '503 [{"error":5}]'],
      ['timedOut', undefined, '504 [{"error":"timeout"}]']
    ]
    for (const [code, errorCode, expected] of cases) {
      it(`/sync: ${code} is ${expected}`, async () => {
        served = await serve({ gateway: failing(code, errorCode) })
        const answer = await served.post('/sync/t', 'a=1')
        expect(brief(answer)).to.equal(expected)
        expect(answer.headers['x-castellan-persisted']).to.equal('no')
        expect(answer.headers['retry-after']).to.equal(expected.startsWith('503') ? '1' : undefined)
      })
    }

    it('/sync: failureStatus: original answers 200, and the array stays true', async () => {
      served = await serve({ gateway: failing('recordTooLarge', 10), settings: { failureStatus: 'original' } })
      expect(brief(await served.post('/sync/t', 'a=1'))).to.equal('200 [{"error":10}]')
    })

    it('/sync: one object per record where only some have failed', async () => {
      const outcome = (_: unknown, index: number) => (index === 1 ? failure('recordTooLarge', 10) : delivered())
      served = await serve({ gateway: new FakeGateway({ outcome }), settings: { payload: 'fields' } })
      const answer = await served.post('/sync/t', 'a=1&b=2&c=3')
      expect(brief(answer)).to.equal('502 [{"ok":true},{"error":10},{"ok":true}]')
      expect(answer.headers['x-castellan-persisted']).to.equal('yny')
    })

    it('kafboy 15: /sync without Kafka is 503 downtime', async () => {
      const gateway = failing('timedOut')
      gateway.isReady = false
      served = await serve({ gateway })
      expect(brief(await served.post('/sync/t', 'a=1'))).to.equal('503 [{"error":"downtime"}]')
    })

    it('/async: what finds no room is 503, with whenFull: drop 200', async () => {
      const full = (): FakeGateway => new FakeGateway({ refuse: () => failure('overloaded') })
      served = await serve({ gateway: full() })
      const refused = await served.post('/async/t', 'a=1')
      expect(brief(refused)).to.equal('503 {"error":"system queue full"}')
      expect(refused.headers).to.include({ 'retry-after': '1', 'x-castellan-persisted': 'no' })
      await served.close()
      served = await serve({ gateway: full(), settings: { whenFull: 'drop' } })
      const dropped = await served.post('/async/t', 'a=1')
      expect(brief(dropped)).to.equal('200 {"ok":1}')
      expect(dropped.headers['x-castellan-persisted']).to.equal('no')
    })

    it('/async: an invalid topic is answered 200 as kafboy does, and the header tells the truth', async () => {
      served = await serve({ gateway: new FakeGateway({ refuse: () => failure('invalidTopic') }) })
      const answer = await served.post('/async/no%20topic', 'a=1')
      expect(brief(answer)).to.equal('200 {"ok":1}')
      expect(answer.headers['x-castellan-persisted']).to.equal('no')
    })

    it('/batch: what finds no room is 503', async () => {
      served = await serve({ settings: { maxBufferBytes: 1_000 } })
      expect(brief(await served.post('/batch/async/t', `a=${'x'.repeat(500)}`))).to.equal('200 {"ok":1}')
      expect(brief(await served.post('/batch/async/t', `a=${'x'.repeat(500)}`))).to.equal(
        '503 {"error":"system queue full"}'
      )
    })

    it('durability: disk answers when the log has the record, and says when it has not', async () => {
      served = await serve({ settings: { durability: 'disk', whenFull: 'drop' } })
      for (const path of ['/async/t', '/batch/async/t']) {
        const answer = await served.post(path, 'a=1')
        expect(brief(answer)).to.equal('200 {"ok":1}')
        expect(answer.headers['x-castellan-persisted']).to.equal('pending')
      }
      await served.post('/sync/t', 'a=1')
      const asked = served.gateway.calls.map(({ options: { durability, deadlineMs } }) => [durability, deadlineMs])
      expect(asked).to.deep.equal([
        ['disk', 0],
        ['disk', 0],
        [undefined, 5_000]
      ])
      await served.close()
      served = await serve({
        gateway: new FakeGateway({ refuse: () => failure('logUnavailable') }),
        settings: { durability: 'disk' }
      })
      expect(brief(await served.post('/async/t', 'a=1'))).to.equal('503 {"error":"system queue full"}')
    })

    it('a downtime is bounded by maxDowntimeRecords', async () => {
      const gateway = new FakeGateway({ outcome: 'by hand' })
      gateway.isReady = false
      served = await serve({ gateway, settings: { maxDowntimeRecords: 2 } })
      const statuses = []
      for (let i = 0; i < 4; i++) statuses.push((await served.post('/async/t', 'a=1')).status)
      statuses.push((await served.post('/async/other', 'a=1')).status)
      gateway.isReady = true
      statuses.push((await served.post('/async/t', 'a=1')).status)
      expect(statuses).to.deep.equal([200, 200, 503, 503, 200, 200])
    })
  })

  describe('with hooks', () => {
    it('kafboy 3: the example of the README is answered as it says', async () => {
      served = await serve({ hooks: 'readme.ts', settings: { ...PATIENT, maxBufferRecords: 2 } })
      expect(brief(await served.post('/batch/async/ekaf', 'test=a'))).to.equal('200 {"ok":"fast reply"}')
      expect(brief(await served.post('/batch/async/ekaf', 'hello=a'))).to.equal('200 {"ok":1}')
      expect(brief(await served.post('/batch/async/ekaf'))).to.equal('400 {"error":"ekaf.insufficient"}')
      expect(taken(served.gateway)).to.deep.equal(['ekaf {"extra":"true","test":"a"}', 'ekaf a'])
    })
  })
})

describe('kafboy: every decision of a hook', () => {
  const errors = join(tmpdir(), `kafboy-errors-${process.pid}`)
  let one: Served
  before(async () => {
    process.env.HOOK_ERRORS = errors
    one = await serve({ hooks: 'table.ts', settings: { ...PATIENT, bufferTtlMs: 1 } })
  })
  after(async () => {
    await one.close()
    delete process.env.HOOK_ERRORS
    rmSync(errors, { force: true })
  })
  beforeEach(() => {
    one.gateway.calls.length = 0
    rmSync(errors, { force: true })
  })

  const table: [decision: string, path: string, answer: string, records: string[]][] = [
    ['unchanged', '/async/t', '200 {"ok":1}', ['t {"unchanged":true}']],
    ['unchanged', '/sync/t', '200 [{"ok":true}]', ['t {"unchanged":true}']],
    ['redirect', '/sync/t', '200 [{"ok":true}]', ['elsewhere {"redirect":true}']],
    ['text', '/async/t', '200 {"ok":1}', ['t text']],
    ['bytes', '/sync/t', '200 [{"ok":true}]', ['t \0\ufffd']],
    ['list', '/sync/t', '200 [{"ok":true}]', ['t a', 't b', 't c']],
    ['keyed', '/sync/t', '200 []', ['t k=v']],
    ['pairs', '/sync/t', '200 []', ['t k=v', 't null']],
    ['as-sync', '/async/t', '200 [{"ok":true}]', ['t x']],
    ['as-batch', '/sync/t', '200 {"ok":1}', ['t x']],
    ['reply', '/sync/t', '200 {"not":"produced"}', []],
    ['reply-object', '/sync/t', '200 {"a":1}', []],
    ['reply-and-produce', '/sync/t', '200 {"ok":"fast reply"}', ['t beside']],
    ['error', '/async/t', '400 {"error":"no \\"quotes\\"\\n"}', []],
    ['error-number', '/async/t', '400 {"error":"unknown"}', []],
    ['topic-and-error', '/async/t', '400 {"error":"not there"}', []],
    ['empty-list', '/async/t', '400 {"error":"empty"}', []],
    ['empty-data', '/async/t', '400 {"error":"empty"}', []],
    ['status-201', '/async/t', '400 {"error":"unexp"}', []],
    ['nothing', '/async/t', '400 {"error":"unexp"}', []],
    ['text2', '/async/t', '400 {"error":"unexp"}', []],
    ['bad-topic', '/async/t', '400 {"error":"unexp"}', []],
    ['bad-mode', '/async/t', '400 {"error":"unexp"}', []],
    ['bad-data', '/async/t', '400 {"error":"unexp"}', []]
  ]
  for (const [decision, path, expected, records] of table) {
    it(`kafboy 4: ${decision} to ${path} is ${expected}`, async () => {
      expect(brief(await one.post(path, decision))).to.equal(expected)
      await one.post('/sync/flush', 'text')
      const others = (): string[] => taken(one.gateway).filter(record => !record.startsWith('flush'))
      while (others().length < records.length) await one.post('/sync/flush', 'text')
      expect(others()).to.deep.equal(records)
    })
  }

  it('kafboy 5: the hook for errors is told of a 400 before it is sent', async () => {
    for (const [method, path, body] of [
      ['POST', '/async/t', 'empty-list'],
      ['POST', '/async/t', 'error-number'],
      ['GET', '/async/t', undefined],
      ['PUT', '/async/t', undefined],
      ['POST', '/async/t', '=x'],
      ['POST', '/async/t', 'x'.repeat(64_001)]
    ] as const) {
      expect((await one.ask(method, path, body)).status).to.equal(400)
    }
    expect(readFileSync(errors, 'utf8')).to.equal(
      ['empty', 'unknown', 'POST exp', 'unexp', 'invalid', 'no_body'].map(word => `400 ${word}\n`).join('')
    )
  })

  it('kafboy 18: a redirected record lands in the other topic', async () => {
    await one.post('/sync/t', 'redirect')
    expect(taken(one.gateway)).to.deep.equal(['elsewhere {"redirect":true}'])
  })

  it('JSON that is none is 400 invalid', async () => {
    expect(brief(await one.postJson('/sync/t', '{"a":'))).to.equal('400 {"error":"invalid"}')
  })

  it('JSON that a hook leaves as it is passes byte for byte', async () => {
    const body = '{ "unchanged": 9007199254740993 }'
    expect(brief(await one.postJson('/sync/t', body))).to.equal('200 [{"ok":true}]')
    expect(taken(one.gateway)).to.deep.equal([`t ${body}`])
  })
})
