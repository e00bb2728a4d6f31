import { expect } from 'chai'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { brief, type Served, serve, taken } from './stage.js'

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
      expect(taken(served.verbs)).to.deep.equal(['t {"test":"a"}'])
    })

    it('kafboy 1: with payload: fields every field is a keyed record', async () => {
      served = await serve({ settings: { payload: 'fields' } })
      expect(brief(await served.post('/async/t', 'a=1&b=2'))).to.equal('200 {"ok":1}')
      expect(brief(await served.post('/sync/t', 'a=1&b=2'))).to.equal('200 []')
      expect(taken(served.verbs)).to.deep.equal(['t a=1', 't b=2', 't a=1', 't b=2'])
    })

    it('kafboy 2: /sync says what Kafka said, /batch/sync and /batch/async that it was taken', async () => {
      served = await serve()
      expect(brief(await served.post('/sync/t', 'a=1'))).to.equal('200 [{"ok":true}]')
      expect(brief(await served.post('/batch/sync/t', 'a=2'))).to.equal('200 {"ok":1}')
      expect(brief(await served.post('/batch/async/t', 'a=3'))).to.equal('200 {"ok":1}')
      expect(taken(served.verbs)).to.deep.equal(['t {"a":"1"}', 't {"a":"2"}', 't {"a":"3"}'])
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
      expect(served.verbs.records).to.deep.equal([])
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
      expect(served.verbs.records).to.have.length(1)
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
      expect(served.verbs.records).to.deep.equal([])
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
      expect(served.verbs.records[0]!.value).to.deep.equal(body)
      expect(served.verbs.records[0]!.key).to.equal(null)
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

    it('kafboy 19: more than 150 requests on a connection work', async () => {
      served = await serve()
      for (let i = 0; i < 200; i++) expect((await served.post('/async/t', `a=${i}`)).status).to.equal(200)
      expect(served.verbs.records).to.have.length(200)
    })

    it('topics are decoded once, and `__proto__` is one', async () => {
      served = await serve()
      await served.post('/async/__proto__', 'a=1')
      await served.post('/async/a%2561', 'a=1')
      expect(served.verbs.records.map(({ topic }) => topic)).to.deep.equal(['__proto__', 'a%61'])
    })
  })

  describe('when Kafka does not take a record', () => {
    const failing = (code: Parameters<typeof failure>[0], errorCode?: number): FakeVerbs =>
      new FakeVerbs({ outcome: () => failure(code, errorCode) })

    for (const [code, expected] of [
      ['recordTooLarge', '502 [{"error":10}]'],
      ['noLeader', '503 [{"error":5}]'],
      ['timedOut', '504 [{"error":"timeout"}]']
    ] as const) {
      it(`/sync: ${code} is ${expected}`, async () => {
        served = await serve({ verbs: failing(code) })
        const answer = await served.post('/sync/t', 'a=1')
        expect(brief(answer)).to.equal(expected)
        expect(answer.headers['x-castellan-persisted']).to.equal('no')
        expect(answer.headers['retry-after']).to.equal(expected.startsWith('503') ? '1' : undefined)
      })
    }

    it('/sync: failureStatus: original answers 200, and the array stays true', async () => {
      served = await serve({ verbs: failing('recordTooLarge', 10), settings: { failureStatus: 'original' } })
      expect(brief(await served.post('/sync/t', 'a=1'))).to.equal('200 [{"error":10}]')
    })

    it('/sync: one object per record where only some have failed', async () => {
      const outcome = (_: unknown, index: number) => (index === 1 ? failure('recordTooLarge', 10) : delivered())
      served = await serve({ verbs: new FakeVerbs({ outcome }), settings: { payload: 'fields' } })
      const answer = await served.post('/sync/t', 'a=1&b=2&c=3')
      expect(brief(answer)).to.equal('502 [{"ok":true},{"error":10},{"ok":true}]')
      expect(answer.headers['x-castellan-persisted']).to.equal('yny')
    })

    it('kafboy 15: /sync without Kafka is 503 downtime', async () => {
      const verbs = failing('timedOut')
      verbs.isReady = false
      served = await serve({ verbs })
      expect(brief(await served.post('/sync/t', 'a=1'))).to.equal('503 [{"error":"downtime"}]')
    })

    for (const path of ['/async/t', '/batch/async/t', '/batch/sync/t']) {
      it(`${path}: a record that finds no capacity is 503, with whenFull: drop 200`, async () => {
        const full = (): FakeVerbs => new FakeVerbs({ refuse: () => failure('overloaded') })
        served = await serve({ verbs: full() })
        const refused = await served.post(path, 'a=1')
        expect(brief(refused)).to.equal('503 {"error":"system queue full"}')
        expect(refused.headers).to.include({ 'retry-after': '1', 'x-castellan-persisted': 'no' })
        await served.close()
        served = await serve({ verbs: full(), settings: { whenFull: 'drop' } })
        const dropped = await served.post(path, 'a=1')
        expect(brief(dropped)).to.equal('200 {"ok":1}')
        expect(dropped.headers['x-castellan-persisted']).to.equal('no')
      })
    }

    it('/async: an invalid topic is answered 200 as kafboy does, and the header tells the truth', async () => {
      served = await serve({ verbs: new FakeVerbs({ refuse: () => failure('invalidTopic') }) })
      const answer = await served.post('/async/no%20topic', 'a=1')
      expect(brief(answer)).to.equal('200 {"ok":1}')
      expect(answer.headers['x-castellan-persisted']).to.equal('no')
    })

    it('durability: disk answers when the log has the record, and says when it has not', async () => {
      served = await serve({ settings: { durability: 'disk', whenFull: 'drop' } })
      for (const path of ['/async/t', '/batch/async/t']) {
        const answer = await served.post(path, 'a=1')
        expect(brief(answer)).to.equal('200 {"ok":1}')
        expect(answer.headers['x-castellan-persisted']).to.equal('pending')
      }
      await served.post('/sync/t', 'a=1')
      const asked = served.verbs.calls.map(({ options: { durability, deadlineMs } }) => [durability, deadlineMs])
      expect(asked).to.deep.equal([
        ['disk', 0],
        ['disk', 0],
        [undefined, 5_000]
      ])
      await served.close()
      served = await serve({
        verbs: new FakeVerbs({ refuse: () => failure('logUnavailable') }),
        settings: { durability: 'disk' }
      })
      expect(brief(await served.post('/async/t', 'a=1'))).to.equal('503 {"error":"system queue full"}')
    })
  })
})
