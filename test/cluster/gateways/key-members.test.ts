import { expect } from 'chai'
import { KeyMembers } from '../../../src/cluster/gateways/key-members.js'

const LIST = ['gw-2:8091', 'gw-1:8091', 'gw-3:8091']
const OWN = 'own'

type Places = Readonly<Record<string, readonly (readonly [address: string, id?: string])[]>>

const membersOf = (addresses: readonly string[], places: Places = {}): KeyMembers =>
  new KeyMembers(addresses, OWN, name => (places[name] ?? []).map(([address, id]) => ({ address, id })))

const hashes = Array.from({ length: 4_096 }, (_, nth) => String.fromCharCode(nth & 255, (nth >> 4) & 255, 3, nth % 7))

describe('gateways that share keys', () => {
  it('compute the same owner, whatever the order of their lists', () => {
    const [one, other] = [membersOf(LIST), membersOf([...LIST].reverse().concat('gw-2:8091'))]
    expect(other.digest).to.equal(one.digest)
    expect(hashes.map(hash => other.ownerOf(hash))).to.deep.equal(hashes.map(hash => one.ownerOf(hash)))
    expect(membersOf(LIST.slice(1)).digest).to.not.equal(one.digest)
  })

  it('own about as many keys each, and give some to a further gateway only', () => {
    const [three, four] = [membersOf(LIST), membersOf([...LIST, 'gw-4:8091'])]
    const counts = new Map<string, number>()
    for (const hash of hashes) {
      const [before, after] = [three.ownerOf(hash), four.ownerOf(hash)]
      counts.set(before, (counts.get(before) ?? 0) + 1)
      if (after !== before) expect(after).to.equal('gw-4:8091')
    }
    for (const count of counts.values()) expect(count / hashes.length).to.be.within(0.25, 0.42)
  })

  const cases: readonly (readonly [what: string, list: readonly string[], places: Places, expected: object])[] = [
    ['find themselves', LIST, { 'gw-1:8091': [['10.0.0.1', OWN]] }, { type: 'member', self: 'gw-1:8091' }],
    [
      'wait until they have answered',
      LIST,
      { 'gw-2:8091': [['10.0.0.2', 'b']] },
      { type: 'looking', why: 'no gateway answers at gw-1:8091, gw-3:8091' }
    ],
    [
      'may have an address of each family, one of which does not answer',
      LIST,
      { 'gw-1:8091': [['10.0.0.1', OWN], ['fd00::1']] },
      { type: 'member', self: 'gw-1:8091' }
    ],
    [
      'are not one entry for many',
      ['gateways:8091'],
      { 'gateways:8091': [['10.0.0.1', OWN]] },
      { type: 'alone', why: 'it has one entry, which does not say how many gateways there are', isFinal: true }
    ],
    [
      'are not several at one entry',
      LIST,
      { 'gw-1:8091': [['10.0.0.1', OWN]], 'gw-2:8091': [['10.0.0.2'], ['10.0.0.3']] },
      { type: 'alone', why: 'gw-2:8091 is more than one gateway', isFinal: false }
    ],
    [
      'are not named twice',
      LIST,
      { 'gw-1:8091': [['10.0.0.1', 'a']], 'gw-2:8091': [['10.0.0.2', 'a']] },
      { type: 'alone', why: 'gw-1:8091 and gw-2:8091 are the same gateway', isFinal: false }
    ],
    [
      'have to be in the list',
      ['gw-1:8091', 'gw-2:8091'],
      { 'gw-1:8091': [['10.0.0.1', 'a']], 'gw-2:8091': [['10.0.0.2', 'b']] },
      { type: 'alone', why: 'this gateway is not in it', isFinal: false }
    ]
  ]
  for (const [what, list, places, expected] of cases) {
    it(what, () => expect(membersOf(list, places).standing()).to.deep.equal(expected))
  }

  it('name the process of another gateway that can be called', () => {
    const members = membersOf(LIST, { 'gw-1:8091': [['10.0.0.1', 'a']] })
    expect(['gw-1:8091', 'gw-2:8091'].map(name => members.idOf(name))).to.deep.equal(['a', undefined])
    const several = membersOf(LIST, {
      'gw-1:8091': [
        ['10.0.0.1', 'a'],
        ['10.0.0.2', 'b']
      ]
    })
    expect(several.idOf('gw-1:8091')).to.equal(undefined)
  })
})
