import { existsSync, mkdtempSync, readFileSync, rmSync, statSync } from 'node:fs'
import { connect, createServer } from 'node:net'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { useFakeTimers } from 'sinon'
import type { ListenAddress } from '../../../src/core/listen-error.js'
import { noteWait } from '../../../src/http/exchange/exchange.js'
import { askRaw, RawSocket } from '../../support/raw-socket.js'
import {
  type Gate,
  gate,
  loudApi,
  type Started,
  type StartSettings,
  startHttp,
  until,
  untilNothingIsHeld
} from './stage.js'

const CONNECTIONS = 'castellan_http_connections'
const head = (line: string, ...headers: string[]): string =>
  `${line} HTTP/1.1\r\nHost: localhost\r\n${headers.map(header => `${header}\r\n`).join('')}\r\n`
/** More than Node's default for connections that wait to be accepted, 511. */
const BURST = 1_000
const GET = head('GET /loud/topics/a')

describe('http: listeners', () => {
  let started: Started
  afterEach(() => started.http.close())
  const start = async (settings: StartSettings = {}): Promise<Started> => (started = await startHttp(settings))

  /** A client whose request is being answered until the gate is released. */
  const withRequest = async (settings: StartSettings = {}): Promise<{ client: RawSocket; requestAccess: Gate }> => {
    const gates: NonNullable<Parameters<typeof loudApi>[0]> = new Map()
    const requestAccess = gate(gates, 'a')
    const { http } = await start({ ...settings, plugin: loudApi(gates) })
    const client = await RawSocket.open(http.urls.shared)
    await client.send(`${head('POST /loud/hold/a', 'Content-Length: 1')}x`)
    await requestAccess.arrived
    return { client, requestAccess }
  }

  it('count a connection before its first request, and not any more when it has ended', async () => {
    const { http, metric } = await start()
    const clients = await Promise.all([1, 2].map(() => RawSocket.open(http.urls.shared)))
    await until(async () => (await metric(CONNECTIONS)) === 2, '2 connections')
    clients[0]!.destroy()
    await until(async () => (await metric(CONNECTIONS)) === 1, '1 connection')
    clients[1]!.destroy()
    await untilNothingIsHeld(started)
  })

  it('let a thousand clients of the unix socket connect while the event loop is busy', async function () {
    // Linux refuses connections to a unix socket beyond its backlog at once.
    const somaxconn = '/proc/sys/net/core/somaxconn'
    if (!existsSync(somaxconn) || Number(readFileSync(somaxconn, 'utf8')) < BURST) return this.skip()
    const folder = mkdtempSync(join(tmpdir(), 'castellan-'))
    try {
      const { http } = await start({ http: { unixSocket: join(folder, 'a.sock') } })
      // All of them connect in one tick, in which none is accepted.
      const opening = Array.from({ length: BURST }, () => RawSocket.open(http.urls.unixSocket!))
      const opened = await Promise.allSettled(opening)
      for (const one of opened) if (one.status === 'fulfilled') one.value.destroy()
      expect(opened.filter(({ status }) => status === 'rejected')).to.have.length(0)
      await untilNothingIsHeld(started)
    } finally {
      rmSync(folder, { recursive: true })
    }
  })

  it('give the head of a request no more time than the whole of it', async () => {
    const { http } = await start({ http: { headersTimeoutMs: 60_000, requestTimeoutMs: 100 } })
    expect(await askRaw(http.urls.shared, 'GET / HTTP/1.1\r\nHost:')).to.match(/^HTTP\/1\.1 408 /)
    await untilNothingIsHeld(started)
  })

  it('end a CONNECT although its client keeps its side open', async () => {
    const { http, metric } = await start()
    const { port, hostname } = new URL(http.urls.shared)
    const client = connect({ port: Number(port), host: hostname, allowHalfOpen: true })
    client.on('error', () => undefined)
    client.write('CONNECT localhost:80 HTTP/1.1\r\nHost: localhost\r\n\r\n')
    let text = ''
    client.on('data', data => (text += data.toString('latin1')))
    await new Promise(resolve => client.once('end', resolve))
    expect(text).to.match(/^HTTP\/1\.1 405 .*\r\nallow: GET, POST\r\n.*content-length: 0\r\n.*\r\n$/s)
    await until(async () => (await metric(CONNECTIONS)) === 0, 'the end of the connection')
    client.destroy()
  })

  it('tell what they refuse without a body, also where Node could answer by itself', async () => {
    const { http } = await start()
    for (const bytes of ['GET / HTTP/1.1\r\n\r\n', 'nonsense\r\n\r\n', head('GET /', 'Expect: tea')]) {
      expect(await askRaw(http.urls.shared, bytes)).to.match(/^HTTP\/1\.1 4[01][07] .*\r\ncontent-length: 0\r\n/is)
    }
  })

  it('end a connection that is not HTTP any more, and count nothing of it', async () => {
    const { http } = await start()
    const client = await RawSocket.open(http.urls.shared)
    await client.send(GET)
    await client.until(() => client.answers === 1)
    await client.send('nonsense\r\n\r\n')
    expect(await client.untilClosed()).to.match(/HTTP\/1\.1 200 .*HTTP\/1\.1 400 /s)
    client.destroy()
    await untilNothingIsHeld(started)
  })

  describe('that stop', () => {
    it('end a connection behind a request that they finish, and answer nothing that comes behind it', async () => {
      const { client, requestAccess } = await withRequest()
      const drained = started.http.drain(60_000)
      await client.send(GET)
      await until(async () => (await started.metric('castellan_http_requests_in_flight')) === 2, 'both requests')
      requestAccess.release()
      const answers = await client.untilClosed()
      expect(answers).to.match(/^HTTP\/1\.1 200 (?!.*HTTP).*connection: close.*"held"/is)
      await drained
    })

    it('end connections whose last answer came meanwhile, and leave no timer behind', async () => {
      const clock = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'setInterval', 'clearInterval'] })
      try {
        const { client, requestAccess } = await withRequest()
        const before = clock.countTimers()
        const drained = started.http.drain(60_000)
        requestAccess.release()
        await client.until(() => client.answers === 1)
        await until(() => {
          clock.tick(50)
          return client.isClosed
        }, 'the end of the connection')
        await drained
        expect(clock.countTimers()).to.be.at.most(before)
      } finally {
        clock.restore()
      }
    })

    it('refuse the requests of kept connections that were on their way', async () => {
      const { http } = await start()
      const clients = await Promise.all(Array.from({ length: 20 }, () => RawSocket.open(http.urls.shared)))
      for (const client of clients) {
        await client.send(GET)
        await client.until(() => client.answers === 1)
      }
      const sent = Promise.all(clients.map(client => client.send(GET)))
      const drained = http.drain(60_000)
      await sent
      for (const client of clients)
        expect(await client.untilClosed()).to.match(/HTTP\/1\.1 200 .*HTTP\/1\.1 503 .*connection: close/is)
      await drained
    })

    it('are done at once when they are told again', async () => {
      const { http } = await start()
      // Longer than a test may take.
      await http.drain(600_000)
      await http.drain(600_000)
      await http.close()
    })

    it('stop the shared port where there is no management port', async () => {
      const { http } = await start({ management: { port: 'off' } })
      expect(http.urls.management).to.equal(undefined)
      await http.drain(60_000)
      expect(await fetch(http.urls.shared).catch(() => 'gone')).to.equal('gone')
    })

    it('hand nothing on of what was pipelined behind the request during which they were closed', async () => {
      let handled = 0
      let closed: Promise<void> | undefined
      const plugin = async (app: FastifyInstance): Promise<void> => {
        app.get('/', () => {
          if (++handled === 8) closed = started.http.close()
          return {}
        })
      }
      const { http } = await start({ plugin })
      const client = await RawSocket.open(http.urls.shared)
      await client.send(head('GET /loud/').repeat(20))
      await client.untilClosed()
      await closed
      expect(handled).to.equal(8)
    })
  })

  describe('of an API', () => {
    const listenerAt = (address: object) => [
      { label: 'loud', prefix: '/loud', address: { host: '127.0.0.1', port: 0, ...address } as never, tls: false }
    ]
    const failure = async (address: Partial<ListenAddress> | object): Promise<string> =>
      startHttp({ listeners: listenerAt(address) }).then(
        ({ http }) => http.close().then(() => 'none'),
        (error: Error) => error.message
      )

    it('name the setting for the port, and that for both where there is only one', async () => {
      await start()
      const other = createServer()
      await new Promise<void>(resolve => other.listen(0, '127.0.0.1', resolve))
      const { port } = other.address() as { port: number }
      try {
        expect(await failure({ port, setting: 'its.host', portSetting: 'its.port' })).to.contain('with its.port (0')
        expect(await failure({ port, setting: 'its.address' })).to.contain('with its.address (0')
        expect(await failure({ host: '192.0.2.1', setting: 'its.host', portSetting: 'its.port' })).to.match(
          /its\.host$/
        )
      } finally {
        await new Promise(resolve => other.close(resolve))
      }
    })

    it('may be a unix socket, with its paths at its root and a mode of its own', async () => {
      const folder = mkdtempSync(join(tmpdir(), 'castellan-'))
      const unixSocket = join(folder, 'loud.sock')
      try {
        await start({
          listeners: [
            {
              label: 'loud socket',
              prefix: '/loud',
              address: { unixSocket, mode: '640', setting: 'its.socket' },
              tls: false
            }
          ]
        })
        const url = started.http.urls.apis.get('loud socket')!
        expect(url).to.equal(`unix:${unixSocket}`)
        expect(statSync(unixSocket).mode & 0o777).to.equal(0o640)
        const client = await RawSocket.open(url)
        await client.send(head('GET /topics/a'))
        expect(await client.until(text => text.includes('LOUD'))).to.match(/^HTTP\/1\.1 200 .*\{"LOUD":"a"\}$/s)
        client.destroy()
      } finally {
        await started.http.close()
        rmSync(folder, { recursive: true })
      }
    })
  })

  describe('answer with', () => {
    it('an id of their own whatever other headers for it there may be', async () => {
      const { http } = await start()
      const idFor = async (name: string): Promise<string> => {
        const answer = await askRaw(http.urls.shared, head('GET /loud/topics/a', `${name}: mine`, 'Connection: close'))
        return /^x-request-id: (.*)\r$/m.exec(answer)![1]!
      }
      expect(await idFor('request-id')).to.match(/^test-/)
      expect(await idFor('x-request-id')).to.equal('mine')
    })

    it('an id of their own where the one given is empty', async () => {
      const { http } = await start()
      const answer = await askRaw(http.urls.shared, head('GET /loud/topics/a', 'x-request-id:', 'Connection: close'))
      expect(answer).to.match(/\r\nx-request-id: test-\w+\r\n/)
    })
  })

  describe('measure', () => {
    it('the time until a body had come by the clock of the process, and never a negative one', async () => {
      for (const [offsetMs, leastSeconds, mostSeconds] of [
        [-1_000_000, 1_000, 1_100],
        [1_000_000, 0, 0]
      ] as const) {
        const { http, metricsText } = await start({ now: () => performance.now() + offsetMs })
        await askRaw(http.urls.shared, `${head('POST /loud/push', 'Content-Length: 1', 'Connection: close')}x`)
        const text = await metricsText()
        const sampleOf = (name: string): number =>
          Number(new RegExp(`^castellan_http_body_seconds_${name}\\{api="loud"\\} (.+)$`, 'm').exec(text)![1])
        expect(sampleOf('count')).to.equal(1)
        expect(sampleOf('sum')).to.be.within(leastSeconds, mostSeconds)
        await http.close()
      }
    })

    it('a slow answer, and log it, but not one whose client has left', async () => {
      let laterMs = 0
      const { client, requestAccess } = await withRequest({
        now: () => performance.now() + laterMs
      })
      laterMs = 600_000
      client.reset()
      await untilNothingIsHeld(started)
      expect(started.lines).to.deep.equal([])
      requestAccess.release()
      await started.http.close()
      const slow = await withRequest({ now: () => performance.now() + laterMs })
      laterMs *= 2
      slow.requestAccess.release()
      await slow.client.until(text => text.includes('held'))
      slow.client.destroy()
      await untilNothingIsHeld(started)
      expect(started.lines.map(({ message }) => message)).to.deep.equal(['request was slow'])
    })

    it('a slow answer, but not one for which its client has asked to wait', async () => {
      let laterMs = 0
      const now = (): number => performance.now() + laterMs
      const plugin = async (scope: FastifyInstance): Promise<void> => {
        scope.get<{ Params: { durationMs: string } }>('/patient/:durationMs', async ({ raw, params }) => {
          noteWait(raw, 60_000)
          laterMs += Number(params.durationMs)
          return 'done'
        })
      }
      const { http } = await start({ now, plugin })
      const took = (durationMs: number): Promise<string> =>
        askRaw(http.urls.shared, head(`GET /loud/patient/${durationMs}`, 'Connection: close'))
      await took(60_000)
      expect(started.lines).to.deep.equal([])
      await took(65_000)
      expect(started.lines.map(({ message }) => message)).to.deep.equal(['request was slow'])
      expect(started.lines[0]!.fields).to.have.property('durationMs').that.is.within(65_000, 69_000)
    })
  })
})
