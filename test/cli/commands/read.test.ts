import { expect } from 'chai'
import { UsageError } from '../../../src/cli/command.js'
import { toReadStart } from '../../../src/cli/commands/read.js'

describe('--from', () => {
  it('understands ends, offsets, the last few, and times', () => {
    expect(toReadStart('earliest')).to.equal('earliest')
    expect(toReadStart('latest')).to.equal('latest')
    expect(toReadStart('42')).to.deep.equal({ offset: 42 })
    expect(toReadStart('-10')).to.deep.equal({ last: 10 })
    expect(toReadStart('@1700000000000')).to.deep.equal({ timestampMs: 1_700_000_000_000 })
    expect(toReadStart('2023-11-14T22:13:20Z')).to.deep.equal({ timestampMs: 1_700_000_000_000 })
    expect(toReadStart('2023-11-14')).to.deep.equal({ timestampMs: Date.parse('2023-11-14T00:00:00Z') })
  })

  it('refuses anything else', () => {
    for (const text of [
      '',
      'first',
      '1.5',
      '--',
      '2023-99-99',
      '2026-02-30',
      '2026-02-30T10:00:00Z',
      '@',
      '1e3',
      'March 7'
    ]) {
      expect(() => toReadStart(text), text).to.throw(UsageError, '--from takes')
    }
  })
})
