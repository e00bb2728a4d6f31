import { expect } from 'chai'
import { answeredBefore, byHand } from '../../../src/http/api/by-hand.js'
import { Idempotency } from '../../../src/http/api/idempotency.js'
import { BufferPool, collectBody } from '../../../src/http/exchange/body-collector.js'
import type { ClaimedKey } from '../../../src/producer/keys/claimed-key.js'
import type { Claim } from '../../../src/producer/keys/keys.js'
import { engines } from '../../support/engines.js'
import { RawSocket } from '../../support/raw-socket.js'
import { type Started, startHttp, until, untilNothingIsHeld } from '../server/fixtures.js'

const pool = new BufferPool(0)
const claimed: Claim = {
  type: 'claimed',
  key: {
    told: (persisted: string) => persisted,
    answered: (_answer: unknown, _persisted: string, settled: () => void) => settled()
  } as unknown as ClaimedKey
}

describe('requests of one connection whose keys another process knows', () => {
  let started: Started
  let begun: string[]
  /** Clients that have left or have their answer. */
  let closed: number
  let claims: ((claim: Claim) => void)[]
  /** Claims from this one on are known at once. */
  let knownFrom: number

  const start = async (engine: string): Promise<RawSocket> => {
    begun = []
    closed = 0
    claims = []
    knownFrom = Number.POSITIVE_INFINITY
    const claim = (): Claim | Promise<Claim> =>
      claims.length >= knownFrom ? claimed : new Promise(resolve => claims.push(resolve))
    const idempotency = new Idempotency({
      keys: { reach: 'gateway', claim, receiptOf: async () => undefined },
      count: () => undefined
    })
    const receive = idempotency.guard(
      ({ payload, request, response }) =>
        collectBody(payload, Number(request.headers['content-length']), 1_000, pool, body => {
          begun.push(String(body))
          response.end('x')
        }),
      { maxBodyBytes: 1_000, waitMs: undefined }
    )
    const noted: typeof receive = (exchange, params) => {
      exchange.response.once('close', () => closed++)
      receive(exchange, params)
    }
    started = await startHttp({
      http: { engine },
      plugin: async app => void app.post('/push', { preParsing: byHand(noted) }, answeredBefore)
    })
    return RawSocket.open(started.http.urls.shared)
  }
  afterEach(() => started.http.close())

  const push = (body: string, key?: string): string =>
    `POST /loud/push HTTP/1.1\r\nhost: 127.0.0.1\r\n${key === undefined ? '' : `idempotency-key: ${key}\r\n`}content-length: ${body.length}\r\n\r\n${body}`

  for (const engine of engines) {
    it(`begin in the order in which they were sent, with the engine ${engine}`, async () => {
      const client = await start(engine)
      await client.send(push('one', 'a') + push('two', 'b') + push('three') + push('four', 'c') + push('five'))
      await until(() => claims.length === 3, 'three claims')
      for (const known of [claims[2]!, claims[1]!]) known(claimed)
      await new Promise(resolve => setImmediate(resolve))
      expect(begun).to.deep.equal([])
      claims[0]!(claimed)
      await client.until(() => client.answers === 5)
      expect(begun).to.deep.equal(['one', 'two', 'three', 'four', 'five'])
      knownFrom = 0
      await client.send(push('six', 'd') + push('seven'))
      await client.until(() => client.answers === 7)
      expect(begun.slice(5)).to.deep.equal(['six', 'seven'])
      client.destroy()
      await untilNothingIsHeld(started)
    })
  }

  for (const engine of engines) {
    it(`are not carried out, and leave nothing, when their client has left, with the engine ${engine}`, async () => {
      const client = await start(engine)
      await client.send(push('one', 'a'))
      await until(() => claims.length === 1, 'a claim')
      client.destroy()
      await until(() => closed === 1, 'the client has left')
      let isAbandoned = false
      claims[0]!({ ...claimed, key: { abandon: () => (isAbandoned = true) } as unknown as ClaimedKey })
      await until(() => isAbandoned, 'the key is given back')
      expect(begun).to.deep.equal([])
      await untilNothingIsHeld(started)
    })
  }

  it('do not hold up those of another connection', async () => {
    const client = await start('castellan')
    const other = await RawSocket.open(started.http.urls.shared)
    await client.send(push('one', 'a'))
    await until(() => claims.length === 1, 'a claim')
    await other.send(push('other'))
    await other.until(() => other.answers === 1)
    expect(begun).to.deep.equal(['other'])
    for (const each of [client, other]) each.destroy()
    await until(() => claims.length === 1, 'the claim that nobody answers')
  })
})
