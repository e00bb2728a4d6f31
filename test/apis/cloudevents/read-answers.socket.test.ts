import { once } from 'node:events'
import { type IncomingMessage, request } from 'node:http'
import { expect } from 'chai'
import type { AckResult, ConsumeManyResult, MessageLimits } from '../../../src/consumer/group/consume-result.js'
import type { Requester } from '../../../src/core/actor/actor.js'
import { CastellanError, ForbiddenError, InvalidRequestError } from '../../../src/core/errors.js'
import { ANSWERS_SETTING, type HeldRecords, RecordBudget } from '../../../src/core/record-budget.js'
import { type Access, openAccess } from '../../../src/http/access/access.js'
import type { LifetimeStep } from '../../../src/http/api/api.js'
import type { AcquiredMessage, FollowOptions, FollowSink, ReadSubscription } from '../../../src/verbs/verbs.js'
import { turns } from '../../support/ticks.js'
import { ask, EventsPlay, EventVerbs } from './stage.js'

const header = (key: string, value: string) => ({ key, value: Buffer.from(value) })
const ATTRIBUTES = [
  header('ce_specversion', '1.0'),
  header('ce_id', '7'),
  header('ce_source', '/shop'),
  header('ce_type', 'order')
]
const message = (offset: number, isEvent = true): AcquiredMessage => ({
  topic: 'orders',
  partition: 0,
  groupId: 'g',
  serial: 1,
  firstSerial: 1,
  retries: 0,
  offset,
  timestampMs: 0,
  key: null,
  value: Buffer.from('x'),
  headers: isEvent ? ATTRIBUTES : []
})

/** Its JSON is six times as long. */
const long = (offset: number): AcquiredMessage => ({
  ...message(offset),
  value: Buffer.alloc(1024 * 1024, 1),
  headers: [...ATTRIBUTES, header('content-type', 'text/plain')]
})

/** Answers requests of groups by a list, and lets the test play a topic that is followed. */
class ReadVerbs extends EventVerbs {
  readonly told: string[] = []
  /** What each request for messages gets, the last one again and again. */
  script: (ConsumeManyResult | AcquiredMessage[])[] = [{ type: 'timedOut' }]
  results: AckResult[] = []
  sink: FollowSink | undefined
  options: FollowOptions | undefined
  #followed: () => void = () => undefined
  readonly followed = new Promise<void>(resolve => (this.#followed = resolve))

  override consume(
    group: string,
    topic: string,
    limits: MessageLimits,
    timeoutMs: number | undefined,
    { reply }: Requester<ConsumeManyResult>
  ): () => void {
    this.told.push(`${group} ${topic} ${limits.maxMessages} ${timeoutMs === undefined ? 'default' : timeoutMs > 0}`)
    const next = this.script.length > 1 ? this.script.shift()! : this.script[0]!
    const done = { ack: () => void this.told.push('ack all'), release: () => void this.told.push('release') }
    reply(Array.isArray(next) ? { type: 'messages', messages: { messages: next, ...done } } : next)
    return () => undefined
  }

  override async ack(_group?: string, id?: { partition: number; offset: number }): Promise<AckResult> {
    this.told.push(`ack ${id!.partition}:${id!.offset}`)
    return this.results.shift() ?? { type: 'acked' }
  }

  override async follow(_topic?: string, options?: FollowOptions, sink?: FollowSink): Promise<ReadSubscription> {
    this.sink = sink
    this.options = options
    this.#followed()
    return { resume: () => void this.told.push('resume'), stop: () => void this.told.push('stop') }
  }
}

describe('cloudevents: answers to requests for events', () => {
  let play: EventsPlay
  let verbs: ReadVerbs
  let drains: LifetimeStep[]
  const open = async (overrides: object = {}): Promise<void> => {
    verbs = new ReadVerbs()
    drains = []
    const lifetime = {
      onDrain: (step: LifetimeStep) => drains.push(step),
      onStop: () => undefined,
      onCut: () => undefined
    }
    play = await EventsPlay.open(verbs, {}, { lifetime, ...overrides } as never)
  }
  const get = (path: string, headers: Record<string, string> = {}) => ask(play.url + path, 'GET', headers)
  const problemOf = async (path: string, headers: Record<string, string> = {}, method = 'GET') => {
    const answer = await ask(play.url + path, method, headers)
    expect(answer.headers['content-type']).to.equal('application/problem+json')
    expect(answer.headers).to.not.have.property('x-castellan-persisted')
    const { status, detail, code } = JSON.parse(answer.body)
    expect(status).to.equal(answer.status)
    return [status, detail, code]
  }
  afterEach(() => play.close())

  it('a wrong request is told what is wrong', async () => {
    await open()
    const wrong: [path: string, detail: string | RegExp][] = [
      ['/orders', 'one of the parameters group and from is needed'],
      ['/orders?group=g&from=latest', 'group and from exclude each other'],
      ['/orders?group=', 'the parameter group is empty'],
      ['/orders?group=g&ack=no', 'the parameter ack has to be one of auto, manual'],
      ['/orders?group=g&count=0', /^the parameter count has to be a whole number from 1 to /],
      ['/orders?group=g&timeout=60001', 'the parameter timeout has to be a whole number from 0 to 60000'],
      ['/orders?from=now', 'the position is neither earliest nor latest, nor has it the form 0:17,1:4'],
      ['/orders?from=', 'an empty position is neither earliest nor latest, nor has it the form 0:17,1:4'],
      ['/orders?from=latest&partition=a', 'the parameter partition has to be numbers with commas between them'],
      ['/orders/tail?from=0', 'the position is neither earliest nor latest, nor has it the form 0:17,1:4']
    ]
    for (const [path, detail] of wrong) {
      const [status, text, code] = await problemOf(path)
      expect([status, code], path).to.deep.equal([400, 'invalidRequest'])
      if (typeof detail === 'string') expect(text).to.equal(detail)
      else expect(text).to.match(detail)
    }
    const acks = (path: string) => problemOf(`/orders/acks${path}`, {}, 'POST')
    expect((await acks(''))[1]).to.equal('the parameter group is missing')
    expect((await acks('?group=g'))[1]).to.equal('the parameter offsets is missing')
    expect((await acks('?group=g&offsets=x'))[1]).to.match(/^the parameter offsets has to have the form/)
    expect((await problemOf('/orders/tail', { 'last-event-id': 'x' }))[0]).to.equal(400)
    expect(await problemOf('/orders?group=g&count=2', { accept: 'application/cloudevents+json' })).to.deep.equal([
      406,
      'count asks for a batch, and Accept for a single event',
      'invalidRequest'
    ])
    expect(verbs.told).to.deep.equal([])
  })

  it('events are acknowledged when their answer was sent, or by the client', async () => {
    await open()
    verbs.script = [[message(3), message(4)]]
    const auto = await get('/orders?group=g&count=1000')
    expect([auto.status, auto.headers['x-castellan-offsets']]).to.deep.equal([200, '0:3-4'])
    expect(auto.headers['cache-control']).to.equal('no-store')
    verbs.script = [[message(5)]]
    await get('/orders?group=g&ack=manual&timeout=100')
    await new Promise(resolve => setImmediate(resolve))
    expect(verbs.told).to.deep.equal(['g orders 500 default', 'ack all', 'g orders 1 true'])
  })

  it('records that are no events are acknowledged and counted, at once or with the others of their answer', async () => {
    await open()
    verbs.script = [[message(0, false)], [message(1, false), message(2, false)], [message(3), message(4, false)]]
    const answer = await get('/orders?group=g&ack=manual&count=2')
    expect([answer.headers['x-castellan-offsets'], answer.headers['x-castellan-skipped']]).to.deep.equal(['0:3', '4'])
    expect(verbs.told.filter(told => told.startsWith('ack'))).to.deep.equal(['ack all', 'ack all', 'ack 0:4'])
    verbs.script = [[message(5, false)], { type: 'timedOut' }]
    const none = await get('/orders?group=g')
    expect([none.status, none.headers['x-castellan-skipped']]).to.deep.equal([204, '1'])
  })

  it('fewer events are answered where their JSON becomes too large, and the others later', async () => {
    await open()
    verbs.script = [
      [message(3, false), ...[4, 5, 6].map(long), message(7, false)],
      [message(3, false), long(4)]
    ]
    const { headers, body } = await get('/orders?group=g&count=9')
    expect(JSON.parse(body)).to.have.length(1)
    expect(headers).to.include({ 'x-castellan-offsets': '0:4', 'x-castellan-skipped': '1' })
    // Once the answer is written, which the client may have read already.
    while (!verbs.told.includes('ack all')) await turns(1)
    expect(verbs.told).to.deep.equal(['g orders 9 default', 'release', 'g orders 2 default', 'ack 0:3', 'ack all'])
    await play.close()
    await open()
    const answer = get('/orders?from=latest&count=9')
    await verbs.followed
    const { sink } = verbs
    sink!.begins(new Map([[0, 3]]))
    sink!.take(0, message(3))
    expect(sink!.isFull).to.equal(false)
    sink!.take(0, long(4))
    expect(sink!.isFull, 'one byte is six of JSON').to.equal(true)
    sink!.flush()
    expect(JSON.parse((await answer).body)).to.have.length(2)
  })

  it('a topic of records that are no events is answered within its time', async () => {
    let now = 0
    await open({ clock: () => (now += 300) })
    verbs.script = [[message(0, false)]]
    const answer = await get('/orders?group=g&timeout=5000')
    expect(answer.status).to.equal(204)
    expect(Number(answer.headers['x-castellan-skipped'])).to.be.within(2, 10)
  })

  it('no event is not the same as a Kafka that cannot be reached', async () => {
    await open()
    expect((await get('/orders?group=g')).status).to.equal(204)
    verbs.script = [{ type: 'timedOut', reason: 'no broker answers' }]
    expect(await problemOf('/orders?group=g')).to.deep.equal([503, 'no broker answers', 'timedOut'])
    const failed = { type: 'failed', errorCode: 30, retriable: false } as const
    verbs.script = [{ ...failed, code: 'notAuthorized', message: 'the group may not be read' }]
    expect(await problemOf('/orders?group=g')).to.deep.equal([403, 'the group may not be read', 'notAuthorized'])
    verbs.script = [{ ...failed, errorCode: 23, code: 'kafka', message: 'it is a share group' }]
    expect(await problemOf('/orders?group=g')).to.deep.equal([409, 'it is a share group', 'kafka'])
  })

  it('acknowledgements name those that were not expected; others count', async () => {
    await open()
    verbs.results = [{ type: 'acked' }, { type: 'notOffered' }, { type: 'notRead' }]
    const [status, detail] = await problemOf('/orders/acks?group=g&offsets=0:1-2,1:7', {}, 'POST')
    expect([status, detail]).to.satisfy(([, text]: [number, string]) =>
      text.includes('acknowledgement of 0:2,1:7 here')
    )
    expect(status).to.equal(409)
    verbs.results = [{ type: 'failed', code: 'overloaded', errorCode: undefined, message: 'full', retriable: true }]
    expect((await problemOf('/orders/acks?group=g&offsets=0:1', {}, 'POST')).slice(0, 2)).to.deep.equal([503, 'full'])
    const body = await ask(`${play.url}/orders/acks?group=g&offsets=0:1`, 'POST', {}, 'ignored')
    expect([body.status, body.headers['x-castellan-persisted']]).to.deep.equal([204, undefined])
  })

  it('without a group the answer comes with the first events, and says where to go on and what was lost', async () => {
    await open()
    const answer = get('/orders?from=0:3,2:9&partition=0,2&count=3')
    await verbs.followed
    const { sink, options } = verbs
    expect(options).to.deep.include({ partitions: [0, 2], from: 'earliest', maxPartitions: 200 })
    expect([...options!.positions]).to.deep.equal([
      [0, 3],
      [2, 9]
    ])
    const positions = new Map([
      [0, 5],
      [2, 9]
    ])
    sink!.begins(positions)
    sink!.warn('records 3 to 4 were deleted before they were read')
    sink!.take(0, message(5, false))
    sink!.flush()
    sink!.take(0, message(6))
    sink!.take(0, message(7))
    positions.set(0, 8)
    expect(sink!.isFull).to.equal(false)
    sink!.flush()
    expect(sink!.isFull).to.equal(true)
    const { headers, body } = await answer
    expect(headers).to.include({
      'x-castellan-offsets': '0:6-7',
      'x-castellan-skipped': '1',
      'x-castellan-next': '0:8,2:9',
      'x-castellan-warning': 'records 3 to 4 were deleted before they were read'
    })
    expect(JSON.parse(body)).to.have.length(2)
    expect(verbs.told).to.deep.equal(['stop'])
  })

  describe('without a group, where answers hold too many bytes of records', () => {
    let records: RecordBudget
    let all: HeldRecords

    beforeEach(async () => {
      records = new RecordBudget(1024 * 1024, () => 0)
      await open({ records })
      all = records.hold(records.maxBytes, 'others')
    })
    afterEach(() => all.release())

    it('reads on when there is capacity, and gives it back with the answer', async () => {
      const answer = get('/orders?from=latest')
      await verbs.followed
      const { sink } = verbs
      sink!.begins(new Map([[0, 3]]))
      expect([sink!.isFull, records.isShort]).to.deep.equal([true, true])
      sink!.flush()
      await turns(1)
      expect(verbs.told).to.deep.equal([])
      all.release()
      await turns(1)
      expect([verbs.told, sink!.isFull, records.isShort]).to.deep.equal([['resume'], false, false])
      sink!.take(0, message(3))
      expect(records.heldBytes).to.be.greaterThan(0)
      sink!.flush()
      expect((await answer).status).to.equal(200)
      while (records.heldBytes > 0) await turns(1)
    })

    it('is not ended as slow while it waits for events', async () => {
      let now = 0
      await play.close()
      const patient = new RecordBudget(1024 * 1024, () => now)
      await open({ records: patient })
      const answer = get('/orders?from=latest')
      await verbs.followed
      verbs.sink!.begins(new Map([[0, 3]]))
      const [hold, leave] = [patient.hold(patient.maxBytes, 'others'), patient.whenFree('b', 500, () => undefined)]
      now = 60_000
      patient.endSlow()
      verbs.sink!.take(0, message(3))
      verbs.sink!.flush()
      expect((await answer).status).to.equal(200)
      leave()
      hold.release()
      while (patient.heldBytes > 0) await turns(1)
    })

    it('answers what it has found when there is no capacity for more', async () => {
      all.release()
      const answer = get('/orders?from=latest&count=5')
      await verbs.followed
      const { sink } = verbs
      sink!.begins(new Map([[0, 3]]))
      sink!.take(0, message(3))
      all = records.hold(records.maxBytes, 'others')
      expect([sink!.isFull, records.isShort]).to.deep.equal([true, false])
      sink!.flush()
      expect(JSON.parse((await answer).body)).to.have.length(1)
    })

    it('is answered 503 when its time is over before there is some', async () => {
      const answer = ask(`${play.url}/orders?from=latest&timeout=10`, 'GET', {})
      await verbs.followed
      const { sink } = verbs
      sink!.begins(new Map([[0, 3]]))
      expect(sink!.isFull).to.equal(true)
      const { status, headers, body } = await answer
      const { code, detail } = JSON.parse(body)
      expect([status, code, headers['retry-after']]).to.deep.equal([503, 'overloaded', '1'])
      expect(detail).to.contain(ANSWERS_SETTING)
      expect(records.isShort).to.equal(false)
    })
  })

  it('the places of readers without a group are free again when they have their answers, or have left', async () => {
    await open()
    const status = async (): Promise<number> => (await get('/orders?from=latest&timeout=0')).status
    verbs.follow = async (_topic, _options, sink) => {
      setImmediate(() => sink!.begins(new Map([[0, 0]])))
      return { resume: () => undefined, stop: () => undefined }
    }
    for (let read = 0; read < 210; read++) expect(await status(), `answer ${read}`).to.equal(204)
    const leave = async (): Promise<void> => {
      const sent = request(`${play.url}/orders/tail`, { agent: false })
      sent.end()
      const [response] = (await once(sent, 'response')) as [IncomingMessage]
      sent.on('error', () => undefined)
      response.on('error', () => undefined)
      response.destroy()
      await once(response, 'close')
    }
    for (let read = 0; read < 210; read++) await leave()
    expect(await status(), 'after those that have left').to.equal(204)
  })

  it('a reading that fails is answered with its reason', async () => {
    await open()
    verbs.follow = async () => {
      throw new InvalidRequestError('topic orders does not exist', 'unknownTopic')
    }
    for (const path of ['/orders?from=latest', '/orders/tail']) {
      expect(await problemOf(path)).to.deep.equal([404, 'topic orders does not exist', 'unknownTopic'])
    }
    await play.close()
    await open()
    const answer = problemOf('/orders?from=latest')
    await verbs.followed
    verbs.sink!.begins(new Map([[0, 0]]))
    verbs.sink!.ended(new CastellanError('notAuthorized', 'orders/0: not allowed', false))
    expect(await answer).to.deep.equal([403, 'orders/0: not allowed', 'notAuthorized'])
  })

  it('a bug while events are read is answered 500, and reaches neither the group nor the reader of the topic', async () => {
    await open()
    const broken: AcquiredMessage = Object.defineProperty({ ...message(3) }, 'headers', {
      get: () => {
        throw new Error('a bug')
      }
    })
    verbs.script = [[broken]]
    expect((await problemOf('/orders?group=g')).slice(0, 2)).to.deep.equal([500, 'internal error'])
    expect(verbs.told.slice(1)).to.deep.equal(['release'])
    const answer = problemOf('/orders?from=latest')
    await verbs.followed
    const { sink } = verbs
    sink!.begins(new Map([[0, 3]]))
    sink!.take(0, broken)
    sink!.flush()
    expect((await answer).slice(0, 2)).to.deep.equal([500, 'internal error'])
    expect(sink!.isFull).to.equal(true)
    const stream = get('/orders/tail?from=latest')
    while (verbs.sink === sink) await new Promise(resolve => setImmediate(resolve))
    verbs.sink!.begins(new Map([[0, 3]]))
    verbs.sink!.take(0, message(3))
    verbs.sink!.take(0, broken)
    verbs.sink!.flush()
    expect((await stream).body).to.match(
      /data: \{.*"id":"7".*\n\nevent: error\ndata: \{"error":"internal error"\}\n\n$/s
    )
  })

  it('who may not consume is answered 403 by every way to read', async () => {
    const asked: unknown[] = []
    const caller = {
      ...openAccess.callerOf({} as never),
      refusalOf: (...of: unknown[]) => {
        asked.push(of)
        return new ForbiddenError('not allowed')
      }
    }
    const access: Access = { callerOf: () => caller }
    await open({ access })
    for (const path of ['/orders?group=g', '/orders?from=latest', '/orders/tail']) {
      expect((await problemOf(path))[0], path).to.equal(403)
    }
    expect((await problemOf('/orders/acks?group=g&offsets=0:1', {}, 'POST'))[0]).to.equal(403)
    expect(asked[0]).to.deep.equal(['consume', { topic: 'orders', group: 'g' }])
    expect(verbs.told).to.deep.equal([])
  })

  const drain = async (): Promise<void> => {
    for (const step of drains) await step(1_000)
  }

  it('when the process stops, requests that wait are answered 503, and later ones too', async () => {
    await open()
    const poll = problemOf('/orders?from=latest')
    await verbs.followed
    await drain()
    expect(await poll).to.deep.equal([503, 'Castellan is shutting down', 'shuttingDown'])
    expect((await problemOf('/orders/tail'))[0]).to.equal(503)
    await play.close()
    await open()
    const tail = problemOf('/orders/tail')
    await verbs.followed
    await drain()
    expect(await tail).to.deep.equal([503, 'Castellan is shutting down', 'shuttingDown'])
  })

  it('when the process stops, a tail that has begun ends', async () => {
    await open()
    const tail = get('/orders/tail')
    await verbs.followed
    verbs.sink!.begins(new Map([[0, 3]]))
    verbs.sink!.take(0, message(3))
    await drain()
    const { status, headers, body } = await tail
    expect([status, headers['content-type']]).to.deep.equal([200, 'text/event-stream; charset=utf-8'])
    expect(body).to.match(/^retry: 1000\nid: 0:3\n\nid: 0:3\ndata: \{"specversion":"1.0",.*\}\n\n$/)
    expect(verbs.told).to.include('stop')
  })
})
