import { expect } from 'chai'
import { ForbiddenError, QuotaExceededError } from '../../../src/core/errors.js'
import type { ProduceRecord, RecordFailure } from '../../../src/core/model.js'
import type { Admission } from '../../../src/http/exchange/admission.js'
import { MODERN_TYPE } from '../../../src/http/exchange/modern-answers.js'
import type { PendingProduce, ProduceOptions } from '../../../src/verbs/verbs.js'
import { failure } from '../../support/fake-verbs.js'
import { checkRows } from '../../support/rows.js'
import { turns } from '../../support/ticks.js'
import { errorOf, PixyPlay, PlayedVerbs, type PlayOptions, type Said } from './play.js'

const TEXT = { 'content-type': 'text/plain' }
const FORM = { 'content-type': 'application/x-www-form-urlencoded' }
const PATH = '/topics/orders/messages'
const SYNC = `${PATH}?sync`
const TOO_LARGE = 'kafka server: Message was too large, server rejected it to avoid allocation error.'

const certainty = ({ headers }: Said): unknown => headers['x-castellan-persisted']
const isClosed = ({ headers }: Said): boolean => headers.connection === 'close'

/** Tickets are the test's. */
class PendingVerbs extends PlayedVerbs {
  readonly options: ProduceOptions[] = []
  pendingProduce: Partial<PendingProduce> | Error = {}

  override produce(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce {
    this.options.push(options)
    if (this.pendingProduce instanceof Error) throw this.pendingProduce
    return { ...super.produce(records, options), ...this.pendingProduce }
  }
}

const startWith = (
  pendingProduce: PendingVerbs['pendingProduce'],
  settings = {},
  options: PlayOptions = {}
): Promise<PixyPlay> => {
  const verbs = new PendingVerbs()
  verbs.pendingProduce = pendingProduce
  return PixyPlay.start(settings, { ...options, verbs })
}
const produce = (pixy: PixyPlay, path = SYNC, body: string | Buffer = 'm', headers: object = TEXT): Promise<Said> =>
  pixy.ask('POST', path, body, headers as Record<string, string>)

describe('pixy: who may produce', () => {
  it('is asked before the body is read, and the connection of who may not is closed', async () => {
    const pixy = await PixyPlay.start()
    pixy.access.refusal = new ForbiddenError('not this topic')
    const said = await produce(pixy, SYNC, 'm', { 'content-type': 'no/type' })
    expect([errorOf(said), certainty(said), isClosed(said)]).to.deep.equal(['403 not this topic', 'no', true])
    expect(pixy.access.asked).to.deep.equal([['produce', { topic: 'orders' }]])
    expect([pixy.verbs.calls, pixy.access.charged]).to.deep.equal([[], []])
  })

  it('is charged for a message and its bytes, and refused when the quota is used up', async () => {
    const pixy = await PixyPlay.start()
    expect((await produce(pixy, SYNC, 'hello')).status).to.equal(200)
    expect(pixy.access.charged).to.deep.equal([[1, 5]])
    pixy.access.quota = new QuotaExceededError('too much', 7)
    const said = await produce(pixy, SYNC, 'hello')
    expect([errorOf(said), certainty(said), isClosed(said)]).to.deep.equal(['429 too much', 'no', false])
    expect(said.headers['retry-after']).to.equal('7')
    expect(pixy.verbs.calls).to.have.length(1)
  })
})

describe('pixy: a request that brings no message', () => {
  it('pixy H46 H47: is refused without reading on where its type or length is wrong', async () => {
    const pixy = await PixyPlay.start()
    const said = [
      await produce(pixy, SYNC, 'm', { 'content-type': 'text/html' }),
      await produce(pixy, SYNC, 'm', {}),
      await pixy.ask('POST', SYNC, undefined, TEXT)
    ]
    expect(said.map(errorOf)).to.deep.equal([
      '400 unsupported content type text/html',
      '400 unsupported content type ',
      '400 missing Content-Length header'
    ])
    for (const one of said) expect([isClosed(one), certainty(one)]).to.deep.equal([true, 'no'])
    expect(errorOf(await pixy.ask('POST', SYNC, undefined, FORM))).to.equal('400 empty message')
  })

  it('is told by a header which content type it has to send, in place of the one that curl sends by itself', async () => {
    const pixy = await PixyPlay.start({ maxBodyBytes: 1_000_000 })
    const html = { 'content-type': 'text/html' }
    for (const [body, headers] of [
      ['hello', FORM],
      ['hello', html],
      [`msg=${'x'.repeat(2_000_000)}`, FORM]
    ] as const) {
      const said = await produce(pixy, SYNC, body, headers)
      expect(said.status).to.equal(400)
      expect(said.headers['x-castellan-warning']).to.match(
        /^send the message with the header content-type: text\/plain/
      )
    }
  })

  it('keeps its connection where the body has been read', async () => {
    const pixy = await PixyPlay.start()
    const said = [
      await produce(pixy, SYNC, 'message=m', FORM),
      await produce(pixy, SYNC, 'm', { ...TEXT, 'x-kafka-foo': '!' })
    ]
    expect(said.map(errorOf)).to.deep.equal([
      '400 empty message',
      '400 Invalid base64 encoding for header: X-Kafka-Foo'
    ])
    for (const one of said) expect([isClosed(one), certainty(one)]).to.deep.equal([false, 'no'])
    expect(pixy.verbs.calls).to.deep.equal([])
  })

  it('is refused where its body is larger than the limit of the API', async () => {
    const pixy = await PixyPlay.start({ maxBodyBytes: 10 })
    expect((await produce(pixy, SYNC, 'x'.repeat(10))).status).to.equal(200)
    const larger = await produce(pixy, SYNC, 'x'.repeat(11))
    expect([errorOf(larger), isClosed(larger), certainty(larger)]).to.deep.equal([`413 ${TOO_LARGE}`, true, 'no'])
    expect(larger.headers['x-castellan-warning'], 'whose limit it is').to.match(/10 bytes.*kafka-pixy\.maxBodyBytes/)
    const form = await produce(pixy, SYNC, `msg=${'x'.repeat(7)}`, FORM)
    expect([errorOf(form), isClosed(form), certainty(form)]).to.deep.equal(['400 empty message', true, 'no'])
    expect((await produce(pixy, SYNC, `msg=${'x'.repeat(6)}`, FORM)).status).to.equal(200)
    const ack = `/topics/t/acks?group=g&partition=0&offset=0`
    expect((await produce(pixy, ack, 'x'.repeat(10))).body).to.equal('{}')
    const ofAck = await produce(pixy, ack, 'x'.repeat(11))
    expect([errorOf(ofAck), isClosed(ofAck), certainty(ofAck)]).to.deep.equal([
      '413 the body is too large',
      true,
      undefined
    ])
  })
})

describe('pixy: a message that is produced', () => {
  it('pixy H7 H10: is the body, or a field of the form, with the key and the headers of the request', async () => {
    const verbs = new PendingVerbs()
    const given: ProduceRecord[] = []
    verbs.produce = (records, options) => {
      given.push(...records.map(record => structuredClone(record)))
      return PendingVerbs.prototype.produce.call(verbs, records, options)
    }
    const pixy = await PixyPlay.start({}, { verbs })
    await produce(pixy, `${PATH}?key=k%FF`, 'v', { ...TEXT, 'x-kafka-a': 'YQ==' })
    await produce(pixy, `${PATH}?key=`, '', { ...TEXT, 'content-length': '0' })
    await produce(pixy, PATH, 'msg=a%26b%FF&key=form', FORM)
    await produce(pixy, `${PATH}?key=query&msg=query`, 'key=form', FORM)
    await produce(pixy, `${PATH}?key=a+b%2Bc&key=other`, 'v', { ...TEXT, 'x-kafka-foo-BAR': 'YR==' })
    await produce(pixy, `${PATH}?key=%zz`, 'v')
    const shown = given.map(({ topic, key, value, headers }) => [
      topic,
      key && Buffer.from(key).toString('latin1'),
      value && Buffer.from(value).toString('latin1'),
      headers!.map(header => `${header.key}=${Buffer.from(header.value!).toString()}`).join()
    ])
    expect(shown).to.deep.equal([
      ['orders', 'k\xff', 'v', 'A=a'],
      ['orders', '', '', ''],
      ['orders', 'form', 'a&b\xff', ''],
      ['orders', 'form', 'query', ''],
      ['orders', 'a b+c', 'v', 'Foo-Bar=a'],
      ['orders', null, 'v', '']
    ])
  })

  it('pixy H42: goes to the cluster that its path names, of which the default one may have another name', async () => {
    const [verbs, other] = [new PlayedVerbs(), new PlayedVerbs()]
    const gateways = new Map([
      ['default', verbs],
      ['b', other]
    ])
    const pixy = await PixyPlay.start({ defaultCluster: 'Main' }, { verbs, overrides: { verbsByCluster: gateways } })
    for (const cluster of ['Main', 'default', 'b']) {
      expect((await produce(pixy, `/clusters/${cluster}${SYNC}`)).status).to.equal(200)
    }
    expect([verbs.calls.length, other.calls.length]).to.deep.equal([2, 1])
    const unknown = await produce(pixy, `/clusters/nope${SYNC}`)
    expect([errorOf(unknown), certainty(unknown)]).to.deep.equal(['400 proxy `nope` does not exist', 'no'])
  })

  it('has a partitioner and time limits by the settings', async () => {
    const optionsWith = async (settings: object, admission?: Admission): Promise<ProduceOptions[]> => {
      const verbs = new PendingVerbs()
      const pixy = await PixyPlay.start(settings, { verbs, overrides: admission ? { admission } : {} })
      await produce(pixy, SYNC)
      await produce(pixy, PATH)
      return verbs.options
    }
    const [sync, async] = await optionsWith({ syncTimeoutMs: 11 })
    expect(sync).to.deep.equal({ partitioner: 'fnv1a', deadlineMs: 11, capacityWaitMs: 0 })
    expect(async).to.deep.equal({
      partitioner: 'fnv1a',
      durability: 'memory',
      deadlineMs: 120_000,
      capacityWaitMs: 0,
      answeredBy: 'kafka-pixy'
    })
    const disk = await optionsWith({ durability: 'disk', partitioner: 'random' })
    expect(disk[0]).to.deep.equal({ partitioner: 'random', deadlineMs: 60_000, capacityWaitMs: 0 })
    expect(disk[1]).to.deep.equal({
      ...{ partitioner: 'random', durability: 'disk', deadlineMs: 0, capacityWaitMs: 0 },
      answeredBy: 'kafka-pixy'
    })
    const capacity = { tryAdmit: () => true, waitMs: 700 } as unknown as Admission
    const waiting = await optionsWith({ partitioner: 'roundrobin' }, capacity)
    expect(waiting.map(({ partitioner, capacityWaitMs }) => [partitioner, capacityWaitMs])).to.deep.equal([
      ['roundRobin', 700],
      ['roundRobin', 700]
    ])
  })

  it('is answered at once without sync: 200 {}', async () => {
    const pixy = await PixyPlay.start()
    const said = await produce(pixy, PATH)
    expect([said.status, said.body, certainty(said)]).to.deep.equal([200, '{}', 'pending'])
    expect([said.headers['content-type'], said.headers['x-request-id']]).to.deep.equal(['application/json', 'made-up'])
  })

  it('is answered when the disk has it, where it is kept there', async () => {
    let accept: ((refused: undefined) => void) | undefined
    const accepted = () => new Promise<undefined>(resolve => (accept = resolve))
    const pixy = await startWith({ accepted }, { durability: 'disk' })
    let isAnswered = false
    const answered = produce(pixy, PATH).finally(() => (isAnswered = true))
    while (accept === undefined) await turns(1)
    await turns(20)
    expect(isAnswered).to.equal(false)
    accept(undefined)
    expect(certainty(await answered)).to.equal('pending')
  })

  it('is as large as allowed, or is refused, without sync without a word', async () => {
    const pixy = await PixyPlay.start({ maxMessageBytes: 50 })
    const [fits, larger] = ['x'.repeat(11), 'x'.repeat(12)]
    expect((await produce(pixy, `${SYNC}&key=foo`, fits)).status).to.equal(200)
    const said = await produce(pixy, `${SYNC}&key=foo`, larger)
    expect([errorOf(said), certainty(said)]).to.deep.equal([`500 ${TOO_LARGE}`, 'no'])
    expect(said.headers['x-castellan-warning'], 'whose limit it is').to.match(/50 bytes.*kafka-pixy\.maxMessageBytes/)
    const dropped = await produce(pixy, `${PATH}?key=foo`, larger)
    expect([dropped.status, dropped.body, certainty(dropped)]).to.deep.equal([200, '{}', 'no'])
    const modern = await produce(pixy, `${PATH}?key=foo`, larger, { ...TEXT, accept: MODERN_TYPE })
    expect([modern.status, certainty(modern)]).to.deep.equal([500, 'no'])
    expect(pixy.verbs.calls).to.have.length(1)
  })

  it('pixy H9: has no headers where those are switched off', async () => {
    const pixy = await PixyPlay.start({ messageHeaders: false })
    const headers = { ...TEXT, 'x-kafka-a': '' }
    expect((await produce(pixy, SYNC)).status).to.equal(200)
    const refused = await produce(pixy, SYNC, 'm', headers)
    expect(errorOf(refused)).to.match(
      /^400 headers are not supported with this version of Kafka. Consider changing `kafka.version`/
    )
    expect(certainty(refused)).to.equal('no')
    const dropped = await produce(pixy, PATH, 'm', headers)
    expect([dropped.status, dropped.body, certainty(dropped)]).to.deep.equal([200, '{}', 'no'])
    expect(pixy.verbs.calls).to.have.length(1)
  })

  it('is answered with its place, and with what else is asked for', async () => {
    const outcome = { type: 'delivered', partition: 3, offset: 9, timestampMs: 17 } as const
    const pixy = await startWith({ outcomes: async () => [outcome] })
    const bodyOf = async (query: string): Promise<string> => (await produce(pixy, `${SYNC}${query}`)).body
    expect(await bodyOf('')).to.equal('{\n  "partition": 3,\n  "offset": 9\n}')
    expect(await bodyOf('&timestamp')).to.equal('{\n  "partition": 3,\n  "offset": 9,\n  "timestamp": 17\n}')
    expect(await bodyOf('&persisted')).to.equal('{\n  "partition": 3,\n  "offset": 9,\n  "persisted": "yes"\n}')
    const modern = await produce(pixy, SYNC, 'm', { ...TEXT, accept: MODERN_TYPE })
    expect([modern.status, modern.headers['content-type'], modern.body]).to.deep.equal([
      200,
      MODERN_TYPE,
      '{"records":[{"partition":3,"offset":9,"timestamp":17}]}'
    ])
  })
})

describe('pixy: a message that failed', () => {
  const made = (code: RecordFailure['code']) => `made up for a test: ${code}`
  const kafka = 'kafka server: '
  const unknown = `${kafka}Request was for a topic or partition that does not exist on this broker.`
  const failures: [failed: RecordFailure, said: string][] = [
    [failure('unknownTopic'), `404 ${unknown}`],
    [failure('unknownPartition'), `404 ${unknown}`],
    [failure('kafka', 3), `404 ${unknown}`],
    [failure('invalidTopic'), `500 ${kafka}The request attempted to perform an operation on an invalid topic.`],
    [failure('recordTooLarge'), `500 ${TOO_LARGE}`],
    [failure('batchTooLarge'), `500 ${TOO_LARGE}`],
    [
      failure('noLeader'),
      `500 ${kafka}In the middle of a leadership election, there is currently no leader for this partition and hence it is unavailable for writes.`
    ],
    [failure('notAuthorized'), `500 ${kafka}The client is not authorized to access this topic.`],
    [failure('recordRejected', -1), `500 ${kafka}Unexpected (unknown?) server error.`],
    [failure('recordRejected', 2), `500 ${kafka}Message contents does not match its CRC.`],
    [
      failure('kafka', 6),
      `500 ${kafka}Tried to send a message to a replica that is not the leader for some partition. Your metadata is out of date.`
    ],
    [failure('kafka', 7), `500 ${kafka}Request exceeded the user-specified time limit in the request.`],
    [failure('kafka', 10), `500 ${TOO_LARGE}`],
    [
      failure('kafka', 18),
      `500 ${kafka}The request included message batch larger than the configured segment size on the server.`
    ],
    [failure('kafka', 19), `500 ${kafka}Messages are rejected since there are fewer in-sync replicas than required.`],
    [failure('kafka', 20), `500 ${kafka}Messages are written to the log, but to fewer in-sync replicas than required.`],
    [failure('kafka', 32), `500 ${kafka}The timestamp of the message is out of acceptable range.`],
    [failure('kafka', 99), `500 ${made('kafka')}`],
    [failure('noLeader', 99), `500 ${made('noLeader')}`],
    [failure('brokerUnreachable'), `500 ${made('brokerUnreachable')}`],
    [failure('timedOut'), `500 ${made('timedOut')}`],
    [failure('overloaded'), `503 ${made('overloaded')}`],
    [failure('logUnavailable'), `503 ${made('logUnavailable')}`],
    [failure('shuttingDown'), '503 service is shutting down']
  ]
  it('pixy H16: each failure has its status, text and Retry-After', () =>
    checkRows(failures, async ([failed, said]) => {
      const pixy = await startWith({ outcomes: async () => [{ ...failed, persisted: 'unknown' }] })
      const answer = await produce(pixy)
      expect([errorOf(answer), certainty(answer)]).to.deep.equal([said, 'unknown'])
      expect(answer.headers['retry-after']).to.equal(answer.status === 503 ? '1' : undefined)
    }))

  it('because no broker is there is told so', async () => {
    const gone = 'kafka: client has run out of available brokers to talk to (Is your cluster reachable?)'
    for (const [code, said] of [
      ['brokerUnreachable', `500 ${gone}`],
      ['timedOut', `500 ${gone}`],
      ['protocol', `500 ${made('protocol')}`]
    ] as const) {
      const pixy = await startWith({ outcomes: async () => [failure(code)] })
      pixy.verbs.isReady = false
      expect(errorOf(await produce(pixy))).to.equal(said)
    }
  })

  for (const [code, said] of [
    ['overloaded', `503 ${made('overloaded')}`],
    ['logUnavailable', `503 ${made('logUnavailable')}`],
    ['shuttingDown', '503 service is shutting down'],
    ['invalidTopic', undefined],
    ['recordTooLarge', undefined]
  ] as const) {
    it(`at once without sync, by ${code}, is ${said === undefined ? 'accepted and dropped' : 'refused'}`, async () => {
      const refused = [failure(code)]
      for (const [pendingProduce, settings] of [
        [{ refused }, {}],
        [{ accepted: async () => refused }, { durability: 'disk' }],
        [{ isWaiting: true, accepted: async () => refused }, {}]
      ] as const) {
        const answer = await produce(await startWith(pendingProduce, settings), PATH)
        expect(certainty(answer)).to.equal('no')
        if (said === undefined) expect([answer.status, answer.body]).to.deep.equal([200, '{}'])
        else expect([errorOf(answer), answer.headers['retry-after']]).to.deep.equal([said, '1'])
      }
    })
  }

  it('is told as it is to clients that ask for modern answers', async () => {
    const modern = { ...TEXT, accept: MODERN_TYPE }
    const codeIn = ({ body }: Said): unknown =>
      (JSON.parse(body) as { records: { error: { code: string } }[] }).records[0]!.error.code
    const refused = [failure('invalidTopic')]
    const atOnce = await produce(await startWith({ refused }), PATH, 'm', modern)
    expect([atOnce.status, codeIn(atOnce), certainty(atOnce)]).to.deep.equal([207, 'invalidTopic', 'no'])
    const later = await produce(await startWith({ outcomes: async () => refused }), SYNC, 'm', modern)
    expect([later.status, codeIn(later), certainty(later)]).to.deep.equal([207, 'invalidTopic', 'no'])
    const accepted = await produce(await startWith({}), PATH, 'm', modern)
    expect([accepted.status, accepted.body]).to.deep.equal([202, '{"records":[{"persisted":"pending"}]}'])
  })

  it('by a bug may be in Kafka, is answered and is logged', async () => {
    const bug = new Error('made up')
    const reject = () => Promise.reject(bug)
    for (const [pendingProduce, path, settings] of [
      [bug, SYNC, {}],
      [bug, PATH, {}],
      [{ outcomes: reject }, SYNC, {}],
      [{ accepted: reject }, PATH, { durability: 'disk' }],
      [{ isWaiting: true, accepted: reject }, PATH, {}]
    ] as const) {
      const pixy = await startWith(pendingProduce, settings)
      const answer = await produce(pixy, path)
      expect([errorOf(answer), certainty(answer)]).to.deep.equal(['500 internal error', 'unknown'])
      expect(pixy.logged).to.deep.equal(['a request to produce failed unexpectedly'])
    }
  })
})
