import { expect } from 'chai'
import { untilNothingIsHeld } from '../../http/server/stage.js'
import { delivered, FakeVerbs, failure } from '../../support/fake-verbs.js'
import { RawSocket } from '../../support/raw-socket.js'
import { ask, jsonOf, parseAnswer, type RawAnswer, type ServedArion, type ServeOptions, serveArion } from './stage.js'

const UUID_V1 = /^[0-9a-f]{8}-[0-9a-f]{4}-1[0-9a-f]{3}-[89ab][0-9a-f]{3}-[0-9a-f]{12}$/
const ISO = /^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$/

describe('arion answers', () => {
  let served: ServedArion
  afterEach(() => served?.http.close())
  const serve = async (options: ServeOptions = {}): Promise<ServedArion> => (served = await serveArion(options))
  const post = (path: string, body: Buffer | string = 'hello', headers: readonly string[] = []): Promise<RawAnswer> =>
    ask(served.url, 'POST', path, body, headers)

  it('arion 1: a synchronous message is answered 201 when Kafka has it', async () => {
    const { verbs } = await serve({ verbs: new FakeVerbs({ outcome: () => delivered(3, 128_158) }) })
    const answer = await post('/sync/test')
    expect(answer.status).to.equal(201)
    expect(answer.headers.get('content-type')).to.equal('application/json')
    expect(answer.headers.get('x-castellan-persisted')).to.equal('yes')
    const { sent, ...rest } = jsonOf(answer)
    expect(rest).to.deep.equal({ status: 'sent', key: null, topic: 'test', partition: 3, offset: 128_158 })
    expect(answer.body).to.match(/^\{"status":"sent","key":null,"topic":"test","partition":3,"offset":128158,"sent":"/)
    expect(sent).to.match(ISO)
    expect(verbs.records).to.deep.equal([
      { topic: 'test', partition: undefined, key: null, value: Buffer.from('hello') }
    ])
    expect(verbs.calls[0]!.options).to.include({ partitioner: 'javaHashCode' })
  })

  it('arion 3: keys are decoded, and go out as UTF-8', async () => {
    const { verbs } = await serve()
    const keys = { 'a/b/c': 'a/b/c', 'a%2Fb+c%20d': 'a/b c d', '%E2%82%AC': '€', '%FF': '\ufffd', '/': '/' }
    for (const [path, key] of Object.entries(keys)) {
      const answer = await post(`/sync/test/${path}`)
      expect(jsonOf(answer).key).to.equal(key)
      expect(answer.headers.get('content-length')).to.equal(String(answer.body.length))
      expect(verbs.records.at(-1)!.key).to.deep.equal(Buffer.from(key))
    }
  })

  it('arion 4: the query is ignored', async () => {
    const { verbs } = await serve()
    expect(jsonOf(await post('/sync/test/?x=1')).key).to.equal(null)
    expect(jsonOf(await post('/sync/test/k?x=%zz|')).key).to.equal('k')
    expect((await ask(served.url, 'GET', '/health-check?x')).status).to.equal(200)
    expect(verbs.records).to.have.length(2)
  })

  it('arion 5: bytes arrive as they are, however they come', async () => {
    const { verbs } = await serve()
    const bytes = Buffer.from(Array.from({ length: 256 }, (_, i) => i))
    const last = () => verbs.records.at(-1)!.value
    await post('/sync/test', bytes, ['content-type: application/json', 'accept: text/html'])
    expect(last()).to.deep.equal(bytes)
    await post('/sync/test', bytes, ['content-type: ;;;', 'content-encoding: gzip'])
    expect(last()).to.deep.equal(bytes)
    const chunked = Buffer.concat([
      Buffer.from('80\r\n'),
      bytes.subarray(0, 128),
      Buffer.from('\r\n80\r\n'),
      bytes.subarray(128),
      Buffer.from('\r\n0\r\n\r\n')
    ])
    await post('/sync/test', chunked, ['transfer-encoding: chunked'])
    expect(last()).to.deep.equal(bytes)
    const socket = await RawSocket.open(served.url)
    await socket.send(
      'POST /sync/test HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\nexpect: 100-continue\r\n\r\n'
    )
    await socket.until(text => text.includes('HTTP/1.1 100 Continue\r\n\r\n'))
    await socket.send('later')
    await socket.until(text => text.includes('HTTP/1.1 201 '))
    socket.destroy()
    expect(last()).to.deep.equal(Buffer.from('later'))
  })

  it('arion 6: an empty body is a message without bytes, not one without value', async () => {
    const { verbs } = await serve()
    expect((await post('/sync/test', '')).status).to.equal(201)
    expect(verbs.records[0]!.value).to.deep.equal(Buffer.alloc(0))
  })

  it('arion 7: an asynchronous message is answered 202 while Kafka is away', async () => {
    await serve({ verbs: new FakeVerbs({ outcome: 'by hand' }) })
    const answer = await post('/async/test/k')
    expect(answer.status).to.equal(202)
    expect(answer.headers.get('x-castellan-persisted')).to.equal('pending')
    const { enqueued, id, ...rest } = jsonOf(answer)
    expect(rest).to.deep.equal({ status: 'enqueued', topic: 'test', key: 'k' })
    expect(answer.body).to.match(/^\{"status":"enqueued","topic":"test","key":"k","enqueued":".*","id":".*"\}$/)
    expect(enqueued).to.match(ISO)
    expect(id).to.match(UUID_V1)
  })

  it('statuses are counted as they are sent', async () => {
    await serve()
    await post('/sync/test')
    await post('/async/test')
    await untilNothingIsHeld(served)
    const text = await served.metricsText()
    for (const status of [201, 202]) {
      expect(text).to.contain(`castellan_http_requests_total{api="arion",method="POST",status="${status}"} 1`)
    }
  })

  it('arion 8: ids are unique, and the time is that of the request', async () => {
    await serve()
    const answers = await Promise.all(Array.from({ length: 50 }, () => post('/async/test')))
    expect(new Set(answers.map(answer => jsonOf(answer).id)).size).to.equal(50)
    for (const answer of answers) expect(Date.parse(jsonOf(answer).enqueued as string)).to.be.at.most(Date.now())
  })

  it('arion 9: the limit is for the body alone, and is named with its size', async () => {
    const { verbs } = await serve({ settings: { maxMessageBytes: 1_000 } })
    const longKey = 'k'.repeat(2_000)
    expect((await post(`/sync/test/${longKey}`, 'x'.repeat(1_000))).status).to.equal(201)
    for (const mode of ['sync', 'async', 'other']) {
      const answer = await post(`/${mode}/test`, 'x'.repeat(1_001))
      expect(answer.status).to.equal(400)
      expect(answer.body).to.equal('{"status":"error","error":"message too large","size":1001,"limit":1000}')
    }
    const chunk = (size: number): string => `${size.toString(16)}\r\n${'x'.repeat(size)}\r\n`
    const chunked = ['transfer-encoding: chunked']
    expect((await post('/sync/test', `${chunk(999)}${chunk(1)}0\r\n\r\n`, chunked)).status).to.equal(201)
    for (const [body, size] of [
      [`${chunk(1_000)}${chunk(1)}0\r\n\r\n`, 1_001],
      [`${chunk(900)}${chunk(4_000)}${chunk(5)}0\r\n\r\n`, 4_905]
    ] as const) {
      expect(jsonOf(await post('/sync/test', body, chunked))).to.deep.equal({
        status: 'error',
        error: 'message too large',
        size,
        limit: 1_000
      })
    }
    expect(verbs.records).to.have.length(2)
  })

  it('arion 9: a body beyond all limits is not read to its end', async () => {
    await serve({ settings: { maxMessageBytes: 1_000, maxBodyBytes: 10_000 } })
    const socket = await RawSocket.open(served.url)
    await socket.send('POST /sync/test HTTP/1.1\r\nhost: localhost\r\ncontent-length: 99999999\r\n\r\n')
    expect(await socket.untilClosed()).to.match(/"error":"message too large","size":99999999,"limit":1000\}$/)
    const endless = await RawSocket.open(served.url)
    await endless.send('POST /sync/test HTTP/1.1\r\nhost: localhost\r\ntransfer-encoding: chunked\r\n\r\n')
    await endless.send(`4e20\r\n${'x'.repeat(20_000)}\r\n`)
    expect(await endless.untilClosed()).to.match(/^HTTP\/1\.1 400 .*\r\n[\s\S]*"message too large"/)
    await untilNothingIsHeld(served)
  })

  it('a request with several mistakes is told the first of them: topic, size, mode', async () => {
    await serve({ settings: { maxMessageBytes: 10 } })
    const large = 'x'.repeat(11)
    const errorOf = async (path: string, body: string) => jsonOf(await post(path, body)).error
    expect(await errorOf('/other/te%20st/%zz', large)).to.equal('malformed URL')
    expect(await errorOf('/other/te%20st', large)).to.equal('malformed topic')
    expect(await errorOf('/other/test', large)).to.equal('message too large')
    expect(await errorOf('/other/test', 'x')).to.equal('unsupported broadcast mode')
  })

  it('arion 12: a malformed URL is answered 400 with details, on either port', async () => {
    await serve()
    for (const path of ['/sync/test/%zz', '/a|b', '/a[1]', '/sync/test/%']) {
      for (const url of [served.url, served.sharedUrl]) {
        const answer = await ask(url, 'POST', path, 'hello')
        expect(answer.status).to.equal(400)
        const { details, ...rest } = jsonOf(answer)
        expect(rest).to.deep.equal({ status: 'error', error: 'malformed URL' })
        expect(details).to.be.a('string').that.includes(path)
      }
    }
  })

  it('an unsupported mode is answered 400, whatever the method', async () => {
    await serve()
    for (const [method, path] of [
      ['POST', '/foo/test'],
      ['GET', '/stats/x'],
      ['POST', '/health-check/x']
    ] as const) {
      const answer = await ask(served.url, method, path)
      expect([answer.status, answer.body]).to.deep.equal([
        400,
        '{"status":"error","error":"unsupported broadcast mode"}'
      ])
    }
  })

  it('arion 14: other methods and paths are answered 404 with the path', async () => {
    const { verbs } = await serve()
    const unknown = [
      ...['PUT', 'DELETE', 'OPTIONS', 'PATCH', 'GET', 'PROPFIND'].map(method => [method, '/sync/test'] as const),
      ['POST', '/health-check'],
      ['POST', '/stats'],
      ['GET', '/stats/'],
      ['GET', '/'],
      ['POST', '/sync/?x=1'],
      ['POST', '/%73ync/t']
    ] as const
    for (const [method, path] of unknown) {
      for (const [url, prefix] of [
        [served.url, ''],
        [served.sharedUrl, '/arion']
      ] as const) {
        const answer = await ask(url, method, path)
        expect([method, path, answer.status]).to.deep.equal([method, path, 404])
        expect(jsonOf(answer)).to.deep.equal({
          status: 'error',
          error: 'unknown resource',
          details: { uri: `${prefix}${path.replace(/\?.*/, '')}` }
        })
      }
    }
    const head = await ask(served.url, 'HEAD', '/sync/test')
    expect([head.status, head.body]).to.deep.equal([404, ''])
    expect(verbs.calls).to.deep.equal([])
  })

  it('arion 15: health is ok as long as the process listens', async () => {
    const verbs = new FakeVerbs()
    verbs.isReady = false
    await serve({ verbs })
    const answer = await ask(served.url, 'GET', '/health-check')
    expect([answer.status, answer.body]).to.deep.equal([200, '{"status":"ok"}'])
    expect(answer.headers.get('content-type')).to.equal('application/json')
    const head = await ask(served.url, 'HEAD', '/health-check')
    expect([head.status, head.body]).to.deep.equal([200, ''])
  })

  it('arion 16: statistics of a fresh process are empty, later they count', async () => {
    const verbs = new FakeVerbs({ outcome: 'by hand' })
    await serve({ verbs })
    const stats = async () => jsonOf(await ask(served.url, 'GET', '/stats'))
    expect((await stats()).queue).to.deep.equal({ status: 'empty' })
    await Promise.all([post('/async/test'), post('/async/test')])
    expect((await stats()).queue).to.include({ enqueued: 2, completed: 0, 'in-progress': 2, retried: 0 })
    for (const call of verbs.calls) call.settle([delivered()])
    const { queue, kafka } = await stats()
    expect(queue).to.include({ enqueued: 2, completed: 2, 'in-progress': 0 })
    expect(Object.values(kafka as object).every(value => typeof value === 'number')).to.equal(true)
    expect(kafka).to.include.keys('connection-count', 'request-rate', 'buffer-available-bytes')
  })

  it('arion 18: a message whose client leaves is produced all the same', async () => {
    const verbs = new FakeVerbs({ outcome: 'by hand' })
    await serve({ verbs })
    const socket = await RawSocket.open(served.url)
    await socket.send('POST /sync/test HTTP/1.1\r\nhost: localhost\r\ncontent-length: 5\r\n\r\nhello')
    while (verbs.calls.length === 0) await new Promise(setImmediate)
    socket.reset()
    await untilNothingIsHeld(served)
    verbs.calls[0]!.settle([delivered()])
    await new Promise(setImmediate)
    expect(verbs.records).to.have.length(1)
    expect(served.lines).to.deep.equal([])
  })

  it('arion 19: half an upload is never produced, and leaves nothing behind', async () => {
    const { verbs } = await serve()
    for (let round = 0; round < 1_000; round++) {
      const socket = await RawSocket.open(served.url)
      await socket.send('POST /sync/test HTTP/1.1\r\nhost: localhost\r\ncontent-length: 100\r\n\r\nhalf')
      if (round % 2 === 0) socket.destroy()
      else socket.reset()
    }
    await untilNothingIsHeld(served)
    expect(verbs.calls).to.deep.equal([])
  }).timeout(60_000)

  it('arion 22: a message that can never be delivered is answered with an error instead of silence', async () => {
    await serve({
      verbs: new FakeVerbs({
        outcome: ({ topic }) => failure(topic === 'large' ? 'recordTooLarge' : 'notAuthorized', 29)
      })
    })
    for (const topic of ['large', 'forbidden']) {
      const answer = await post(`/sync/${topic}`)
      expect(answer.status).to.equal(500)
      expect(jsonOf(answer)).to.have.all.keys('status', 'error')
      expect(jsonOf(answer).status).to.equal('error')
      expect(answer.headers.get('x-castellan-persisted')).to.equal('no')
    }
  })

  it('arion 37: a message that the log cannot hold is too large, and later ones are fine', async () => {
    await serve({
      verbs: new FakeVerbs({ refuse: ({ topic }) => (topic === 'large' ? failure('recordTooLarge') : undefined) })
    })
    const answer = await post('/async/large')
    expect([answer.status, answer.body]).to.deep.equal([
      400,
      '{"status":"error","error":"message too large","size":5,"limit":1000000}'
    ])
    expect((await post('/async/test')).status).to.equal(202)
  })

  it('arion 38: a queue that takes nothing is answered 503, at once or when the disk has said so', async () => {
    for (const code of ['overloaded', 'logUnavailable', 'shuttingDown'] as const) {
      const verbs = new FakeVerbs({ refuse: () => failure(code) })
      await serve({ verbs })
      for (const mode of ['sync', 'async']) {
        const answer = await post(`/${mode}/test`)
        expect([answer.status, answer.body]).to.deep.equal([
          503,
          '{"status":"error","error":"unable to enqueue message"}'
        ])
        expect(answer.headers.get('retry-after')).to.equal('1')
        expect(answer.headers.get('x-castellan-persisted')).to.equal('no')
      }
      await served.http.close()
    }
    const late = new FakeVerbs({ outcome: 'by hand' })
    const produce = late.produce.bind(late)
    late.produce = (records, options) => ({
      ...produce(records, options),
      accepted: () => Promise.resolve([failure('logUnavailable')])
    })
    await serve({ verbs: late, settings: { durability: 'disk' } })
    expect((await post('/async/test')).status).to.equal(503)
  })

  it('a synchronous message that takes too long is answered 504 where that is asked for', async () => {
    const verbs = new FakeVerbs({ outcome: 'by hand' })
    await serve({ verbs, settings: { syncTimeoutMs: 70 } })
    const answer = post('/sync/test')
    while (verbs.calls.length === 0) await new Promise(setImmediate)
    expect(verbs.calls[0]!.options.deadlineMs).to.equal(70)
    verbs.calls[0]!.settle([{ ...failure('timedOut'), persisted: 'pending' }])
    const { id, ...rest } = jsonOf(await answer)
    expect((await answer).status).to.equal(504)
    expect(rest).to.deep.equal({ status: 'error', error: 'still queued' })
    expect(id).to.match(UUID_V1)
  })

  it('on disk nobody waits for an asynchronous message, and a synchronous one waits without end', async () => {
    const { verbs } = await serve({ settings: { durability: 'disk', partitioner: 'murmur2' } })
    await post('/async/test')
    await post('/sync/test')
    const { 0: async, 1: sync } = verbs.calls.map(({ options }) => options)
    expect(async).to.include({ durability: 'disk', deadlineMs: 0, partitioner: 'murmur2' })
    expect(sync).to.include({ durability: 'disk', deadlineMs: Number.POSITIVE_INFINITY })
  })

  it('a bug is answered 500 in the words for it', async () => {
    const verbs = new FakeVerbs()
    verbs.produce = () => {
      throw new Error('made up')
    }
    await serve({ verbs })
    const answer = await post('/sync/test')
    expect([answer.status, answer.body]).to.deep.equal([
      500,
      '{"status":"error","message":"server encountered an error processing request","details":"made up"}'
    ])
    expect(answer.headers.get('x-castellan-persisted')).to.equal('unknown')
    expect(served.lines.map(({ level }) => level)).to.deep.equal(['error', 'warn'])
  })

  it('pipelined requests are answered in their order', async () => {
    const verbs = new FakeVerbs({ outcome: 'by hand' })
    await serve({ verbs })
    const socket = await RawSocket.open(served.url)
    const one = (path: string): string => `POST ${path} HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx`
    await socket.send(one('/sync/slow') + one('/async/fast') + one('/stats'))
    while (verbs.calls.length < 2) await new Promise(setImmediate)
    expect(socket.received).to.equal('')
    verbs.calls[0]!.settle([delivered()])
    const text = await socket.until(received => received.includes('unknown resource"'))
    expect([...text.matchAll(/HTTP\/1\.1 (\d+)/g)].map(([, status]) => status)).to.deep.equal(['201', '202', '404'])
    socket.destroy()
  })

  it('GET produces where that is asked for', async () => {
    const { verbs } = await serve({ settings: { producesByGet: true } })
    expect((await ask(served.url, 'GET', '/sync/test/k')).status).to.equal(201)
    expect(verbs.records[0]).to.deep.include({ topic: 'test', value: Buffer.alloc(0) })
  })

  it('an idle connection is closed without a word, also while a message waits', async () => {
    const verbs = new FakeVerbs({ outcome: 'by hand' })
    await serve({ verbs, settings: { idleTimeoutMs: 300 } })
    const startedAt = performance.now()
    const socket = await RawSocket.open(served.url)
    await socket.send('POST /sync/test HTTP/1.1\r\nhost: localhost\r\ncontent-length: 1\r\n\r\nx')
    expect(await socket.untilClosed()).to.equal('')
    expect(performance.now() - startedAt).to.be.at.least(295)
    const silent = await RawSocket.open(served.url)
    expect(await silent.untilClosed()).to.equal('')
    const answered = await RawSocket.open(served.url)
    await answered.send('GET /health-check HTTP/1.1\r\nhost: localhost\r\n\r\n')
    expect(parseAnswer(await answered.untilClosed())!.status).to.equal(200)
    verbs.calls[0]!.settle([delivered()])
  })
})
