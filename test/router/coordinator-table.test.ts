import { expect } from 'chai'
import { CoordinatorTable } from '../../src/router/coordinator-table.js'

describe('coordinator table', () => {
  it('hardening 10: remembers no more than 10,000 searches that are over, whatever groups were ever named', () => {
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
})
