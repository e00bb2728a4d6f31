import { expect } from 'chai'
import { UsageError } from '../../../src/cli/command.js'
import { readArguments, simulateCommand } from './arguments.js'
import { checkFaults } from './seeds.js'

describe('simulation: arguments', () => {
  const read = (line: string) => readArguments(simulateCommand(), line.split(' ').filter(Boolean))

  it('runs 20 seeds when nothing is said, and tells all about one that is named', () => {
    expect(read('')).to.deep.include({ seeds: { from: 1, to: 20 }, seconds: 60, scenario: 'all', isVerbose: false })
    expect(read('--seed 7')).to.deep.include({ seeds: { from: 7, to: 7 }, isVerbose: true })
  })

  it('takes the command that a failure prints', () => {
    const wanted = read('--seed 4 --seconds 48 --scenario library --only 3,17 --trace trace.txt')
    expect(wanted.only).to.deep.equal(new Set([3, 17]))
    expect(() => checkFaults(wanted)).not.to.throw()
    expect(read('--seed 4 --only none').only).to.deep.equal(new Set())
  })

  it('refuses faults that the schedule of the seed does not have: a world without them would be fine', () => {
    expect(() => checkFaults(read('--seed 1 --only 3,999'))).to.throw(
      UsageError,
      /^--only 999: seed 1 of push has the faults 1 to \d+ in 60 s$/
    )
    expect(() => checkFaults(read('--seed 1 --scenario calm --only 1'))).to.throw(UsageError, 'has no faults')
  })

  it('refuses a trace or faults of several seeds', () => {
    expect(() => read('--seeds 1-3 --trace t.txt')).to.throw(UsageError, '--trace is for one seed: --seed 1 --trace …')
    expect(() => read('--seeds 1-3 --only 2')).to.throw(UsageError, '--only is for one seed')
  })

  it('refuses a scenario that is not there, and two ways to name seeds', () => {
    expect(() => read('--scenario nope')).to.throw(UsageError, /^--scenario takes all, library, .*, not "nope"$/)
    expect(() => read('--seed 1 --seeds 1-3')).to.throw(UsageError, '--seed')
  })
})
