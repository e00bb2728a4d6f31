import { expect } from 'chai'
import { queuesOperations } from '../../../src/apis/queues/routes.js'
import { HEADER_OBJECT_BYTES } from '../../../src/core/bytes.js'
import { ForbiddenError, OverloadedError, QuotaExceededError } from '../../../src/core/errors.js'
import { nextTick } from '../../../src/core/portions.js'
import { type HeldRecords, RecordBudget } from '../../../src/core/record-budget.js'
import { SchemaError } from '../../../src/schemas/schema-error.js'
import { type AcquireResult, NOTHING_TO_SETTLE, type QueueMessage } from '../../../src/verbs/verbs.js'
import { failure } from '../../support/fake-verbs.js'
import { PlayedAccess } from '../kafka-pixy/play.js'
import { acquired, message, QueuesPlay, type Scene } from './stage.js'

const ACQUIRE = '/orders/workers/acquire'
const BYTES = { accept: 'application/octet-stream' }
const DEFAULTS = { count: 1, waitMs: 20_000, maxBytes: 1_048_576, lockMs: undefined, start: undefined }

describe('queues: a request to acquire messages', () => {
  let play: QueuesPlay
  const open = async (scene?: Scene): Promise<void> => {
    play = await QueuesPlay.open(scene)
  }
  const messagesOf = async (body: object, ...messages: QueueMessage[]): Promise<Record<string, unknown>[]> => {
    play.queues.result = acquired(...messages)
    const answer = await play.ask('POST', ACQUIRE, body)
    expect(answer.status).to.equal(200)
    return (JSON.parse(answer.body) as { messages: Record<string, unknown>[] }).messages
  }
  afterEach(() => play.close())

  it('without a body has the defaults, and gets an empty list when there is nothing', async () => {
    await open()
    const answer = await play.ask('POST', ACQUIRE)
    expect([answer.status, answer.headers['content-type'], answer.body]).to.deep.equal([
      200,
      'application/json',
      '{"messages":[]}'
    ])
    const [asked] = play.queues.asked
    expect(asked).to.deep.equal([
      'acquire',
      'orders',
      'workers',
      { ...DEFAULTS, client: 'address 127.0.0.1', mayAlter: ['orders'] }
    ])
  })

  it('asks for what it says, whatever its content type', async () => {
    await open()
    const body = { count: 500, waitMs: 0, maxBytes: 1, lockMs: 15_000, start: 'PT1H' }
    const headers = { 'content-type': 'application/x-www-form-urlencoded' }
    expect((await play.ask('POST', '/a%2Fb/c%20d/acquire', body, headers)).status).to.equal(200)
    const options = { ...body, client: 'address 127.0.0.1', mayAlter: ['a/b'] }
    expect(play.queues.asked).to.deep.equal([['acquire', 'a/b', 'c d', options]])
  })

  it('gets its messages with all that is known of them', async () => {
    await open()
    const headers = [
      { key: 'trace', value: Buffer.from('é') },
      { key: 'none', value: null }
    ]
    const one = message('T1', { key: Buffer.from([255]), headers })
    const two = { ...message('T2', { value: null }), lastDelivery: undefined }
    const given = await messagesOf({ count: 2 }, one, two)
    for (const { lockMs } of given) expect(lockMs).to.be.within(29_000, 30_000)
    expect(given.map(({ lockMs: _, ...rest }) => rest)).to.deep.equal([
      {
        token: 'T1',
        partition: 3,
        offset: 7,
        timestamp: 1_700_000_000_000,
        key: '/w==',
        value: 'aGVsbG8=',
        headers: [
          { key: 'trace', value: 'w6k=' },
          { key: 'none', value: null }
        ],
        deliveryCount: 2,
        lastDelivery: false
      },
      {
        token: 'T2',
        partition: 3,
        offset: 7,
        timestamp: 1_700_000_000_000,
        key: null,
        value: null,
        headers: [],
        deliveryCount: 2
      }
    ])
  })

  it('as text leaves in base64 what is not UTF-8, and says so of each part', async () => {
    await open()
    const bad = Buffer.from([255])
    const headers = [
      { key: 'a', value: Buffer.from('"é"') },
      { key: 'b', value: bad }
    ]
    const [first, second] = await messagesOf(
      { encoding: 'text' },
      message('T1', { key: Buffer.from('k'), value: bad, headers }),
      message('T2')
    )
    expect([first!.key, first!.value, first!.headers, first!.undecodable]).to.deep.equal([
      'k',
      '/w==',
      [
        { key: 'a', value: '"é"' },
        { key: 'b', value: '/w==' }
      ],
      'value: the bytes are not UTF-8; header b: the bytes are not UTF-8'
    ])
    const many = Array.from({ length: 1_000 }, (_, at) => ({ key: `h${at}`, value: bad }))
    const [third] = await messagesOf({ encoding: 'text' }, message('T3', { headers: many }))
    expect(String(third!.undecodable).split('; ')).to.have.length(10)
    expect([second!.value, second]).to.satisfy(
      ([value, all]: [unknown, object]) => value === 'hello' && !('undecodable' in all)
    )
  })

  it('by schema is answered whatever the registry does: what cannot be decoded stays in base64', async () => {
    const framed = (id: number): Buffer => Buffer.from([0, 0, 0, 0, id, 1])
    const away = new SchemaError('registryUnreachable', 'the registry does not answer')
    const schemas = {
      decode: async () => {
        throw away
      },
      // As the real ones: the list ends at the first payload about which the registry cannot be asked.
      decodeEach: async (all: readonly { readonly bytes: Uint8Array }[]) => {
        const outcomes = all.map(({ bytes }) => {
          if (bytes[4] === 1) return { type: 'decoded', format: 'AVRO', id: 1, json: '{"big":9007199254740993}' }
          return bytes[4] === 2 ? { type: 'undecodable', cause: 'there is no schema 2' } : away
        })
        const end = outcomes.indexOf(away)
        return end < 0 ? outcomes : outcomes.slice(0, end + 1)
      }
    }
    await open({ schemas } as never)
    play.queues.result = acquired(
      ...[1, 2, 3, 1].map(id => message(`T${id}`, { key: Buffer.from('k'), value: framed(id) }))
    )
    const { body } = await play.ask('POST', ACQUIRE, { count: 4, encoding: 'schema' })
    expect(body.match(/"value":\{"big":9007199254740993\}/g)).to.have.length(2)
    const { messages } = JSON.parse(body) as { messages: Record<string, string>[] }
    expect(messages.map(({ undecodable }) => undecodable)).to.deep.equal([
      undefined,
      'value: there is no schema 2',
      'value: the registry does not answer',
      undefined
    ])
    expect(messages.map(({ key }) => key)).to.deep.equal(['k', 'k', 'k', 'k'])
    expect([messages[1]!.value, messages[2]!.value]).to.deep.equal([2, 3].map(id => framed(id).toString('base64')))
  })

  it('by schema is answered in base64 when there is no capacity for the work, or no time', async () => {
    const overloaded = async (): Promise<never> => {
      throw new OverloadedError('too much work')
    }
    const never = (): Promise<never> => new Promise(() => undefined)
    let nowMs = 0
    const clock = (): number => (nowMs += 5_001)
    for (const [decodeEach, why] of [
      [overloaded, 'too much work'],
      [never, 'decoding takes too long']
    ] as const) {
      await open({ schemas: { decodeEach, decode: decodeEach }, clock } as never)
      const given = await messagesOf({ count: 2, encoding: 'schema' }, message('T1'), message('T2'))
      expect(given.map(({ value, undecodable }) => [value, undecodable])).to.deep.equal([
        ['aGVsbG8=', why],
        ['aGVsbG8=', why]
      ])
      if (decodeEach === overloaded) await play.close()
    }
  })

  it('in bytes gets one value, and all else in headers', async () => {
    await open()
    play.queues.result = acquired({ ...message('TOKEN', { key: Buffer.from('k') }), lastDelivery: true })
    const { status, headers, body } = await play.ask('POST', '/a%2Fb/c%20d/acquire', undefined, BYTES)
    const lockMs = headers['x-castellan-lock-ms']
    expect(Number(lockMs)).to.be.within(20_000, 30_000)
    expect([status, headers['content-type'], body]).to.deep.equal([200, 'application/octet-stream', 'hello'])
    expect(headers.location).to.equal('/queues/a%2Fb/c%20d/messages/TOKEN')
    const own = Object.entries(headers).filter(([name]) => name.startsWith('x-castellan-'))
    expect(Object.fromEntries(own)).to.deep.equal({
      'x-castellan-token': 'TOKEN',
      'x-castellan-delivery-count': '2',
      'x-castellan-lock-ms': lockMs,
      'x-castellan-partition': '3',
      'x-castellan-offset': '7',
      'x-castellan-key': 'aw==',
      'x-castellan-last-delivery': 'true'
    })
    const described = queuesOperations.find(({ id }) => id === 'acquire')!.answers[200]!.headers
    expect(described).to.include.keys('location', ...own.map(([name]) => name))
  })

  it('in bytes tells no message, no value and a long key apart', async () => {
    await open()
    expect((await play.ask('POST', ACQUIRE, {}, BYTES)).status).to.equal(204)
    const both = { accept: 'application/octet-stream, application/json' }
    expect((await play.ask('POST', ACQUIRE, { count: 2 }, both)).body).to.equal('{"messages":[]}')
    play.queues.result = acquired(message('T', { value: null, key: Buffer.alloc(6_145) }))
    const { status, headers, body } = await play.ask('POST', ACQUIRE, {}, BYTES)
    expect([status, body, headers['x-castellan-null']]).to.deep.equal([200, '', 'value'])
    expect(headers).not.to.have.property('x-castellan-key')
    expect(headers['x-castellan-warning']).to.match(/the key of 6145 bytes is left out/)
  })

  const accepted: [accept: string, gets: 'bytes' | 'json'][] = [
    ['application/octet-stream', 'bytes'],
    ['Application/Octet-Stream; q=0.5', 'bytes'],
    ['application/octet-stream, */*', 'bytes'],
    ['application/octet-stream, */*;q=0.1', 'bytes'],
    ['application/octet-stream;q=0.9, application/json;q=0.1', 'bytes'],
    ['application/octet-stream;q=0.9, */*, application/json;q=0.1', 'bytes'],
    // Generated clients accept all types that are described.
    ['application/octet-stream, application/json', 'json'],
    ['application/octet-stream;q=0.9, application/json', 'json'],
    ['application/octet-stream;q=0.9, */*', 'json'],
    ['application/octet-stream;q=0.9, application/*', 'json'],
    ['application/octet-stream;q=0, text/plain', 'json'],
    ['application/octet-streams', 'json'],
    ['text/plain', 'json'],
    ['*/*', 'json'],
    ['', 'json']
  ]
  for (const [accept, gets] of accepted)
    it(`gets ${gets} where it accepts "${accept}"`, async () => {
      await open()
      expect((await play.ask('POST', ACQUIRE, {}, { accept })).status).to.equal(gets === 'bytes' ? 204 : 200)
    })

  it('names its cluster in the path, and the place of its message names it too', async () => {
    await open()
    play.queues.result = acquired(message('T'))
    const { headers } = await play.ask('POST', `/clusters/default${ACQUIRE}`, {}, BYTES)
    expect(headers.location).to.equal('/queues/clusters/default/orders/workers/messages/T')
    expect(await play.problem('POST', `/clusters/other${ACQUIRE}`)).to.deep.equal([
      404,
      'invalidRequest',
      'there is no such cluster'
    ])
  })

  const wrong: [body: string | object, detail: RegExp, headers?: Record<string, string>][] = [
    ['{', /^the body is not JSON: EOF while parsing an object at line 1 column 1$/],
    ['[]', /expected object/],
    [{ max: 1 }, /^the body has no member "max"$/],
    [{ count: 0 }, /^count: /],
    [{ count: 501 }, /^count: /],
    [{ waitMs: 60_001 }, /^waitMs: /],
    [{ maxBytes: 0 }, /^maxBytes: /],
    [{ lockMs: 14_999 }, /^lockMs: /],
    [{ lockMs: 3_600_001 }, /^lockMs: must be at most 3600000 \(queues\.maxLockMs\)$/],
    [{ encoding: 'hex' }, /^encoding: /],
    [{ encoding: 'schema' }, /needs a schema registry.*\(schemas\.registry\.urls\)/],
    ...['now', 'P', 'PT', 'P1DT', '-PT1H', 'P1Y'].map((start): [object, RegExp] => [{ start }, /^start: /]),
    [{ settle: { accept: ['a'], reject: ['a'] } }, /^settle: a token is there twice$/],
    [{ settle: { delayMs: 3_600_001 } }, /^delayMs: must be at most 3600000/],
    ...[{ count: 2 }, { encoding: 'text' }, { settle: {} }].map((body): [object, RegExp, Record<string, string>] => [
      body,
      /^count, encoding and settle are for answers in JSON/,
      BYTES
    ])
  ]
  it('may have null members, which are the same as absent ones', async () => {
    await open()
    const nulls = { count: null, waitMs: null, maxBytes: null, lockMs: null, encoding: null, start: null, settle: null }
    expect((await play.ask('POST', ACQUIRE, nulls)).status).to.equal(200)
    const settle = { accept: null, release: null, reject: null, renew: null, delayMs: null }
    expect((await play.ask('POST', ACQUIRE, { settle })).status).to.equal(200)
    const asked = ['acquire', 'orders', 'workers', { ...DEFAULTS, client: 'address 127.0.0.1', mayAlter: ['orders'] }]
    const whole = NOTHING_TO_SETTLE
    expect(play.queues.asked).to.deep.equal([asked, ['settle', 'orders', 'workers', whole, 'address 127.0.0.1'], asked])
    for (const wrong of [{ limit: null }, { settle: { acks: null } }, null, [null], { settle: { accept: [null] } }])
      expect((await play.problem('POST', ACQUIRE, JSON.stringify(wrong)))[0], JSON.stringify(wrong)).to.equal(400)
  })

  it('that is wrong is told what is wrong, and takes nothing', async () => {
    await open()
    for (const [body, detail, headers] of wrong) {
      const [status, code, text] = await play.problem('POST', ACQUIRE, body, headers)
      expect([status, code], JSON.stringify(body)).to.deep.equal([400, 'invalidRequest'])
      expect(text, JSON.stringify(body)).to.match(detail)
    }
    const tooLarge = [
      413,
      'recordTooLarge',
      'the body is larger than 262144 bytes, or than apis.queues.maxBodyBytes where that is less'
    ]
    expect(await play.problem('POST', ACQUIRE, ' '.repeat(262_145))).to.deep.equal(tooLarge)
    expect((await play.problem('POST', '//workers/acquire'))[0]).to.equal(400)
    expect(play.queues.asked).to.deep.equal([])
  })

  const failures: [result: AcquireResult, status: number, code: string, retryAfter?: string][] = [
    [failure('unknownTopic'), 404, 'unknownTopic'],
    [failure('invalidTopic', 17), 400, 'invalidTopic'],
    [failure('notAuthorized', 29), 403, 'notAuthorized'],
    [failure('notAuthorized', 30), 403, 'notAuthorized'],
    [failure('forbidden'), 403, 'forbidden'],
    [failure('kafka', 69), 409, 'kafka'],
    [failure('kafka', 23), 409, 'kafka'],
    [failure('quotaExceeded'), 429, 'quotaExceeded', '1'],
    [failure('kafka', 35), 501, 'kafka'],
    [failure('kafka', 42), 502, 'kafka'],
    [failure('overloaded'), 503, 'overloaded', '1'],
    [failure('kafka', 81), 503, 'kafka', '1'],
    [failure('kafka', 133), 503, 'kafka', '1'],
    [failure('shuttingDown'), 503, 'shuttingDown', '1'],
    [failure('noLeader'), 503, 'noLeader', '1'],
    [failure('brokerUnreachable'), 503, 'brokerUnreachable', '1'],
    [failure('timedOut'), 504, 'timedOut']
  ]
  it('counts what headers take in memory until its answer has left', async () => {
    const counted: number[] = []
    class Watched extends RecordBudget {
      override hold(bytes: number, client?: string): HeldRecords {
        counted.push(bytes)
        return super.hold(bytes, client)
      }
    }
    await open({ records: new Watched(1_000_000, () => 0) })
    const headers = [0, 1, 2].map(() => ({ key: '', value: null }))
    await messagesOf({}, message('a', { value: null, headers }))
    expect(counted).to.deep.equal([3 * HEADER_OBJECT_BYTES])
  })

  it('gets fewer messages where their JSON becomes too large, and the others go to the next one', async () => {
    const access = new PlayedAccess()
    await open({ access })
    const value = Buffer.alloc(1024 * 1024, 1)
    const tokens = ['T1', 'T2', 'T3', 'T4']
    const all = tokens.map(token => message(token, { value }))
    const given = await messagesOf({ count: 4, encoding: 'text' }, ...all)
    expect(given.map(({ token }) => token)).to.deep.equal(['T1'])
    expect(play.queues.asked.slice(1)).to.deep.equal([['unseen', 'T2', 'T3', 'T4']])
    expect(access.charged.at(-1)).to.deep.equal([1, value.length])
    expect(await messagesOf({ count: 4, maxBytes: 4 * value.length }, ...all), 'in base64').to.have.length(4)
  })

  it('that fails is told why, in JSON and in bytes', async () => {
    await open()
    for (const [result, status, code, retryAfter] of failures) {
      for (const headers of [{}, BYTES] as Record<string, string>[]) {
        play.queues.result = result
        const answer = await play.ask('POST', ACQUIRE, {}, headers)
        const { errorCode: ofKafka } = result as { errorCode?: number }
        const problem = JSON.parse(answer.body) as Record<string, unknown>
        expect([answer.status, problem.code, problem.errorCode, answer.headers['retry-after']]).to.deep.equal([
          status,
          code,
          ofKafka,
          retryAfter
        ])
        expect(answer.headers['content-type']).to.equal('application/problem+json')
        expect(answer.headers).not.to.have.property('x-castellan-persisted')
      }
    }
  })

  it('settles before it acquires, and tells both, also when the second fails', async () => {
    await open()
    play.queues.results = [{ token: 'A', outcome: 'lost' }]
    const settle = { accept: ['A'] }
    const { body } = await play.ask('POST', ACQUIRE, { settle })
    expect(JSON.parse(body)).to.deep.equal({ messages: [], settled: [{ token: 'A', outcome: 'lost' }] })
    const whole = { ...NOTHING_TO_SETTLE, accept: ['A'] }
    expect(play.queues.asked.slice(0, 2)).to.deep.equal([
      ['settle', 'orders', 'workers', whole, 'address 127.0.0.1'],
      ['acquire', 'orders', 'workers', { ...DEFAULTS, client: 'address 127.0.0.1', mayAlter: ['orders'] }]
    ])
    play.queues.result = failure('noLeader')
    const failed = await play.ask('POST', ACQUIRE, { settle })
    expect([failed.status, JSON.parse(failed.body).settled]).to.deep.equal([503, [{ token: 'A', outcome: 'lost' }]])
  })

  it('tells what is left of a lock that was renewed before when its own answer is written', async () => {
    let now = 1_000
    play = await QueuesPlay.open({ clock: () => now } as never)
    play.queues.results = [{ token: 'A', outcome: 'done', lockEndsAt: now + 20_000 }]
    for (const [result, leftMs] of [
      [acquired(), 5_000],
      [failure('noLeader'), 0]
    ] as const) {
      play.queues.result = 'none'
      const asked = play.queues.next().then(() => play.queues.next())
      const answer = play.ask('POST', ACQUIRE, { settle: { renew: ['A'] } })
      await asked
      now += 15_000
      play.queues.reply(result)
      expect(JSON.parse((await answer).body).settled).to.deep.equal([{ token: 'A', outcome: 'done', lockMs: leftMs }])
    }
  })

  it('meets a bug, and is answered, also behind a settlement', async () => {
    await open()
    play.queues.acquire = () => {
      throw new Error('made up')
    }
    for (const body of [{}, { settle: {} }]) {
      expect(await play.problem('POST', ACQUIRE, body)).to.deep.equal([500, 'protocol', 'internal error'])
    }
  })

  it('is asked for its rights with topic and group, and charged for what it got', async () => {
    const access = new PlayedAccess()
    access.allows = operation => operation !== 'alter'
    await open({ access })
    play.queues.result = acquired(message('T1', { key: Buffer.from('k') }), message('T2'))
    expect((await play.ask('POST', ACQUIRE, { count: 2 })).status).to.equal(200)
    expect(access.asked).to.deep.equal([['consume', { topic: 'orders', group: 'workers' }]])
    expect(access.charged).to.deep.equal([
      [0, 11],
      [2, 11]
    ])
    access.quota = new QuotaExceededError('too much', 1)
    expect(await play.problem('POST', ACQUIRE)).to.deep.equal([429, 'quotaExceeded', 'too much'])
    access.quota = undefined
    expect(play.queues.asked).to.have.length(1)
    expect((play.queues.asked[0] as [unknown, unknown, unknown, object])[3]).to.deep.include({ mayAlter: [] })
    access.refusal = new ForbiddenError('not you')
    const asked = play.queues.asked.length
    expect(await play.problem('POST', ACQUIRE)).to.deep.equal([403, 'forbidden', 'not you'])
    expect(play.queues.asked).to.have.length(asked)
  })

  it('that makes a share group is in the audit log', async () => {
    const access = new PlayedAccess()
    await open({ access })
    play.queues.result = { type: 'acquired', messages: [], isNewGroup: true }
    await play.ask('POST', ACQUIRE)
    expect(access.created).to.deep.equal([{ topic: 'orders', group: 'workers' }])
  })
})

describe('queues: a client that waits for messages', () => {
  let play: QueuesPlay
  beforeEach(async () => {
    play = await QueuesPlay.open()
    play.queues.result = 'none'
  })
  afterEach(() => play.close())
  /** A request that has come to the queues. */
  const waiting = async (body: object = {}): Promise<ReturnType<QueuesPlay['send']>> => {
    const asked = play.queues.next()
    const sent = play.send('POST', ACQUIRE, body)
    await asked
    return sent
  }

  it('gets what comes', async () => {
    const asked = play.queues.next()
    const answer = play.ask('POST', ACQUIRE)
    await asked
    play.queues.reply(acquired(message('T')))
    expect((await answer).body).to.match(/"token":"T"/)
  })

  it('and leaves, is given up; what was on its way goes to the next one', async () => {
    const sent = await waiting()
    const cancelled = play.queues.next()
    sent.destroy()
    expect(await cancelled).to.equal('cancelled')
    play.queues.reply(acquired(message('T')))
    expect(play.queues.asked.at(-1)).to.deep.equal(['unseen', 'T'])
    // An empty list, or a failure, is nobody's.
    play.queues.reply(acquired())
    expect(play.queues.asked).to.have.length(3)
  })

  it('and leaves while its messages are decoded, has not seen them', async () => {
    await play.close()
    let fail: (error: Error) => void = () => undefined
    const decoded = new Promise<never>((_, reject) => (fail = reject))
    play = await QueuesPlay.open({ schemas: { decodeEach: () => decoded } } as never)
    play.queues.result = acquired(message('T'))
    const sent = await waiting({ encoding: 'schema' })
    const told = play.queues.next()
    sent.destroy()
    expect(await told).to.deep.equal(['unseen', 'T'])
    fail(new SchemaError('registryUnreachable', 'too late'))
    expect(play.queues.asked).to.have.length(2)
  })

  it('is told what is left of a lock when its messages are decoded, and gets none whose lock is over by then', async () => {
    await play.close()
    let now = 1_000
    let decode: () => void = () => undefined
    const decoding = new Promise<void>(resolve => (decode = resolve))
    const decodeEach = async (all: readonly unknown[]): Promise<unknown> => {
      await decoding
      return all.map(() => ({ type: 'undecodable', cause: 'there is no schema' }))
    }
    play = await QueuesPlay.open({ clock: () => now, schemas: { decodeEach } } as never)
    play.queues.result = 'none'
    const asked = play.queues.next()
    const answer = play.ask('POST', ACQUIRE, { count: 2, encoding: 'schema' })
    await asked
    play.queues.reply(
      acquired({ ...message('T'), lockEndsAt: now + 3_000 }, { ...message('U'), lockEndsAt: now + 30_000 })
    )
    now += 4_000
    const told = play.queues.next()
    decode()
    expect(await told).to.deep.equal(['unseen', 'T'])
    const { messages } = JSON.parse((await answer).body) as { messages: { token: string; lockMs: number }[] }
    expect(messages.map(({ token, lockMs }) => [token, lockMs])).to.deep.equal([['U', 26_000]])
  })

  it('and leaves while its messages are decoded, gives back none twice whose lock is over then', async () => {
    await play.close()
    let now = 1_000
    let decode: (all: unknown) => void = () => undefined
    const decoded = new Promise(resolve => (decode = resolve))
    play = await QueuesPlay.open({ clock: () => now, schemas: { decodeEach: () => decoded } } as never)
    play.queues.result = acquired({ ...message('T'), lockEndsAt: now + 3_000 })
    const sent = await waiting({ encoding: 'schema' })
    const told = play.queues.next()
    sent.destroy()
    expect(await told).to.deep.equal(['unseen', 'T'])
    now += 4_000
    decode([{ type: 'undecodable', cause: 'there is no schema' }])
    await nextTick()
    expect(play.queues.asked).to.have.length(2)
  })

  it('and leaves while its answer is written, has not seen its messages', async () => {
    const asked = play.queues.next()
    const sent = play.send('POST', ACQUIRE, {}, BYTES)
    await asked
    sent.on('response', response => response.destroy())
    const told = play.queues.next()
    // More than a connection takes that nobody reads.
    play.queues.reply(acquired(message('T', { value: Buffer.alloc(64 * 1024 * 1024) })))
    expect(await told).to.deep.equal(['unseen', 'T'])
    expect(play.queues.asked).to.have.length(2)
  })

  it('is answered without messages when the process stops, as are those that come then', async () => {
    const asked = play.queues.next()
    const answer = play.ask('POST', ACQUIRE)
    await asked
    await play.drain()
    expect((await answer).body).to.equal('{"messages":[]}')
    expect(play.queues.asked).to.deep.include('cancelled')
    play.queues.reply(acquired(message('T')))
    expect(play.queues.asked.at(-1)).to.deep.equal(['unseen', 'T'])
    expect((await play.ask('POST', ACQUIRE, {}, BYTES)).status).to.equal(204)
    expect(play.queues.asked).to.have.length(3)
  })

  it('is refused when it may not go on, and its messages go to the next one', async () => {
    await play.close()
    let refuse: (error: ForbiddenError) => void = () => undefined
    const access = new PlayedAccess()
    const callerOf = (): object => ({
      ...PlayedAccess.prototype.callerOf.call(access),
      watch: (_operation: string, _target: object, onRefused: typeof refuse) => {
        refuse = onRefused
      }
    })
    play = await QueuesPlay.open({ access: { callerOf } } as never)
    play.queues.result = 'none'
    const asked = play.queues.next()
    const answer = play.problem('POST', ACQUIRE)
    await asked
    refuse(new ForbiddenError('no longer'))
    expect(await answer).to.deep.equal([403, 'forbidden', 'no longer'])
    play.queues.reply(acquired(message('T')))
    expect(play.queues.asked.slice(1)).to.deep.equal(['cancelled', ['unseen', 'T']])
  })
})
