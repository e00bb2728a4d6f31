import { brotliCompressSync } from 'node:zlib'
import { expect } from 'chai'
import { KnownBody } from '../../../src/http/engine/lazy-readable.js'
import { BufferPool } from '../../../src/http/exchange/body-collector.js'
import { collectDecoded } from '../../../src/http/exchange/decoded-body.js'
import type { Exchange } from '../../../src/http/exchange/exchange.js'

const MAX_BODY_BYTES = 512 * 1024
const BOMBS = 12
/** Two are decoded at a time, and the turn of the polite one comes behind one more. They may end in another order. */
const MOST_BEFORE_POLITE = 6

describe('compressed bodies that are large when they are decoded', () => {
  it('take turns by address, so that one address cannot delay those of others', async () => {
    const bomb = brotliCompressSync(Buffer.alloc(2 * MAX_BODY_BYTES))
    const pool = new BufferPool(MAX_BODY_BYTES)
    const ended: string[] = []
    const decoded = (address: { readonly key: string }): Promise<void> => {
      const headers = { 'content-encoding': 'br', 'content-length': String(bomb.length) }
      const request = { headers, socket: {}, holder: { address } }
      const exchange = { request, response: { destroyed: false }, payload: new KnownBody(bomb), requestId: '1' }
      return new Promise(resolve =>
        collectDecoded(exchange as unknown as Exchange, MAX_BODY_BYTES, pool, body => {
          ended.push(`${address.key}: ${String(body)}`)
          resolve()
        })
      )
    }
    const hostile = { key: 'hostile' }
    const all = [...Array.from({ length: BOMBS }, () => decoded(hostile)), decoded({ key: 'polite' })]
    await Promise.all(all)
    expect(ended.filter(one => one === 'hostile: tooLarge')).to.have.lengthOf(BOMBS)
    expect(ended.indexOf('polite: tooLarge')).to.be.within(0, MOST_BEFORE_POLITE)
  })
})
