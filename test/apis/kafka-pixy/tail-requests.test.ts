import { expect } from 'chai'
import { CastellanError, ForbiddenError, InvalidRequestError, OverloadedError } from '../../../src/core/errors.js'
import type { FollowOptions, FollowSink, ReadSubscription } from '../../../src/verbs/verbs.js'
import { checkRows } from '../../support/rows.js'
import { turns } from '../../support/ticks.js'
import { errorOf, PixyPlay, PlayedVerbs, type Said } from './play.js'

/** Tails of it begin when the test says so. */
class FollowVerbs extends PlayedVerbs {
  readonly followed: { topic: string; options: FollowOptions; sink: FollowSink }[] = []
  readonly stopped: string[] = []
  error: Error | undefined

  override async follow(
    ...asked: [topic?: string, options?: FollowOptions, sink?: FollowSink]
  ): Promise<ReadSubscription> {
    const [topic, options, sink] = asked as Required<typeof asked>
    this.followed.push({ topic: topic!, options: options!, sink: sink! })
    if (this.error !== undefined) throw this.error
    return { resume: () => undefined, stop: () => void this.stopped.push(topic!) }
  }
}

describe('pixy: a request for a tail', () => {
  let verbs: FollowVerbs
  const start = (settings: object = {}): Promise<PixyPlay> => {
    verbs = new FollowVerbs()
    return PixyPlay.start(settings, { verbs })
  }
  const ask = (pixy: PixyPlay, query = '', headers = {}): Promise<Said> =>
    pixy.ask('GET', `/topics/t/tail${query}`, undefined, headers)
  const openTails = (pixy: PixyPlay): Promise<string | undefined> => pixy.metric('kafka_pixy_open_tails')

  const asked: [query: string, lastId: string | undefined, options: object][] = [
    ['', undefined, {}],
    ['?from=latest&partition=2', '', { partitions: [2] }],
    ['?from=earliest&partition=1,3&partition=10', undefined, { from: 'earliest', partitions: [1, 3, 10] }],
    [
      '?from=latest',
      '0:17,3:4',
      {
        from: 'earliest',
        positions: [
          [0, 17],
          [3, 4]
        ]
      }
    ]
  ]
  for (const [query, lastId, options] of asked) {
    it(`says where to begin: ${query} ${lastId ?? ''}`, async () => {
      const pixy = await start()
      const answered = ask(pixy, query, lastId === undefined ? {} : { 'last-event-id': lastId })
      while (verbs.followed.length === 0) await turns(1)
      const [{ topic, options: given }] = verbs.followed as [FollowVerbs['followed'][0]]
      const defaults = { partitions: undefined, from: 'latest', positions: [], maxPartitions: 200, timeoutMs: 10_000 }
      expect({ ...given, positions: [...given.positions] }).to.deep.equal({ ...defaults, ...options })
      expect([topic, await openTails(pixy)]).to.deep.equal(['t', '1'])
      await pixy.drain()
      const said = await answered
      expect([errorOf(said), said.headers['retry-after']]).to.deep.equal(['503 service is shutting down', '1'])
      expect(verbs.stopped).to.include('t')
      while ((await openTails(pixy)) !== '0') await turns(1)
      expect(errorOf(await ask(pixy, query))).to.equal('503 service is shutting down')
      expect(verbs.followed).to.have.length(1)
    })
  }

  const wrong: [query: string, headers: object, error: string][] = [
    ['?from=now', {}, 'from should be latest or earliest'],
    ['?from=', {}, 'from should be latest or earliest'],
    ['?partition=x', {}, 'bad partition: x'],
    ['?partition=', {}, 'bad partition: '],
    ['?partition=1,', {}, 'bad partition: 1,'],
    ['?partition=-1', {}, 'bad partition: -1'],
    ['?partition=12345678901', {}, 'bad partition: 12345678901'],
    ['?partition=1&partition=%C3%BC', {}, 'bad partition: 1,ü'],
    ['?partition=1x', {}, 'bad partition: 1x'],
    ['?partition=x1', {}, 'bad partition: x1'],
    ['', { 'last-event-id': '0:1,' }, 'bad Last-Event-ID'],
    ['', { 'last-event-id': ['0:1', '1:2x'] }, 'bad Last-Event-ID']
  ]
  it('a request with a wrong parameter is refused, and follows nothing', () =>
    checkRows(wrong, async ([query, headers, error]) => {
      const pixy = await start({ consumerDisabled: true })
      pixy.access.refusal = new ForbiddenError('not you')
      const said = await ask(pixy, query, headers)
      expect([errorOf(said), said.headers.connection]).to.deep.equal([`400 ${error}`, 'keep-alive'])
      expect(verbs.followed).to.deep.equal([])
    }))

  it('needs the permission to consume the topic, and that consumers are not switched off', async () => {
    const pixy = await start({ consumerDisabled: true })
    expect(errorOf(await ask(pixy))).to.equal('503 service is disabled by configuration')
    pixy.access.refusal = new ForbiddenError('not you')
    const said = await ask(pixy)
    expect([errorOf(said), said.headers.connection]).to.deep.equal(['403 not you', 'keep-alive'])
    expect(pixy.access.asked).to.deep.equal([1, 2].map(() => ['consume', { topic: 't' }]))
    expect(verbs.followed).to.deep.equal([])
  })

  it('a tail beyond 100 is refused with 429, and the limit', async () => {
    const pixy = await start()
    const answered = Array.from({ length: 100 }, () => ask(pixy))
    while (verbs.followed.length < 100) await turns(1)
    // One that is not refused is not answered either.
    const said = await Promise.race([ask(pixy), turns(1_000).then(() => expect.fail('it is not refused'))])
    expect([errorOf(said), said.headers['retry-after']]).to.deep.equal(['429 too many tails (limit 100)', '1'])
    await pixy.drain()
    await Promise.all(answered)
  })

  it('a tail that cannot begin is answered with the reason, and its place is free again', async () => {
    const pixy = await start()
    const errors: [error: Error, said: string][] = [
      [
        new CastellanError('unknownTopic', 'none', false),
        '404 kafka server: Request was for a topic or partition that does not exist on this broker.'
      ],
      [new InvalidRequestError('topic t has no partition 9', 'unknownPartition'), '400 topic t has no partition 9'],
      [new InvalidRequestError('too many to follow'), '400 too many to follow'],
      [new OverloadedError('full'), '503 full'],
      [new CastellanError('timedOut', 'too late', true), '500 too late'],
      [new Error('made up'), '500 internal error']
    ]
    for (const [error, said] of errors) {
      verbs.error = error
      expect(errorOf(await ask(pixy))).to.equal(said)
      expect(pixy.logged).to.have.length(said.includes('internal') ? 1 : 0)
    }
    verbs.isReady = false
    verbs.error = new CastellanError('timedOut', 'too late', true)
    expect(errorOf(await ask(pixy))).to.match(/^500 kafka: client has run out of available brokers/)
    while ((await openTails(pixy)) !== '0') await turns(1)
  })

  it('a tail that has begun ends without an error when the process stops, and sends what it has', async () => {
    const pixy = await start()
    const answered = ask(pixy, '?encoding=text')
    while (verbs.followed.length === 0) await turns(1)
    const { sink } = verbs.followed[0]!
    sink.begins(new Map([[0, 5]]))
    sink.take(0, { offset: 4, timestampMs: 0, key: null, value: Buffer.alloc(3, 'v'), headers: [] })
    await pixy.drain()
    const said = await answered
    expect(said.status).to.equal(200)
    expect(said.body).to.equal(
      'retry: 1000\nid: 0:5\n\nid: 0:5\ndata: {"key":null,"value":"vvv","partition":0,"offset":4,"headers":[]}\n\n'
    )
    expect(pixy.access.charged).to.deep.equal([[1, 3]])
  })
})
