import { expect } from 'chai'
import { KeyHolder } from '../../../src/producer/keys/key-holder.js'
import { heldPage } from '../../../src/server/peers/held-keys.js'

const KEYS = 10_000

describe('the keys whose records a process has', () => {
  it('are told to their owner in pages', () => {
    const holder = new KeyHolder()
    for (let nth = 0; nth < KEYS; nth++) {
      holder.of({ hash: `${nth % 2} ${nth}`, fingerprint: '', atMs: nth }).claim = nth % 4 === 0 ? nth : undefined
    }
    const pageFor = heldPage(holder, hash => hash.slice(0, 1))
    const told: (readonly [string, number | undefined])[] = []
    const sizes: number[] = []
    for (let isLast = false; !isLast; ) {
      const page = pageFor('0', told.length)
      for (const { key, claim } of page.keys) told.push([key.hash, claim])
      sizes.push(page.keys.length)
      isLast = page.isLast
      // What comes later is not for this owner: it gives no keys out before it has all pages.
      holder.of({ hash: `1 ${sizes.length}`, fingerprint: '', atMs: 0 })
    }
    expect(sizes).to.deep.equal([4_096, 904])
    expect(new Map(told).size).to.equal(KEYS / 2)
    expect(told.slice(0, 2)).to.deep.equal([
      ['0 0', 0],
      ['0 2', undefined]
    ])
    expect(pageFor('2', 0)).to.deep.equal({ keys: [], isLast: true })
  })
})
