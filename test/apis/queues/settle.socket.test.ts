import { expect } from 'chai'
import { ForbiddenError } from '../../../src/core/errors.js'
import { NOTHING_TO_SETTLE, type TokenResult } from '../../../src/verbs/verbs.js'
import { PlayedAccess } from '../kafka-pixy/play.js'
import { QueuesPlay } from './stage.js'

const SETTLE = '/orders/workers/settle'
const MESSAGE = '/orders/workers/messages/TOKEN'
const CLIENT = 'address 127.0.0.1'

describe('queues: a request to settle messages', () => {
  let play: QueuesPlay
  beforeEach(async () => {
    play = await QueuesPlay.open()
  })
  afterEach(() => play.close())

  it('hands on its lists, and is answered 200 when all are done', async () => {
    const settled: TokenResult[] = [
      { token: 'a', outcome: 'done' },
      { token: 'b', outcome: 'done', reason: 'archived' }
    ]
    play.queues.results = [...settled, { token: 'd', outcome: 'done', lockEndsAt: performance.now() + 30_000 }]
    const body = { accept: ['a'], release: ['b'], reject: [], renew: ['d'], delayMs: 5_000 }
    const answer = await play.ask('POST', SETTLE, body)
    expect([answer.status, answer.headers['content-type']]).to.deep.equal([200, 'application/json'])
    const [a, b, { lockMs, ...d }] = JSON.parse(answer.body).results
    expect([a, b, d]).to.deep.equal([...settled, { token: 'd', outcome: 'done' }])
    expect(lockMs).to.be.within(20_000, 30_000)
    expect(play.queues.asked).to.deep.equal([['settle', 'orders', 'workers', body, CLIENT]])
  })

  it('is answered 207 when not all are done', async () => {
    const results: TokenResult[] = [
      { token: 'a', outcome: 'done' },
      { token: 'b', outcome: 'lost' },
      { token: 'c', outcome: 'unknown' },
      { token: 'd', outcome: 'elsewhere' },
      { token: 'e', outcome: 'invalid' },
      { token: 'f', outcome: 'failed', code: 30, reason: 'no' }
    ]
    play.queues.results = results
    const { status, body } = await play.ask('POST', SETTLE, { accept: results.map(({ token }) => token) })
    expect([status, JSON.parse(body)]).to.deep.equal([207, { results }])
  })

  it('without a body settles nothing', async () => {
    const { status, body } = await play.ask('POST', SETTLE)
    expect([status, body]).to.deep.equal([200, '{"results":[]}'])
    expect(play.queues.asked).to.deep.equal([['settle', 'orders', 'workers', NOTHING_TO_SETTLE, CLIENT]])
  })

  it('that is wrong settles nothing', async () => {
    const many = Array.from({ length: 501 }, (_, at) => `t${at}`)
    const wrong: [body: object | string, detail: RegExp][] = [
      [{ accept: ['a', 'a'] }, /^a token is there twice$/],
      [{ accept: ['a'], renew: ['a'] }, /^a token is there twice$/],
      [{ accept: many, release: many.map(token => `r${token}`) }, /^there are more than 1000 tokens$/],
      [{ accept: Array(60_000).fill('') }, /^"accept" has more than 1000 items$/],
      [{ accept: 'a' }, /^accept: /],
      [{ accept: [1] }, /^accept\.0: /],
      [{ delayMs: -1 }, /^delayMs: /],
      [{ delayMs: 3_600_001 }, /^delayMs: must be at most 3600000 \(queues\.maxLockMs\)$/],
      [{ acks: [] }, /^the body has no member "acks"$/]
    ]
    for (const [body, detail] of wrong) {
      const [status, code, text] = await play.problem('POST', SETTLE, body)
      expect([status, code], JSON.stringify(body)).to.deep.equal([400, 'invalidRequest'])
      expect(text).to.match(detail)
    }
    expect(play.queues.asked).to.deep.equal([])
    const accept = many.slice(1)
    const all = { ...NOTHING_TO_SETTLE, accept, release: accept.map(token => `r${token}`) }
    expect((await play.ask('POST', SETTLE, all)).status).to.equal(200)
  })

  it('meets a bug, and is answered', async () => {
    play.queues.results = new Error('made up')
    expect(await play.problem('POST', SETTLE)).to.deep.equal([500, 'protocol', 'internal error'])
  })
})

describe('queues: a request to accept one message', () => {
  let play: QueuesPlay
  const open = async (...given: Parameters<typeof QueuesPlay.open>): Promise<void> => {
    play = await QueuesPlay.open(...given)
  }
  afterEach(() => play.close())

  it('has an answer for each outcome', async () => {
    await open()
    const answers: [result: Omit<TokenResult, 'token'>, status: number, code?: string, retriable?: boolean][] = [
      [{ outcome: 'done' }, 204],
      [{ outcome: 'lost' }, 410, 'invalidRequest', false],
      [{ outcome: 'invalid' }, 404, 'invalidRequest', false],
      [{ outcome: 'unknown' }, 504, 'timedOut', true],
      [{ outcome: 'elsewhere' }, 503, 'overloaded', true],
      [{ outcome: 'failed', code: 42, reason: 'no' }, 502, 'kafka', false],
      [{ outcome: 'failed', code: 30 }, 403, 'notAuthorized', false]
    ]
    for (const [result, status, code, retriable] of answers) {
      play.queues.results = [{ token: 'TOKEN', ...result }]
      const answer = await play.ask('DELETE', MESSAGE)
      const problem = (answer.body === '' ? {} : JSON.parse(answer.body)) as Record<string, unknown>
      expect([answer.status, problem.code, problem.retriable], result.outcome).to.deep.equal([status, code, retriable])
      expect(answer.headers['retry-after']).to.equal(status === 503 ? '1' : undefined)
    }
    const accept = { ...NOTHING_TO_SETTLE, accept: ['TOKEN'] }
    expect(play.queues.asked[0]).to.deep.equal(['settle', 'orders', 'workers', accept, CLIENT])
  })

  it('with a lost token is not told that the message comes again: another word may have settled it', async () => {
    await open()
    play.queues.results = [{ token: 'TOKEN', outcome: 'lost' }]
    expect((await play.problem('DELETE', MESSAGE))[2]).to.equal(
      'the token counts no longer: the lock of the message is over, or the message is settled'
    )
  })

  it('at a gateway that cannot be asked is told that nothing is settled', async () => {
    await open()
    play.queues.results = [{ token: 'TOKEN', outcome: 'elsewhere' }]
    expect((await play.problem('DELETE', MESSAGE))[2]).to.equal(
      'the gateway that holds the message cannot be asked: this request settles nothing'
    )
  })

  it('may have a body, which means nothing', async () => {
    await open()
    play.queues.results = [{ token: 'TOKEN', outcome: 'done' }]
    expect((await play.ask('DELETE', MESSAGE, '{')).status).to.equal(204)
    const tooLarge = [413, 'recordTooLarge', 'the body is larger than 65536 bytes']
    expect(await play.problem('DELETE', MESSAGE, ' '.repeat(65_537))).to.deep.equal(tooLarge)
  })

  it('needs the right to consume, as settling has', async () => {
    const access = new PlayedAccess()
    access.refusal = new ForbiddenError('not you')
    await open({ access })
    for (const [method, path] of [
      ['DELETE', MESSAGE],
      ['POST', SETTLE]
    ] as const) {
      expect(await play.problem(method, path)).to.deep.equal([403, 'forbidden', 'not you'])
    }
    const asked = ['consume', { topic: 'orders', group: 'workers' }]
    expect([access.asked, play.queues.asked]).to.deep.equal([[asked, asked], []])
  })
})
