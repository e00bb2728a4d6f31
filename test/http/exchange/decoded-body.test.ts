import { brotliCompressSync, gzipSync } from 'node:zlib'
import { expect } from 'chai'
import { KnownBody } from '../../../src/http/engine/lazy-readable.js'
import { BufferPool } from '../../../src/http/exchange/body-collector.js'
import { collectDecoded } from '../../../src/http/exchange/decoded-body.js'
import type { Exchange } from '../../../src/http/exchange/exchange.js'

const MAX_BODY_BYTES = 512 * 1024
const BOMBS = 12
/** Two are decoded at a time, and the turn of the polite one comes behind one more. They may end in another order. */
const MOST_BEFORE_POLITE = 6

const pool = new BufferPool(MAX_BODY_BYTES)

/** Node's own pool for small buffers has 8 KiB, and is shared. */
const heldBeside = ({ length, buffer }: Buffer): string =>
  buffer.byteLength > Math.max(8_192, 2 * length) ? ` in ${buffer.byteLength}` : ''

/** @returns the key of the address, and what came of the body */
function decoded(body: Buffer, address: { readonly key: string }, coding = 'br', transfer = ''): Promise<string> {
  const length = { 'content-length': String(body.length) }
  const headers = { 'content-encoding': coding, ...(transfer === '' ? length : { 'transfer-encoding': transfer }) }
  const request = { headers, socket: {}, holder: { address } }
  const exchange = { request, response: { destroyed: false }, payload: new KnownBody(body), requestId: '1' }
  return new Promise(resolve =>
    collectDecoded(exchange as unknown as Exchange, MAX_BODY_BYTES, pool, end =>
      resolve(`${address.key}: ${Buffer.isBuffer(end) ? `${end.length}${heldBeside(end)}` : String(end)}`)
    )
  )
}

describe('small compressed bodies', () => {
  it('of brotli are not decoded on the loop, because the window alone takes milliseconds; those of gzip are', async () => {
    const small = Buffer.from('{"value":1}')
    const ended: string[] = []
    const all = [
      decoded(brotliCompressSync(small), { key: 'br' }).then(end => ended.push(end)),
      decoded(gzipSync(small), { key: 'gzip' }, 'gzip').then(end => ended.push(end))
    ]
    await Promise.resolve()
    await Promise.resolve()
    expect(ended).to.deep.equal(['gzip: 11'])
    await Promise.all(all)
    expect(ended).to.deep.equal(['gzip: 11', 'br: 11'])
  })

  it('of brotli wait for their turn, and are not refused: 300 of one address', async () => {
    const body = brotliCompressSync(Buffer.alloc(1_024, 'a'))
    const ends = await Promise.all(Array.from({ length: 300 }, () => decoded(body, { key: 'polite' })))
    expect(new Set(ends)).to.deep.equal(new Set(['polite: 1024']))
  })

  it('with a transfer coding beside chunked are refused: they would be stored as they came', async () => {
    for (const [codings, end] of [
      ['gzip, chunked', /cannot be read/],
      ['chunked', /^one: 11$/]
    ] as const)
      expect(await decoded(gzipSync('{"value":1}'), { key: 'one' }, 'gzip', codings)).to.match(end)
  })
})

describe('compressed bodies that are large when they are decoded', () => {
  it('take turns by address, so that one address cannot delay those of others', async () => {
    const bomb = brotliCompressSync(Buffer.alloc(2 * MAX_BODY_BYTES))
    const hostile = { key: 'hostile' }
    const all = [...Array.from({ length: BOMBS }, () => decoded(bomb, hostile)), decoded(bomb, { key: 'polite' })]
    const ended: string[] = []
    await Promise.all(all.map(one => one.then(outcome => ended.push(outcome))))
    expect(ended.filter(one => one === 'hostile: tooLarge')).to.have.lengthOf(BOMBS)
    expect(ended.indexOf('polite: tooLarge')).to.be.within(0, MOST_BEFORE_POLITE)
  })
  it('leave memory for those of others, however many one address sends', async () => {
    const bytes = MAX_BODY_BYTES - 1_000
    const body = gzipSync(Buffer.alloc(bytes), { level: 0 })
    const many = Array.from({ length: 200 }, () => decoded(body, { key: 'hostile' }, 'gzip'))
    const polite = decoded(body, { key: 'polite' }, 'gzip')
    const ended = await Promise.all(many)
    expect(await polite).to.equal(`polite: ${bytes}`)
    expect(ended.filter(one => one === `hostile: ${bytes}`)).to.have.lengthOf.within(60, 70)
  })
})
