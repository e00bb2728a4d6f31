import { expect } from 'chai'
import sinon from 'sinon'
import { GroupTurns } from '../../../src/router/dispatcher/dispatcher-plan.js'

const SLOW_MS = 200

describe('turns of groups', () => {
  let clock: sinon.SinonFakeTimers
  let turns: GroupTurns
  let changes: number
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    changes = 0
    turns = new GroupTurns(SLOW_MS, () => changes++)
  })
  afterEach(() => {
    expect(clock.countTimers(), 'timers left behind').to.equal(0)
    clock.restore()
  })
  /** Whether it may use the first connection, and a spare one. */
  const mayGo = (groupId: string): [boolean, boolean] => [turns.mayGo(groupId, true), turns.mayGo(groupId, false)]
  const call = (groupId: string, isFirst: boolean, forMs: number): void => {
    turns.began(groupId, isFirst)
    clock.tick(forMs)
    turns.ended(groupId)
  }

  it('are on the first connection for a group that is quick, one call at a time', () => {
    expect(mayGo('billing')).to.deep.equal([true, false])
    turns.began('billing', true)
    expect(mayGo('billing')).to.deep.equal([false, false])
    expect(mayGo('audit')).to.deep.equal([true, false])
    clock.tick(SLOW_MS - 1)
    turns.ended('billing')
    expect(mayGo('billing')).to.deep.equal([true, false])
    clock.tick(SLOW_MS)
    expect([changes, mayGo('billing')], 'its time does not run on').to.deep.equal([0, [true, false]])
  })

  it('are on spare connections for all others while a slow group holds the first one, which is told once', () => {
    turns.began('billing', true)
    clock.tick(SLOW_MS)
    expect(changes).to.equal(1)
    expect([mayGo('audit'), mayGo('billing')]).to.deep.equal([
      [true, true],
      [false, false]
    ])
    turns.ended('billing')
    expect(mayGo('audit')).to.deep.equal([true, false])
  })

  it('are on spare connections for a group whose last call was slow, until one is quick', () => {
    call('billing', true, SLOW_MS)
    expect(mayGo('billing')).to.deep.equal([false, true])
    turns.began('billing', false)
    clock.tick(SLOW_MS)
    expect([changes, mayGo('audit')], 'it does not hold the first').to.deep.equal([1, [true, false]])
    turns.ended('billing')
    expect(mayGo('billing')).to.deep.equal([false, true])
    call('billing', false, SLOW_MS - 1)
    expect(mayGo('billing')).to.deep.equal([true, false])
  })

  it('stay with the first connection when a call ends on another one', () => {
    call('audit', true, SLOW_MS)
    turns.began('billing', true)
    turns.began('audit', false)
    clock.tick(SLOW_MS)
    turns.ended('audit')
    expect(mayGo('orders'), 'billing holds the first still').to.deep.equal([true, true])
    turns.ended('billing')
    turns.ended('never began')
    expect(mayGo('orders')).to.deep.equal([true, false])
  })

  it('are told of the slow groups where only those may go', () => {
    expect([turns.few(true), [...turns.few(false)!]]).to.deep.equal([undefined, []])
    call('billing', true, SLOW_MS)
    expect([turns.few(true), [...turns.few(false)!]]).to.deep.equal([undefined, ['billing']])
    turns.began('audit', true)
    clock.tick(SLOW_MS)
    expect(turns.few(false), 'all may').to.equal(undefined)
    turns.ended('audit')
  })

  it('remember 1,000 slow groups, and forget the one that was slow longest ago', () => {
    for (let group = 0; group < 1_000; group++) turns.began(`group-${group}`, false)
    clock.tick(SLOW_MS)
    for (let group = 0; group < 1_000; group++) turns.ended(`group-${group}`)
    call('group-0', false, SLOW_MS)
    call('one more', false, SLOW_MS)
    expect(turns.few(false)!.size).to.equal(1_000)
    expect(['group-0', 'group-1', 'group-2'].map(group => turns.mayGo(group, true))).to.deep.equal([false, true, false])
  })
})
