import { expect } from 'chai'
import fastify from 'fastify'
import { admittedCaller, type Caller } from '../../../src/http/access/access.js'
import { byHand, neverCalled } from '../../../src/http/api/by-hand.js'
import { askWithin } from '../../../src/http/api/inner-request.js'
import type { Exchange } from '../../../src/http/exchange/exchange.js'

describe('a request that came inside of another one', () => {
  it('is charged with its records only, also once they are written: its bytes came with the other one', async () => {
    const spent: (readonly [number, number])[] = []
    const caller = { principal: 'p', isRuled: false, spend: (...of: [number, number]) => void spent.push(of) }
    const route = (exchange: Exchange): void => {
      const inner = admittedCaller(exchange.request)!
      expect(inner.charge(2, 500)).to.equal(undefined)
      inner.spend(3, 500)
      exchange.response.writeHead(200, {})
      exchange.response.end('{}')
    }
    const app = fastify()
    const hand = byHand(exchange => {
      const headers = { 'content-type': 'application/json' }
      void askWithin(
        route,
        { exchange, url: '/inner', headers, body: Buffer.alloc(500) },
        caller as unknown as Caller
      ).then(({ status }) => {
        exchange.response.writeHead(status, {})
        exchange.response.end()
      })
    })
    app.post('/', { preParsing: hand }, neverCalled)
    expect((await app.inject({ method: 'POST', url: '/', payload: '' })).statusCode).to.equal(200)
    expect(spent).to.deep.equal([
      [2, 0],
      [3, 0]
    ])
    await app.close()
  })
})
