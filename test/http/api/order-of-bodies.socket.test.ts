import { brotliCompressSync } from 'node:zlib'
import { expect } from 'chai'
import { openAccess } from '../../../src/http/access/access.js'
import { byHand } from '../../../src/http/api/by-hand.js'
import { withBytes } from '../../../src/http/api/endpoint.js'
import { BufferPool } from '../../../src/http/exchange/body-collector.js'
import { RawSocket } from '../../support/raw-socket.js'
import { type Started, untilNothingIsHeld } from '../server/stage.js'
import { requestHead, startRoutes } from './stage.js'

const pool = new BufferPool(0)

describe('requests of one connection that produce nothing, such as acknowledgements and commits', () => {
  let started: Started
  /** Bodies in the order in which they were used. */
  let used: string[]
  let client: RawSocket

  beforeEach(async () => {
    used = []
    const parts = { access: openAccess, answers: { fail: () => undefined }, pool }
    const receive = byHand(exchange =>
      withBytes(parts, exchange, 1_000, new Error('too large'), bytes => {
        used.push(`${exchange.request.url!.at(-1)}${bytes}`)
        // As one does that waits for others.
        if (used.length === 5) for (const answer of answers) answer()
      })
    )
    const answers: (() => void)[] = []
    const noted: typeof receive = function (request, reply, payload, done) {
      answers.push(() => reply.raw.end('x'))
      receive.call(this, request, reply, payload, done)
    }
    started = await startRoutes({ 'POST /:nth': noted })
    client = await RawSocket.open(started.http.urls.shared)
  })
  afterEach(() => started.http.close())

  const post = (nth: number, headers: Parameters<typeof requestHead>[2], body: Buffer | string): Buffer =>
    Buffer.concat([Buffer.from(requestHead('POST', `/${nth}`, headers)), Buffer.from(body)])

  it('are carried out in their order, whatever their bodies need, and before any of them is answered', async () => {
    const small = brotliCompressSync('a')
    await client.send(
      Buffer.concat([
        post(1, { 'content-encoding': 'br', 'content-length': small.length }, small),
        post(2, { 'content-length': 1 }, 'b'),
        post(3, { 'transfer-encoding': 'chunked' }, '1\r\nc\r\n0\r\n\r\n'),
        post(4, { 'content-length': 0 }, ''),
        post(5, { 'content-length': 1 }, 'e')
      ])
    )
    await client.until(() => client.answers === 5)
    expect(used).to.deep.equal(['1a', '2b', '3c', '4', '5e'])
    client.destroy()
    await untilNothingIsHeld(started)
  })
})
