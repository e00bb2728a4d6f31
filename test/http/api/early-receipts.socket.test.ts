import { expect } from 'chai'
import { byHand } from '../../../src/http/api/by-hand.js'
import type { KeyResult } from '../../../src/http/api/key-answers.js'
import { originOf } from '../../../src/http/api/request-origin.js'
import { type AcceptedRequest, AsyncAnswer } from '../../../src/http/exchange/async-answer.js'
import type { Claim } from '../../../src/producer/keys/local-keys.js'
import type { KeyTag, PendingProduce } from '../../../src/producer/memory/pending-produce.js'
import { localKeys } from '../../support/local-keys.js'
import { RawSocket } from '../../support/raw-socket.js'
import { type Started, until } from '../server/stage.js'
import { guarded, type IdempotencyOptions, requestHead, startRoutes } from './stage.js'

const BUSY: Claim = { type: 'busy' }
const receipt = { id: 'r'.repeat(38), records: 1 }

describe('a request with a key that comes again, prefers not to wait, and may not wait for the earlier one', () => {
  let started: Started
  let results: KeyResult[]
  const start = async (hasReceipt: boolean): Promise<void> => {
    results = []
    const keys = {
      knows: () => false,
      claim: () => BUSY,
      claimWithin: async () => BUSY,
      receiptOf: async () => (hasReceipt ? receipt : undefined)
    }
    const count = (result: KeyResult): void => void results.push(result)
    const receive = guarded(() => expect.fail('it is carried out'), { keys, count }, 0)
    const preParsing = byHand((exchange, params) => {
      AsyncAnswer.note(exchange.request, exchange.response, ({ id }, further) => {
        exchange.response.writeHead(202, { ...further, 'x-castellan-receipt': id }).end()
      })
      receive(exchange, params)
    })
    started = await startRoutes({ 'POST /push': preParsing })
  }
  afterEach(() => started.http.close())

  const push = (headers: Readonly<Record<string, string>> = {}): Promise<Response> =>
    fetch(`${started.http.urls.shared}/loud/push`, {
      method: 'POST',
      body: 'x',
      headers: { 'idempotency-key': 'a', ...headers }
    })

  it('gets the receipt of the earlier one', async () => {
    await start(true)
    const answer = await push({ prefer: 'respond-async' })
    expect(answer.status).to.equal(202)
    expect(answer.headers.get('x-castellan-receipt')).to.equal(receipt.id)
    expect(answer.headers.get('idempotent-replayed')).to.equal('true')
    expect(answer.headers.get('x-castellan-idempotency')).to.equal('gateway')
    expect(results).to.deep.equal(['replayed'])
  })

  it('is refused while the earlier one has no receipt', async () => {
    await start(false)
    expect((await push({ prefer: 'respond-async' })).status).to.equal(409)
    expect(results).to.deep.equal(['busy'])
  })

  it('is refused if it prefers to wait', async () => {
    await start(true)
    expect((await push()).status).to.equal(409)
    expect(results).to.deep.equal(['busy'])
  })
})

describe('a request with a key that comes again when only some of its records were accepted', () => {
  let started: Started
  afterEach(() => started.http.close())

  it('gets no early answer: its receipt has only the rest of its records', async () => {
    const records = ['v', 'w'].map(value => ({ topic: 't', key: null, value, headers: [] }))
    const options = { partitioner: 'crc32', deadlineMs: 100, durability: 'disk' } as const
    const accepted: number[] = []
    const receive = guarded(({ request, response }) => {
      const origin = originOf(request)
      const accept = (missing: readonly unknown[], _: unknown, __: unknown, tag: KeyTag): PendingProduce => {
        accepted.push(missing.length)
        // The disk has space for one record only.
        tag.stored(tag.indexOf(0), accepted.length)
        origin.acceptedRecords = missing.length === 1 ? 1 : undefined
        origin.receipt = receipt.id
        return {
          refused: undefined,
          accepted: () => Promise.resolve(undefined),
          outcomes: () => Promise.resolve([])
        }
      }
      origin.key!.produce(records, options, { accept })
      const status = accepted.length === 1 ? 504 : 200
      // An early answer would come before.
      setTimeout(() => {
        if (!response.headersSent) response.writeHead(status, { 'x-castellan-persisted': 'unknown' }).end()
      }, 1)
    })
    const early: number[] = []
    const preParsing = byHand((exchange, params) => {
      AsyncAnswer.note(exchange.request, exchange.response, ({ records }) => void early.push(records))
      receive(exchange, params)
    })
    started = await startRoutes({ 'POST /push': preParsing })
    const push = (): Promise<Response> =>
      fetch(`${started.http.urls.shared}/loud/push`, {
        method: 'POST',
        body: 'x',
        headers: { 'idempotency-key': 'a', prefer: 'respond-async' }
      })
    expect((await push()).status).to.equal(504)
    expect((await push()).status).to.equal(200)
    expect(accepted).to.deep.equal([2, 1])
    expect(early).to.deep.equal([])
  })
})

describe('a request that waits for its key and prefers not to, with another one behind it on its connection', () => {
  let started: Started
  /** Names of requests that were begun. */
  let begun: string[]
  let earlier: RawSocket
  let client: RawSocket
  let give: (found: AcceptedRequest | undefined) => void
  let endEarlier: () => void

  const push = (name: string, more: Readonly<Record<string, string>> = {}): string =>
    requestHead('POST', '/push', { name, ...more, 'content-length': 1 }) + 'x'

  beforeEach(async () => {
    begun = []
    const keys = localKeys()
    let isWaiting = false
    const receiptOf = new Promise<AcceptedRequest | undefined>(resolve => (give = resolve))
    const noting: IdempotencyOptions['keys'] = {
      knows: hash => keys.knows(hash),
      claim: asked => keys.claim(asked),
      claimWithin: (asked, waitMs, left) => {
        isWaiting = true
        return keys.claimWithin(asked, waitMs, left)
      },
      receiptOf: () => receiptOf
    }
    const receive = guarded(
      ({ request, response }) => {
        const name = String(request.headers.name)
        begun.push(name)
        // Nothing of it was kept, so its key is free.
        if (name === 'earlier') endEarlier = () => response.writeHead(503, { 'x-castellan-persisted': 'none' }).end()
        else response.writeHead(200).end()
      },
      { keys: noting }
    )
    started = await startRoutes({ 'POST /push': byHand(receive) })
    earlier = await RawSocket.open(started.http.urls.shared)
    await earlier.send(push('earlier', { 'idempotency-key': 'a' }))
    await until(() => begun.length === 1, 'the earlier one is begun')
    client = await RawSocket.open(started.http.urls.shared)
    await client.send(push('waits', { 'idempotency-key': 'a', prefer: 'respond-async' }) + push('next'))
    await until(() => isWaiting, 'it waits for its key')
    for (let ticks = 20; ticks > 0; ticks--) await new Promise(resolve => setImmediate(resolve))
    expect(begun).to.deep.equal(['earlier'])
  })
  afterEach(async () => {
    for (const each of [earlier, client]) each.destroy()
    await started.http.close()
  })

  it('is carried out before that one when the earlier one leaves it the key', async () => {
    give(undefined)
    endEarlier()
    await client.until(() => client.answers === 2)
    expect(begun).to.deep.equal(['earlier', 'waits', 'next'])
  })

  it('ends its turn with the receipt of the earlier one, and is not carried out any more', async () => {
    give(receipt)
    await client.until(() => client.answers === 2)
    expect(client.received.match(/HTTP\/1\.1 \d+/g)).to.deep.equal(['HTTP/1.1 202', 'HTTP/1.1 200'])
    endEarlier()
    await earlier.until(() => earlier.answers === 1)
    for (let ticks = 20; ticks > 0; ticks--) await new Promise(resolve => setImmediate(resolve))
    expect(begun).to.deep.equal(['earlier', 'next'])
  })
})
