import { expect } from 'chai'
import { ReceiptIssuer, ReceiptKey, runsOf } from '../../../src/producer/receipts/receipt-ids.js'

const key = new ReceiptKey(Buffer.alloc(32, 1))
const issuer = Buffer.from('0123456789abcdef', 'hex')

describe('receipts: their ids', () => {
  const disk = new ReceiptIssuer(key, 'disk', issuer)

  it('name where the records are, and which of them were accepted', () => {
    const accepted = [
      { index: 1, count: 2 },
      { index: 5, count: 1 }
    ]
    const claims = { kind: 'disk', issuer: '0123456789abcdef', number: 2 ** 40 + 7 } as const
    expect(key.open(disk.issue('ann', claims.number, { count: 3 })!, ['ann'])).to.deep.equal({
      ...claims,
      count: 3,
      accepted: [{ index: 0, count: 3 }]
    })
    expect(key.open(disk.issue('ann', claims.number, { count: 9, accepted })!, ['ann'])).to.deep.equal({
      ...claims,
      count: 9,
      accepted
    })
  })

  it('keep the accepted records whatever their pattern', () => {
    for (let pattern = 1; pattern < 2 ** 7; pattern++) {
      const accepted = runsOf([0, 1, 2, 3, 4, 5, 6].filter(index => (pattern & (1 << index)) !== 0))
      const id = disk.issue('ann', pattern, { count: 7, accepted })!
      expect(key.open(id, ['ann'])?.accepted).to.deep.equal(accepted)
    }
  })

  it('have 38 letters for a single record', () => {
    expect(disk.issue('ann', 1, { count: 1 })).to.match(/^[\w-]{38}$/)
  })

  it('are the same for the same number, in whatever order numbers come', () => {
    const ids = [1, 64, 65, 7, 1_000, 64].map(number => disk.issue('ann', number, { count: 1 }))
    const again = [64, 7, 1].map(number => new ReceiptIssuer(key, 'disk', issuer).issue('ann', number, { count: 1 }))
    expect(again).to.deep.equal([ids[1], ids[3], ids[0]])
    expect(new Set(ids).size).to.equal(5)
  })

  it('belong to one client, to one kind and to one secret', () => {
    const id = disk.issue('ann', 1, { count: 1 })!
    expect(key.open(id, ['bob', 'anonymous'])).to.equal(undefined)
    expect(key.open(id, ['bob', 'ann'])).to.include({ number: 1 })
    expect(new ReceiptKey(Buffer.alloc(32, 2)).open(id, ['ann'])).to.equal(undefined)
    const memory = new ReceiptIssuer(key, 'memory', issuer).issue('ann', 1, { count: 1 })!
    const forged = Buffer.from(memory, 'base64url')
    forged[0] = Buffer.from(id, 'base64url')[0]!
    expect(key.open(forged.toString('base64url'), ['ann'])).to.equal(undefined)
  })

  it('are refused with any bit changed, with any letter more or less', () => {
    const bytes = Buffer.from(disk.issue('ann', 77, { count: 300, accepted: [{ index: 2, count: 9 }] })!, 'base64url')
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const changed = Buffer.from(bytes)
      changed[bit >> 3]! ^= 1 << (bit & 7)
      expect(key.open(changed.toString('base64url'), ['ann'])).to.equal(undefined)
    }
    const id = bytes.toString('base64url')
    for (const text of [`${id}A`, `${id}=`, id.slice(1), id.slice(0, -1), '', 'x', id.repeat(60), `${id}\n`, '%00'])
      expect(key.open(text, ['ann'])).to.equal(undefined)
  })

  it('have one text only, although base64 has several for the same bytes', () => {
    const id = disk.issue('ann', 1, { count: 1 })!
    const same = 'ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_'.split('').filter(letter => {
      const text = id.slice(0, -1) + letter
      return text !== id && Buffer.from(text, 'base64url').equals(Buffer.from(id, 'base64url'))
    })
    expect(same.length).to.be.greaterThan(0)
    for (const letter of same) expect(key.open(id.slice(0, -1) + letter, ['ann'])).to.equal(undefined)
  })

  it('are not given where the refused records are scattered over a large request', () => {
    const accepted = runsOf(Array.from({ length: 2_000 }, (_, at) => 2 * at))
    expect(disk.issue('ann', 1, { count: 4_000, accepted })).to.equal(undefined)
    expect(disk.issue('ann', 1, { count: 100_000, accepted: accepted.slice(0, 400) })).to.be.a('string')
  })
})
