import { PassThrough } from 'node:stream'
import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { kprf } from '../../../src/apis/kprf/api.js'
import { OverloadedError } from '../../../src/core/errors.js'
import type { ProduceRecord, RecordFailure } from '../../../src/core/model.js'
import { delivered, FakeGateway, failure } from '../../support/fake-gateway.js'
import { checkRows } from '../../support/rows.js'
import { asJson, pushOf, serve } from './harness.js'

const OK = '{"status":"ok","errors":[]}'
const QUEUE_FULL = 'Message production error: QueueFull (Local: Queue full)'
const fine = { error: false, message: null }
const failed = (message: string) => ({ error: true, message })
const json = (word: string, errors: readonly object[]): string => JSON.stringify({ status: word, errors })

describe('kprf POST /push', () => {
  it('hands every field to the gateway and answers at once', async () => {
    const gateway = new FakeGateway({ outcome: 'by hand' })
    const { app } = await serve({ gateway })
    const payload = '{"records":[{"topic":"t","data":"é","key":"k","partition":-1},{"topic":"u","data":""}]}'
    const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
    expect(answer.statusCode).to.equal(200)
    expect(answer.headers['content-type']).to.equal('application/json')
    expect(answer.headers['content-length']).to.equal('27')
    expect(answer.body).to.equal(OK)
    expect(gateway.records).to.deep.equal([
      { topic: 't', partition: undefined, key: Buffer.from('k'), value: Buffer.from('é') },
      { topic: 'u', partition: undefined, key: null, value: Buffer.alloc(0) }
    ])
    expect(gateway.calls[0]!.options).to.deep.equal({
      partitioner: 'crc32',
      deadlineMs: 120_000,
      capacityWaitMs: 0,
      answeredBy: 'kprf'
    })
  })

  it('gives all records to the gateway in one call and waits for all their outcomes', async () => {
    const gateway = new FakeGateway({ outcome: 'by hand' })
    const { app } = await serve({ gateway })
    const pending = app.inject({
      method: 'POST',
      url: '/kprf/push',
      headers: asJson,
      payload: pushOf(['a', 'b'], true)
    })
    let isAnswered = false
    void pending.then(() => (isAnswered = true))
    while (gateway.calls.length === 0) await new Promise(setImmediate)
    expect(isAnswered).to.equal(false)
    expect(gateway.calls).to.have.length(1)
    expect(gateway.calls[0]!.options).to.deep.equal({ partitioner: 'crc32', deadlineMs: 2_000, capacityWaitMs: 0 })
    gateway.calls[0]!.settle([delivered(), delivered()])
    expect((await pending).body).to.equal(OK)
  })

  it('answers an empty list at once in both modes without asking the gateway', async () => {
    const { app, gateway } = await serve()
    for (const wait of [true, false]) {
      const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload: pushOf([], wait) })
      expect(answer.statusCode).to.equal(200)
      expect(answer.body).to.equal(OK)
    }
    expect(gateway.calls).to.deep.equal([])
  })

  it('names every record of a sync request of which one failed, in order', async () => {
    const gateway = new FakeGateway({
      outcome: ({ topic }) => (topic === 'bad' ? failure('unknownTopic', 3) : delivered())
    })
    const { app } = await serve({ gateway })
    const payload = pushOf(['good', 'bad', 'good'], true)
    const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
    expect(answer.statusCode).to.equal(500)
    expect(answer.headers['content-type']).to.equal('application/json')
    expect(answer.body).to.equal(
      json('err', [fine, failed('Message production error: UnknownTopic (Local: Unknown topic)'), fine])
    )
  })

  it('says another word for failure when told to', async () => {
    const gateway = new FakeGateway({ outcome: () => failure('timedOut') })
    const { app } = await serve({ gateway, settings: { failureWord: 'error' } })
    const answer = await app.inject({
      method: 'POST',
      url: '/kprf/push',
      headers: asJson,
      payload: pushOf(['t'], true)
    })
    expect(answer.body).to.equal(
      json('error', [failed('Message production error: MessageTimedOut (Local: Message timed out)')])
    )
  })

  // Source: texts seen from kprf, and librdkafka 1.6.0 rd_kafka_err_descs with rdkafka's names.
  const texts: [RecordFailure['code'], number | undefined, string][] = [
    ['timedOut', undefined, 'MessageTimedOut (Local: Message timed out)'],
    ['brokerUnreachable', undefined, 'MessageTimedOut (Local: Message timed out)'],
    ['noLeader', undefined, 'MessageTimedOut (Local: Message timed out)'],
    ['unknownTopic', 3, 'UnknownTopic (Local: Unknown topic)'],
    ['unknownPartition', undefined, 'UnknownPartition (Local: Unknown partition)'],
    ['recordTooLarge', undefined, 'MessageSizeTooLarge (Broker: Message size too large)'],
    ['recordTooLarge', 10, 'MessageSizeTooLarge (Broker: Message size too large)'],
    ['overloaded', undefined, 'QueueFull (Local: Queue full)'],
    ['shuttingDown', undefined, 'PurgeQueue (Local: Purged in queue)'],
    ['invalidTopic', 17, 'InvalidTopic (Broker: Invalid topic)'],
    ['notAuthorized', 29, 'TopicAuthorizationFailed (Broker: Topic authorization failed)'],
    ['notAuthorized', 31, 'ClusterAuthorizationFailed (Broker: Cluster authorization failed)'],
    ['recordRejected', 87, 'InvalidRecord (Broker: Broker failed to validate record)'],
    ['recordRejected', 32, 'InvalidTimestamp (Broker: Invalid timestamp)'],
    ['kafka', 2, 'InvalidMessage (Broker: Invalid message)'],
    ['kafka', 9999, 'Unknown (Unknown broker error)']
  ]
  it('each failure has the text that kprf has for it', () =>
    checkRows(texts, async ([code, errorCode, text]) => {
      const { app } = await serve({ gateway: new FakeGateway({ outcome: () => failure(code, errorCode) }) })
      const payload = pushOf(['t'], true)
      const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
      expect(answer.json()).to.deep.equal({ status: 'err', errors: [failed(`Message production error: ${text}`)] })
    }))

  describe('when the buffer is full', () => {
    const gateway = (): FakeGateway =>
      new FakeGateway({ refuse: ({ topic }) => (topic === 'full' ? failure('overloaded') : undefined) })

    it('refuses just those records of an async request that found no room', async () => {
      const { app } = await serve({ gateway: gateway() })
      const payload = pushOf(['t', 'full'], false)
      const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
      expect(answer.statusCode).to.equal(500)
      expect(answer.body).to.equal(json('err', [fine, failed(QUEUE_FULL)]))
    })

    it('drops them as kprf does when told to', async () => {
      const { app } = await serve({ gateway: gateway(), settings: { whenFull: 'drop' } })
      const payload = pushOf(['t', 'full'], false)
      const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
      expect(answer.statusCode).to.equal(200)
      expect(answer.body).to.equal(OK)
    })

    it('refuses sync ones without waiting for more', async () => {
      const { app } = await serve({ gateway: gateway() })
      const payload = pushOf(['full'], true)
      const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
      expect(answer.body).to.equal(json('err', [failed(QUEUE_FULL)]))
    })
  })

  it('hides from async requests every other failure, as kprf does', async () => {
    const gateway = new FakeGateway({ refuse: () => failure('invalidTopic') })
    const { app } = await serve({ gateway })
    const payload = '{"records":[{"topic":"\\u0000","data":"d"}]}'
    const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
    expect(answer.body).to.equal(OK)
  })

  it('measures data and key against the size limit less 36 bytes', async () => {
    const { app, gateway } = await serve({ settings: { messageMaxBytes: 1_036 } })
    const push = (data: number, key: number) =>
      app.inject({
        method: 'POST',
        url: '/kprf/push',
        headers: asJson,
        payload: JSON.stringify({
          records: [{ topic: 't', data: 'd'.repeat(data), key: 'k'.repeat(key) }],
          wait_for_send: true
        })
      })
    expect((await push(900, 100)).statusCode).to.equal(200)
    expect(gateway.calls).to.have.length(1)
    const answer = await push(900, 101)
    expect(answer.statusCode).to.equal(500)
    const text = 'Message production error: MessageSizeTooLarge (Broker: Message size too large)'
    expect(answer.json().errors).to.deep.equal([failed(text)])
    expect(gateway.calls).to.have.length(1)
  })

  describe('with a rate limit', () => {
    const settings = { ratelimit: { enabled: true, rules: [{ topic: 'slow', maxPerMinute: 1 }] } }

    it('answers ratelimit in sync and sends the other records on', async () => {
      const { app, gateway } = await serve({ settings, clock: () => 0 })
      const payload = pushOf(['slow', 'slow', 'fast'], true)
      const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
      expect(answer.statusCode).to.equal(500)
      expect(answer.json().errors).to.deep.equal([fine, failed('ratelimit'), fine])
      expect(gateway.records.map(({ topic }) => topic)).to.deep.equal(['slow', 'fast'])
    })

    it('drops in async, and keeps the order of what it tells besides', async () => {
      const gateway = new FakeGateway({ refuse: ({ topic }) => (topic === 'full' ? failure('overloaded') : undefined) })
      const { app } = await serve({ settings, clock: () => 0, gateway })
      const payload = pushOf(['slow', 'slow', 'full'], false)
      const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
      expect(answer.json().errors).to.deep.equal([fine, fine, failed(QUEUE_FULL)])
      const more = await app.inject({
        method: 'POST',
        url: '/kprf/push',
        headers: asJson,
        payload: pushOf(['slow'], false)
      })
      expect(more.body).to.equal(OK)
      expect(gateway.records.map(({ topic }) => topic)).to.deep.equal(['slow', 'full'])
    })
  })

  describe('with limits that are answered 429', () => {
    const settings = {
      ratelimit: {
        enabled: true,
        answer: 'tooManyRequests' as const,
        rules: [
          { topic: 'slow', maxPerMinute: 1 },
          { topic: '__proto__', maxPerMinute: 2 }
        ]
      }
    }
    const push = (app: FastifyInstance, topics: string[], isSync: boolean) =>
      app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload: pushOf(topics, isSync) })

    for (const isSync of [true, false]) {
      it(`counts the records of a request one by one, and says when to come again (${isSync ? 'sync' : 'async'})`, async () => {
        let nowMs = 10_000
        const { app, gateway } = await serve({ settings, clock: () => nowMs })
        expect((await push(app, ['slow', 'fast'], isSync)).statusCode).to.equal(200)
        nowMs += 20_500
        const limited = await push(app, ['slow', 'fast', '__proto__', '__proto__', '__proto__'], isSync)
        expect(limited.statusCode).to.equal(429)
        expect(limited.headers['retry-after']).to.equal('60')
        expect(limited.headers['x-castellan-persisted']).to.equal(isSync ? 'nyyyn' : 'npppn')
        expect(limited.json()).to.deep.equal({
          status: 'err',
          errors: [failed('ratelimit'), fine, fine, fine, failed('ratelimit')]
        })
        expect(gateway.records.map(({ topic }) => topic)).to.deep.equal([
          'slow',
          'fast',
          'fast',
          '__proto__',
          '__proto__'
        ])
        nowMs += 60_000
        expect((await push(app, ['slow'], isSync)).statusCode).to.equal(200)
      })
    }

    it('names the topic as it is after decoding', async () => {
      const { app } = await serve({ settings, clock: () => 0 })
      const payload = (name: string) => `{"records":[{"topic":"${name}","data":"d"}]}`
      const statuses = []
      for (const name of ['slow', 's\\u006cow', '\\u0073low']) {
        const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload: payload(name) })
        statuses.push(answer.statusCode)
      }
      expect(statuses).to.deep.equal([200, 429, 429])
    })
  })

  describe('with durability: disk', () => {
    const settings = { durability: 'disk' as const }
    const push = (app: FastifyInstance, isSync: boolean) =>
      app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload: pushOf(['t', 'full'], isSync) })

    it('keeps asynchronous records in the log, and answers when they are there', async () => {
      const { app, gateway } = await serve({ settings })
      const answer = await push(app, false)
      expect([answer.body, answer.headers['x-castellan-persisted']]).to.deep.equal([OK, 'pending'])
      await push(app, true)
      expect(gateway.calls.map(({ options }) => options)).to.deep.equal([
        { partitioner: 'crc32', deadlineMs: 0, durability: 'disk' },
        { partitioner: 'crc32', deadlineMs: 2_000, capacityWaitMs: 0 }
      ])
    })

    it('tells which records the log has not taken', async () => {
      const refuse = ({ topic }: ProduceRecord) => (topic === 'full' ? failure('logUnavailable') : undefined)
      const { app } = await serve({ settings, gateway: new FakeGateway({ refuse }) })
      const answer = await push(app, false)
      expect(answer.statusCode).to.equal(500)
      expect(answer.json().errors[0]).to.deep.equal(fine)
      expect(answer.json().errors[1].error).to.equal(true)
      expect(answer.headers['x-castellan-persisted']).to.equal('pn')
    })
  })

  it("answers what cannot be read with serde's words", async () => {
    const { app, gateway } = await serve()
    const payload = '{"records":[{"topic":"t","data":"d","partition":"1"}]}'
    const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
    expect(answer.statusCode).to.equal(400)
    expect(answer.headers['content-type']).to.equal('text/plain; charset=utf-8')
    expect(answer.body).to.equal(
      'Request body deserialize error: invalid type: string "1", expected i32 at line 1 column 51'
    )
    expect(gateway.calls).to.deep.equal([])
  })

  it('refuses bodies and lists beyond the limits with 413', async () => {
    const { app } = await serve({ settings: { maxBodyBytes: 60, maxRecordsPerRequest: 1 } })
    for (const payload of [`{"records":[]${' '.repeat(60)}}`, pushOf(['a', 'b'], false)]) {
      const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
      expect(answer.statusCode).to.equal(413)
      expect(answer.body).to.equal('The request payload is too large')
    }
  })

  it('obeys the limit of the server when that is smaller', async () => {
    const { app } = await serve()
    const payload = `{"records":[]${' '.repeat(app.initialConfig.bodyLimit!)}}`
    const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
    expect(answer.statusCode).to.equal(413)
  })

  it('a push refused before its body is read is answered in the words of the API', async () => {
    const { app } = await serve({
      prepare: server => server.addHook('onRequest', (_request, _reply, done) => done(new OverloadedError('full')))
    })
    const answer = await app.inject({
      method: 'POST',
      url: '/kprf/push',
      headers: asJson,
      payload: pushOf(['a'], false)
    })
    expect(answer.statusCode).to.equal(503)
    expect(answer.headers['retry-after']).to.equal('1')
    expect(answer.body).to.equal(json('err', [failed(QUEUE_FULL)]))
  })

  it('a push refused in the middle of its body is answered in the words of the API', async () => {
    const { app, gateway } = await serve({
      prepare: server =>
        server.addHook('preParsing', (_request, _reply, _payload, done) => {
          const counted = new PassThrough()
          done(null, counted)
          counted.destroy(new OverloadedError('full'))
        })
    })
    const payload = pushOf(['a'], false)
    const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
    expect(answer.statusCode).to.equal(503)
    expect(answer.body).to.equal(json('err', [failed(QUEUE_FULL)]))
    expect(gateway.calls).to.deep.equal([])
  })

  it('survives a gateway that throws', async () => {
    for (const wait of [true, false]) {
      const gateway = new FakeGateway({
        refuse: () => {
          throw new Error('made up')
        }
      })
      const { app } = await serve({ gateway })
      const payload = pushOf(['t'], wait)
      const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
      expect(answer.statusCode).to.equal(500)
    }
  })

  it('says which API it is', () => {
    expect(kprf.name).to.equal('kprf')
    expect(kprf.prefix).to.equal('/kprf')
  })
})
