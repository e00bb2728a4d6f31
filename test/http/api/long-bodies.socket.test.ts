import { connect } from 'node:net'
import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { cloudevents } from '../../../src/apis/cloudevents/api.js'
import { confluent } from '../../../src/apis/confluent/api.js'
import { kprf } from '../../../src/apis/kprf/api.js'
import { strimzi } from '../../../src/apis/strimzi/api.js'
import { LoopTurns } from '../../../src/core/loop-turns.js'
import type { ProduceRecord } from '../../../src/core/model.js'
import { openAccess } from '../../../src/http/access/access.js'
import type { HttpApi } from '../../../src/http/api/api.js'
import { RequestTurns } from '../../../src/http/api/request-turns.js'
import type { Exchange } from '../../../src/http/exchange/exchange.js'
import type { ProduceOrigin } from '../../../src/verbs/produce-origin.js'
import type { ProduceOptions } from '../../../src/verbs/verbs.js'
import { contextFor } from '../../support/api-context.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { RawSocket } from '../../support/raw-socket.js'
import { turns as ticks } from '../../support/ticks.js'
import { type Started, startApi } from '../server/stage.js'

const JSON_TYPE = 'application/vnd.kafka.json.v2+json'
const EVENT = { specversion: '1.0', id: '1', source: '/s', type: 't' }

interface Case {
  readonly api: HttpApi
  readonly path: string
  readonly type: string
  /** A body of records with these values. */
  body(values: readonly string[]): string
  /** The value of a record, as the gateway gets it. */
  taken?(value: string): string
  /** What a body has in place of a record that cannot be used. Absent: such a record is refused alone. */
  readonly wrong?: string
  readonly problem?: RegExp
}

const listOf = (values: readonly string[]): string =>
  `{"records":[${values.map(value => `{"value":"${value}"}`).join()}]}`
const quoted = (value: string): string => `"${value}"`
const CASES: readonly Case[] = [
  {
    ...{ api: confluent as HttpApi, path: '/topics/t', type: JSON_TYPE, body: listOf, taken: quoted },
    ...{ wrong: '{"value":[1,]}', problem: /expected value at line 1 column/ }
  },
  {
    ...{ api: confluent as HttpApi, path: '/v3/clusters/c/topics/t/records', type: 'application/json' },
    body: values => values.map(data => JSON.stringify({ value: { type: 'STRING', data } })).join('')
  },
  {
    ...{ api: strimzi as HttpApi, path: '/topics/t', type: JSON_TYPE, body: listOf, taken: quoted },
    ...{ wrong: '{"value":[1,]}', problem: /expected value at line 1 column/ }
  },
  {
    ...{ api: kprf as HttpApi, path: '/push', type: 'application/json' },
    body: values =>
      `{"records":[${values.map(value => `{"topic":"t","data":"${value}","else":1}`).join()}],"wait_for_send":true}`,
    ...{ wrong: '{"topic":"t"}', problem: /missing field `data` at line 1 column/ }
  },
  {
    ...{ api: cloudevents as HttpApi, path: '/t', type: 'application/cloudevents-batch+json' },
    body: values => JSON.stringify(values.map(data => ({ ...EVENT, data }))),
    taken: data => JSON.stringify({ ...EVENT, data }),
    ...{ wrong: '{"data":[1,]}', problem: /event 3000: expected value at line 1 column/ }
  }
]

/** Longer than what is read at once, and more records than are answered at once. */
const VALUES = Array.from({ length: 3_000 }, (_, at) => `${at}`.padStart(100, '-'))

describe('a body of more than 128 KiB', () => {
  let app: FastifyInstance | undefined
  let verbs: FakeVerbs
  afterEach(() => app?.close())

  async function serve(
    { api }: Pick<Case, 'api'>,
    outcomes = new FakeVerbs(),
    overrides: object = {}
  ): Promise<FastifyInstance> {
    verbs = outcomes
    const addRoutes = await api.plugin(contextFor(verbs, api.settings.parse({}), overrides) as never)
    app = fastify({ logger: false, forceCloseConnections: true, genReqId: () => 'made-up' })
    await app.register(async scope => addRoutes(scope), { prefix: api.prefix })
    return app
  }
  const send = (to: FastifyInstance, { api, path, type }: Case, payload: string, headers: object = {}) =>
    to.inject({ method: 'POST', url: api.prefix + path, headers: { 'content-type': type, ...headers }, payload })
  const partly = (): FakeVerbs =>
    new FakeVerbs({
      outcome: ({ value }, at) => (String(value).includes('--7') ? failure('timedOut') : delivered(1, at))
    })

  for (const one of CASES) {
    const { api, path, body, taken = value => value } = one
    const route = `${api.name} ${path}`

    it(`${route}: brings the records that two shorter ones bring, in one call, and is answered for all of them`, async () => {
      const halves = [VALUES.slice(0, 200), VALUES.slice(200, 400)]
      const to = await serve(one, partly())
      const answers = []
      for (const half of halves) answers.push(await send(to, one, body(half)))
      const whole = await send(await serve(one, partly()), one, body(VALUES))
      expect(verbs.calls).to.have.length(1)
      expect(verbs.records.map(({ value }) => String(value))).to.deep.equal(VALUES.map(taken))
      expect([whole.statusCode, whole.headers['content-type']]).to.deep.equal([
        answers[0]!.statusCode,
        answers[0]!.headers['content-type']
      ])
      if (whole.body === '') return
      const [first] = answers[0]!.body.split(']')
      if (api.name !== 'cloudevents') expect(whole.body.slice(0, first!.trimEnd().length)).to.equal(first!.trimEnd())
    })

    it(`${route}: brings the same records with much white space around them`, async () => {
      const blanks = ' \n'.repeat(40_000)
      const spaced = body(VALUES.slice(0, 3)).replace(
        /(?<=}),(?={)|(?<=})(?={)|^|$|[[\]]/g,
        between => blanks + between + blanks
      )
      const answer = await send(await serve(one), one, spaced)
      expect([answer.statusCode < 300, verbs.records.map(({ value }) => String(value))]).to.deep.equal([
        true,
        VALUES.slice(0, 3).map(taken)
      ])
    })

    it(`${route}: lets records of other requests go first`, async () => {
      const to = await serve(one)
      const long = send(to, one, body([...VALUES, ...VALUES]))
      const short = send(to, one, body(['short']))
      await Promise.all([long, short])
      expect(verbs.calls.map(({ records }) => records.length)).to.deep.equal([1, 6_000])
    })

    it(`${route}: is answered in the modern form with one entry per record`, async () => {
      const to = await serve(one, partly())
      const answer = await send(to, one, body(VALUES), { accept: 'application/vnd.castellan.v1+json' })
      const { records } = JSON.parse(answer.body)
      const failed = VALUES.flatMap((value, at) => (value.includes('--7') ? [at] : []))
      expect([answer.statusCode, records.length]).to.deep.equal([207, 3_000])
      expect(records.flatMap(({ error }: { error?: object }, at: number) => (error ? [at] : []))).to.deep.equal(failed)
      expect(records[5]).to.deep.equal({ partition: 1, offset: 5, timestamp: 0 })
    })

    if (one.wrong === undefined) continue

    it(`${route}: is refused with the words for a shorter one when a record cannot be used`, async () => {
      const to = await serve(one)
      const long = body(VALUES)
      const end = long.lastIndexOf(']')
      const answer = await send(to, one, `${long.slice(0, end)},${one.wrong}${long.slice(end)}`)
      expect(answer.body).to.match(one.problem!)
      expect([verbs.calls.length, answer.headers['x-castellan-persisted']]).to.deep.equal([0, 'no'])
      const short = body(VALUES.slice(0, 1))
      const shortEnd = short.lastIndexOf(']')
      const same = await send(to, one, `${short.slice(0, shortEnd)},${one.wrong}${short.slice(shortEnd)}`)
      expect(same.statusCode).to.equal(answer.statusCode)
    })
  }

  describe('on a connection', () => {
    let started: Started
    let client: RawSocket
    const begin = async (api: string): Promise<void> => {
      verbs = new FakeVerbs()
      started = await startApi(api, verbs)
      client = await RawSocket.open(started.http.urls.shared)
    }
    afterEach(async () => {
      client.destroy()
      await started.http.close()
    })
    const head = (path: string, type: string, length: string): string =>
      `POST /loud${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: ${type}\r\n${length}\r\n\r\n`

    it('keeps its order: records of the next request come behind its own', async () => {
      const push = CASES.find(({ api }) => api === (kprf as HttpApi))!
      await begin('kprf')
      const bodies = [push.body(VALUES), push.body(['next'])]
      await client.send(bodies.map(body => head('/push', push.type, `content-length: ${body.length}`) + body).join(''))
      await client.until(() => client.answers === 2)
      expect(verbs.calls.map(({ records }) => records.length)).to.deep.equal([3_000, 1])
    })

    it('keeps its order also before a stream of records', async () => {
      await begin('confluent')
      const long = listOf(VALUES)
      const next = '{"value":{"type":"STRING","data":"next"}}'
      const stream = head('/v3/clusters/c/topics/t/records', 'application/json', 'transfer-encoding: chunked')
      await client.send(
        `${head('/topics/t', JSON_TYPE, `content-length: ${long.length}`)}${long}${stream}${next.length.toString(16)}\r\n${next}\r\n0\r\n\r\n`
      )
      await client.until(() => client.received.includes('"error_code":200'))
      expect(verbs.calls.map(({ records }) => records.length)).to.deep.equal([3_000, 1])
    })
  })

  it('is let go of when its records are handed on: the last request of an idle connection is kept', async () => {
    const origins: ProduceOrigin[] = []
    const inTurns: unknown[] = []
    class Noting extends FakeVerbs {
      override produce(records: readonly ProduceRecord[], options: ProduceOptions, origin?: ProduceOrigin) {
        origins.push(origin!)
        inTurns.push(typeof origin!.inTurns)
        return super.produce(records, options)
      }
    }
    const to = await serve(CASES[0]!, new Noting())
    const answer = await send(to, CASES[0]!, listOf(VALUES))
    expect([answer.statusCode, inTurns]).to.deep.equal([200, ['function']])
    expect(origins[0]!.inTurns).to.equal(undefined)
  })

  it('is charged also when its client leaves before it is read', async () => {
    const charged: number[] = []
    const access = {
      ...openAccess,
      callerOf: () => ({
        ...openAccess.callerOf({} as never),
        spend: (records: number, bytes: number) => void charged.push(records, bytes)
      })
    } as unknown as typeof openAccess
    const to = await serve(CASES[0]!, new FakeVerbs(), { access })
    await to.listen({ host: '127.0.0.1', port: 0 })
    const { port } = to.server.address() as { port: number }
    const long = listOf(VALUES)
    const socket = connect(port, '127.0.0.1')
    const run = LoopTurns.prototype.run
    const head = `host: h\r\ncontent-type: ${JSON_TYPE}\r\ncontent-length: ${long.length}`
    try {
      const isRead = new Promise<void>(resolve => {
        LoopTurns.prototype.run = function held(this: LoopTurns, work, ...args) {
          socket.destroy()
          closed.then(() => {
            run.call(this, work, ...args)
            setImmediate(resolve)
          })
        }
      })
      const closed = new Promise<void>(resolve => {
        to.server.on('connection', connection => connection.on('close', () => setImmediate(resolve)))
      })
      socket.write(`POST /confluent/topics/t HTTP/1.1\r\n${head}\r\n\r\n${long}`)
      await isRead
    } finally {
      LoopTurns.prototype.run = run
      socket.destroy()
    }
    expect([charged, verbs.calls.length]).to.deep.equal([[0, long.length], 0])
  })

  it('is read in turns also where it is shorter and has many records', async () => {
    const to = await serve(CASES[0]!)
    const many = `{"records":[${Array(3_000).fill('{}').join()}]}`
    const works: unknown[] = []
    const run = LoopTurns.prototype.run
    LoopTurns.prototype.run = function counted(this: LoopTurns, ...args) {
      works.push(args)
      return run.apply(this, args)
    }
    try {
      const post = (payload: string) =>
        to.inject({ method: 'POST', url: '/confluent/topics/t', headers: { 'content-type': JSON_TYPE }, payload })
      expect((await post(listOf(['a', 'b']))).statusCode).to.equal(200)
      expect(works).to.have.length(0)
      expect((await post(many)).statusCode).to.equal(200)
      // Its reading, and its answer.
      expect(works.length).to.be.above(1)
      expect(verbs.calls.map(({ records }) => records.length)).to.deep.equal([2, 3_000])
    } finally {
      LoopTurns.prototype.run = run
    }
  })
})

describe('the turns of a long request', () => {
  let nowMs: number
  let response: { destroyed: boolean }
  let turns: RequestTurns
  let bugs: unknown[]
  /** Turns on the connection that have ended. */
  let ended: number
  beforeEach(() => {
    nowMs = 1_000
    response = { destroyed: false }
    ended = 0
    const exchange = { request: { endTurn: () => ended++ }, response } as unknown as Exchange
    bugs = []
    const loop = new LoopTurns({ costPerTick: 1, costPerTickAlone: 1 })
    turns = new RequestTurns(exchange, contextFor(new FakeVerbs(), {}, { turns: loop, clock: () => nowMs }), error =>
      bugs.push(error)
    )
  })

  function* work(): Generator<number, string> {
    yield 1
    yield 2
    return 'read'
  }

  it('end with its client', () => {
    const reading = turns.reading(50, work())
    expect(reading.next()).to.deep.equal({ done: false, value: 1 })
    response.destroyed = true
    expect(reading.next()).to.deep.equal({ done: true, value: undefined })
  })

  it('end with its time: it is refused as overloaded', () => {
    const reading = turns.reading(50, work())
    nowMs += 50
    expect(reading.next().value).to.equal(1)
    nowMs++
    expect(() => reading.next()).to.throw('the body could not be read in time')
  })

  it('pass what their work throws to the handler of bugs', async () => {
    const bug = new Error('a bug')
    turns.run(
      // biome-ignore lint/correctness/useYield: it fails before
      (function* (): Generator<number, void> {
        throw bug
      })()
    )
    await new Promise(resolve => setImmediate(resolve))
    expect(bugs).to.deep.equal([bug])
  })

  /** Work that takes two turns. */
  function* long(): Generator<number, void> {
    yield 1
    yield 1
  }

  it('let the next request of the connection begin when all records were handed on, and what was begun for them has ended', async () => {
    turns.run(long())
    turns.run(long())
    turns.handedOn()
    expect(ended).to.equal(0)
    await ticks(10)
    expect(ended).to.equal(1)
  })

  it('do not let it begin at the end of reading where the records come later', async () => {
    turns.run(long())
    await ticks(10)
    expect(ended).to.equal(0)
    turns.run(long())
    turns.handedOn()
    expect(ended).to.equal(0)
    await ticks(10)
    expect(ended).to.equal(1)
  })
})
