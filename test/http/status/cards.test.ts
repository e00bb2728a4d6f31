import { expect } from 'chai'
import { cardsOf } from '../../../src/http/status/cards.js'
import type { Trouble } from '../../../src/http/status/status.js'

describe('cards of troubles', () => {
  const row = (kind: string, subject: string, severity: Trouble['severity'] = 'bad'): Trouble => {
    return { severity, kind, subject, cause: '', next: '', see: '' }
  }
  const rows = (count: number, kind: string, severity?: Trouble['severity']) =>
    Array.from({ length: count }, (_, at) => row(kind, `t${at}`, severity))
  const shown = (trouble: readonly Trouble[]) =>
    cardsOf(trouble).map(all => [all[0]!.kind, all[0]!.subject, all.length])

  it('are as many as rows where these are few', () => {
    expect(shown([row('logFull', 'log'), ...rows(3, 'noLeader')])).to.deep.equal([
      ['logFull', 'log', 1],
      ['noLeader', 't0', 1],
      ['noLeader', 't1', 1],
      ['noLeader', 't2', 1]
    ])
  })

  it('show a hundred rows of one kind as one for each severity, in the order of the rows', () => {
    expect(
      shown([...rows(100, 'partitionStuck'), ...rows(2, 'constructor'), ...rows(4, 'partitionStuck', 'warning')])
    ).to.deep.equal([
      ['partitionStuck', 't0', 100],
      ['constructor', 't0', 1],
      ['constructor', 't1', 1],
      ['partitionStuck', 't0', 4]
    ])
  })
})
