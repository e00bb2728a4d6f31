import { expect } from 'chai'
import { ForbiddenError, KafkaError, TimedOutError } from '../../../src/core/errors.js'
import type { Caller } from '../../../src/http/access/access.js'
import { DeadLettersError, type QueueDescription } from '../../../src/verbs/verbs.js'
import { PlayedAccess } from '../kafka-pixy/play.js'
import { QueuesPlay, SETTINGS } from './stage.js'

const QUEUE = '/orders/workers'
const TARGET = { topic: 'orders', group: 'workers' }
const DESCRIPTION: QueueDescription = {
  state: 'Stable',
  members: [{ memberId: 'm', clientId: 'castellan', clientHost: '/10.0.0.1', partitions: [0, 1] }],
  partitions: [
    { partition: 0, startOffset: 17, lag: 3 },
    { partition: 1, startOffset: null, lag: null, error: 'OFFSET_NOT_AVAILABLE' }
  ],
  settings: SETTINGS,
  topics: ['orders', 'returns']
}

/** A client for whom rules count, and which may not do some things. */
class RuledAccess extends PlayedAccess {
  readonly refused = new Set<string>()

  override callerOf(): Caller {
    return {
      ...super.callerOf(),
      isRuled: true,
      refusalOf: (operation, target) => {
        this.asked.push([operation, target])
        return this.refused.has(`${operation} ${target?.topic}`) ? new ForbiddenError(`no ${operation}`) : undefined
      }
    }
  }
}

describe('queues: a group', () => {
  let play: QueuesPlay
  let access: RuledAccess
  beforeEach(async () => {
    access = new RuledAccess()
    play = await QueuesPlay.open({ access })
  })
  afterEach(() => play.close())

  it('whose name, or whose topic, is not percent-encoded UTF-8 is refused by all routes', async () => {
    const routes = [
      ['POST', '/acquire'],
      ['POST', '/settle'],
      ['DELETE', '/messages/T'],
      ['PATCH', ''],
      ['POST', '/reset'],
      ['DELETE', ''],
      ['GET', '']
    ] as const
    for (const at of [play.url, play.ownUrl]) {
      for (const [method, rest] of routes) {
        for (const queue of ['/orders/%ZZ', '/%FF/workers', '/clusters/default/orders/100%']) {
          const { status, body } = await play.ask(method, queue + rest, undefined, {}, at)
          const { code, detail } = JSON.parse(body) as Record<string, string>
          expect([status, code], `${method} ${queue}${rest}`).to.deep.equal([400, 'invalidRequest'])
          expect(detail).to.equal('the path is not percent-encoded UTF-8')
        }
      }
    }
    expect([play.queues.asked, access.asked]).to.deep.equal([[], []])
  })

  it('whose name, or whose topic, Kafka does not take, or clients make another path of, is refused by all routes', async () => {
    const routes = [
      ['POST', '/acquire'],
      ['POST', '/settle'],
      ['DELETE', '/messages/T'],
      ['PATCH', ''],
      ['POST', '/reset'],
      ['DELETE', ''],
      ['GET', '']
    ] as const
    const names = [
      ['/orders/%00', 'the name of the group has the character NUL'],
      ['/orders/a%00', 'the name of the group has the character NUL'],
      ['/orders/%20', 'the name of the group is white space'],
      ['/orders/%09%E3%80%80', 'the name of the group is white space'],
      ['/orders/.', 'the name of the group cannot be .'],
      ['/orders/..', 'the name of the group cannot be ..'],
      ['/./workers', 'the name of the topic cannot be .'],
      ['/../workers', 'the name of the topic cannot be ..']
    ] as const
    for (const [method, rest] of routes)
      for (const [queue, detail] of names)
        expect(await play.problem(method, queue + rest), `${method} ${queue}${rest}`).to.deep.equal([
          400,
          'invalidRequest',
          detail
        ])
    expect([play.queues.asked, access.asked]).to.deep.equal([[], []])
  })

  it('whose name has spaces and points among others is a group', async () => {
    for (const name of ['%20a', '...', '.a', 'a%20b'])
      expect((await play.ask('GET', `/orders/${name}`)).status).to.equal(200)
  })

  it('is described to those who may read its offsets', async () => {
    play.queues.description = DESCRIPTION
    const { status, body } = await play.ask('GET', QUEUE)
    const { topics: _, ...described } = DESCRIPTION
    expect([status, JSON.parse(body)]).to.deep.equal([200, { ...TARGET, ...described }])
    expect(access.asked).to.deep.equal([['offsets', TARGET]])
    access.refused.add('offsets orders')
    expect(await play.problem('GET', QUEUE)).to.deep.equal([403, 'forbidden', 'no offsets'])
  })

  it('that there is not is described as absent; settings that Kafka hides are null', async () => {
    play.queues.description = { state: 'absent', members: [], partitions: [], settings: undefined, topics: [] }
    const { status, body } = await play.ask('GET', QUEUE)
    expect([status, JSON.parse(body)]).to.deep.equal([
      200,
      { ...TARGET, state: 'absent', members: [], partitions: [], settings: null }
    ])
  })

  it('has its settings changed for all its topics by those who may alter all of them', async () => {
    play.queues.description = DESCRIPTION
    const changes = { start: 'PT1H', lockMs: 60_000, deliveryLimit: null, deadLetters: 'dlq.orders' }
    const { status, body } = await play.ask('PATCH', QUEUE, changes)
    expect([status, JSON.parse(body)]).to.deep.equal([
      200,
      { group: 'workers', appliesTo: 'all topics of the group', ...SETTINGS }
    ])
    expect(play.queues.asked.at(-1)).to.deep.equal(['configure', 'orders', 'workers', changes])
    expect(access.asked).to.deep.equal([
      ['alter', TARGET],
      ['produce', { topic: 'dlq.orders' }],
      ['alter', TARGET],
      ['alter', { topic: 'returns', group: 'workers' }]
    ])
  })

  for (const [refused, detail] of [
    ['alter orders', 'no alter'],
    ['alter returns', 'no alter'],
    ['produce dlq.orders', 'no produce']
  ] as const) {
    it(`keeps its settings from a client that may not: ${refused}`, async () => {
      play.queues.description = DESCRIPTION
      access.refused.add(refused)
      const answer = await play.problem('PATCH', QUEUE, { deadLetters: 'dlq.orders' })
      expect(answer).to.deep.equal([403, 'forbidden', detail])
      expect(JSON.stringify(play.queues.asked)).not.to.include('configure')
    })
  }

  it('has wrong settings refused', async () => {
    const wrong = [{ start: 'now' }, { lockMs: 0 }, { deliveryLimit: 1.5 }, { deadLetters: '' }, { limit: 5 }]
    for (const body of wrong) {
      const [status, code] = await play.problem('PATCH', QUEUE, body)
      expect([status, code], JSON.stringify(body)).to.deep.equal([400, 'invalidRequest'])
    }
    expect(play.queues.asked).to.deep.equal([])
  })

  it('has long lists refused by their name, as a reset has', async () => {
    const [status, code, text] = await play.problem('PATCH', QUEUE, { start: Array(1_001).fill(0) })
    expect([status, code, text]).to.deep.equal([400, 'invalidRequest', '"start" has more than 1000 items'])
    const [, , reset] = await play.problem('POST', `${QUEUE}/reset`, { to: { offsets: Array(1_001).fill(0) } })
    expect(reset).to.equal('"offsets" has more than 1000 items')
    expect((await play.problem('PATCH', QUEUE, Array(1_001).fill(0)))[2]).to.equal('the body has more than 1000 items')
    expect(play.queues.asked).to.deep.equal([])
  })

  const failures: [error: Error, status: number, code: string][] = [
    [new KafkaError(40, 'share.record.lock.duration.ms is too small', false), 400, 'kafka'],
    [new KafkaError(69, 'another kind', false), 409, 'kafka'],
    [new DeadLettersError('set errors.deadletterqueue.group.enable'), 409, 'invalidConfig'],
    [new KafkaError(35, 'Kafka 4.4', false), 501, 'kafka'],
    [new KafkaError(3, 'no such topic', true), 404, 'kafka'],
    [new KafkaError(30, 'not the gateway', false), 403, 'notAuthorized'],
    [new TimedOutError('the change', 10_000), 504, 'timedOut'],
    [new Error('made up'), 500, 'protocol']
  ]
  it('has what Kafka says of a change passed on', async () => {
    for (const [error, status, code] of failures) {
      play.queues.configured = error
      const [found, ofBody, detail] = await play.problem('PATCH', QUEUE, {})
      expect([found, ofBody, detail]).to.deep.equal([status, code, status === 500 ? 'internal error' : error.message])
    }
  })
})

describe('queues: their routes', () => {
  let play: QueuesPlay
  afterEach(() => play.close())

  it('are on the own port of the API without its prefix, which places of messages leave out there', async () => {
    play = await QueuesPlay.open()
    const answer = await fetch(`${play.ownUrl}/orders/workers`)
    expect([answer.status, ((await answer.json()) as { state: string }).state]).to.deep.equal([200, 'absent'])
  })

  it('answer other paths and methods with a problem', async () => {
    play = await QueuesPlay.open()
    expect(await play.problem('GET', '/orders')).to.deep.equal([404, 'invalidRequest', 'there is no such route'])
    expect(await play.problem('PUT', QUEUE)).to.deep.equal([
      405,
      'invalidRequest',
      'only GET, DELETE, PATCH can be used here'
    ])
  })

  it('can be used by pages of allowed origins with each of their methods', async () => {
    const origin = 'https://app.example'
    play = await QueuesPlay.open({ http: { allowedOrigins: [origin] } })
    for (const [path, method] of [
      [QUEUE, 'PATCH'],
      [`${QUEUE}/messages/TOKEN`, 'DELETE'],
      [`${QUEUE}/acquire`, 'POST']
    ] as const) {
      const headers = { origin, 'access-control-request-method': method, 'access-control-request-headers': 'accept' }
      const preflight = await fetch(play.url + path, { method: 'OPTIONS', headers })
      expect([preflight.status, preflight.headers.get('access-control-allow-origin')]).to.deep.equal([204, origin])
      expect(preflight.headers.get('access-control-allow-methods')!.split(',')).to.include(method)
    }
    const { headers } = await play.ask('POST', `${QUEUE}/acquire`, {}, { origin })
    const exposed = String(headers['access-control-expose-headers']).split(',')
    expect(exposed).to.include.members(['location', 'x-castellan-token', 'x-castellan-null', 'x-castellan-lock-ms'])
  })
})
