import { expect } from 'chai'
import { Command, CommanderError, Option } from 'commander'
import { UsageError } from '../../src/cli/command.js'
import { checkRows } from './rows.js'
import { countOption, listOption, numberFrom, parseTool, range, seedOption, wholeNumbers } from './tool-options.js'

describe('arguments of the tools for tests', () => {
  const tool = (): Command =>
    new Command('tool')
      .addOption(countOption('--kills <N>', 'kills', 50))
      .addOption(new Option('--on <WHERE...>', 'where').choices(['here', 'there']).default(['here', 'there']))
      .addOption(new Option('--seeds <A-B>', 'seeds').argParser(range))
      .addOption(new Option('--only <N,N>', 'some').argParser(wholeNumbers))
      .addOption(new Option('--gb <N>', 'size').argParser(numberFrom(0)))
      .addOption(listOption('--set <NAME=VALUE>', 'settings'))
      .addOption(seedOption())
  const parse = (...args: string[]) => parseTool<Record<string, unknown>>(tool(), args)

  it('reads numbers, ranges and lists', () => {
    const values = parse(...'--kills 3 --on there --seeds 4-7 --only 1,2 --gb 0.5 --seed 9'.split(' '))
    expect(values).to.deep.include({
      kills: 3,
      on: ['there'],
      seeds: { from: 4, to: 7 },
      only: [1, 2],
      gb: 0.5,
      seed: 9
    })
    expect(parse('--seeds', '4').seeds).to.deep.equal({ from: 4, to: 4 })
    expect(parse('--set', 'a=1', '--set', 'b=2').set).to.deep.equal(['a=1', 'b=2'])
    expect(parse()).to.deep.include({ kills: 50, on: ['here', 'there'], set: [] })
  })

  const mistakes: readonly (readonly [string, string])[] = [
    ['--kills x', '--kills takes a whole number of at least 1, not "x"'],
    ['--kills 0', '--kills takes a whole number of at least 1, not "0"'],
    ['--kills -1', '--kills takes a whole number of at least 1, not "-1"'],
    ['--kills', '--kills needs a value: --kills N'],
    ['--on nowhere', '--on takes here, there, not "nowhere"'],
    ['--seeds 5-3', '--seeds takes a range, for example 1-300, not "5-3"'],
    ['--seeds 1-2-3', '--seeds takes a range, for example 1-300, not "1-2-3"'],
    ['--only 1,x', '--only takes whole numbers, for example 3,7,12, not "1,x"'],
    ['--gb x', '--gb takes a number of at least 0, not "x"'],
    ['--gb -1', '--gb takes a number of at least 0, not "-1"'],
    ['--kill 3', 'unknown flag --kill; did you mean --kills?'],
    ['17', 'too many arguments: expected 0, got 1']
  ]
  it('each mistake is told in one line', () =>
    checkRows(mistakes, ([line, message]) => expect(() => parse(...line.split(' '))).to.throw(UsageError, message)))

  it('tells help from a mistake', () => {
    const quiet = tool().configureOutput({ writeOut: () => undefined })
    expect(() => parseTool(quiet, ['--help']))
      .to.throw(CommanderError)
      .with.property('exitCode', 0)
  })
})
