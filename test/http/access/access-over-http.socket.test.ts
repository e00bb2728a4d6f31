import { readFileSync, statSync } from 'node:fs'
import { expect } from 'chai'
import { hashPassword } from '../../../src/http/access/stored-credentials.js'
import {
  basic,
  call,
  cheapHash,
  configOf,
  type Guarded,
  ISSUER,
  makeIssuer,
  makeToken,
  push,
  startGuarded,
  TestFolder
} from '../../support/access.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { RawSocket } from '../../support/raw-socket.js'

const everything = {
  principals: ['*'],
  operations: ['produce', 'consume', 'offsets', 'admin', 'management'],
  topics: ['orders'],
  groups: ['*']
}

describe('access', () => {
  const { token, sha256 } = makeToken()
  const bearer = { authorization: `Bearer ${token}` }
  const auth = { tokens: [{ principal: 'shop', sha256 }] }
  const access = { rules: [everything] }
  let folder: TestFolder
  let guarded: Guarded
  beforeEach(() => {
    folder = new TestFolder()
  })
  afterEach(async () => {
    await guarded?.stop()
    folder.remove()
  })
  const start = async (settings: object, verbs?: FakeVerbs): Promise<Guarded> =>
    (guarded = await startGuarded(configOf(folder, settings), verbs))

  const head = (path: string, headers: readonly string[]): string =>
    `POST ${path} HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n${headers.map(line => `${line}\r\n`).join('')}\r\n`
  const jsonOf = (topic: string): string => JSON.stringify({ records: [{ topic, data: 'x' }], wait_for_send: true })
  const pushOf = (topic: string): string => {
    const body = jsonOf(topic)
    return head('/kprf/push', [`Authorization: Bearer ${token}`, `Content-Length: ${body.length}`]) + body
  }

  const isHead = (text: string): boolean => text.includes('\r\n\r\n')

  const untilMetric = async (line: string): Promise<void> => {
    while (!(await guarded.metricsText()).includes(`${line}\n`)) await new Promise(resolve => setImmediate(resolve))
  }

  describe('answers before the body is read', () => {
    const announced = [
      'Content-Length: 1000000',
      'Transfer-Encoding: chunked',
      'Content-Length: 5\r\nExpect: 100-continue'
    ]
    for (const length of announced) {
      it(`401, whatever is announced: ${JSON.stringify(length)}`, async () => {
        await start({ auth, access })
        for (const path of ['/kprf/push', '/probe/produce/orders', '/nothing']) {
          const socket = await RawSocket.open(guarded.http.urls.shared)
          await socket.send(head(path, ['Authorization: Bearer wrong', length]))
          expect(await socket.until(isHead)).to.match(/^HTTP\/1\.1 401 /)
          socket.destroy()
        }
      })

      it(`403 where the topic stands in the path: ${JSON.stringify(length)}`, async () => {
        await start({ auth, access })
        const socket = await RawSocket.open(guarded.http.urls.shared)
        await socket.send(head('/probe/produce/secret', [`Authorization: Bearer ${token}`, length]))
        expect(await socket.until(text => text.includes('PROBE'))).to.match(/^HTTP\/1\.1 403 .*"forbidden"/s)
        socket.destroy()
      })
    }

    it('429 once the quota is used up', async () => {
      await start({ auth, access, quotas: { perPrincipal: { recordsPerSecond: 1, bytesPerSecond: 1 } } })
      const { shared } = guarded.http.urls
      expect((await push(shared, 'orders', { headers: bearer })).status).to.equal(200)
      const socket = await RawSocket.open(shared)
      await socket.send(head('/kprf/push', [`Authorization: Bearer ${token}`, 'Content-Length: 1000000']))
      const answer = await socket.until(text => text.includes('ratelimit'))
      socket.destroy()
      expect(answer).to.match(/^HTTP\/1\.1 429 /)
      expect(Number(/retry-after: (\d+)/i.exec(answer)?.[1])).to.be.above(1)
      expect(answer).to.contain('{"status":"err","errors":[{"error":true,"message":"ratelimit"}]}')
      expect(guarded.verbs.records).to.have.length(1)
    })
  })

  it('authenticates requests whose path cannot be decoded or is too long for the router', async () => {
    await start({ auth, access })
    const { shared, management } = guarded.http.urls
    for (const path of ['/%', '/%zz?a=%zz', '/kprf/push%', `/probe/produce/${'x'.repeat(5_000)}`]) {
      expect((await call(shared + path, { method: 'POST' })).status, path).to.equal(401)
    }
    expect((await call(`${management}/metrics%`)).status).to.equal(401)
    expect((await call(`${shared}/%zz`, { headers: bearer })).status).to.equal(404)
  })

  describe('quotas', () => {
    it('count the bytes of bodies that cannot be understood, too', async () => {
      await start({ quotas: { perAddress: { bytesPerSecond: 1 } } })
      const { shared } = guarded.http.urls
      expect((await push(shared, 'orders', { body: '{"records":' })).status).to.equal(400)
      expect((await push(shared, 'orders')).status).to.equal(429)
    })

    it('of an address count before authentication, and for each address', async () => {
      await start({ auth, access, quotas: { perAddress: { bytesPerSecond: 1 } } })
      const { shared } = guarded.http.urls
      expect((await push(shared, 'orders', { headers: bearer })).status).to.equal(200)
      const refused = await push(shared, 'orders', { headers: { authorization: 'Bearer wrong' } })
      expect(refused.status).to.equal(429)
    })

    it('refuse after the body what others have overdrawn meanwhile, and write nothing of it', async () => {
      await start({ quotas: { perAddress: { bytesPerSecond: 1 } } })
      const { shared } = guarded.http.urls
      const body = jsonOf('orders')
      const late = await RawSocket.open(shared)
      await late.send(head('/kprf/push', [`Content-Length: ${body.length}`]) + body.slice(0, 10))
      await untilMetric('castellan_http_requests_in_flight 1')
      expect((await push(shared, 'orders')).status).to.equal(200)
      await late.send(body.slice(10))
      expect(await late.until(text => text.includes('ratelimit'))).to.match(
        /^HTTP\/1\.1 429 .*x-castellan-persisted: no/is
      )
      expect(guarded.verbs.records).to.have.length(1)
      late.destroy()
    })

    it('give requests in flight back at every kind of end', async () => {
      const verbs = new FakeVerbs({ outcome: 'by hand' })
      await start({ auth, access, quotas: { perPrincipal: { maxRequestsInFlight: 8 } } }, verbs)
      const { shared } = guarded.http.urls
      const inFlight = (count: number): Promise<void> =>
        untilMetric(`castellan_access_quota_requests_in_flight ${count}`)

      // Cut while it is answered, and while others wait behind it on the same connection.
      const cut = await RawSocket.open(shared)
      await cut.send(pushOf('orders').repeat(3))
      await inFlight(3)
      cut.reset()
      await inFlight(0)

      // Cut in the middle of its body.
      const half = await RawSocket.open(shared)
      await half.send(pushOf('orders').slice(0, -5))
      await inFlight(1)
      half.destroy()
      await inFlight(0)

      // Answered, well and badly.
      const both = await RawSocket.open(shared)
      await both.send(pushOf('orders') + pushOf('secret'))
      await inFlight(2)
      for (const taken of verbs.calls) taken.settle([{ type: 'delivered', partition: 0, offset: 0, timestampMs: 0 }])
      await both.until(() => both.answers === 2)
      await inFlight(0)

      // Eight at a time, and the ninth is refused.
      const many = await RawSocket.open(shared)
      await many.send(pushOf('orders').repeat(9))
      await untilMetric('castellan_access_refused_requests_total{reason="quotaExceeded"} 1')
      many.reset()
      await inFlight(0)
    })
  })

  describe('passwords', () => {
    it('cost once: many connections of one user wait for one verification, and a wrong one does not count as right', async () => {
      await start({ auth: { users: [{ username: 'anna', passwordHash: await hashPassword('right') }] }, access })
      const { shared } = guarded.http.urls
      const authorization = basic('anna', 'right')
      const answers = await Promise.all(
        Array.from({ length: 40 }, () => push(shared, 'orders', { headers: { authorization } }))
      )
      expect(new Set(answers.map(({ status }) => status))).to.deep.equal(new Set([200]))
      for (const wrong of ['wrong', 'right ', 'Right', '']) {
        const headers = { authorization: basic('anna', wrong) }
        expect((await push(shared, 'orders', { headers })).status).to.equal(401)
      }
      expect((await push(shared, 'orders', { headers: { authorization } })).status).to.equal(200)
    })

    it('that are wrong, in a flood, neither stop those who are known nor pile up', async () => {
      const passwordHash = await hashPassword('right')
      await start({ auth: { ...auth, users: [{ username: 'anna', passwordHash }] }, access })
      const { shared } = guarded.http.urls
      const flood = Array.from({ length: 100 }, (_, i) =>
        push(shared, 'orders', { headers: { authorization: basic('anna', `guess ${i}`) } })
      )
      // Answered while the first guesses are still being verified.
      for (let i = 0; i < 10; i++) expect((await push(shared, 'orders', { headers: bearer })).status).to.equal(200)
      const statuses = (await Promise.all(flood)).map(({ status }) => status)
      expect(statuses.filter(status => status === 401)).to.have.length.within(1, 100)
      expect(statuses.every(status => status === 401 || status === 503)).to.equal(true)
      expect(statuses.filter(status => status === 503)).to.have.length.above(0)
    })

    it('are UTF-8, whichever way their characters are composed', async () => {
      await start({ auth: { users: [{ username: 'jürgen', passwordHash: await cheapHash('gr\u00fcn') }] }, access })
      const headers = { authorization: basic('jürgen', 'gru\u0308n') }
      expect((await push(guarded.http.urls.shared, 'orders', { headers })).status).to.equal(200)
    })

    it('that are not written as they should be are wrong', async () => {
      await start({ auth: { users: [{ username: 'anna', passwordHash: await cheapHash('right') }] }, access })
      for (const authorization of [
        'Basic',
        'Basic  ',
        'Basic !',
        'Basic YW5uYQ==',
        'Digest x',
        'Bearer',
        'x'.repeat(8_000)
      ]) {
        const answer = await push(guarded.http.urls.shared, 'orders', { headers: { authorization } })
        expect([authorization.slice(0, 20), answer.status]).to.deep.equal([authorization.slice(0, 20), 401])
        expect(answer.headers['www-authenticate']).to.equal('Basic realm="castellan", charset="UTF-8"')
      }
    })
  })

  it('answers 503 with Retry-After while the keys of an issuer cannot be fetched', async () => {
    const issuer = await makeIssuer()
    // Nobody listens on this port.
    const issuers = [
      { issuer: ISSUER, audience: 'castellan', jwksUrl: 'http://127.0.0.1:1/jwks', algorithms: ['ES256'] }
    ]
    await start({ auth: { ...auth, issuers }, access })
    const { shared } = guarded.http.urls
    const headers = { authorization: `Bearer ${await issuer.sign({ sub: 'anna' })}` }
    const answer = await push(shared, 'orders', { headers })
    expect([answer.status, answer.headers['retry-after']]).to.deep.equal([503, '1'])
    expect((await push(shared, 'orders', { headers: bearer })).status).to.equal(200)
    expect((await push(shared, 'orders', { headers: { authorization: 'Bearer wrong' } })).status).to.equal(401)
  })

  describe('without credentials', () => {
    it('lets clients of the unix socket in as the principal that is configured, and no others', async () => {
      const socketPath = `${folder.path}/socket`
      await start({ http: { unixSocket: socketPath }, auth: { ...auth, unixSocketPrincipal: 'local' }, access })
      expect((await push('http://localhost', 'orders', { socketPath })).status).to.equal(200)
      const wrong = { socketPath, headers: { authorization: 'Bearer wrong' } }
      expect((await push('http://localhost', 'orders', wrong)).status).to.equal(401)
      expect((await push(guarded.http.urls.shared, 'orders')).status).to.equal(401)
    })

    it('admits clients without credentials as anonymous when that is allowed, with the permissions of the rules', async () => {
      const rules = [everything, { principals: ['anonymous'], operations: ['produce'], topics: ['public'] }]
      await start({ http: { allowAnonymous: true }, auth, access: { rules } })
      const { shared, management } = guarded.http.urls
      expect((await push(shared, 'public')).status).to.equal(200)
      expect((await push(shared, 'orders')).status).to.equal(403)
      expect((await call(`${management}/metrics`)).status).to.equal(403)
      expect((await push(shared, 'public', { headers: { authorization: 'Bearer wrong' } })).status).to.equal(401)
    })

    it('asks for no credentials where there are rules but no authentication', async () => {
      const rules = [{ principals: ['anonymous'], operations: ['produce'], topics: ['public'] }]
      await start({ access: { rules } })
      expect((await push(guarded.http.urls.shared, 'public')).status).to.equal(200)
      expect((await push(guarded.http.urls.shared, 'orders')).status).to.equal(403)
    })
  })

  it('closes the probes when the settings say so', async () => {
    await start({ management: { openProbes: false }, auth, access })
    const { management } = guarded.http.urls
    expect((await call(`${management}/ready`)).status).to.equal(401)
    expect((await call(`${management}/ready`, { headers: bearer })).status).to.equal(200)
  })

  it('keeps the order of pipelined requests whose credentials have to be verified first', async () => {
    await start({ auth: { users: [{ username: 'anna', passwordHash: await cheapHash('right') }] }, access })
    const socket = await RawSocket.open(guarded.http.urls.shared)
    const requests = Array.from({ length: 50 }, (_, i) => {
      const body = JSON.stringify({ records: [{ topic: 'orders', data: String(i) }] })
      return head('/kprf/push', [`Authorization: ${basic('anna', 'right')}`, `Content-Length: ${body.length}`]) + body
    })
    await socket.send(requests.join(''))
    await socket.until(() => socket.answers === 50)
    socket.destroy()
    expect(guarded.verbs.records.map(({ value }) => Number(value))).to.deep.equal(requests.map((_, i) => i))
  })

  it('keeps the order of pipelined requests where the credentials of the first one only have to be verified', async () => {
    const users = [{ username: 'anna', passwordHash: await cheapHash('right') }]
    await start({ auth: { ...auth, users }, access })
    const socket = await RawSocket.open(guarded.http.urls.shared)
    const requests = [basic('anna', 'right'), `Bearer ${token}`].map((authorization, i) => {
      const body = JSON.stringify({ records: [{ topic: 'orders', data: String(i) }] })
      return head('/kprf/push', [`Authorization: ${authorization}`, `Content-Length: ${body.length}`]) + body
    })
    await socket.send(requests.join(''))
    await socket.until(() => socket.answers === 2)
    socket.destroy()
    expect(guarded.verbs.records.map(({ value }) => Number(value))).to.deep.equal([0, 1])
  })

  it('lets a connection become a websocket whose password had to be verified', async () => {
    const users = [{ username: 'anna', passwordHash: await cheapHash('right') }]
    await start({ auth: { users }, access })
    const socket = await RawSocket.open(guarded.http.urls.shared)
    const upgrade = ['Connection: Upgrade', 'Upgrade: websocket', 'Sec-WebSocket-Version: 13']
    const lines = [...upgrade, `Sec-WebSocket-Key: ${'x'.repeat(22)}==`, `Authorization: ${basic('anna', 'right')}`]
    await socket.send(`GET /arion/websocket/orders HTTP/1.1\r\nHost: localhost\r\n${lines.join('\r\n')}\r\n\r\n`)
    expect(await socket.until(isHead)).to.match(/^HTTP\/1\.1 101 /)
    const empty = socket.received.length
    await socket.send(Buffer.from([0x82, 0x82, 0, 0, 0, 0, 0x68, 0x69]))
    await socket.until(text => text.length > empty)
    socket.destroy()
    expect(guarded.verbs.records.map(({ value }) => String(value))).to.deep.equal(['hi'])
  })

  describe('the audit', () => {
    const audits = (): typeof guarded.lines => guarded.lines.filter(({ message }) => message === 'audit')
    const audited = async (which: string, more: object = {}): Promise<Record<string, unknown>[]> => {
      await start({ auth, access: { ...access, audit: which, ...more } })
      const { shared, management } = guarded.http.urls
      const headers = { ...bearer, 'x-request-id': 'r1' }
      const body = JSON.stringify({ records: ['orders', 'orders', 'secret'].map(topic => ({ topic, data: 'x' })) })
      await push(shared, 'orders', { headers })
      await push(shared, 'orders', { headers, body })
      await push(shared, 'orders', { headers: { authorization: 'Bearer wrong', 'x-request-id': 'r2' } })
      await call(`${management}/metrics`, { headers })
      return audits().map(({ fields }) => fields as Record<string, unknown>)
    }
    const shop = { principal: 'shop', method: 'token', address: '127.0.0.1', requestId: 'r1' }
    const denied = [
      { ...shop, allowed: false, operation: 'produce', topics: ['secret'] },
      { allowed: false, address: '127.0.0.1', reason: 'the token is not valid', requestId: 'r2' }
    ]
    const allowed = [
      { ...shop, allowed: true, operation: 'produce', topics: ['orders'] },
      { ...shop, allowed: true, operation: 'management' }
    ]

    it('says who did what, and whether it was allowed', async () => {
      expect(await audited('all')).to.deep.equal([allowed[0], ...denied, allowed[1]])
    })

    it('says only what was refused when that is asked for, and nothing by default', async () => {
      expect(await audited('denied')).to.deep.equal(denied)
      await guarded.stop()
      expect(await audited('off')).to.deep.equal([])
    })

    it('names each share group that a request has made, where it names what is allowed', async () => {
      const verbs = new FakeVerbs()
      verbs.queues = {
        ...verbs.queues,
        acquire: (_topic, _group, _options, { reply }) => {
          reply({ type: 'acquired', messages: [], isNewGroup: true })
          return () => undefined
        }
      }
      const headers = { ...bearer, 'x-request-id': 'r1' }
      const what = { ...shop, allowed: true, topic: 'orders', group: 'new' }
      for (const [audit, lines] of [
        [
          'all',
          [
            { ...what, operation: 'consume' },
            { ...what, operation: 'create', reason: 'a new share group' }
          ]
        ],
        ['denied', []]
      ] as const) {
        await start({ auth, access: { ...access, audit } }, verbs)
        await call(`${guarded.http.urls.shared}/queues/orders/new/acquire`, { method: 'POST', headers })
        expect(audits().map(({ fields }) => fields)).to.deep.equal(lines)
        await guarded.stop()
      }
    })

    const spent = 'the quota of records or bytes per second of'
    const unknown = { allowed: false, address: '127.0.0.1', requestId: 'r1' }
    for (const [kind, of, line] of [
      ['perPrincipal', 'the principal shop', { ...shop, allowed: false }],
      ['perAddress', 'the address 127.0.0.1', unknown]
    ] as const) {
      it(`says that ${of} has used up its quota, before a body and behind it`, async () => {
        await start({ auth, access: { ...access, audit: 'denied' }, quotas: { [kind]: { bytesPerSecond: 1 } } })
        const body = jsonOf('orders')
        const late = await RawSocket.open(guarded.http.urls.shared)
        const headers = { ...bearer, 'x-request-id': 'r1' }
        const sent = Object.entries({ ...headers, 'content-length': body.length }).map(pair => pair.join(': '))
        await late.send(head('/kprf/push', sent) + body.slice(0, 10))
        await untilMetric('castellan_http_requests_in_flight 1')
        for (const status of [200, 429])
          expect((await push(guarded.http.urls.shared, 'orders', { headers })).status).to.equal(status)
        await late.send(body.slice(10))
        await late.until(text => text.includes('ratelimit'))
        late.destroy()
        const lines = audits().map(({ fields }) => fields as { readonly reason: string })
        expect(lines.map(({ reason, ...who }) => [who, reason.split(' is used up')[0]])).to.deep.equal([
          [line, `${spent} ${of}`],
          [{ ...shop, allowed: false }, `${spent} ${of}`]
        ])
      })
    }

    it('goes to a file that only its owner can read, and goes on in a new one after the old was moved away', async () => {
      const auditFile = `${folder.path}/audit.log`
      expect(await audited('all', { auditFile })).to.deep.equal([])
      const linesOf = (): Record<string, unknown>[] =>
        readFileSync(auditFile, 'utf8')
          .trim()
          .split('\n')
          .map(line => JSON.parse(line) as Record<string, unknown>)
      const withoutTime = linesOf().map(({ level: _, time: __, ...rest }) => rest)
      expect(withoutTime).to.deep.equal([allowed[0], ...denied, allowed[1]].map(line => ({ ...line, msg: 'audit' })))
      expect(statSync(auditFile).mode & 0o777).to.equal(0o600)

      const { renameSync } = await import('node:fs')
      renameSync(auditFile, `${auditFile}.1`)
      await guarded.security.prepare()
      await push(guarded.http.urls.shared, 'orders', { headers: bearer })
      expect(linesOf()).to.have.length(1)
    })

    it('says the whole address of a client, and that one has come by the unix socket', async () => {
      const socketPath = `${folder.path}/socket`
      await start({ http: { host: '::1', unixSocket: socketPath }, auth, access: { ...access, audit: 'all' } })
      await push(guarded.http.urls.shared, 'orders', { headers: bearer })
      await push(guarded.http.urls.shared, 'orders')
      await push('http://localhost', 'orders', { socketPath, headers: bearer })
      await push('http://localhost', 'orders', { socketPath })
      const told = audits().map(({ fields }) => fields as { address: string; allowed: boolean })
      expect(told.map(({ address, allowed }) => [address, allowed])).to.deep.equal([
        ['::1', true],
        ['::1', false],
        ['unix', true],
        ['unix', false]
      ])
    })

    it('holds no credential, and neither does the log of a bug', async () => {
      const verbs = new FakeVerbs({
        refuse: () => {
          throw new Error('a bug')
        }
      })
      await start({ auth, access: { ...access, audit: 'all' } }, verbs)
      const answer = await push(guarded.http.urls.shared, 'orders', { headers: bearer })
      expect([answer.status, answer.body]).to.deep.equal([500, ''])
      const errors = guarded.lines.filter(({ level }) => level === 'error')
      expect(errors).to.have.length(1)
      const { err, ...fields } = errors[0]!.fields as { err: Error }
      const seen = JSON.stringify([guarded.lines, fields, err.message, err.stack, Object.entries(err)])
      expect(seen.includes(token) || seen.includes(sha256)).to.equal(false)
    })

    it('and the log cut names that are too long to be right', async () => {
      await start({ auth, access: { rules: [everything], audit: 'all' } })
      const topic = 'x'.repeat(100_000)
      const { shared } = guarded.http.urls
      expect((await push(shared, topic, { headers: bearer })).status).to.equal(403)
      expect(JSON.stringify(guarded.lines)).to.have.length.below(2_000)
    })

    it('names a bounded number of topics', async () => {
      await start({ access: { audit: 'all' } })
      const body = JSON.stringify({ records: Array.from({ length: 500 }, (_, i) => ({ topic: `t${i}`, data: '' })) })
      await push(guarded.http.urls.shared, '', { body })
      const [line] = audits().map(({ fields }) => fields as { topics: string[] })
      expect(line!.topics).to.have.length(20)
    })
  })
})
