import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { sentUrlOf } from '../../../src/http/exchange/exchange.js'
import { type AccessFields, AccessLines } from '../../../src/http/server/request-log.js'
import { FakeVerbs } from '../../support/fake-verbs.js'
import { askRaw, RawSocket } from '../../support/raw-socket.js'
import { gate, loudApi, type Started, type StartSettings, sendRaw, startHttp, until } from './stage.js'

const get = (url: string, ...headers: string[]): string =>
  `GET ${url} HTTP/1.1\r\nHost: localhost\r\n${headers.map(header => `${header}\r\n`).join('')}\r\n`

describe('http: answers of the server', () => {
  let started: Started
  afterEach(() => started.http.close())
  const start = async (settings: StartSettings = {}): Promise<Started> => (started = await startHttp(settings))

  describe('a URL in a request line', () => {
    /** Says which URL its route has and which was sent. */
    const telling = async (app: FastifyInstance): Promise<void> => {
      app.all('/*', request => `${request.raw.url} ${request.originalUrl} ${sentUrlOf(request.raw)}`)
    }
    const told = async (url: string, line: string): Promise<string> =>
      (await askRaw(url, get(line, 'Connection: close'))).split('\r\n\r\n')[1]!

    it('is a path below the prefix on a port of its own, whatever scheme and host it names', async () => {
      await start({ plugin: telling, own: true, http: { allowedHosts: ['*'] } })
      const own = started.http.urls.apis.get('loud')!
      const cases = [
        ['/a?b=c', '/loud/a?b=c'],
        ['http://elsewhere/a?b=c', '/loud/a?b=c'],
        ['HTTPS://Elsewhere:81/a', '/loud/a'],
        ['http://elsewhere', '/loud/'],
        ['http://elsewhere?b=c', '/loud/?b=c'],
        ['http://user@elsewhere/http://other/a', '/loud/http://other/a'],
        ['/http://other/a', '/loud/http://other/a']
      ]
      for (const [line, path] of cases) {
        expect((await told(own, line!)).split(' ').slice(0, 2), line).to.deep.equal([path, path!.slice('/loud'.length)])
      }
    })

    it('is known as it was sent where the path cannot be decoded', async () => {
      await start({ plugin: telling })
      const { shared } = started.http.urls
      expect((await told(shared, '/loud/%zz?a=%b')).split(' ')).to.include('/loud/%zz?a=%b')
      expect(await told(shared, '/loud/%zz')).to.match(/^\/loud\/%25zz .* \/loud\/%zz$/)
      expect(await told(shared, '/loud/%20')).to.match(/^\/loud\/%20 .* \/loud\/%20$/)
    })
  })

  it('an API may have a limit of its own for bodies, and a route of it another one', async () => {
    await start({
      maxBodyBytes: 100,
      http: { maxBodyBytes: 1_000 },
      plugin: async app => {
        await loudApi()(app)
        app.post('/large', { bodyLimit: 500 }, () => ({}))
      }
    })
    const push = async (path: string, sizeBytes: number): Promise<number> =>
      (await fetch(`${started.http.urls.shared}/loud/${path}`, { method: 'POST', body: 'x'.repeat(sizeBytes) })).status
    expect([await push('push', 100), await push('push', 101)]).to.deep.equal([200, 413])
    expect([await push('large', 500), await push('large', 501)]).to.deep.equal([200, 413])
  })

  it('a method that few know is answered as others are, whatever its body is', async () => {
    await start({ verbs: new FakeVerbs() })
    const body = 'Connection: close\r\nContent-Type: nonsense\r\nContent-Length: 1\r\n\r\nx'
    const status = async (path: string): Promise<string> =>
      (await sendRaw(started.http.urls.shared, `PROPFIND ${path} HTTP/1.1\r\nHost: localhost\r\n${body}`)).slice(9, 12)
    expect(await Promise.all(['/kprf/push', '/kprf/other', '/other'].map(status))).to.deep.equal(['405', '404', '404'])
  })

  it('an API answers in its own words while Fastify closes', async () => {
    let scope!: FastifyInstance
    await start({
      plugin: async app => {
        scope = app
        await loudApi()(app)
      }
    })
    await scope.close()
    const answer = await fetch(`${started.http.urls.shared}/loud/topics/a`)
    expect([answer.status, await answer.json()]).to.deep.equal([200, { LOUD: 'a' }])
  })

  it('a process that leaves serves on, and ends each connection with its next answer, but on the management port', async () => {
    await start()
    const { shared, management } = started.http.urls
    const socket = await RawSocket.open(shared)
    await socket.send(get('/loud/topics/a'))
    expect(await socket.until(() => socket.answers === 1)).to.match(/connection: keep-alive/i)
    started.http.leave()
    await socket.send(get('/loud/topics/b'))
    const answers = await socket.untilClosed()
    expect(answers).to.match(/HTTP\/1\.1 200 .*HTTP\/1\.1 200 .*connection: close.*\{"LOUD":"b"\}$/is)
    const probe = await fetch(`${management}/ready`)
    expect([probe.status, probe.headers.get('connection')]).to.deep.equal([200, 'keep-alive'])
  })

  it('refuses nothing of the management port while the process drains', async () => {
    await start()
    started.http.refuse()
    const { shared, management } = started.http.urls
    expect((await fetch(`${management}/health-check`)).status).to.equal(200)
    expect((await fetch(`${shared}/`)).status).to.equal(503)
    const named = await fetch(`${shared}/`, { headers: { 'x-request-id': 'mine' } })
    expect(named.headers.get('x-request-id')).to.equal('mine')
    expect(named.headers.get('content-type')).to.equal('application/json; charset=utf-8')
    expect((await named.json()) as object).to.include({ error: 'shuttingDown' })
  })

  it('ends a connection whose refused request has a body that nobody reads, and keeps others', async () => {
    await start({ http: { allowedHosts: ['known.example'] } })
    const refused = async (...headers: string[]): Promise<string | undefined> => {
      const socket = await RawSocket.open(started.http.urls.shared)
      await socket.send(
        `POST / HTTP/1.1\r\nHost: unknown.example\r\n${headers.map(each => `${each}\r\n`).join('')}\r\n`
      )
      const text = await socket.until(() => socket.received.includes('forbidden'))
      socket.destroy()
      expect(text).to.match(/^HTTP\/1\.1 403 /)
      return /^connection: (.*)\r$/im.exec(text)?.[1]
    }
    expect(await refused('Content-Length: 5')).to.equal('close')
    expect(await refused('Transfer-Encoding: chunked')).to.equal('close')
    expect(await refused()).to.equal('keep-alive')
  })

  it('ends connections that are idle, and those without any traffic, after the time for each', async () => {
    await start({ http: { keepAliveTimeoutMs: 20 } })
    const idle = await RawSocket.open(started.http.urls.shared)
    await idle.send(get('/'))
    expect(await idle.untilClosed()).to.match(/^HTTP\/1\.1 200 /)
    await started.http.close()
    const gates: Parameters<typeof loudApi>[0] = new Map()
    const requestAccess = gate(gates, 'a')
    await start({ http: { socketTimeoutMs: 50 }, plugin: loudApi(gates) })
    const silent = await RawSocket.open(started.http.urls.shared)
    await silent.send('POST /loud/hold/a HTTP/1.1\r\nHost: localhost\r\nContent-Length: 1\r\n\r\nx')
    expect(await silent.untilClosed()).to.equal('')
    requestAccess.release()
  })

  it('answers chunk extensions that are too long with 413', async () => {
    await start()
    const answer = await askRaw(
      started.http.urls.shared,
      `POST /loud/push HTTP/1.1\r\nHost: localhost\r\nTransfer-Encoding: chunked\r\n\r\n1;${'a'.repeat(20_000)}\r\nx\r\n0\r\n\r\n`
    )
    expect(answer).to.match(/^HTTP\/1\.1 413 /)
  })

  it('tells clients that name no API which there are', async () => {
    await start()
    const { shared } = started.http.urls
    const front = await fetch(shared)
    const missing = await fetch(`${shared}/push`)
    expect(front.headers.get('content-type')).to.equal('text/plain; charset=utf-8')
    expect(missing.headers.get('content-type')).to.equal('application/json; charset=utf-8')
    for (const answer of [front, missing]) {
      expect(await answer.text())
        .to.match(/\n$/)
        .and.to.contain('loud')
    }
  })
})

describe('http: the access log', () => {
  it('has a line for each request that is wanted, with how it ended', async () => {
    const lines: AccessFields[] = []
    let isWanted = true
    const gates: Parameters<typeof loudApi>[0] = new Map()
    const requestAccess = gate(gates, 'a')
    const accessLog = { wants: () => isWanted, write: (fields: AccessFields) => void lines.push(fields) }
    let now = 0
    const { http } = await startHttp({ accessLog, plugin: loudApi(gates), now: () => (now += 5) })
    try {
      const ask = (path: string, id: string) => fetch(http.urls.shared + path, { headers: { 'x-request-id': id } })
      await (await ask('/loud/topics/secret', 'one')).text()
      await (await ask('/nowhere', 'two')).text()
      await until(() => lines.length === 2, 'two lines')
      isWanted = false
      await (await ask('/loud/topics/b', 'unwanted')).text()
      isWanted = true
      const socket = await RawSocket.open(http.urls.shared)
      await socket.send(
        'POST /loud/hold/a HTTP/1.1\r\nHost: localhost\r\nx-request-id: three\r\nContent-Length: 1\r\n\r\nx'
      )
      await requestAccess.arrived
      socket.reset()
      await until(() => lines.some(({ requestId }) => requestId === 'three'), 'the third line')
      requestAccess.release()
      const shown = lines
        .filter(({ requestId }) => requestId !== 'unwanted')
        .map(({ durationMs, ...rest }) => {
          expect(durationMs).to.be.at.least(5)
          return rest
        })
      const address = '127.0.0.1'
      expect(shown).to.deep.equal([
        { requestId: 'one', address, api: 'loud', method: 'GET', route: '/loud/topics/:topic', status: 200 },
        { requestId: 'two', address, api: 'none', method: 'GET', route: undefined, status: 404 },
        { requestId: 'three', address, api: 'loud', method: 'POST', route: '/loud/hold/:gate', status: 'aborted' }
      ])
    } finally {
      await http.close()
    }
  })

  it('is JSON line by line, with times to the microsecond', () => {
    const fields = { requestId: 'a', address: '10.0.0.7', api: 'kprf', method: 'POST' } as const
    const lineOf = (more: Pick<AccessFields, 'route' | 'status' | 'durationMs'>): string =>
      new AccessLines().line(Date.parse('2026-11-20T21:00:00.000Z'), { ...fields, ...more })
    const line = lineOf({ route: '/kprf/push', status: 200, durationMs: 1.250_4 })
    expect(line).to.match(/^[^\n]*\n$/)
    expect(JSON.parse(line)).to.deep.equal({
      level: 'info',
      msg: 'request',
      time: '2026-11-20T21:00:00.000Z',
      ...fields,
      route: '/kprf/push',
      status: 200,
      durationMs: 1.25
    })
    expect(JSON.parse(lineOf({ route: undefined, status: 'aborted', durationMs: 0.001_6 }))).to.deep.include({
      route: null,
      status: 'aborted',
      durationMs: 0.002
    })
  })
})
