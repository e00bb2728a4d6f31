import { expect } from 'chai'
import sinon from 'sinon'
import { byHand, neverCalled } from '../../../src/http/api/by-hand.js'
import { Idempotency } from '../../../src/http/api/idempotency.js'
import { NotCarriedOutError, type PassOn } from '../../../src/http/api/key-owners.js'
import { BufferPool, collectBody } from '../../../src/http/exchange/body-collector.js'
import { hashOf } from '../../deployment/gateways/key-gateways.js'
import { localKeys } from '../../support/local-keys.js'
import { RawSocket } from '../../support/raw-socket.js'
import { type Started, startHttp, until, untilNothingIsHeld } from '../server/stage.js'
import { guarded, requestHead, startRoutes } from './stage.js'

const pool = new BufferPool(0)
const answer = { status: 200, headers: [], body: Buffer.from('x') }

describe('requests of one connection whose keys another process owns', () => {
  let started: Started
  /** The bodies of requests that were begun, here or at the owner. */
  let begun: string[]
  /** Clients that have left or have their answer. */
  let closed: number
  /** Ends of requests that the owner carries out. */
  let ends: (() => void)[]
  /** Requests that this process carries out with these bodies are answered later. */
  let slow: Map<string, () => void>

  const start = async (): Promise<RawSocket> => {
    begun = []
    closed = 0
    ends = []
    slow = new Map()
    const owner: PassOn = ({ body }) => {
      begun.push(String(body))
      return new Promise(resolve => ends.push(() => resolve({ answer, records: 0, bytes: 0 })))
    }
    const here = hashOf('here')
    const owners = {
      scope: 'deployment' as const,
      ownerOf: (hash: string) => (hash === here ? undefined : owner),
      serve: () => undefined,
      close: async () => undefined
    }
    const receive = guarded(
      ({ payload, request, response }) =>
        collectBody(payload, Number(request.headers['content-length']), 1_000, pool, body => {
          const text = String(body)
          begun.push(text)
          if (text.startsWith('slow')) slow.set(text, () => response.end('x'))
          else response.end('x')
        }),
      { owners }
    )
    const noted: typeof receive = (exchange, params) => {
      exchange.response.once('close', () => closed++)
      receive(exchange, params)
    }
    const read = byHand(({ response }) => void slow.set('read', () => response.end('x')))
    started = await startRoutes({ 'POST /push': byHand(noted), 'GET /read': read })
    return RawSocket.open(started.http.urls.shared)
  }
  afterEach(() => started.http.close())

  const push = (body: string, key?: string): string =>
    requestHead('POST', '/push', { 'idempotency-key': key, 'content-length': body.length }) + body

  it('are passed on when the one before is answered', async () => {
    const client = await start()
    await client.send(push('one', 'a') + push('two', 'b') + push('three') + push('four', 'c') + push('five'))
    await until(() => ends.length === 1, 'the first one is passed on')
    expect(begun).to.deep.equal(['one'])
    ends[0]!()
    await until(() => ends.length === 2, 'the second one is passed on')
    expect(begun).to.deep.equal(['one', 'two'])
    ends[1]!()
    await until(() => ends.length === 3, 'the fourth one is passed on')
    expect(begun).to.deep.equal(['one', 'two', 'three', 'four'])
    ends[2]!()
    await client.until(() => client.answers === 5)
    expect(begun.at(-1)).to.equal('five')
    client.destroy()
    await untilNothingIsHeld(started)
  })

  it('wait for those before that are carried out here', async () => {
    const client = await start()
    await client.send(push('slow') + push('two', 'b') + push('slow too', 'here') + push('four', 'c'))
    await until(() => slow.size === 1, 'the first one is begun')
    slow.get('slow')!()
    await until(() => ends.length === 1, 'the second one is passed on')
    ends[0]!()
    await until(() => slow.size === 2, 'the third one is begun')
    slow.get('slow too')!()
    await until(() => ends.length === 2, 'the fourth one is passed on')
    expect(begun).to.deep.equal(['slow', 'two', 'slow too', 'four'])
    ends[1]!()
    await client.until(() => client.answers === 4)
    client.destroy()
    await untilNothingIsHeld(started)
  })

  it('wait for the answers to reads before them, too, and those behind them wait for theirs', async () => {
    const client = await start()
    await client.send(requestHead('GET', '/read') + push('two', 'b') + push('three'))
    await until(() => slow.size === 1, 'the read is begun')
    for (let ticks = 20; ticks > 0; ticks--) await new Promise(resolve => setImmediate(resolve))
    expect(begun).to.deep.equal([])
    slow.get('read')!()
    await until(() => ends.length === 1, 'the second one is passed on')
    for (let ticks = 20; ticks > 0; ticks--) await new Promise(resolve => setImmediate(resolve))
    expect(begun).to.deep.equal(['two'])
    ends[0]!()
    await client.until(() => client.answers === 3)
    client.destroy()
    await untilNothingIsHeld(started)
  })

  it('are carried out when the process begins to stop, and so are those that have come behind them', async () => {
    const client = await start()
    await client.send(push('one', 'a') + push('two', 'b') + push('three') + push('four'))
    await until(() => ends.length === 1, 'the first one is passed on')
    await until(async () => (await started.metric('castellan_http_unread_bytes')) > 0, 'the others have come')
    started.http.leave()
    const drained = started.http.drain(60_000)
    ends[0]!()
    await until(() => ends.length === 2, 'the second one is passed on')
    ends[1]!()
    const received = await client.untilClosed()
    expect(received.match(/HTTP\/1.1 \d+/g)).to.deep.equal(Array(4).fill('HTTP/1.1 200'))
    expect(received.match(/^connection: .*$/gim)?.map(line => line.toLowerCase())).to.deep.equal([
      ...Array(3).fill('connection: keep-alive'),
      'connection: close'
    ])
    expect(begun).to.deep.equal(['one', 'two', 'three', 'four'])
    await drained
  })

  it('are not carried out when their client has left before', async () => {
    const client = await start()
    await client.send(push('one', 'a') + push('two', 'b'))
    await until(() => ends.length === 1, 'the first one is passed on')
    client.destroy()
    await until(() => closed === 1, 'the client has left')
    ends[0]!()
    await new Promise(resolve => setImmediate(resolve))
    expect(begun).to.deep.equal(['one'])
    await untilNothingIsHeld(started)
  })

  it('do not hold up those of another connection', async () => {
    const client = await start()
    const other = await RawSocket.open(started.http.urls.shared)
    await client.send(push('one', 'a'))
    await until(() => ends.length === 1, 'it is passed on')
    await other.send(push('other'))
    await other.until(() => other.answers === 1)
    expect(begun).to.deep.equal(['one', 'other'])
    for (const each of [client, other]) each.destroy()
  })
})

describe('requests that are held until the owner of their key can be tried', () => {
  let started: Started
  let clock: sinon.SinonFakeTimers
  beforeEach(() => (clock = sinon.useFakeTimers({ toFake: ['performance'] })))
  afterEach(async () => {
    clock.restore()
    await started.http.close()
  })

  /** @returns the messages of the log, when it is answered */
  const logOf = async (heldMs: number, carriedOutMs: number): Promise<string[]> => {
    let tries = 0
    const owner: PassOn = async () => {
      if (tries++ === 0) throw new NotCarriedOutError('away')
      clock.tick(carriedOutMs)
      return { answer, records: 0, bytes: 0 }
    }
    const wait = async (): Promise<boolean> => {
      clock.tick(heldMs)
      return true
    }
    const owners = {
      scope: 'deployment' as const,
      ownerOf: () => owner,
      holding: { isHolding: () => false, hasEarlier: () => false, wait, ended: () => undefined },
      serve: () => undefined,
      close: async () => undefined
    }
    const idempotency = new Idempotency({ keys: localKeys(), owners, count: () => undefined })
    const receive = idempotency.guard(() => undefined, { name: 'push', maxBodyBytes: 1_000 })
    started = await startHttp({
      plugin: async app => void app.post('/push', { preParsing: byHand(receive) }, neverCalled)
    })
    const client = await RawSocket.open(started.http.urls.shared)
    await client.send(requestHead('POST', '/push', { 'idempotency-key': 'a', 'content-length': 1 }) + 'x')
    await client.until(() => client.answers === 1)
    client.destroy()
    await untilNothingIsHeld(started)
    return started.lines.map(({ message }) => message)
  }

  it('are not logged as slow for the time that they were held', async () => {
    expect(await logOf(20_000, 4_000)).to.deep.equal([])
  })

  it('are logged as slow for the time that their owner takes', async () => {
    expect(await logOf(20_000, 6_000)).to.deep.equal(['request was slow'])
  })
})
