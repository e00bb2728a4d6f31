import { EventEmitter } from 'node:events'
import { PassThrough } from 'node:stream'
import * as zlib from 'node:zlib'
import { brotliCompressSync, constants, gzipSync } from 'node:zlib'
import { expect } from 'chai'
import sinon from 'sinon'
import { KnownBody } from '../../../src/http/engine/lazy-streams.js'
import { BufferPool } from '../../../src/http/exchange/body-collector.js'
import { BodyThreads, type Decode } from '../../../src/http/exchange/body-threads.js'
import { collectDecoded, decodedStream } from '../../../src/http/exchange/decoded-body.js'
import type { Exchange } from '../../../src/http/exchange/exchange.js'
import { turns } from '../../support/ticks.js'

const MAX_BODY_BYTES = 512 * 1024
const BOMBS = 12
/** Two are decoded at a time, and the turn of the polite one comes behind one more. They may end in another order. */
const MOST_BEFORE_POLITE = 6

const pool = new BufferPool(MAX_BODY_BYTES)

/** Node's own pool for small buffers has 8 KiB, and is shared. */
const heldBeside = ({ length, buffer }: Buffer): string =>
  buffer.byteLength > Math.max(8_192, 2 * length) ? ` in ${buffer.byteLength}` : ''

interface Client {
  readonly key: string
}
const outcome = (end: unknown): string =>
  Buffer.isBuffer(end) ? `${end.length}${heldBeside(end)}` : end instanceof Error ? end.message : String(end)

/** A process whose clients send bodies over a connection each. */
class Bodies {
  readonly threads: BodyThreads
  readonly #responses: (EventEmitter & { destroyed: boolean })[] = []

  constructor(decode?: Decode) {
    this.threads = new BodyThreads(decode)
  }

  /** @returns the key of the address, and what came of the body */
  send(body: Buffer, address: Client, coding = 'br', transfer = '', waitMs = 0): Promise<string> {
    const length = { 'content-length': String(body.length) }
    const headers = { 'content-encoding': coding, ...(transfer === '' ? length : { 'transfer-encoding': transfer }) }
    const request = { headers, socket: {}, holder: { address, served: { bodies: this.threads } } }
    const response = Object.assign(new EventEmitter(), { destroyed: false })
    this.#responses.push(response)
    const exchange = { request, response, payload: new KnownBody(body), requestId: '1' } as unknown as Exchange
    return new Promise(resolve =>
      collectDecoded(
        exchange,
        MAX_BODY_BYTES,
        pool,
        end => {
          resolve(`${address.key}: ${outcome(end)}`)
        },
        true,
        waitMs
      )
    )
  }

  /** The client of the body that was sent as the n-th one leaves. */
  leave(nth: number): void {
    this.#responses[nth]!.destroyed = true
    this.#responses[nth]!.emit('close')
  }

  leaveAll(): void {
    for (const nth of this.#responses.keys()) this.leave(nth)
  }

  get state(): readonly [waiting: number, running: number, heldBytes: number] {
    const { waiting, running, heldBytes } = this.threads
    return [waiting, running, heldBytes]
  }
}

const polite = { key: 'polite' }
const hostile = { key: 'hostile' }
const FULL = 'too many bodies wait to be decoded'
/** What a body that waits costs beside its bytes. */
const BESIDE = 8 * 1024
const MANY = 8_000

/** Threads that end when they are told to. @returns how many bodies they have got */
function scripted(): { readonly bodies: Bodies; readonly end: () => void; readonly got: () => number } {
  const open: (() => void)[] = []
  let got = 0
  const bodies = new Bodies(
    (_make, bytes) =>
      new Promise(resolve => {
        got++
        open.push(() => resolve({ buffer: Buffer.alloc(3), readBytes: bytes.length }))
      })
  )
  return { bodies, end: () => open.shift()?.(), got: () => got }
}

describe('small compressed bodies', () => {
  it('of brotli are not decoded on the loop, because the window alone takes milliseconds; those of gzip are', async () => {
    const small = Buffer.from('{"value":1}')
    const ended: string[] = []
    const bodies = new Bodies()
    const all = [
      bodies.send(brotliCompressSync(small), { key: 'br' }).then(end => ended.push(end)),
      bodies.send(gzipSync(small), { key: 'gzip' }, 'gzip').then(end => ended.push(end))
    ]
    await Promise.resolve()
    await Promise.resolve()
    expect(ended).to.deep.equal(['gzip: 11'])
    await Promise.all(all)
    expect(ended).to.deep.equal(['gzip: 11', 'br: 11'])
  })

  it('of brotli wait for their turn, and are not refused: 300 of one address', async () => {
    const body = brotliCompressSync(Buffer.alloc(1_024, 'a'))
    const bodies = new Bodies()
    const ends = await Promise.all(Array.from({ length: 300 }, () => bodies.send(body, polite)))
    expect(new Set(ends)).to.deep.equal(new Set(['polite: 1024']))
  })

  it('with a transfer coding beside chunked are refused: they would be stored as they came', async () => {
    for (const [codings, end] of [
      ['gzip, chunked', /cannot be read/],
      ['chunked', /^one: 11$/]
    ] as const)
      expect(await new Bodies().send(gzipSync('{"value":1}'), { key: 'one' }, 'gzip', codings)).to.match(end)
  })
})

describe('compressed bodies that are large when they are decoded', () => {
  it('take turns by address, so that one address cannot delay those of others', async () => {
    const bomb = brotliCompressSync(Buffer.alloc(2 * MAX_BODY_BYTES))
    const bodies = new Bodies()
    const all = [...Array.from({ length: BOMBS }, () => bodies.send(bomb, hostile)), bodies.send(bomb, polite)]
    const ended: string[] = []
    await Promise.all(all.map(one => one.then(outcome => ended.push(outcome))))
    expect(ended.filter(one => one === 'hostile: tooLarge')).to.have.lengthOf(BOMBS)
    expect(ended.indexOf('polite: tooLarge')).to.be.within(0, MOST_BEFORE_POLITE)
  })
  it('leave memory for those of others, however many one address sends', async () => {
    const bytes = MAX_BODY_BYTES - 1_000
    const body = gzipSync(Buffer.alloc(bytes), { level: 0 })
    const bodies = new Bodies()
    const many = Array.from({ length: 200 }, () => bodies.send(body, hostile, 'gzip'))
    const other = bodies.send(body, polite, 'gzip')
    const ended = await Promise.all(many)
    expect(await other).to.equal(`polite: ${bytes}`)
    expect(ended.filter(one => one === `hostile: ${bytes}`)).to.have.lengthOf.within(60, 70)
  })
})

describe('compressed bodies that wait', () => {
  const small = brotliCompressSync(Buffer.from('abc'))

  it('are forgotten at once when their clients leave, with what they hold; those behind them go on', async () => {
    const { bodies, end, got } = scripted()
    const sent = Array.from({ length: 5 }, () => bodies.send(small, hostile))
    const cost = small.length + BESIDE
    await turns(1)
    expect(bodies.state).to.deep.equal([3, 2, 5 * cost])
    bodies.leave(2)
    bodies.leave(3)
    expect(bodies.state).to.deep.equal([1, 2, 3 * cost])
    for (let at = 0; at < 3; at++) {
      end()
      await turns(1)
    }
    expect(await Promise.all([sent[0], sent[1], sent[4]])).to.deep.equal(Array(3).fill('hostile: 3'))
    expect([got(), bodies.state]).to.deep.equal([3, [0, 0, 0]])
  })

  it('are counted until their threads are done, also where their clients have left', async () => {
    const { bodies, end } = scripted()
    void bodies.send(small, hostile)
    await turns(1)
    bodies.leave(0)
    expect(bodies.state).to.deep.equal([0, 1, small.length + BESIDE])
    end()
    await turns(1)
    expect(bodies.state).to.deep.equal([0, 0, 0])
  })

  it('leave place for others of their address when their clients have left', async () => {
    const body = gzipSync(Buffer.alloc(MAX_BODY_BYTES - 1_000), { level: 0 })
    const bodies = new Bodies()
    for (let nth = 0; nth < 100; nth++) void bodies.send(body, hostile, 'gzip')
    for (let nth = 0; nth < 100; nth++) bodies.leave(nth)
    expect(await bodies.send(body, hostile, 'gzip')).to.equal(`hostile: ${MAX_BODY_BYTES - 1_000}`)
  })

  it('are some thousands at most, however small they are: each counts as what it costs beside its bytes', async () => {
    const { bodies, end } = scripted()
    const ended: string[] = []
    for (let nth = 0; nth < MANY; nth++) void bodies.send(small, { key: `${nth % 9}` }).then(one => ended.push(one))
    await turns(2)
    const [waiting, running, heldBytes] = bodies.state
    bodies.leaveAll()
    for (let at = 0; at < 2; at++) end()
    await turns(2)
    expect(heldBytes).to.be.within(56 * 1024 * 1024, 64 * 1024 * 1024)
    expect(waiting + running).to.equal(heldBytes / (small.length + BESIDE))
    expect(ended).to.have.length(MANY - waiting - running)
    expect(new Set(ended.map(one => one.slice(3)))).to.deep.equal(new Set([FULL]))
    expect(bodies.state).to.deep.equal([0, 0, 0])
  })

  it('are refused when their time is over, once, and their places are free; one that has a thread goes on', async () => {
    const clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const { bodies, end, got } = scripted()
      const sent = Array.from({ length: 4 }, (_, nth) => bodies.send(small, hostile, 'br', '', 1_000 + nth))
      await turns(1)
      clock.tick(1_002)
      expect(await sent[2]).to.equal(`hostile: ${FULL}`)
      expect(bodies.state).to.deep.equal([1, 2, 3 * (small.length + BESIDE)])
      for (let at = 0; at < 3; at++) {
        end()
        await turns(1)
      }
      clock.tick(60_000)
      expect(await Promise.all([sent[0], sent[1], sent[3]])).to.deep.equal(Array(3).fill('hostile: 3'))
      expect([got(), bodies.state]).to.deep.equal([3, [0, 0, 0]])
    } finally {
      clock.restore()
    }
  })

  it('of one process take no place of those of another one in the same program', async () => {
    const body = gzipSync(Buffer.alloc(MAX_BODY_BYTES - 1_000), { level: 0 })
    const { bodies, end } = scripted()
    for (let nth = 0; nth < 100; nth++) void bodies.send(body, hostile, 'gzip')
    await turns(1)
    const other = await new Bodies().send(body, hostile, 'gzip')
    bodies.leaveAll()
    for (let at = 0; at < 2; at++) end()
    expect(other).to.equal(`hostile: ${MAX_BODY_BYTES - 1_000}`)
  })
})

describe('a compressed body that is decoded as it comes', () => {
  it('is decoded no further once its client has left', () => {
    const response = Object.assign(new EventEmitter(), { destroyed: false })
    const payload = new PassThrough()
    const request = { headers: { 'content-encoding': 'gzip' } }
    const decoder = decodedStream({ request, response, payload } as unknown as Exchange)
    payload.write(gzipSync('a').subarray(0, 15))
    expect(decoder.destroyed).to.equal(false)
    response.emit('close')
    expect(decoder.destroyed).to.equal(true)
  })
})

describe('windows of compressed bodies', () => {
  const brotli = (bits: number): Buffer =>
    brotliCompressSync(Buffer.alloc(1_000, 'a'), {
      params: { [constants.BROTLI_PARAM_LARGE_WINDOW]: bits > 24 ? 1 : 0, [constants.BROTLI_PARAM_LGWIN]: bits }
    })

  it('of brotli have up to 16 MiB; the bit for larger ones is refused', async () => {
    expect(await new Bodies().send(brotli(24), polite)).to.equal('polite: 1000')
    // Source: RFC 7932, section 9.1: the code 0010001 has no window.
    expect(brotli(30)[0]! & 0x7f).to.equal(0x11)
    expect(await new Bodies().send(brotli(30), polite)).to.match(/is not what its content coding says/)
  })

  it('of zstd have up to 8 MiB; larger ones are refused, where Node has zstd', async () => {
    const compress = (zlib as { readonly zstdCompressSync?: (body: Buffer, options: object) => Buffer })
      .zstdCompressSync
    if (compress === undefined) return
    const ends: string[] = []
    for (const bits of [23, 24, 27]) {
      // Larger than the window: else the frame has the size of the body in its place.
      const body = compress(Buffer.alloc(2 ** bits + 1), { params: { 101: bits } })
      ends.push(await new Bodies().send(body, polite, 'zstd'))
    }
    // The first one is only larger than a body may be.
    expect(ends[0]).to.equal('polite: tooLarge')
    for (const end of ends.slice(1)) expect(end).to.match(/is not what its content coding says/)
  })
})
