import { expect } from 'chai'
import { CoordinatorTable } from '../../../src/router/routing/group-routing.js'

describe('coordinator table', () => {
  it('remembers no more than 10,000 searches that are over, whatever groups were ever named', () => {
    const table = new CoordinatorTable()
    table.beginSearch('kept', 0)
    for (let group = 0; group < 30_000; group++) {
      table.beginSearch(`invented-${group}`, group)
      table.endSearch(`invented-${group}`, group)
    }
    expect(table.searches).to.be.within(9_000, 10_001)
    expect(table.beginSearch('kept', 1), 'is still on').to.equal(undefined)
    expect(table.beginSearch('invented-29999', 29_999), 'the last ones are remembered').to.equal(1)
    expect(table.beginSearch('invented-0', 29_999), 'the first ones are not').to.equal(0)
  })

  it('counts searches in a row, from zero again after ten seconds without one', () => {
    const table = new CoordinatorTable()
    const search = (beginsAt: number, endsAt: number): number | undefined => {
      const before = table.beginSearch('billing', beginsAt)
      table.endSearch('billing', endsAt)
      return before
    }
    expect([search(0, 5_000), search(15_000, 16_000), search(16_000, 17_000)]).to.deep.equal([0, 1, 2])
    expect(search(27_001, 27_002)).to.equal(0)
  })

  it('forgets searches that ended more than ten seconds ago, and no other', () => {
    const table = new CoordinatorTable()
    for (const [groupId, endedAt] of [
      ['billing', 1_000],
      ['audit', 1_001]
    ] as const) {
      table.beginSearch(groupId, 0)
      table.endSearch(groupId, endedAt)
    }
    table.beginSearch('still on', 0)
    table.tidy(11_000)
    expect(table.searches).to.equal(3)
    table.tidy(11_001)
    expect(table.searches).to.equal(2)
    table.endSearch('never begun', 0)
    expect(table.searches).to.equal(2)
  })

  it('forgets the coordinators that were found longest ago, and found again counts as found', () => {
    const table = new CoordinatorTable()
    for (let group = 0; group < 10_000; group++) table.found(`group-${group}`, 1)
    table.found('group-0', 2)
    table.found('one more', 1)
    expect(table.nodeOf('group-0')).to.equal(2)
    expect(table.nodeOf('group-1')).to.equal(undefined)
  })

  it('forgets all coordinators and no search, when another cluster is connected', () => {
    const table = new CoordinatorTable()
    table.found('billing', 1)
    table.beginSearch('audit', 0)
    table.forgetAll()
    expect(table.nodeOf('billing')).to.equal(undefined)
    expect(table.beginSearch('audit', 1), 'is still on').to.equal(undefined)
  })

  it('forgets a coordinator only when it is the one that denied it', () => {
    const table = new CoordinatorTable()
    table.found('g', 2)
    table.forget('g', 1)
    expect(table.nodeOf('g')).to.equal(2)
    table.forget('g', 2)
    expect(table.nodeOf('g')).to.equal(undefined)
  })
})
