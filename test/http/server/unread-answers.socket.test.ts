import type { ServerResponse } from 'node:http'
import { connect as connectTcp, type Socket } from 'node:net'
import { setImmediate as nextTick, setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { openListenerSecurity } from '../../../src/server/app/listener-security.js'
import { configOf, TestAuthority, TestFolder } from '../../support/access.js'
import { gate, loudApi, recordingLogger, type Started, startHttp, until, untilNothingIsHeld } from './stage.js'

const MB = 1_000_000
/** More than operating systems keep for a client that does not read. */
const large = Buffer.alloc(24 * MB, 'x')
const UNREAD = 'castellan_http_unread_bytes'
const ENDED = 'castellan_http_connections_ended_unread_total'

/** A client that reads when it is told to. */
class Client {
  readonly socket: Socket
  received = ''
  bytes = 0
  isClosed = false
  #wanted = 0

  constructor(socket: Socket) {
    this.socket = socket
    socket.pause()
    socket.on('data', (data: Buffer) => {
      this.bytes += data.length
      this.received += data.toString('latin1').replaceAll('x', '')
      if (this.bytes >= this.#wanted) socket.pause()
    })
    socket.on('error', () => undefined)
    socket.on('close', () => (this.isClosed = true))
    socket.pause()
  }

  /** Reads at least so many bytes in all. */
  async read(bytes: number): Promise<void> {
    this.#wanted = bytes
    this.socket.resume()
    await until(
      () => this.isClosed || this.bytes >= this.#wanted,
      `${bytes} bytes`,
      () => this.bytes
    )
  }

  get statuses(): string[] {
    return this.received.match(/(?<=HTTP\/1\.1 )\d{3}/g) ?? []
  }

  async answers(count: number): Promise<string[]> {
    this.#wanted = Number.POSITIVE_INFINITY
    this.socket.resume()
    await until(
      () => this.isClosed || this.statuses.length >= count,
      `${count} answers`,
      () => this.received
    )
    return this.statuses
  }
}

const get = (path: string): string => `GET /loud${path} HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n`
const post = (path: string, bytes: number): string =>
  `POST /loud${path} HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-length: ${bytes}\r\n\r\n${'x'.repeat(bytes)}`

const ways = [
  { way: 'plain HTTP', isTls: false },
  { way: 'TLS', isTls: true }
] as const

for (const { way, isTls } of ways) {
  describe(`clients that do not read their answers, with ${way}`, () => {
    let started: Started
    let folder: TestFolder
    let security: Awaited<ReturnType<typeof openListenerSecurity>> | undefined
    let clients: Client[]
    let gates: Parameters<typeof gate>[0]
    let handled: number
    let streams: ServerResponse[]
    /** Answers that were made, whether they are sent or not. */
    let made: number
    beforeEach(() => {
      folder = new TestFolder()
      security = undefined
      clients = []
      gates = new Map()
      handled = 0
      streams = []
      made = 0
    })
    afterEach(async () => {
      for (const { socket } of clients) socket.destroy()
      for (const stream of streams) stream.destroy()
      await untilNothingIsHeld(started)
      await started.http.close()
      security?.close()
      folder.remove()
    })

    const plugin = async (app: FastifyInstance): Promise<void> => {
      app.addHook('onSend', async () => void made++)
      await loudApi(gates)(app)
      app.get('/large', () => {
        handled++
        return large
      })
      app.get('/medium', () => {
        handled++
        return large.subarray(0, MB)
      })
      app.get('/stream', (_, reply) => {
        reply.hijack()
        reply.raw.writeHead(200, { 'content-type': 'text/event-stream' })
        reply.raw.flushHeaders()
        streams.push(reply.raw)
      })
    }

    async function start(maxBodiesInFlightBytes: number, http: object = {}): Promise<void> {
      const { cert, key } = new TestAuthority().issue({ commonName: 'a', alternativeNames: ['IP:127.0.0.1'] })
      const tls = { certFile: folder.write('cert.pem', cert), keyFile: folder.write('key.pem', key) }
      const config = configOf(folder, { http: { tls } })
      if (isTls) security = await openListenerSecurity(config, createPrometheusMetrics(), recordingLogger([]))
      started = await startHttp({
        http: { maxBodiesInFlightBytes, ...http },
        plugin,
        certificates: security?.certificates
      })
    }

    const open = async (bytes: string): Promise<Client> => {
      const [host, port] = ['127.0.0.1', Number(new URL(started.http.urls.shared).port)]
      const socket = isTls ? connectTls({ host, port, rejectUnauthorized: false }) : connectTcp({ host, port })
      const client = new Client(socket)
      clients.push(client)
      await new Promise<void>(resolve => socket.once(isTls ? 'secureConnect' : 'connect', resolve))
      socket.write(bytes)
      return client
    }
    const openMany = (count: number, bytes: string): Promise<Client[]> =>
      Promise.all(Array.from({ length: count }, () => open(bytes)))
    const someTicks = async (): Promise<void> => {
      for (let ticks = 50; ticks > 0; ticks--) await nextTick()
    }
    const bodies = (): Promise<number> => started.metric('castellan_http_bodies_in_flight_bytes')

    it('take no memory from bodies of other clients, whatever they send', async () => {
      await start(300_000)
      const one = gate(gates, 'one')
      const waiting = await open(post('/hold/one', 20_000) + post('/push', 10_000).repeat(3))
      await one.arrived
      await openMany(6, get('/large') + post('/push', 20_000).repeat(30))
      await until(
        () => handled === 6,
        'requests',
        () => handled
      )
      await until(async () => (await bodies()) + (await started.metric(UNREAD)) >= 6 * 60_000, 'what they send')
      await someTicks()
      const innocent = await open('')
      for (let count = 1; count <= 10; count++) {
        innocent.socket.write(post('/push', 100_000))
        expect((await innocent.answers(count)).at(-1)).to.equal('200')
      }
      one.release()
      expect(await waiting.answers(4)).to.deep.equal(Array(4).fill('200'))
      expect(await started.metric(ENDED), 'no time has passed').to.equal(0)
    })

    it('end when they take nothing for too long; clients that read, however slowly, do not', async () => {
      await start(80 * MB, { socketTimeoutMs: 2_500 })
      const silent = await openMany(4, get('/large'))
      const slow = await open(get('/large'))
      while (!slow.isClosed && slow.bytes < 24 * MB) {
        await slow.read(Math.min(slow.bytes + 2 * MB, 24 * MB))
        await sleep(600)
      }
      await until(async () => (await started.metric(ENDED)) === 4, 'the end of those that do not read')
      expect([slow.statuses, slow.isClosed]).to.deep.equal([['200'], false])
      await Promise.all(silent.map(client => client.read(25 * MB)))
      expect(silent.filter(({ isClosed }) => isClosed)).to.have.length(4)
    })

    /** Requests of an innocent client are carried out, whatever others do. */
    async function expectService(): Promise<void> {
      const innocent = await open('')
      for (let count = 1; count <= 10; count++) {
        innocent.socket.write(post('/push', 100_000))
        expect((await innocent.answers(count)).at(-1)).to.equal('200')
      }
    }

    it('take no memory from others behind a stream that they do read, and get all answers behind its end', async () => {
      await start(MB)
      const readers: Client[] = []
      while (readers.length < 10) {
        const reader = await open(get('/stream') + post('/push', 20_000).repeat(30))
        readers.push(reader)
        expect(await reader.answers(1)).to.deep.equal(['200'])
      }
      await until(async () => (await bodies()) + (await started.metric(UNREAD)) >= 10 * 10_000, 'what they send')
      await someTicks()
      await expectService()
      for (const [index, reader] of readers.entries()) {
        expect(reader.statuses, 'answers keep their order').to.have.length(1)
        streams[index]!.end()
        expect(await reader.answers(31)).to.deep.equal(Array(31).fill('200'))
      }
      expect(await started.metric(ENDED)).to.equal(0)
    })

    it('take no memory from others with requests that have their answers, which wait for an earlier one', async () => {
      await start(MB)
      const one = gate(gates, 'one')
      const waiting: Client[] = []
      while (waiting.length < 10) {
        waiting.push(await open(post('/hold/one', 10) + post('/push', 20_000).repeat(10)))
        await until(() => made === 10 * waiting.length, 'answers')
      }
      await expectService()
      one.release()
      for (const client of waiting) expect(await client.answers(11)).to.deep.equal(Array(11).fill('200'))
    })

    it('have few requests begun behind an answer that is being made', async () => {
      await start(60 * MB)
      const one = gate(gates, 'one')
      const client = await open(post('/hold/one', 10) + get('/medium').repeat(60))
      await one.arrived
      await until(() => handled > 0, 'a request')
      await someTicks()
      expect(handled).to.be.at.most(16)
      one.release()
      expect(await client.answers(61)).to.deep.equal(Array(61).fill('200'))
    })

    it('have few requests begun behind unread answers, and the others when they read', async () => {
      await start(60 * MB)
      const client = await open(get('/medium').repeat(60))
      await until(() => handled > 0, 'a request')
      await someTicks()
      expect(handled).to.be.at.most(16)
      expect(await client.answers(60)).to.deep.equal(Array(60).fill('200'))
    })
  })
}
