import { connect as connectTcp, type Socket } from 'node:net'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect as connectTls } from 'node:tls'
import { gunzipSync } from 'node:zlib'
import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { byHand, neverCalled } from '../../../src/http/api/by-hand.js'
import { sendAnswer } from '../../../src/http/exchange/answers.js'
import type { PiecedBody } from '../../../src/http/exchange/pieced-body.js'
import { openListenerSecurity } from '../../../src/server/app/listener-security.js'
import { configOf, TestAuthority, TestFolder } from '../../support/access.js'
import { recordingLogger, type Started, startHttp, until, untilNothingIsHeld } from '../server/stage.js'

const PIECE_BYTES = 256 * 1024
const UNREAD = 'castellan_http_unread_bytes'
const JSON_TYPE = 'application/vnd.kafka.binary.v2+json'

/** The bytes of an answer: no two seeds have the same ones anywhere. */
function patternOf(seed: number, lengthBytes: number, from = 0): Buffer {
  const bytes = Buffer.alloc(lengthBytes)
  for (let at = 0; at < lengthBytes; at++) bytes[at] = (seed * 37 + ((from + at) % 251)) & 0xff
  return bytes
}

/** Yields pieces of uneven sizes; fails behind `failsAt` bytes. */
class PatternBody implements PiecedBody {
  readonly #seed: number
  readonly length: number
  readonly #failsAt: number
  readonly #taken: (piece: Buffer) => void

  constructor(seed: number, length: number, failsAt: number, taken: (piece: Buffer) => void) {
    this.#seed = seed
    this.length = length
    this.#failsAt = failsAt
    this.#taken = taken
  }

  *fill(piece: Buffer): Generator<Buffer, void> {
    this.#taken(piece)
    for (let at = 0; at < this.length; ) {
      if (at >= this.#failsAt) throw new Error('the body fails')
      const size = Math.min(this.length - at, piece.length - ((at * this.#seed) % 3))
      piece.set(patternOf(this.#seed, size, at))
      yield piece.subarray(0, size)
      at += size
    }
  }
}

interface Answer {
  readonly head: string
  readonly body: Buffer
}

/** A client that reads at most so many bytes at once, and rests between. */
class Client {
  readonly socket: Socket
  #chunks: Buffer[] = []
  bytes = 0
  isClosed = false

  constructor(socket: Socket, readBytes?: number) {
    this.socket = socket
    socket.on('data', (chunk: Buffer) => {
      this.#chunks.push(chunk)
      this.bytes += chunk.length
      if (readBytes === undefined) return
      socket.pause()
      setTimeout(() => socket.resume(), 1)
    })
    socket.on('error', () => undefined)
    socket.on('close', () => (this.isClosed = true))
  }

  get received(): string {
    return Buffer.concat(this.#chunks).toString('latin1')
  }

  /** The answers that have come as a whole, and the length of what is behind them. */
  answers(isHead = false): { readonly answers: readonly Answer[]; readonly restBytes: number } {
    let rest = Buffer.concat(this.#chunks)
    this.#chunks = [rest]
    const answers: Answer[] = []
    for (;;) {
      const end = rest.indexOf('\r\n\r\n') + 4
      const head = rest.toString('latin1', 0, end)
      const length = isHead ? 0 : Number(/content-length: (\d+)/i.exec(head)?.[1])
      if (end < 4 || rest.length < end + length) return { answers, restBytes: rest.length }
      answers.push({ head, body: rest.subarray(end, end + length) })
      rest = rest.subarray(end + length)
    }
  }

  async untilRead(bytes: number): Promise<void> {
    await until(
      () => this.isClosed || this.bytes >= bytes,
      `${bytes} bytes`,
      () => this.bytes
    )
  }
}

const get = (seed: number, bytes: number, further = '', method = 'GET'): string =>
  `${method} /loud/${seed}/${bytes} HTTP/1.1\r\nhost: 127.0.0.1\r\n${further}\r\n`

/** An answer is as long as its path says. */
const SIZES = [1, 2, 255, 65_536, PIECE_BYTES - 1, PIECE_BYTES, PIECE_BYTES + 1, 3 * PIECE_BYTES + 77, 3_000_001]

for (const isTls of [false, true]) {
  describe(`bodies that are made while they leave, with ${isTls ? 'TLS' : 'plain HTTP'}`, () => {
    let started: Started
    let folder: TestFolder
    let security: Awaited<ReturnType<typeof openListenerSecurity>> | undefined
    let clients: Client[]
    let memories: Set<ArrayBufferLike>
    let failsAt: number

    beforeEach(async () => {
      folder = new TestFolder()
      clients = []
      memories = new Set()
      failsAt = Number.POSITIVE_INFINITY
      security = undefined
      const { cert, key } = new TestAuthority().issue({ commonName: 'a', alternativeNames: ['IP:127.0.0.1'] })
      const tls = { certFile: folder.write('cert.pem', cert), keyFile: folder.write('key.pem', key) }
      const config = configOf(folder, { http: { tls } })
      if (isTls) security = await openListenerSecurity(config, createPrometheusMetrics(), recordingLogger([]))
      started = await startHttp({ plugin, certificates: security?.certificates })
    })
    afterEach(async () => {
      for (const { socket } of clients) socket.destroy()
      await untilNothingIsHeld(started)
      await started.http.close()
      security?.close()
      folder.remove()
    })

    const plugin = async (app: FastifyInstance): Promise<void> => {
      const receive = byHand(({ request, response, requestId }) => {
        const [seed, bytes] = request.url!.split('/').slice(-2).map(Number)
        const body = new PatternBody(seed!, bytes!, seed === 255 ? failsAt : Number.POSITIVE_INFINITY, piece => {
          memories.add(piece.buffer)
        })
        sendAnswer(response, 200, JSON_TYPE, body, { requestId, persisted: undefined })
      })
      app.addHook('preParsing', receive)
      app.all('/*', neverCalled)
      app.setNotFoundHandler(neverCalled)
    }

    const open = async (bytes: string, readBytes?: number): Promise<Client> => {
      const [host, port] = ['127.0.0.1', Number(new URL(started.http.urls.shared).port)]
      const socket = isTls ? connectTls({ host, port, rejectUnauthorized: false }) : connectTcp({ host, port })
      const client = new Client(socket, readBytes)
      clients.push(client)
      await new Promise<void>(resolve => socket.once(isTls ? 'secureConnect' : 'connect', resolve))
      socket.write(bytes)
      return client
    }

    /** Waits for an answer to each of the requests, and looks at each of its bytes. */
    async function expectAnswers(client: Client, asked: readonly (readonly [seed: number, bytes: number])[]) {
      await client.untilRead(asked.reduce((sum, [, bytes]) => sum + bytes, 0))
      await until(
        () => client.isClosed || client.answers().answers.length >= asked.length,
        'answers',
        () => client.bytes
      )
      const { answers, restBytes } = client.answers()
      expect([answers.length, restBytes]).to.deep.equal([asked.length, 0])
      for (const [at, [seed, bytes]] of asked.entries()) {
        const { head, body } = answers[at]!
        expect(head).to.match(/^HTTP\/1\.1 200 OK\r\n/)
        expect(head).not.to.match(/transfer-encoding/i)
        expect(body.length).to.equal(bytes)
        expect(body.equals(patternOf(seed, bytes)), `answer ${at} of seed ${seed}`).to.equal(true)
      }
    }

    it('are right for many clients at once, however fast they read, on connections that stay open', async () => {
      const asked = Array.from({ length: 12 }, (_, seed) =>
        SIZES.map((_, at) => [seed, SIZES[(at + seed) % SIZES.length]!] as const)
      )
      const opened = await Promise.all(
        asked.map((ofOne, seed) =>
          open(ofOne.map(([, bytes]) => get(seed, bytes)).join(''), [undefined, 700_000, 40_000][seed % 3])
        )
      )
      await Promise.all(opened.map((client, seed) => expectAnswers(client, asked[seed]!)))
    })

    it('leave nothing in the answers of others where clients reset at any byte about the end of a piece', async () => {
      const bytes = 6 * PIECE_BYTES
      const reader = await open(Array(40).fill(get(7, 500_000)).join(''), 150_000)
      let seed = 20
      for (const border of [0, 1, 2, 3]) {
        for (let off = -3; off <= 3; off++) {
          const leaving = await open(get(seed++, bytes) + get(seed++, bytes))
          await leaving.untilRead(Math.max(1, 200 + border * PIECE_BYTES + off))
          if (isTls) leaving.socket.destroy()
          else leaving.socket.resetAndDestroy()
          // What has come is of no other answer.
          const [, head = '', body = ''] = /^(.*?\r\n\r\n)(.*)$/s.exec(leaving.received) ?? []
          expect(head).to.match(/^HTTP\/1\.1 200 OK\r\n/)
          const came = Buffer.from(body, 'latin1').subarray(0, bytes)
          expect(came.equals(patternOf(seed - 2, came.length))).to.equal(true)
        }
      }
      await expectAnswers(reader, Array(40).fill([7, 500_000]))
    })

    it('hold one piece for a client that does not read, and count as unread as a whole', async () => {
      const silent = await open('')
      silent.socket.pause()
      silent.socket.write(get(1, 64_000_000))
      await until(async () => (await started.metric(UNREAD)) > 40_000_000, 'bytes that are not read')
      expect(memories.size).to.equal(1)
      const other = await open(get(2, 3_000_000))
      await expectAnswers(other, [[2, 3_000_000]])
      expect(memories.size).to.equal(2)
      silent.socket.destroy()
      await until(async () => (await started.metric(UNREAD)) === 0, 'no bytes that are not read')
      // Both pieces are there again.
      for (const seed of [3, 4, 5]) await expectAnswers(await open(get(seed, 3_000_000)), [[seed, 3_000_000]])
      expect(memories.size).to.equal(2)
    })

    it('end their connection where they fail, and no other', async () => {
      failsAt = 2 * PIECE_BYTES
      const reader = await open(get(1, 3_000_000), 100_000)
      const failing = await open(get(255, 3_000_000))
      await until(() => failing.isClosed, 'the end of the connection')
      expect(failing.bytes).to.be.below(3_000_000)
      await expectAnswers(reader, [[1, 3_000_000]])
    })

    it('tell their length in an answer to HEAD, which has none, and leave as a whole with a content coding', async () => {
      const head = await open(get(1, 3_000_000, '', 'HEAD') + get(1, 3_000_000, '', 'HEAD'))
      await until(() => head.answers(true).answers.length === 2, 'two heads')
      await sleep(5)
      expect(head.answers(true).restBytes).to.equal(0)
      for (const { head: text } of head.answers(true).answers) expect(text).to.match(/content-length: 3000000\r\n/i)
      const coded = await open(get(2, 3_000_000, 'accept-encoding: gzip\r\n'))
      await until(() => coded.answers().answers.length === 1, 'an answer')
      const [answer] = coded.answers().answers
      expect(answer!.head).to.match(/content-encoding: gzip\r\n/)
      expect(gunzipSync(answer!.body).equals(patternOf(2, 3_000_000))).to.equal(true)
    })
  })
}
