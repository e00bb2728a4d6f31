import { type IncomingHttpHeaders, request } from 'node:http'
import type { AddressInfo } from 'node:net'
import { expect } from 'chai'
import fastify, { type FastifyInstance } from 'fastify'
import { arion } from '../../src/apis/arion/api.js'
import { kafboy } from '../../src/apis/kafboy/api.js'
import { kprf } from '../../src/apis/kprf/api.js'
import {
  type CastellanError,
  ForbiddenError,
  OverloadedError,
  QuotaExceededError,
  UnauthenticatedError,
  UnavailableError
} from '../../src/core/errors.js'
import type { Access, Caller } from '../../src/http/access/access.js'
import type { HttpApi } from '../../src/http/api/api.js'
import { contextFor } from '../support/api-context.js'
import { FakeVerbs } from '../support/fake-verbs.js'

interface Answer {
  readonly status: number
  readonly headers: IncomingHttpHeaders
  readonly body: string
}

/** A caller that may write to topics which do not begin with `secret`, and has a quota when the test says so. */
class FakeCaller implements Caller {
  readonly principal = 'shop'
  readonly isRuled = true
  /** `RECORDS BYTES` of every charge. */
  readonly charges: string[] = []
  isBeyondQuota = false

  allows(_operation: string, { topic = '' }: { readonly topic?: string | undefined } = {}): boolean {
    return !topic.startsWith('secret')
  }

  refusalOf(operation: string, target?: { readonly topic?: string | undefined }): ForbiddenError | undefined {
    return this.allows(operation, target) ? undefined : new ForbiddenError('shop may not do this')
  }

  refusalOfUnruled(): ForbiddenError | undefined {
    return undefined
  }

  watch(): void {}

  noteCreated(): void {}

  refusalOfTopics(operation: string, records: readonly { readonly topic: string }[]): ForbiddenError | undefined {
    return records.map(record => this.refusalOf(operation, record)).find(refusal => refusal !== undefined)
  }

  charge(records: number, bytes: number): QuotaExceededError | undefined {
    this.charges.push(`${records} ${bytes}`)
    return this.isBeyondQuota ? new QuotaExceededError('used up', 7) : undefined
  }

  spend(records: number, bytes: number): void {
    this.charges.push(`${records} ${bytes}`)
  }
}

describe('APIs: what callers may do, and what they are charged', () => {
  let app: FastifyInstance
  let port: number
  let verbs: FakeVerbs
  let caller: FakeCaller
  afterEach(() => app.close())

  async function serve<Settings>(api: HttpApi, settings: object, refusal?: CastellanError): Promise<void> {
    verbs = new FakeVerbs()
    caller = new FakeCaller()
    const access: Access = { callerOf: () => caller }
    const parsed = api.settings.parse(settings) as Settings
    const addRoutes = await api.plugin(contextFor(verbs, parsed, { access }) as never)
    app = fastify({ logger: false, forceCloseConnections: true, genReqId: () => 'made-up' })
    if (refusal !== undefined) app.addHook('onRequest', (_request, _reply, done) => done(refusal))
    await app.register(async scope => addRoutes(scope), { prefix: api.prefix })
    await app.listen({ host: '127.0.0.1', port: 0 })
    port = (app.server.address() as AddressInfo).port
  }

  /** Without a length in front where the body is given in pieces. `isWhole`: its end is sent. */
  const post = (path: string, body: string | readonly string[], headers: Record<string, string> = {}, isWhole = true) =>
    new Promise<Answer>((resolve, reject) => {
      const sent = request({ host: '127.0.0.1', port, method: 'POST', path, headers }, response => {
        let text = ''
        response.setEncoding('utf8').on('data', (piece: string) => (text += piece))
        response.on('end', () => {
          sent.destroy()
          resolve({ status: response.statusCode!, headers: response.headers, body: text })
        })
      })
      sent.on('error', reject)
      if (!isWhole) sent.write(body as string)
      else if (typeof body === 'string') sent.end(body)
      else {
        for (const piece of body) sent.write(piece)
        sent.end()
      }
    })

  describe('kprf', () => {
    const push = (body: string | readonly string[]): Promise<Answer> =>
      post('/kprf/push', body, { 'content-type': 'application/json' })
    const records = (...topics: string[]): string =>
      JSON.stringify({ records: topics.map(topic => ({ topic, data: 'd' })) })
    const messages = ({ body }: Answer): unknown[] =>
      (JSON.parse(body) as { errors: { message: unknown }[] }).errors.map(({ message }) => message)

    it('a push is charged with its records and the bytes of its body', async () => {
      await serve(kprf, {})
      const body = records('t', 'u', 't')
      expect((await push(body)).status).to.equal(200)
      expect(caller.charges).to.deep.equal([`3 ${body.length}`])
    })

    it('a body that is read and cannot be used is charged with its bytes', async () => {
      await serve(kprf, { maxBodyBytes: 100 })
      expect((await push('{"records":')).status).to.equal(400)
      expect(caller.charges.splice(0)).to.deep.equal(['0 11'])
      const refused = await push([' '.repeat(99), '  '])
      expect([refused.status, refused.headers.connection]).to.deep.equal([413, 'close'])
      expect(caller.charges.splice(0)).to.deep.equal(['0 101'])
      expect((await push(' '.repeat(101))).status).to.equal(413)
      expect(caller.charges, 'what is announced as too large is not read').to.deep.equal([])
    })

    it('of a push with a forbidden topic no record is produced, and each entry says why', async () => {
      await serve(kprf, {})
      const answer = await push(records('t', 'secret-1'))
      expect([answer.status, answer.headers['x-castellan-persisted']]).to.deep.equal([403, 'no'])
      expect(messages(answer)).to.deep.equal([
        'Message production error: PurgeQueue (Local: Purged in queue)',
        'Message production error: TopicAuthorizationFailed (Broker: Topic authorization failed)'
      ])
      expect(verbs.calls).to.have.length(0)
    })

    it('a push beyond a quota is refused in the words of a rate limit, and not produced', async () => {
      await serve(kprf, {})
      caller.isBeyondQuota = true
      const answer = await push(records('t', 'secret-1'))
      expect([answer.status, answer.headers['retry-after']]).to.deep.equal([429, '7'])
      expect(messages(answer)).to.deep.equal(['ratelimit', 'ratelimit'])
      expect(verbs.calls).to.have.length(0)
    })
  })

  describe('kafboy', () => {
    it('a request is charged with its records and the bytes of its body, also where it cannot be read', async () => {
      await serve(kafboy, { payload: 'fields' })
      await post('/kafboy/async/t', 'a=1&b=2')
      await post('/kafboy/sync/t', '{"a":1}', { 'content-type': 'application/json' })
      expect((await post('/kafboy/sync/t', 'a=%zz')).status).to.equal(400)
      // Once, also where there is no record.
      expect((await post('/kafboy/sync/t', '&&')).status).to.equal(400)
      expect(caller.charges).to.deep.equal(['2 7', '1 7', '0 5', '0 2'])
    })

    it('a forbidden topic is refused before the body is read, and the connection ends', async () => {
      await serve(kafboy, {})
      const answer = await post('/kafboy/async/secret-1', 'a=1')
      expect([answer.status, answer.body]).to.deep.equal([403, '{"error":"shop may not do this"}'])
      expect(answer.headers).to.include({ connection: 'close', 'x-castellan-persisted': 'no' })
      expect([caller.charges, verbs.calls]).to.deep.equal([[], []])
    })

    it('what is beyond a quota is refused when it has been read, and the connection stays', async () => {
      await serve(kafboy, {})
      caller.isBeyondQuota = true
      const answer = await post('/kafboy/async/t', 'a=1', { connection: 'keep-alive' })
      expect([answer.status, answer.body]).to.deep.equal([429, '{"error":"quota exceeded"}'])
      expect(answer.headers).to.include({ connection: 'keep-alive', 'retry-after': '7' })
      expect(verbs.calls).to.have.length(0)
    })
  })

  describe('arion', () => {
    it('a message is charged with its bytes', async () => {
      await serve(arion, { durability: 'memory' })
      await post('/arion/sync/t/key', 'hello')
      await post('/arion/async/t', '')
      expect(caller.charges).to.deep.equal(['1 5', '1 0'])
    })

    it('one that turns out to be too large is charged with what was read of it, once', async () => {
      await serve(arion, { durability: 'memory', maxMessageBytes: 10, maxBodyBytes: 30 })
      const error = (size: number): string => `{"status":"error","error":"message too large","size":${size},"limit":10}`
      const counted = await post('/arion/sync/t', ['12345678901', '1234567890123456789'])
      expect([counted.status, counted.body, counted.headers.connection]).to.deep.equal([400, error(30), 'keep-alive'])
      expect(caller.charges.splice(0)).to.deep.equal(['0 30'])
      const left = await post('/arion/sync/t', ['12345678901', '12345678901234567890'])
      expect([left.status, left.headers.connection]).to.deep.equal([400, 'close'])
      expect(caller.charges.splice(0)).to.deep.equal(['0 31'])
      const announced = await post('/arion/sync/t', '12345678901')
      expect([announced.status, announced.body]).to.deep.equal([400, error(11)])
      expect(caller.charges).to.deep.equal([])
    })

    it('one that is announced as too large keeps its connection as long as reading it is cheap', async () => {
      await serve(arion, { durability: 'memory', maxMessageBytes: 10, maxBodyBytes: 30 })
      const connections = []
      for (const size of [30, 31]) connections.push((await post('/arion/sync/t', 'x'.repeat(size))).headers.connection)
      expect(connections).to.deep.equal(['keep-alive', 'close'])
    })

    it('a forbidden topic is refused, of websockets too, and nothing is charged', async () => {
      await serve(arion, { durability: 'memory' })
      const websocket = {
        connection: 'upgrade',
        upgrade: 'websocket',
        'sec-websocket-version': '13',
        'sec-websocket-key': 'dGhlIHNhbXBsZSBub25jZQ=='
      }
      for (const [mode, headers] of [
        ['sync', {}],
        ['async', {}],
        ['websocket', websocket]
      ] as const) {
        const answer = await post(`/arion/${mode}/secret-1`, '', headers)
        expect([answer.status, answer.body]).to.deep.equal([403, '{"status":"error","error":"shop may not do this"}'])
        expect(answer.headers['x-castellan-persisted']).to.equal('no')
      }
      expect([caller.charges, verbs.calls]).to.deep.equal([[], []])
    })

    it('a message beyond a quota is refused, and not produced', async () => {
      await serve(arion, { durability: 'memory' })
      caller.isBeyondQuota = true
      for (const mode of ['sync', 'async']) {
        const answer = await post(`/arion/${mode}/t`, 'hello')
        expect([answer.status, answer.body]).to.deep.equal([429, '{"status":"error","error":"used up"}'])
        expect(answer.headers['retry-after']).to.equal('7')
      }
      expect(verbs.calls).to.have.length(0)
    })
  })

  describe('a request that is refused before anything of it is read', () => {
    const small = { 'content-length': '3' }
    const large = { 'content-length': String(128 * 1024 + 1) }
    const errors: [name: string, error: CastellanError, headers: Record<string, string>][] = [
      ['no credentials', new UnauthenticatedError('no token', 'Bearer realm="x"'), small],
      ['not allowed', new ForbiddenError('a web page "of" others'), small],
      ['beyond a quota', new QuotaExceededError('used up', 7), small],
      ['no room, small', new OverloadedError('made up'), small],
      ['no room, large', new OverloadedError('made up'), large],
      ['stopping', new OverloadedError('made up', 'shuttingDown'), small],
      ['unavailable', new UnavailableError('issuerUnreachable', 'made up'), small]
    ]
    const kprfBody = (message: string): string => JSON.stringify({ status: 'err', errors: [{ error: true, message }] })
    const production = (text: string): string => kprfBody(`Message production error: ${text}`)
    const authentication = production('Authentication (Local: Authentication failure)')
    const full = production('QueueFull (Local: Queue full)')
    const tooMany = '{"status":"error","message":"too many concurrent requests; backoff and retry","details":"made up"}'
    const wordings: Record<string, readonly [status: number, kprf: string, kafboy: string, arion: string]> = {
      'no credentials': [401, authentication, 'unauthenticated', '{"status":"error","error":"no token"}'],
      'not allowed': [
        403,
        kprfBody('a web page "of" others'),
        'a web page "of" others',
        '{"status":"error","error":"a web page \\"of\\" others"}'
      ],
      'beyond a quota': [429, kprfBody('ratelimit'), 'quota exceeded', '{"status":"error","error":"used up"}'],
      'no room, small': [503, full, 'system overload', tooMany],
      'no room, large': [503, full, 'system overload', tooMany],
      stopping: [503, production('PurgeQueue (Local: Purged in queue)'), 'shutting down', tooMany],
      unavailable: [503, authentication, 'issuerUnreachable', '{"status":"error","error":"made up"}']
    }

    for (const [name, error, headers] of errors) {
      it(`is answered in the words of each API: ${name}`, async () => {
        const paths = [
          [kprf, '/kprf/push', 1],
          [kafboy, '/kafboy/sync/t', 2],
          [arion, '/arion/sync/t', 3]
        ] as const
        for (const [api, path, at] of paths) {
          await serve(api, api === arion ? { durability: 'memory' } : {}, error)
          const answer = await post(path, 'a=1', { 'content-type': 'application/json', ...headers }, false)
          const wording = wordings[name]![at]
          expect([answer.status, answer.body]).to.deep.equal([
            wordings[name]![0],
            api === kafboy ? JSON.stringify({ error: wording }) : wording
          ])
          expect(answer.headers['content-type']).to.match(/^application\/json/)
          expect(answer.headers['x-castellan-persisted']).to.equal('no')
          expect(answer.headers.connection).to.equal(name === 'no room, small' ? 'keep-alive' : 'close')
          const retryAfter = answer.status === 503 ? '1' : answer.status === 429 ? '7' : undefined
          expect(answer.headers['retry-after']).to.equal(retryAfter)
          expect(answer.headers['www-authenticate']).to.equal(answer.status === 401 ? 'Bearer realm="x"' : undefined)
          expect([caller.charges, verbs.calls]).to.deep.equal([[], []])
          if (api !== arion) await app.close()
        }
      })
    }
  })
})
