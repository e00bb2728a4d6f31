import { expect } from 'chai'
import { Members } from '../../src/core/members.js'
import { grownOldBytes } from '../support/old-generation.js'

interface Member {
  place: number
}

const member = (): Member => ({ place: 0 })

describe('what is open for a short time', () => {
  it('is listed, and each leaves once, in any order', () => {
    const members = new Members<Member>()
    const [first, second, third, stranger] = [member(), member(), member(), member()]
    for (const one of [first, second, third]) members.add(one)
    expect(members.list()).to.have.members([first, second, third])
    members.delete(first)
    members.delete(first)
    members.delete(stranger)
    expect(members.list()).to.have.members([second, third])
    expect([first, second, third, stranger].map(one => members.has(one))).to.deep.equal([false, true, true, false])
    members.delete(third)
    members.delete(second)
    expect(members.size).to.equal(0)
  })

  it('lists those of that time, while some leave and others come', () => {
    const members = new Members<Member>()
    for (let at = 0; at < 3; at++) members.add(member())
    let seen = 0
    for (const one of members.list()) {
      seen++
      members.delete(one)
      members.add(member())
    }
    expect([seen, members.size]).to.deep.equal([3, 3])
  })

  it('is freed without a collection of the whole heap, which a Set does not allow', () => {
    const members = new Members<Member & { readonly bytes: readonly number[] }>()
    const open = Array.from({ length: 4 }, () => ({ place: 0, bytes: [] as number[] }))
    for (const one of open) members.add(one)
    const grown = grownOldBytes(() => {
      for (let at = 0; at < 20_000; at++) {
        const one = { place: 0, bytes: new Array<number>(128).fill(at) }
        members.add(one)
        open.push(one)
        members.delete(open.shift()!)
      }
    })
    expect(grown).to.be.below(1_000_000)
  })
})
