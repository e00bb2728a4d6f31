import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { byHand, neverCalled } from '../../../src/http/api/by-hand.js'
import { BufferPool, collectBody } from '../../../src/http/exchange/body-collector.js'
import type { Exchange } from '../../../src/http/exchange/exchange.js'
import { RawSocket } from '../../support/raw-socket.js'
import { startHttp, untilNothingIsHeld } from './stage.js'

const nextTick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

it('a body that finds no capacity before anybody reads it is no empty one', async () => {
  let open!: () => void
  let arrive!: () => void
  const isOpen = new Promise<void>(resolve => (open = resolve))
  const arrived = new Promise<void>(resolve => (arrive = resolve))
  const pool = new BufferPool(1024)
  const receive = ({ request, response, payload }: Exchange): void => {
    collectBody(payload, Number(request.headers['content-length']), 100_000, pool, body => {
      response.end(Buffer.isBuffer(body) ? `a body of ${body.length}` : `failed: ${body}`)
    })
  }
  const plugin = async (app: FastifyInstance): Promise<void> => {
    app.addHook('onRequest', async () => {
      arrive()
      await isOpen
    })
    app.post('/push', { preParsing: byHand(receive) }, neverCalled)
  }
  const http = { perAddress: { maxBodiesInFlightBytes: 1_000 } }
  const started = await startHttp({ http, plugin })
  const client = await RawSocket.open(started.http.urls.shared)
  const body = 'x'.repeat(12_000)
  await client.send(`POST /loud/push HTTP/1.1\r\nhost: localhost\r\ncontent-length: ${body.length}\r\n\r\n${body}`)
  await arrived
  await nextTick()
  open()
  expect(await client.until(text => /failed|a body of/.test(text))).not.to.contain('a body of')
  client.destroy()
  await untilNothingIsHeld(started)
  await started.http.close()
})
