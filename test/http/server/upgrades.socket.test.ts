import { once } from 'node:events'
import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect as connectTls, type TLSSocket } from 'node:tls'
import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { refusalStatus } from '../../../src/http/access/access.js'
import { byHand, neverCalled } from '../../../src/http/api/by-hand.js'
import { isWebsocketRequest, type UpgradedSocket, upgradeOf } from '../../../src/http/engine/upgrade.js'
import { openListenerSecurity } from '../../../src/server/app/listener-security.js'
import { configOf, makeToken, TestAuthority, TestFolder } from '../../support/access.js'
import { startServer } from '../../support/http-server.js'
import { RawSocket } from '../../support/raw-socket.js'
import { recordingLogger, type Started, type StartSettings, startHttp, until, untilNothingIsHeld } from './stage.js'

const UPGRADE = 'connection: keep-alive, Upgrade\r\nupgrade: WebSocket\r\n'
const ask = (path: string, headers = UPGRADE, method = 'GET'): string =>
  `${method} ${path} HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n`
const SWITCHED = 'HTTP/1.1 101 Switching Protocols\r\n\r\n'

/** More than operating systems keep for a client that does not read. */
const large = Buffer.alloc(24_000_000, 'x')

/** Takes upgrades of `/echo` and sends back what comes; answers everything else. */
class Echoes {
  readonly taken: UpgradedSocket[] = []
  left = 0
  readonly plugin = async (app: FastifyInstance): Promise<void> => {
    app.addHook(
      'preParsing',
      byHand(({ request, response }) => {
        const upgraded = request.url?.endsWith('/echo')
          ? upgradeOf(request)?.take({ leave: () => this.#leave(upgraded), silent: () => this.#silent(upgraded) })
          : undefined
        if (upgraded === undefined) {
          const answer = `${request.method} ${upgradeOf(request) !== undefined}`
          request.resume().on('end', () => response.end(request.url?.endsWith('/large') ? large : answer))
          return
        }
        this.taken.push(upgraded)
        upgraded.socket.write(SWITCHED)
        upgraded.socket.write(upgraded.head)
        upgraded.socket.pipe(upgraded.socket)
      })
    )
    app.all('/*', neverCalled)
    app.setErrorHandler((error, _, reply) => {
      reply.code(refusalStatus(error) ?? 500).send('REFUSED')
    })
  }
  #silent(upgraded: UpgradedSocket | undefined): void {
    upgraded?.socket.end('silence')
  }

  #leave(upgraded: UpgradedSocket | undefined): void {
    this.left++
    upgraded?.socket.end('bye')
  }
}

describe('upgrades', () => {
  let echoes: Echoes
  let started: Started
  beforeEach(() => {
    echoes = new Echoes()
  })
  afterEach(() => started.http.close())

  const start = async (settings: Omit<StartSettings, 'plugin'> = {}): Promise<Started> =>
    (started = await startHttp({ ...settings, plugin: echoes.plugin }))

  const open = async (url: string, path = '/loud/echo', behind = ''): Promise<RawSocket> => {
    const socket = await RawSocket.open(url)
    await socket.send(ask(path) + behind)
    return socket
  }

  it('hand over the connection, with what came right behind the request', async () => {
    const { http, metric, metricsText } = await start()
    const socket = await open(http.urls.shared, '/loud/echo', 'early')
    await socket.until(text => text.endsWith('early'))
    await socket.send(' and late')
    expect(await socket.until(text => text.endsWith('late'))).to.equal(`${SWITCHED}early and late`)
    expect(await metric('castellan_http_connections')).to.equal(1)
    expect(await metric('castellan_http_upgraded_connections')).to.equal(1)
    expect(await metric('castellan_http_requests_in_flight')).to.equal(0)
    expect(await metricsText()).to.contain('{api="loud",method="GET",status="101"} 1')
    socket.destroy()
    await untilNothingIsHeld(started)
    expect(await metric('castellan_http_upgraded_connections')).to.equal(0)
  })

  it('are the same on a port of its own and over a unix socket', async () => {
    const folder = new TestFolder()
    const unixSocket = `${folder.path}/socket`
    const { http } = await start({ own: true, http: { unixSocket } })
    for (const [url, path] of [
      [http.urls.apis.get('loud')!, '/echo'],
      [http.urls.unixSocket!, '/loud/echo']
    ] as const) {
      const socket = await open(url, path, 'x')
      expect(await socket.until(text => text.endsWith('x'))).to.equal(`${SWITCHED}x`)
      socket.destroy()
    }
    folder.remove()
  })

  it('can be answered instead, and then end the connection', async () => {
    const { http } = await start()
    const socket = await open(http.urls.shared, '/loud/other', 'ignored')
    const answer = await socket.untilClosed()
    expect(answer)
      .to.match(/^HTTP\/1\.1 200 OK\r\n/)
      .and.match(/\r\nConnection: close\r\n/i)
      .and.match(/GET true/)
    await untilNothingIsHeld(started)
  })

  it('leave requests alone that ask for other protocols, have a body, are of HTTP/1.0, or come behind others', async () => {
    const { http } = await start()
    const h2c = 'connection: Upgrade, HTTP2-Settings\r\nupgrade: h2c\r\nhttp2-settings: AAMAAABk\r\n'
    const others = [
      `${ask('/loud/echo', `${h2c}content-length: 4\r\n`, 'POST')}body`,
      ask('/loud/echo', h2c),
      `${ask('/loud/echo', `${UPGRADE}content-length: 4\r\n`, 'POST')}body`,
      `${ask('/loud/echo', `${UPGRADE}content-length: 4\r\n`)}body`,
      ask('/loud/echo', 'upgrade: websocket\r\nconnection: close\r\n'),
      ask('/loud/echo').replace('HTTP/1.1', 'HTTP/1.0')
    ]
    for (const bytes of others) {
      const socket = await RawSocket.open(http.urls.shared)
      await socket.send(bytes)
      expect(await socket.until(text => /(GET|POST) false/.test(text)), bytes)
        .to.match(/^HTTP\/1\.1 200 OK\r\n/)
        .and.match(/(GET|POST) false/)
      socket.destroy()
    }
    const behind = await RawSocket.open(http.urls.shared)
    await behind.send(ask('/loud/first', '') + ask('/loud/echo'))
    expect(await behind.untilClosed()).to.match(/GET false[\s\S]*GET false/)
    expect(echoes.taken).to.deep.equal([])
  })

  it('are refused to web pages of others and to other hosts, before any API is asked', async () => {
    const { http } = await start()
    for (const headers of [`${UPGRADE}origin: https://evil.example\r\n`, `${UPGRADE}sec-fetch-site: cross-site\r\n`]) {
      const socket = await RawSocket.open(http.urls.shared)
      await socket.send(ask('/loud/echo', headers))
      expect(await socket.untilClosed())
        .to.match(/^HTTP\/1\.1 403 /)
        .and.match(/REFUSED/)
    }
    const rebound = await RawSocket.open(http.urls.shared)
    await rebound.send(ask('/loud/echo').replace('localhost', 'evil.example'))
    expect(await rebound.untilClosed()).to.match(/^HTTP\/1\.1 403 /)
    const own = await RawSocket.open(http.urls.shared)
    await own.send(ask('/loud/echo', `${UPGRADE}origin: http://localhost\r\n`))
    expect(await own.until(text => text.length >= SWITCHED.length)).to.equal(SWITCHED)
    expect(echoes.taken).to.have.length(1)
    own.destroy()
  })

  it('count against what one address may have, as connections and as requests', async () => {
    const perAddress = { maxConnections: 2, maxRequestsInFlight: 1 }
    const { http } = await start({ http: { perAddress } })
    const first = await open(http.urls.shared)
    await first.until(text => text === SWITCHED)
    const second = await open(http.urls.shared)
    expect(await second.untilClosed()).to.match(/^HTTP\/1\.1 429 /)
    const third = await open(http.urls.shared)
    const fourth = await RawSocket.open(http.urls.shared)
    await Promise.all([third.untilClosed(), fourth.until(() => fourth.isClosed)])
    first.destroy()
    await untilNothingIsHeld(started)
  })

  it('count the bytes they hold as those of bodies, until they end', async () => {
    const { http, metric } = await start({ http: { maxBodiesInFlightBytes: 1_000 } })
    const socket = await open(http.urls.shared)
    await socket.until(text => text === SWITCHED)
    const [upgraded] = echoes.taken
    expect(upgraded!.hold(600)).to.equal(undefined)
    expect(await metric('castellan_http_bodies_in_flight_bytes')).to.equal(600)
    const other = await open(http.urls.shared)
    await other.until(text => text === SWITCHED)
    expect(echoes.taken[1]!.hold(600)?.code).to.equal('overloaded')
    upgraded!.release()
    expect(echoes.taken[1]!.hold(600)).to.equal(undefined)
    other.destroy()
    socket.destroy()
    await untilNothingIsHeld(started)
    expect(upgraded!.hold(1)).to.equal(undefined)
    expect(await metric('castellan_http_bodies_in_flight_bytes')).to.equal(0)
  })

  it('are told once when the process stops, and cut when they stay', async () => {
    const { http } = await start()
    const polite = await open(http.urls.shared)
    await polite.until(text => text === SWITCHED)
    await http.drain(60_000)
    expect(await polite.untilClosed()).to.equal(`${SWITCHED}bye`)
    expect(echoes.left).to.equal(1)
  })

  it('are told once when the process stops, also where it is told so twice, and those that have ended not at all', async () => {
    const { http } = await start()
    const [stubborn, gone] = [await open(http.urls.shared), await open(http.urls.shared)]
    for (const socket of [stubborn, gone]) await socket.until(text => text === SWITCHED)
    gone.destroy()
    await until(async () => (await started.metric('castellan_http_upgraded_connections')) === 1, 'the end of one')
    for (const { socket } of echoes.taken) socket.end = () => socket
    const drained = http.drain(60_000)
    expect(echoes.left).to.equal(1)
    await http.close()
    await drained
    await stubborn.untilClosed()
    expect(echoes.left).to.equal(1)
  })

  it('are cut when they do not end within the time for it', async () => {
    const { http } = await start()
    const stubborn = await open(http.urls.shared)
    await stubborn.until(text => text === SWITCHED)
    echoes.taken[0]!.socket.end = () => echoes.taken[0]!.socket
    await http.drain(50)
    await http.cut()
    await stubborn.untilClosed()
    expect(echoes.left).to.equal(1)
  })

  it('that are answered instead are cut as well when their client does not read the answer', async () => {
    const { http, metric } = await start()
    const socket = await open(http.urls.shared, '/loud/large')
    socket.pause()
    await until(async () => (await metric('castellan_http_requests_in_flight')) === 1, 'the request')
    await http.drain(50)
    await http.cut()
    expect(await metric('castellan_http_connections')).to.equal(0)
    socket.destroy()
  })

  it('outlive the time limits of HTTP', async () => {
    const limitMs = 1_000
    const limits = { socketTimeoutMs: limitMs, keepAliveTimeoutMs: limitMs, headersTimeoutMs: limitMs }
    const { http } = await start({ http: limits })
    const socket = await open(http.urls.shared)
    await socket.until(text => text === SWITCHED)
    await new Promise(resolve => setTimeout(resolve, 3 * limitMs))
    await socket.send('still here')
    expect(await socket.until(text => text.endsWith('here'))).to.equal(`${SWITCHED}still here`)
    socket.destroy()
  })

  it('cost nothing when the client leaves in the middle', async () => {
    const { http, metric } = await start()
    const upgraded = 'castellan_http_upgraded_connections'
    const unread = 'castellan_http_requests_in_flight'
    for (const [bytes, gauge] of [
      [ask('/loud/echo').slice(0, 60), 'castellan_http_connections'],
      [ask('/loud/echo'), upgraded],
      [ask('/loud/large'), unread]
    ] as const) {
      const ends = ['destroy', 'reset', 'end'] as const
      for (const end of ends) {
        const socket = await RawSocket.open(http.urls.shared)
        if (gauge === unread) socket.pause()
        await socket.send(bytes)
        await until(async () => (await metric(gauge)) === 1, `${gauge} 1`)
        socket[end]()
        if (end === 'end' && gauge !== unread) await socket.untilClosed()
        socket.destroy()
        await untilNothingIsHeld(started)
        expect(await metric(upgraded)).to.equal(0)
      }
    }
  })
})

describe('upgrades that are taken late', () => {
  let started: Started
  let asked: { request: IncomingMessage; response: ServerResponse } | undefined
  let left: number
  beforeEach(async () => {
    asked = undefined
    left = 0
    started = await startHttp({
      plugin: async app => {
        app.addHook(
          'preParsing',
          byHand(exchange => void (asked = exchange))
        )
        app.all('/*', neverCalled)
      }
    })
  })
  afterEach(() => started.http.close())

  const open = async (): Promise<RawSocket> => {
    const client = await RawSocket.open(started.http.urls.shared)
    await client.send(ask('/loud/echo'))
    await until(() => asked !== undefined, 'the request')
    return client
  }
  const take = (): UpgradedSocket | undefined =>
    upgradeOf(asked!.request)!.take({ leave: () => left++, silent: () => undefined })

  it('find nobody there when their client has left, and count nothing', async () => {
    const client = await open()
    client.reset()
    await untilNothingIsHeld(started)
    expect(take()).to.equal(undefined)
    expect(await started.metric('castellan_http_upgraded_connections')).to.equal(0)
  })

  it('are none once an answer was begun', async () => {
    const client = await open()
    asked!.response.writeHead(200)
    expect(take()).to.equal(undefined)
    asked!.response.end('answer')
    expect(await client.untilClosed()).to.match(/^HTTP\/1\.1 200 .*answer/s)
    await untilNothingIsHeld(started)
  })

  it('are told at once when the process stops already', async () => {
    const client = await open()
    const drained = started.http.drain(60_000)
    const upgraded = take()
    expect(left).to.equal(1)
    upgraded!.socket.end('bye')
    expect(await client.untilClosed()).to.equal('bye')
    await drained
    expect(left).to.equal(1)
  })
})

describe('requests for the websocket protocol', () => {
  it('are those of HTTP/1.1 that have no body, in any case', () => {
    const isOne = (headers: object, method = 'GET', httpVersion = '1.1'): boolean =>
      isWebsocketRequest({ method, headers, httpVersion } as IncomingMessage)
    for (const upgrade of ['websocket', 'WebSocket', 'h2c, websocket', 'WebSocket,h2c', ',\twebsocket ,'])
      expect(isOne({ upgrade }), upgrade).to.equal(true)
    expect(isOne({ upgrade: 'websocket', 'content-length': '0' })).to.equal(true)
    for (const headers of [
      {},
      { upgrade: 'h2c' },
      { upgrade: 'h2c, websocket/13' },
      { upgrade: 'h2c websocket' },
      { upgrade: 'x-websocket' },
      { upgrade: 'websocket', 'content-length': '1' },
      { upgrade: 'websocket', 'content-length': '' },
      { upgrade: 'websocket', 'transfer-encoding': 'chunked' }
    ]) {
      expect(isOne(headers), JSON.stringify(headers)).to.equal(false)
    }
    expect(isOne({ upgrade: 'websocket' }, 'POST')).to.equal(false)
    expect(isOne({ upgrade: 'websocket' }, 'GET', '1.0')).to.equal(false)
  })
})

describe('upgrades where clients must say who they are', () => {
  it('need credentials as every request does, and go over TLS', async () => {
    const folder = new TestFolder()
    const authority = new TestAuthority()
    const { cert, key } = authority.issue({ commonName: 'one', alternativeNames: ['IP:127.0.0.1'] })
    const tls = { certFile: folder.write('cert.pem', cert), keyFile: folder.write('key.pem', key) }
    const { token, sha256 } = makeToken()
    const config = configOf(folder, {
      http: { tls, port: 0 },
      management: { port: 0 },
      auth: { tokens: [{ principal: 'shop', sha256 }] }
    })
    const echoes = new Echoes()
    const metrics = createPrometheusMetrics()
    const security = await openListenerSecurity(config, metrics, recordingLogger([]))
    const http = await startServer({
      http: config.http,
      management: config.management,
      apis: [{ name: 'loud', prefix: '/loud', plugin: echoes.plugin, listeners: [] }],
      metrics,
      requestAccess: security.requestAccess,
      certificates: security.certificates,
      log: recordingLogger([])
    })
    const shake = async (headers: string): Promise<{ socket: TLSSocket; received(): string }> => {
      const socket = connectTls({ port: Number(new URL(http.urls.shared).port), host: '127.0.0.1', ca: authority.cert })
      let text = ''
      socket.on('data', (data: Buffer) => (text += data.toString()))
      await once(socket, 'secureConnect')
      socket.write(`${ask('/loud/echo', UPGRADE + headers)}over TLS`)
      return { socket, received: () => text }
    }
    const stranger = await shake('')
    await once(stranger.socket, 'close')
    expect(stranger.received()).to.match(/^HTTP\/1\.1 401 /)
    const { socket, received } = await shake(`authorization: Bearer ${token}\r\n`)
    while (!received().endsWith('TLS')) await once(socket, 'data')
    expect(received()).to.equal(`${SWITCHED}over TLS`)
    const closed = once(socket, 'close')
    await http.drain(60_000)
    await closed
    await http.close()
    security.close()
    folder.remove()
  })
})
