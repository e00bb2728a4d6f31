import { once } from 'node:events'
import { connect, type Socket } from 'node:net'
import { setImmediate as nextTick } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import sinon from 'sinon'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { openListenerSecurity } from '../../../src/server/app/listener-security.js'
import { configOf, TestAuthority, TestFolder } from '../../support/access.js'
import { recordingLogger, type Started, type StartSettings, startHttp, until, untilNothingIsHeld } from './stage.js'

/** More than a client takes that does not read, and less than a server's socket does. */
const LARGE = 'x'.repeat(200_000)
/** More than a server reads at once. */
const BEHIND = 'GET /loud/behind HTTP/1.1\r\nhost: localhost\r\n\r\n'.repeat(20_000)
const LINGER_MS = 2_000

const get = (path: string, headers = ''): string => `GET /loud/${path} HTTP/1.1\r\nhost: localhost\r\n${headers}\r\n`

/** A client that reads when it is told to, little by little. */
class SlowClient {
  readonly #socket: Socket
  #received = ''

  constructor(socket: Socket) {
    this.#socket = socket
    socket.setEncoding('latin1')
    socket.on('error', () => undefined)
    socket.on('data', async text => {
      this.#received += text
      socket.pause()
      await nextTick()
      socket.resume()
    })
    socket.pause()
  }

  send(bytes: string): void {
    this.#socket.write(bytes)
  }

  /** Everything until the server ends the connection, and how it does. */
  async read(): Promise<{ received: string; fate: 'ended' | 'reset' }> {
    const fate = new Promise<'ended' | 'reset'>(resolve => {
      this.#socket.once('end', () => resolve('ended'))
      this.#socket.once('error', () => resolve('reset'))
    })
    this.#socket.resume()
    return { fate: await fate, received: this.#received }
  }

  destroy(): void {
    this.#socket.destroy()
  }
}

describe('the last answers of a connection', () => {
  let started: Started
  let client: SlowClient
  let clock: sinon.SinonFakeTimers
  let answered: (path: string) => void
  let socketOfLast: Socket

  const plugin = async (app: FastifyInstance): Promise<void> => {
    app.addHook('onRequest', (request, reply, done) => {
      const path = request.url.replace('/loud/', '')
      socketOfLast = request.raw.socket
      reply.raw.once('finish', () => answered(path))
      done()
    })
    app.get('/large', () => LARGE)
    app.get('/last', (_, reply) => reply.header('connection', 'close').send('last'))
    app.get('/behind', () => 'behind')
  }

  const start = async (settings: StartSettings = {}): Promise<void> => {
    started = await startHttp({ ...settings, plugin, http: { ...settings.http } })
    // The time for the client to read does not pass by itself.
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
  }

  const open = async (): Promise<void> => {
    const { port, hostname } = new URL(started.http.urls.shared)
    const socket = connect(Number(port), hostname)
    await once(socket, 'connect')
    client = new SlowClient(socket)
  }

  /** Resolves when such an answer has been written. */
  const whenAnswered = (path: string): Promise<void> =>
    new Promise(resolve => {
      answered = one => {
        if (one === path) resolve()
      }
    })

  beforeEach(() => {
    answered = () => undefined
  })

  afterEach(async () => {
    clock.restore()
    client.destroy()
    await started.http.close()
  })

  const expectAll = async (...last: readonly RegExp[]): Promise<void> => {
    const { received, fate } = await client.read()
    expect(received.split(LARGE).length - 1, 'large answers').to.equal(1)
    for (const pattern of last) expect(received.split(LARGE)[1]).to.match(pattern)
    expect(fate).to.equal('ended')
    await untilNothingIsHeld(started)
  }

  const ends: Readonly<Record<string, { bytes: string; until: string; last: RegExp }>> = {
    'an answer that ends the connection': { bytes: get('last'), until: 'last', last: /close\r\n.*\r\n\r\nlast$/s },
    'a head that is refused': {
      bytes: get('refused', 'host: b\r\n'),
      until: 'large',
      last: /^HTTP\/1\.1 400 .*close/s
    },
    'bytes that are not HTTP': { bytes: 'what?\r\n\r\n', until: 'large', last: /^HTTP\/1\.1 400 .*close/s }
  }
  for (const [what, { bytes, until: path, last }] of Object.entries(ends)) {
    it(`reach a client that reads slowly while it still sends, behind ${what}`, async () => {
      await start()
      await open()
      const written = whenAnswered(path)
      client.send(get('large') + bytes + BEHIND)
      await written
      await nextTick()
      await expectAll(last)
    })
  }

  it('reach it when a wish for another protocol is not granted', async () => {
    await start()
    await open()
    const written = whenAnswered('large')
    client.send(get('large', 'connection: upgrade\r\nupgrade: websocket\r\n') + BEHIND)
    await written
    await nextTick()
    await expectAll(/^$/)
  })

  it('reach it when the process is about to stop', async () => {
    await start()
    await open()
    started.http.leave()
    const written = whenAnswered('large')
    client.send(get('large') + BEHIND)
    await written
    await nextTick()
    await expectAll(/^$/)
  })

  it('reach it although the process closes idle connections meanwhile', async () => {
    await start()
    await open()
    const written = whenAnswered('last')
    client.send(get('large') + get('last') + BEHIND)
    await written
    const drained = started.http.drain(60_000)
    await nextTick()
    await expectAll(/last$/)
    await drained
  })

  it('reach it over TLS', async () => {
    const folder = new TestFolder()
    const authority = new TestAuthority()
    const { cert, key } = authority.issue({ commonName: 'one', alternativeNames: ['IP:127.0.0.1'] })
    const tls = { certFile: folder.write('cert.pem', cert), keyFile: folder.write('key.pem', key) }
    const config = configOf(folder, { http: { tls } })
    const security = await openListenerSecurity(config, createPrometheusMetrics(), recordingLogger([]))
    await start({ certificates: security.certificates })
    const socket = connectTls({
      port: Number(new URL(started.http.urls.shared).port),
      host: '127.0.0.1',
      ca: authority.cert
    })
    await once(socket, 'secureConnect')
    client = new SlowClient(socket)
    const written = whenAnswered('last')
    client.send(get('large') + get('last') + BEHIND)
    await written
    await nextTick()
    await expectAll(/last$/)
    security.close()
    folder.remove()
  })

  it('are waited for no longer than two seconds', async () => {
    await start()
    await open()
    const written = whenAnswered('last')
    client.send(get('last') + BEHIND)
    await written
    await until(() => clock.countTimers() > 0, 'a limit of time')
    expect(await started.metric('castellan_http_connections')).to.equal(1)
    clock.tick(LINGER_MS)
    await untilNothingIsHeld(started)
  })

  it('of a CONNECT are waited for no longer than two seconds, whatever the client sends', async () => {
    await start()
    await open()
    client.send('CONNECT a:1 HTTP/1.1\r\nhost: localhost\r\n\r\n')
    await until(() => clock.countTimers() > 0, 'a limit of time')
    client.send('x'.repeat(1_000_000))
    clock.tick(LINGER_MS)
    await untilNothingIsHeld(started)
  })

  it('are followed by no more bytes that are read than a body may have', async () => {
    await start({ http: { maxBodyBytes: 100_000 } })
    await open()
    const written = whenAnswered('last')
    client.send(get('last') + 'x'.repeat(30_000_000))
    await written
    await until(() => socketOfLast.bytesRead > 100_000, 'bytes behind the last answer')
    for (let tick = 0; tick < 100; tick++) await nextTick()
    expect(socketOfLast.bytesRead).to.be.lessThan(1_000_000)
    clock.tick(LINGER_MS)
    await untilNothingIsHeld(started)
  })
})
