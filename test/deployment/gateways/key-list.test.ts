import { expect } from 'chai'
import { KeyList, placeIn } from '../../../src/deployment/gateways/gateway-keys.js'

const LIST = ['gw-2:8091', 'gw-1:8091', 'gw-3:8091']
const OWN = 'own'

type Places = Readonly<Record<string, readonly (readonly [address: string, id?: string])[]>>

const hashes = Array.from({ length: 4_096 }, (_, nth) => String.fromCharCode(nth & 255, (nth >> 4) & 255, 3, nth % 7))

describe('gateways that share keys', () => {
  it('compute the same owner, whatever the order of their lists', () => {
    const [one, other] = [new KeyList(LIST), new KeyList([...LIST].reverse().concat('gw-2:8091'))]
    expect(other.digest).to.equal(one.digest)
    expect(hashes.map(hash => other.ownerOf(hash))).to.deep.equal(hashes.map(hash => one.ownerOf(hash)))
    expect(new KeyList(LIST.slice(1)).digest).to.not.equal(one.digest)
  })

  it('own about as many keys each, and give some to a further gateway only', () => {
    const [three, four] = [new KeyList(LIST), new KeyList([...LIST, 'gw-4:8091'])]
    const counts = new Map<string, number>()
    for (const hash of hashes) {
      const [before, after] = [three.ownerOf(hash), four.ownerOf(hash)]
      counts.set(before, (counts.get(before) ?? 0) + 1)
      if (after !== before) expect(after).to.equal('gw-4:8091')
    }
    for (const count of counts.values()) expect(count / hashes.length).to.be.within(0.25, 0.42)
  })

  const A: Places[string] = [['10.0.0.1', 'a']]
  const MINE: Places[string] = [['10.0.0.1', OWN]]
  const cases: readonly (readonly [what: string, list: readonly string[], places: Places, expected: unknown])[] = [
    ['find themselves', LIST, { 'gw-1:8091': MINE }, 'gw-1:8091'],
    ['wait until they have answered', LIST, { 'gw-2:8091': A }, { why: 'no gateway answers at gw-1:8091, gw-3:8091' }],
    [
      'may have an address of each family, one of which does not answer',
      LIST,
      { 'gw-1:8091': [...MINE, ['fd00::1']] },
      'gw-1:8091'
    ],
    [
      'are not one entry for many',
      ['gateways:8091'],
      { 'gateways:8091': MINE },
      { why: 'it has one entry, which does not say how many gateways there are', alone: 'always' }
    ],
    [
      'are not several at one entry',
      LIST,
      { 'gw-1:8091': MINE, 'gw-2:8091': [['10.0.0.2'], ['10.0.0.3']] },
      { why: 'gw-2:8091 is more than one gateway', alone: 'now' }
    ],
    [
      'are not named twice',
      LIST,
      { 'gw-1:8091': A, 'gw-2:8091': A },
      { why: 'gw-1:8091 and gw-2:8091 are the same gateway', alone: 'now' }
    ],
    [
      'have to be in the list',
      ['gw-1:8091', 'gw-2:8091'],
      { 'gw-1:8091': A, 'gw-2:8091': [['10.0.0.2', 'b']] },
      { why: 'this gateway is not in it', alone: 'now' }
    ]
  ]
  for (const [what, list, places, expected] of cases) {
    const processesAt = (name: string) => (places[name] ?? []).map(([address, id]) => ({ address, id }))
    it(what, () => expect(placeIn(new KeyList(list), { id: OWN, processesAt })).to.deep.equal(expected))
  }
})
