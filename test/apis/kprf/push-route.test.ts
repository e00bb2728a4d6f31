import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import type { ProduceRecord } from '../../../src/core/model.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { asJson, pushOf, serve } from './stage.js'

const OK = '{"status":"ok","errors":[]}'
const fine = { error: false, message: null }
const failed = (message: string) => ({ error: true, message })
const json = (word: string, errors: readonly object[]): string => JSON.stringify({ status: word, errors })

describe('kprf POST /push', () => {
  it('hands every field to the gateway and answers at once', async () => {
    const verbs = new FakeVerbs({ outcome: 'by hand' })
    const { app } = await serve({ verbs })
    const payload = '{"records":[{"topic":"t","data":"é","key":"k","partition":-1},{"topic":"u","data":""}]}'
    const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload })
    expect(answer.statusCode).to.equal(200)
    expect(answer.headers['content-type']).to.equal('application/json')
    expect(answer.headers['content-length']).to.equal('27')
    expect(answer.body).to.equal(OK)
    expect(verbs.records).to.deep.equal([
      { topic: 't', partition: undefined, key: Buffer.from('k'), value: Buffer.from('é') },
      { topic: 'u', partition: undefined, key: null, value: Buffer.alloc(0) }
    ])
    expect(verbs.calls[0]!.options).to.deep.equal({
      partitioner: 'crc32',
      deadlineMs: 120_000,
      capacityWaitMs: 0,
      answeredBy: 'kprf'
    })
  })

  it('gives all records to the gateway in one call and waits for all their outcomes', async () => {
    const verbs = new FakeVerbs({ outcome: 'by hand' })
    const { app } = await serve({ verbs })
    const pending = app.inject({
      method: 'POST',
      url: '/kprf/push',
      headers: asJson,
      payload: pushOf(['a', 'b'], true)
    })
    let isAnswered = false
    void pending.then(() => (isAnswered = true))
    while (verbs.calls.length === 0) await new Promise(setImmediate)
    expect(isAnswered).to.equal(false)
    expect(verbs.calls).to.have.length(1)
    expect(verbs.calls[0]!.options).to.deep.equal({ partitioner: 'crc32', deadlineMs: 2_000, capacityWaitMs: 0 })
    verbs.calls[0]!.settle([delivered(), delivered()])
    expect((await pending).body).to.equal(OK)
  })

  it('answers an empty list at once in both modes without asking the gateway', async () => {
    const { app, verbs } = await serve()
    for (const wait of [true, false]) {
      const answer = await app.inject({ method: 'POST', url: '/kprf/push', headers: asJson, payload: pushOf([], wait) })
      expect(answer.statusCode).to.equal(200)
      expect(answer.body).to.equal(OK)
    }
    expect(verbs.calls).to.deep.equal([])
  })

  it('says another word for failure when told to', async () => {
    const verbs = new FakeVerbs({ outcome: () => failure('timedOut') })
    const { app } = await serve({ verbs, settings: { failureWord: 'error' } })
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

  it('measures data and key against the size limit less 36 bytes', async () => {
    const { app, verbs } = await serve({ settings: { messageMaxBytes: 1_036 } })
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
    expect(verbs.calls).to.have.length(1)
    const answer = await push(900, 101)
    expect(answer.statusCode).to.equal(500)
    const text = 'Message production error: MessageSizeTooLarge (Broker: Message size too large)'
    expect(answer.json().errors).to.deep.equal([failed(text)])
    expect(verbs.calls).to.have.length(1)
    expect(answer.headers['x-castellan-warning'], 'whose limit it is').to.match(
      /1000 bytes.*apis\.kprf\.messageMaxBytes/
    )
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
        const { app, verbs } = await serve({ settings, clock: () => nowMs })
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
        expect(verbs.records.map(({ topic }) => topic)).to.deep.equal([
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
      const { app, verbs } = await serve({ settings })
      const answer = await push(app, false)
      expect([answer.body, answer.headers['x-castellan-persisted']]).to.deep.equal([OK, 'pending'])
      await push(app, true)
      expect(verbs.calls.map(({ options }) => options)).to.deep.equal([
        { partitioner: 'crc32', deadlineMs: 0, durability: 'disk' },
        { partitioner: 'crc32', deadlineMs: 2_000, capacityWaitMs: 0 }
      ])
    })

    it('tells which records the log has not taken', async () => {
      const refuse = ({ topic }: ProduceRecord) => (topic === 'full' ? failure('logUnavailable') : undefined)
      const { app } = await serve({ settings, verbs: new FakeVerbs({ refuse }) })
      const answer = await push(app, false)
      expect(answer.statusCode).to.equal(500)
      expect(answer.json().errors[0]).to.deep.equal(fine)
      expect(answer.json().errors[1].error).to.equal(true)
      expect(answer.headers['x-castellan-persisted']).to.equal('pn')
    })
  })
})
