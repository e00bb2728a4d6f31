import { expect } from 'chai'
import sinon from 'sinon'
import { GroupTurns } from '../../../src/router/dispatcher/dispatcher-plan.js'
import { GroupQueue, type MayGo } from '../../../src/router/processors/group-queue.js'

describe('group queue', () => {
  const groups = 5_000
  let queue: GroupQueue<number>
  let turns: GroupTurns
  let looks: number
  let clock: sinon.SinonFakeTimers
  const mayGo = (isFirst: boolean): MayGo =>
    Object.assign(
      (groupId: string) => {
        looks++
        return turns.mayGo(groupId, isFirst)
      },
      { few: () => turns.few(isFirst) }
    )

  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    looks = 0
    turns = new GroupTurns(1, () => {})
    queue = new GroupQueue()
    for (let group = 0; group < groups; group++) queue.set(`group-${group}`, 'orders/0', group)
  })
  afterEach(() => clock.restore())

  it('a connection that is free for few groups is not the dearer the more groups wait', () => {
    expect(queue.isEmptyFor(mayGo(false)), 'spare connections are for slow groups').to.equal(true)
    expect(queue.takeFirst(mayGo(false))).to.equal(undefined)
    expect(queue.takeFirst(mayGo(true))?.groupId).to.equal('group-0')
    expect(looks).to.be.at.most(2)
  })

  it('a slow group is found behind all others, and may use a spare connection', () => {
    turns.began('group-4321', false)
    clock.tick(1)
    turns.ended('group-4321')
    expect(queue.takeFirst(mayGo(false))?.groupId).to.equal('group-4321')
    expect(queue.takeFirst(mayGo(false))).to.equal(undefined)
    expect(looks).to.equal(1)
  })

  it('gives the partitions of a group in one call, and all that is left when the broker is left', () => {
    queue.set('group-1', 'orders/1', 9)
    queue.set('group-1', 'orders/0', 8)
    expect(queue.get('group-1', 'orders/0'), 'replaced').to.equal(8)
    expect([queue.get('group-1', 'orders/2'), queue.get('unheard-of', 'orders/0')]).to.deep.equal([
      undefined,
      undefined
    ])
    expect(queue.takeGroup('group-1')).to.deep.equal([8, 9])
    expect([queue.takeGroup('group-1'), queue.get('group-1', 'orders/0')]).to.deep.equal([[], undefined])
    expect(queue.takeFirst(mayGo(true))).to.deep.equal({ groupId: 'group-0', partitions: new Map([['orders/0', 0]]) })
    expect(queue.drain()).to.have.length(groups - 2)
    expect([queue.isEmpty, queue.drain()]).to.deep.equal([true, []])
  })

  it('looks at the groups that wait where those are fewer than the ones that may go', () => {
    const few = new GroupQueue<string>()
    few.set('audit', 'orders/0', 'A')
    const only = (...allowed: string[]): MayGo =>
      Object.assign((groupId: string) => allowed.includes(groupId), { few: () => new Set(allowed) })
    expect(few.isEmptyFor(only('billing'))).to.equal(true)
    expect(few.isEmptyFor(only('billing', 'payments'))).to.equal(true)
    expect(few.isEmptyFor(only('billing', 'audit'))).to.equal(false)
    const refusing: MayGo = Object.assign(() => false, { few: () => new Set(['audit']) })
    expect(few.takeFirst(refusing), 'its call has just begun').to.equal(undefined)
    expect(few.takeFirst(only('audit'))?.groupId).to.equal('audit')
  })
})
