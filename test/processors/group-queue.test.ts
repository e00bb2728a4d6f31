import { expect } from 'chai'
import { GroupQueue, type MayGo } from '../../src/processors/group-queue.js'
import { GroupTurns } from '../../src/processors/group-turns.js'

describe('group queue', () => {
  const groups = 5_000
  let queue: GroupQueue<number>
  let turns: GroupTurns
  let looks: number
  const mayGo = (isFirst: boolean): MayGo =>
    Object.assign(
      (groupId: string) => {
        looks++
        return turns.mayGo(groupId, isFirst)
      },
      { few: () => turns.few(isFirst) }
    )

  beforeEach(() => {
    looks = 0
    turns = new GroupTurns(1, () => {})
    queue = new GroupQueue()
    for (let group = 0; group < groups; group++) queue.set(`group-${group}`, 'orders/0', group)
  })

  it('hardening 8: a connection that is free for few groups is not the dearer the more groups wait', () => {
    expect(queue.isEmptyFor(mayGo(false)), 'spare connections are for slow groups').to.equal(true)
    expect(queue.takeFirst(mayGo(false))).to.equal(undefined)
    expect(queue.takeFirst(mayGo(true))?.groupId).to.equal('group-0')
    expect(looks).to.be.at.most(2)
  })

  it('hardening 8: a slow group is found behind all others, and may use a spare connection', async () => {
    turns.began('group-4321', false)
    await new Promise(resolve => setTimeout(resolve, 10))
    turns.ended('group-4321')
    expect(queue.takeFirst(mayGo(false))?.groupId).to.equal('group-4321')
    expect(queue.takeFirst(mayGo(false))).to.equal(undefined)
    expect(looks).to.equal(1)
  })
})
