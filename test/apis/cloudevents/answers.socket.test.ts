import { expect } from 'chai'
import { ForbiddenError, OverloadedError, QuotaExceededError } from '../../../src/core/errors.js'
import type { ProduceRecord, RecordOutcome } from '../../../src/core/model.js'
import { type Access, openAccess } from '../../../src/http/access/access.js'
import { delivered, failure } from '../../support/fake-verbs.js'
import { ask, EVENT, type EventAnswer, EventsPlay, EventVerbs, REQUIRED } from './stage.js'

const MODERN = { accept: 'application/vnd.castellan.v1+json' }
const seen = ({ status, headers, body }: EventAnswer): unknown[] => [
  status,
  headers['x-castellan-persisted'],
  body === '' ? '' : JSON.parse(body)
]

describe('cloudevents: answers to produce requests', () => {
  let play: EventsPlay
  afterEach(() => play.close())

  const withOutcomes = (...outcomes: RecordOutcome[]): EventVerbs =>
    new EventVerbs({ outcome: (_: ProduceRecord, at) => outcomes[at] ?? outcomes.at(-1)! })

  it('204 without a body: the events are in Kafka', async () => {
    play = await EventsPlay.open()
    expect(seen(await play.structured(EVENT))).to.deep.equal([204, 'yes', ''])
    expect(play.verbs.calls[0]!.options).to.deep.equal({
      partitioner: 'murmur2',
      deadlineMs: 60_000,
      durability: 'memory',
      capacityWaitMs: 0
    })
  })

  it('202 with async=true: the events are accepted, in memory or on disk', async () => {
    play = await EventsPlay.open()
    expect(seen(await play.post(REQUIRED, 'x', '/orders?async=true'))).to.deep.equal([202, 'pending', ''])
    expect(play.verbs.calls[0]!.options).to.include({ deadlineMs: 120_000, answeredBy: 'cloudevents' })
    expect(seen(await play.post(REQUIRED, 'x', '/orders?async=false'))).to.deep.equal([204, 'yes', ''])
    await play.close()
    play = await EventsPlay.open(new EventVerbs(), { durability: 'disk' })
    expect(seen(await play.batch([EVENT, EVENT], '/orders?async=true'))).to.deep.equal([202, 'pending', ''])
    expect(play.verbs.calls[0]!.options).to.include({ durability: 'disk', deadlineMs: 0 })
  })

  it('202 when the time is over for events in the durable log: they are delivered later', async () => {
    const late = { ...failure('timedOut'), persisted: 'pending', retriable: true } as const
    play = await EventsPlay.open(withOutcomes(delivered(), late), { durability: 'disk' })
    expect(seen(await play.batch([EVENT, EVENT]))).to.deep.equal([202, 'yp', ''])
  })

  it('the failure of one event is a problem document', async () => {
    play = await EventsPlay.open(withOutcomes(failure('unknownTopic')))
    const [status, persisted, problem] = seen(await play.structured(EVENT))
    expect([status, persisted]).to.deep.equal([404, 'no'])
    expect(problem).to.deep.equal({
      type: 'about:blank',
      title: 'Not Found',
      status: 404,
      detail: 'made up for a test: unknownTopic',
      code: 'unknownTopic',
      persisted: 'no',
      retriable: false,
      errors: [{ message: 'made up for a test: unknownTopic', code: 'unknownTopic', persisted: 'no', retriable: false }]
    })
  })

  it('of several failures the one that may pass decides the status, so that nothing is lost by not sending again', async () => {
    const later = { ...failure('timedOut'), retriable: true, persisted: 'unknown' } as const
    play = await EventsPlay.open(withOutcomes(delivered(), failure('recordTooLarge'), later))
    const [status, persisted, problem] = seen(await play.batch([EVENT, EVENT, EVENT]))
    expect([status, persisted]).to.deep.equal([504, 'ynu'])
    expect(problem).to.deep.include({
      detail: '2 of 3 events failed: made up for a test: timedOut',
      code: 'timedOut',
      persisted: 'ynu',
      retriable: true
    })
    expect((problem as { errors: object[] }).errors).to.deep.equal([
      {
        event: 1,
        message: 'made up for a test: recordTooLarge',
        code: 'recordTooLarge',
        persisted: 'no',
        retriable: false
      },
      { event: 2, message: 'made up for a test: timedOut', code: 'timedOut', persisted: 'unknown', retriable: true }
    ])
  })

  it('each failure has its status', async () => {
    const statuses = {
      invalidTopic: 400,
      notAuthorized: 403,
      unknownPartition: 404,
      recordTooLarge: 413,
      recordRejected: 422,
      kafka: 502,
      overloaded: 503,
      brokerUnreachable: 503,
      noLeader: 503,
      logUnavailable: 503,
      timedOut: 504
    } as const
    for (const [code, status] of Object.entries(statuses)) {
      play = await EventsPlay.open(withOutcomes(failure(code as keyof typeof statuses)))
      expect((await play.structured(EVENT)).status, code).to.equal(status)
      await play.close()
    }
  })

  it('events that are not accepted are answered 503 with Retry-After', async () => {
    play = await EventsPlay.open(new EventVerbs({ refuse: () => ({ ...failure('overloaded'), retriable: true }) }))
    const answer = await play.structured(EVENT, undefined, '/orders?async=true')
    expect([answer.status, answer.headers['x-castellan-persisted'], answer.headers['retry-after']]).to.deep.equal([
      503,
      'no',
      '1'
    ])
  })

  it('modern answers are those of all APIs', async () => {
    play = await EventsPlay.open(withOutcomes(delivered(1, 7), failure('recordTooLarge')))
    const batch = { ...MODERN, 'content-type': 'application/cloudevents-batch+json' }
    const [status, persisted, body] = seen(await play.post(batch, JSON.stringify([EVENT, EVENT])))
    expect([status, persisted]).to.deep.equal([207, 'yn'])
    expect((body as { records: object[] }).records[0]).to.deep.equal({ partition: 1, offset: 7, timestamp: 0 })
    expect(seen(await play.post({ ...REQUIRED, ...MODERN }, 'x', '/orders?async=true'))).to.deep.equal([
      202,
      'pending',
      { records: [{ persisted: 'pending' }] }
    ])
    const refused = await play.post({ ...MODERN }, 'x')
    expect([refused.status, refused.headers['content-type']]).to.deep.equal([400, 'application/problem+json'])
    expect(JSON.parse(refused.body).errors).to.have.length(4)
  })

  it('a body that is too large is answered 413, and names the setting', async () => {
    play = await EventsPlay.open(new EventVerbs(), { maxBodyBytes: 10 })
    const [status, persisted, problem] = seen(await play.post(REQUIRED, 'x'.repeat(11)))
    expect([status, persisted]).to.deep.equal([413, 'no'])
    expect((problem as { detail: string }).detail).to.equal(
      'the body is larger than 10 bytes (apis.cloudevents.maxBodyBytes)'
    )
  })

  it('permissions and quotas are asked with the topic and the number of events', async () => {
    const charged: number[][] = []
    const asked: unknown[] = []
    const caller = {
      ...openAccess.callerOf({} as never),
      refusalOf: (...of: unknown[]) => {
        asked.push(of)
        return (of[1] as { topic: string }).topic === 'secret' ? new ForbiddenError('not allowed') : undefined
      },
      charge: (...counts: number[]) => {
        charged.push(counts)
        return counts[0] === 3 ? new QuotaExceededError('used up', 7) : undefined
      },
      spend: (...counts: number[]) => void charged.push(counts)
    }
    const access: Access = { callerOf: () => caller }
    play = await EventsPlay.open(new EventVerbs(), {}, { access })
    const [status, persisted, problem] = seen(await play.structured(EVENT, undefined, '/secret'))
    expect([status, persisted]).to.deep.equal([403, 'no'])
    expect(problem).to.include({ detail: 'not allowed', code: 'forbidden' })
    await play.batch([EVENT, EVENT])
    const full = await play.batch([EVENT, EVENT, EVENT])
    expect([full.status, full.headers['retry-after']]).to.deep.equal([429, '7'])
    await play.batch([{}])
    const bytes = [2, 3].map(count => JSON.stringify(Array.from({ length: count }, () => EVENT)).length)
    expect(charged).to.deep.equal([
      [2, bytes[0]],
      [3, bytes[1]],
      [0, 4]
    ])
    expect(asked[1]).to.deep.equal(['produce', { topic: 'orders' }])
    expect(play.verbs.written).to.have.length(2)
  })

  it('a bug is answered 500, and says that the outcome is unknown', async () => {
    const verbs = new EventVerbs()
    verbs.produce = () => {
      throw new Error('a bug')
    }
    play = await EventsPlay.open(verbs)
    expect(seen(await play.structured(EVENT)).slice(0, 2)).to.deep.equal([500, 'unknown'])
    verbs.produce = () => {
      throw new OverloadedError('no more')
    }
    expect(seen(await play.structured(EVENT)).slice(0, 2)).to.deep.equal([503, 'no'])
  })

  it('other paths are 404, and other methods 405', async () => {
    play = await EventsPlay.open()
    const paths: [method: string, path: string, status: number][] = [
      ['GET', '', 404],
      ['POST', '/a/b/c', 404],
      ['PUT', '/orders', 405]
    ]
    for (const [method, path, status] of paths) {
      const answer = await ask(play.url + path, method, {})
      expect([answer.status, answer.headers['content-type']], `${method} ${path}`).to.deep.equal([
        status,
        'application/problem+json'
      ])
    }
  })
})
