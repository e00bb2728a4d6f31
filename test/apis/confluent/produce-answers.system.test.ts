import type { IncomingHttpHeaders } from 'node:http'
import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import type { RecordFailure, RecordOutcome } from '../../../src/core/model.js'
import { seenBy } from '../../support/access.js'
import { confluentContract } from '../../support/confluent-contract.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { serve } from './stage.js'

const V2 = 'application/vnd.kafka.v2+json'
const unknown = (code: RecordFailure['code'], retriable = true): RecordFailure => ({
  ...failure(code),
  persisted: 'unknown',
  retriable
})

describe('confluent: answers to produce requests whose records fail', () => {
  let app: FastifyInstance
  afterEach(() => app.close())

  /** One request whose records have these outcomes. */
  async function produce(outcomes: readonly RecordOutcome[], headers: Record<string, string> = {}) {
    const verbs = new FakeVerbs({ outcome: (_, index) => outcomes[index]! })
    app = await serve(verbs)
    const answer = await app.inject({
      method: 'POST',
      url: '/topics/t',
      headers: { 'content-type': 'application/vnd.kafka.json.v2+json', ...headers },
      payload: JSON.stringify({ records: outcomes.map(() => ({ value: 1 })) })
    })
    const seen = { status: answer.statusCode, headers: answer.headers as IncomingHttpHeaders, body: answer.body }
    confluentContract.check(seenBy('POST', '/topics/t', seen))
    return answer
  }

  const codesIn = (body: string): unknown[] =>
    (JSON.parse(body) as { offsets: { error_code: unknown }[] }).offsets.map(({ error_code }) => error_code)

  it('confluent 22: while brokers cannot be reached, each record is 50003', async () => {
    const answer = await produce([unknown('timedOut'), failure('brokerUnreachable')])
    expect([answer.statusCode, answer.headers['content-type'], answer.headers['x-castellan-persisted']]).to.deep.equal([
      200,
      V2,
      'un'
    ])
    expect(codesIn(answer.body)).to.deep.equal([50003, 50003])
    expect(JSON.parse(answer.body).offsets[0]).to.include({ partition: null, offset: null })
  })

  it('confluent 23: a topic that Kafka denies is answered 403, with the codes of all records', async () => {
    const answer = await produce([failure('notAuthorized', 29), delivered()])
    expect([answer.statusCode, answer.headers['x-castellan-persisted']]).to.deep.equal([403, 'ny'])
    expect(codesIn(answer.body)).to.deep.equal([40301, null])
  })

  it('credentials that Kafka refuses are answered 401', async () => {
    const answer = await produce([failure('authenticationFailed')])
    expect([answer.statusCode, codesIn(answer.body)]).to.deep.equal([401, [40101]])
  })

  it('a failure that no retry mends is 50002', async () => {
    const answer = await produce([failure('recordTooLarge'), failure('kafka'), delivered()])
    expect([answer.statusCode, codesIn(answer.body)]).to.deep.equal([200, [50002, 50002, null]])
  })

  it('the whole request is 404 only where every record lacks the same', async () => {
    const mixed = await produce([failure('unknownTopic'), delivered()])
    expect([mixed.statusCode, codesIn(mixed.body)]).to.deep.equal([200, [40401, null]])
    await app.close()
    const all = await produce([failure('unknownPartition'), failure('unknownPartition')])
    expect([all.statusCode, JSON.parse(all.body).error_code]).to.deep.equal([404, 40402])
  })

  it('a record that stays in the durable log is 50003 whatever keeps it from Kafka: it is delivered later', async () => {
    const pending = (code: RecordFailure['code'], errorCode?: number): RecordFailure => ({
      ...failure(code, errorCode),
      persisted: 'pending'
    })
    const answer = await produce([pending('notAuthorized', 29), pending('unknownTopic', 3), pending('timedOut')])
    expect([answer.statusCode, answer.headers['x-castellan-persisted']]).to.deep.equal([200, 'pending'])
    expect(codesIn(answer.body)).to.deep.equal([50003, 50003, 50003])
    await app.close()
    const missing = await produce([pending('unknownTopic', 3)])
    expect([missing.statusCode, codesIn(missing.body)]).to.deep.equal([200, [50003]])
  })

  it('a record that may be written is not answered as if it were not', async () => {
    const answer = await produce([unknown('unknownTopic'), unknown('notAuthorized', false)])
    expect([answer.statusCode, answer.headers['x-castellan-persisted']]).to.deep.equal([200, 'unknown'])
    expect(codesIn(answer.body)).to.deep.equal([50003, 50002])
  })

  it('a client that asks for modern answers gets them', async () => {
    const answer = await produce([delivered(), unknown('timedOut')], { accept: 'application/vnd.castellan.v1+json' })
    expect([answer.statusCode, answer.headers['content-type']]).to.deep.equal([
      207,
      'application/vnd.castellan.v1+json'
    ])
    expect(JSON.parse(answer.body).records).to.have.length(2)
  })

  describe('version 3', () => {
    const RECORDS = '/v3/clusters/c1/topics/t/records'

    async function post(url: string, payload: string, outcome: (at: number) => RecordOutcome = () => delivered()) {
      const verbs = new FakeVerbs({ outcome: (_, at) => outcome(at) })
      app = await serve(verbs, { maxRecordsPerRequest: 3 })
      return app.inject({ method: 'POST', url, headers: { 'content-type': 'application/json' }, payload })
    }
    const noDate = (): RecordOutcome => ({ ...delivered(), timestampMs: 8.65e15 }) as RecordOutcome

    it('the time that a broker gives may be no date', async () => {
      const one = await post(RECORDS, '{}', noDate)
      expect(JSON.parse(one.body)).to.include({ error_code: 200, timestamp: null })
      await app.close()
      const batch = await post(`${RECORDS}:batch`, '{"entries":[{"id":"1"}]}', noDate)
      expect(JSON.parse(batch.body).successes[0]).to.include({ id: '1', timestamp: null })
    })

    it('a time that no calendar has is answered 400', async () => {
      const [late, leap] = ['2026-12-31T23:59:59.999+02:00', '2028-02-29T00:00:00Z']
      const wrong = ['2026-02-28T23:59:60Z', '2026-02-29T00:00:00Z', '2026-04-31T00:00:00Z', '2026-13-01T00:00:00Z']
      for (const [times, code] of [
        [[late, leap], 200],
        [wrong.slice(0, 2), 400],
        [wrong.slice(2), 400]
      ] as const) {
        const { body } = await post(RECORDS, times.map(timestamp => JSON.stringify({ timestamp })).join(''))
        expect(body.match(/"error_code":\d+/g)).to.deep.equal(times.map(() => `"error_code":${code}`))
        await app.close()
      }
    })

    it('records of a whole body are taken up to one that does not end, or is not JSON', async () => {
      const bad = '{"value":{"type":"BINARY","data":"%"}}'
      for (const rest of ['{"value":', '{"value":x}', '{"value":x}{}', 'x']) {
        const { body, headers } = await post(RECORDS, bad + rest)
        expect(body.match(/"error_code":\d+/g), rest).to.deep.equal(['"error_code":400', '"error_code":400'])
        expect(headers['x-castellan-persisted']).to.equal('no')
        await app.close()
      }
      const { body } = await post(RECORDS, `{}${bad}{}`)
      expect(body.match(/"error_code":\d+/g)).to.deep.equal([
        '"error_code":200',
        '"error_code":400',
        '"error_code":200'
      ])
    })

    it('a whole body with too many records is refused, and none of them is written', async () => {
      const { statusCode, headers } = await post(RECORDS, '{}{}{}{}')
      expect([statusCode, headers['x-castellan-persisted']]).to.deep.equal([413, 'no'])
      await app.close()
      const [type, most] = [{ 'content-type': 'application/json' }, '{"x":1}'.repeat(10_000)]
      app = await serve(new FakeVerbs())
      const send = (payload: string) => app.inject({ method: 'POST', url: RECORDS, headers: type, payload })
      expect((await send(`{}${most}`)).body).to.match(/^\{"error_code":200,(?:.*\r\n){10001}$/)
      const tooMany = await send(`{}${most}{"x":1}`)
      expect([tooMany.statusCode, tooMany.json().error_code]).to.deep.equal([413, 413])
      expect(tooMany.headers['x-castellan-persisted']).to.equal('no')
    })

    it('an entry of a batch whose time is no date is answered 400', async () => {
      const batch = await post(`${RECORDS}:batch`, '{"entries":[{"id":"1","timestamp":8650000000000},{"id":"2"}]}')
      const { successes, failures } = JSON.parse(batch.body)
      expect([failures[0].error_code, failures[0].id, successes[0].id]).to.deep.equal([400, '1', '2'])
    })

    it('a request without a body is answered 422', async () => {
      app = await serve(new FakeVerbs())
      const answer = await app.inject({ method: 'POST', url: RECORDS, headers: { 'content-type': 'application/json' } })
      expect([answer.statusCode, JSON.parse(answer.body).error_code]).to.deep.equal([422, 42206])
    })

    for (const suffix of ['', ':batch']) {
      it(`records${suffix}: nothing has a name that is too long`, async () => {
        const cluster = await post(`/v3/clusters/${'c'.repeat(65)}/topics/t/records${suffix}`, '{}')
        expect([cluster.statusCode, JSON.parse(cluster.body).error_code]).to.deep.equal([404, 404])
        await app.close()
        const topic = await post(`/v3/clusters/c/topics/${'t'.repeat(250)}/records${suffix}`, '{}')
        expect([topic.statusCode, JSON.parse(topic.body).error_code]).to.deep.equal([404, 40401])
      })
    }

    for (const [url, payload] of [
      [RECORDS, '{}'],
      [`${RECORDS}:batch`, '{"entries":[{"id":"1"}]}'],
      ['/topics/t', '{"records":[{"value":1}]}']
    ] as const) {
      it(`${url}: a bug while the answer is made is answered 500`, async () => {
        const broken = {
          get type(): never {
            throw new Error('a bug')
          }
        }
        const verbs = new FakeVerbs({ outcome: () => broken as never })
        app = await serve(verbs)
        const type = url.startsWith('/v3') ? 'application/json' : 'application/vnd.kafka.json.v2+json'
        const answer = await app.inject({ method: 'POST', url, headers: { 'content-type': type }, payload })
        expect([answer.statusCode, answer.headers['x-castellan-persisted']]).to.deep.equal([500, 'unknown'])
      })
    }
  })
})
