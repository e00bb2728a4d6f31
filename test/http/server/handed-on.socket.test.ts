import type { IncomingMessage, ServerResponse } from 'node:http'
import { connect, type Socket } from 'node:net'
import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { answeredBefore, byHand } from '../../../src/http/api/by-hand.js'
import type { BodyReader, BodySource } from '../../../src/http/exchange/body-collector.js'
import type { Exchange } from '../../../src/http/exchange/exchange.js'
import { type Started, startHttp, until, untilNothingIsHeld } from './fixtures.js'

const BODY = 'x'.repeat(20_000)
const head = (lengthBytes: number): string =>
  `POST /loud/push HTTP/1.1\r\nhost: 127.0.0.1\r\ncontent-type: text/plain\r\ncontent-length: ${lengthBytes}\r\n\r\n`

/** What a reader was told, and the answer when the body is complete. */
class Recorder implements BodyReader {
  readonly told: string[] = []
  readonly #response: ServerResponse
  #text = ''

  constructor(response: ServerResponse) {
    this.#response = response
  }

  chunk(chunk: Buffer): void {
    this.#text += chunk.toString('latin1')
  }

  end(): void {
    this.told.push(`end ${this.#text.length}`)
    this.#response.end(`got ${this.#text.length}`)
  }

  failed(): void {
    this.told.push('failed')
  }

  closed(): void {
    this.told.push('closed')
  }
}

describe('a body that is handed on without a stream', () => {
  let started: Started
  let receive: (exchange: Exchange) => void
  let socket: Socket
  let answered: string

  beforeEach(async () => {
    started = await startHttp({
      plugin: async (app: FastifyInstance) => {
        app.post('/push', { preParsing: byHand(exchange => receive(exchange)) }, answeredBefore)
      }
    })
    answered = ''
    socket = connect(Number(new URL(started.http.urls.shared).port), '127.0.0.1')
    socket.on('data', data => (answered += data.toString('latin1')))
    socket.on('error', () => undefined)
  })

  afterEach(async () => {
    socket.destroy()
    await untilNothingIsHeld(started)
    await started.http.close()
  })

  const answers = (count: number): Promise<void> =>
    until(
      () => answered.split('HTTP/1.1 ').length - 1 === count,
      `${count} answers`,
      () => answered
    )

  it('comes in pieces, request after request, and the stream is neither read nor waited for', async () => {
    const seen: { request: IncomingMessage; recorder: Recorder }[] = []
    receive = ({ request, response, payload }) => {
      const recorder = new Recorder(response)
      seen.push({ request, recorder })
      expect(payload.handOn!(recorder)).to.equal(true)
    }
    for (let nth = 1; nth <= 20; nth++) {
      socket.write(head(BODY.length) + BODY.slice(0, 9_000))
      await until(() => seen.length === nth, `request ${nth}`)
      socket.write(BODY.slice(9_000))
      await answers(nth)
    }
    await until(() => seen.every(({ recorder }) => recorder.told.length === 2), 'the last one closed')
    for (const { request, recorder } of seen) {
      expect(recorder.told).to.deep.equal(['end 20000', 'closed'])
      expect(request.readableFlowing, 'never flowed').to.equal(null)
      expect(request.readableEnded).to.equal(true)
      expect(request.listenerCount('end'), 'Node waits for no end').to.equal(0)
    }
  })

  it('is discarded after an early answer, and the next request is served', async () => {
    let requests = 0
    receive = ({ response, payload }) => {
      if (++requests > 1) payload.handOn!(new Recorder(response))
      else {
        payload.handOn!({
          chunk: () => void (response.headersSent || response.end('enough')),
          end: () => undefined,
          failed: () => undefined,
          closed: () => undefined
        })
      }
    }
    socket.write(head(BODY.length) + BODY.slice(0, 100))
    await answers(1)
    socket.write(`${BODY.slice(100)}${head(3)}abc`)
    await answers(2)
    expect(answered).to.match(/enough.*got 3$/s)
  })

  it('is not handed on when some of it waits in the stream, which has all of it', async () => {
    let later: (() => void) | undefined
    receive = ({ response, payload }) => {
      later = () => {
        expect(payload.handOn!(new Recorder(response))).to.equal(false)
        let length = 0
        payload.on('data', (chunk: Buffer) => (length += chunk.length))
        payload.on('end', () => response.end(`streamed ${length}`))
      }
    }
    socket.write(head(BODY.length) + BODY.slice(0, 100))
    await until(async () => (await started.metric('castellan_http_bodies_in_flight_bytes')) > 0, 'some of the body')
    later!()
    socket.write(BODY.slice(100))
    await answers(1)
    expect(answered).to.match(/streamed 20000$/)
  })

  it('is closed when the client leaves in the middle', async () => {
    let recorder: Recorder | undefined
    receive = ({ response, payload }: { response: ServerResponse; payload: BodySource } & Exchange) => {
      recorder = new Recorder(response)
      payload.handOn!(recorder)
    }
    socket.write(head(BODY.length) + BODY.slice(0, 100))
    await until(() => recorder !== undefined, 'the request')
    socket.destroy()
    await until(
      () => recorder!.told.length > 0,
      'the end',
      () => recorder!.told
    )
    expect(recorder!.told).to.deep.equal(['closed'])
  })
})
