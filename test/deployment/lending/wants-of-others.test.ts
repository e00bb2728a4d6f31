import { expect } from 'chai'
import { type GroupTopic, keyOfTopic } from '../../../src/deployment/calls/lending-calls.js'
import { WantsOfOthers } from '../../../src/deployment/lending/wants-of-others.js'

const ORDERS: GroupTopic = ['billing', 'orders']
const KEY = keyOfTopic(ORDERS)

describe('what clients of other gateways wait for', () => {
  let wants: WantsOfOthers<string>
  beforeEach(() => {
    wants = new WantsOfOthers()
  })
  const fromOf = (now: number): string | undefined => wants.next(KEY, now)?.from

  it('ends two seconds after it was told last', () => {
    wants.told('b', [ORDERS], 0)
    wants.told('b', [ORDERS], 1_000)
    expect(wants.isWanted(KEY, 2_999)).to.equal(true)
    expect(wants.isWanted(KEY, 3_000)).to.equal(false)
    expect(fromOf(3_000)).to.equal(undefined)
    expect(wants.nextAt(KEY, 3_000)).to.equal(undefined)
    wants.dropOld(3_000)
    expect(wants.size).to.equal(0)
  })

  it('has its turn, one gateway after another', () => {
    for (const from of ['b', 'c', 'd']) wants.told(from, [ORDERS], 0)
    const turns = Array.from({ length: 4 }, () => {
      const want = wants.next(KEY, 1)!
      wants.served(want, 1)
      return want.from
    })
    expect(turns).to.deep.equal(['b', 'c', 'd', 'b'])
  })

  it('is passed over for a while, until it is told again', () => {
    wants.told('b', [ORDERS], 0)
    wants.served(wants.next(KEY, 0)!, 100)
    expect(fromOf(50)).to.equal(undefined)
    expect(wants.nextAt(KEY, 50)).to.equal(100)
    expect(fromOf(100)).to.equal('b')
    wants.served(wants.next(KEY, 100)!, 200)
    wants.told('b', [ORDERS], 150)
    expect(fromOf(150)).to.equal('b')
  })

  it('ends when nobody waits there, and with its gateway', () => {
    wants.told('b', [ORDERS, ['billing', 'bills']], 0)
    wants.told('c', [ORDERS], 0)
    wants.end({ from: 'b', key: KEY })
    expect(fromOf(1)).to.equal('c')
    wants.gone('c')
    expect(fromOf(1)).to.equal(undefined)
    expect(wants.size).to.equal(1)
    wants.gone('b')
    expect(wants.size).to.equal(0)
  })

  it('is limited for each gateway', () => {
    const many = Array.from({ length: 20_010 }, (_, at): GroupTopic => ['g', String(at)])
    expect(wants.told('b', many, 0).length).to.equal(20_000)
    expect(wants.told('c', [ORDERS], 0).length).to.equal(1)
    expect(wants.told('b', [ORDERS], 1_999).length, 'full').to.equal(0)
    expect(wants.told('b', [ORDERS], 2_000).length, 'those before have ended').to.equal(1)
  })

  it('knows no long names of groups: many would leave no capacity for others', () => {
    const ofLength = (length: number): GroupTopic => ['\u0001'.repeat(length), 'orders']
    expect(wants.told('b', [ofLength(256), ORDERS, ofLength(255)], 0)).to.deep.equal([ORDERS, ofLength(255)])
    expect(keyOfTopic(['ab', 'c'])).to.not.equal(keyOfTopic(['a', 'bc']))
    expect(keyOfTopic(['1 a', 'b'])).to.not.equal(keyOfTopic(['1', ' ab']))
  })
})
