import { Command, InvalidArgumentError, Option } from 'commander'
import { UsageError } from '../../../src/cli/command.js'
import { wholeNumber } from '../../../src/cli/options.js'
import { parseTool, type Range, range, wholeNumbers } from '../../support/tool-options.js'
import { aboutScenarios, scenarioNames, scenarioOfSeed } from './scenarios/scenarios.js'

export interface RunArguments {
  readonly seeds: Range
  readonly seconds: number
  /** `all`: each seed has the next one. */
  readonly scenario: string
  /** Only these faults of the schedule. Absent: all of it. */
  readonly only?: ReadonlySet<number>
  /** Where to write the trace. */
  readonly trace?: string
  readonly twice: boolean
  /** Processes side by side. */
  readonly jobs: number
  /** Ends with the first seed that fails. */
  readonly untilFailure: boolean
  /** Looks for the smallest schedule of faults with which a seed still fails. */
  readonly shrink: boolean
  /** Tells in the end how often faults were met and what workloads did. */
  readonly tally: boolean
  /** Tells everything about seeds that pass as well. */
  readonly isVerbose: boolean
}

export const simulateCommand = (): Command =>
  new Command('npm run simulate --')
    .description('Runs Castellan and the embedded broker in simulated worlds with faults, each from a seed.')
    .addOption(new Option('--seed <N>', 'one seed, told in full').argParser(wholeNumber(0)).conflicts('seeds'))
    .addOption(new Option('--seeds <A-B>', 'several').argParser(range).default({ from: 1, to: 20 }, '1-20'))
    .addOption(new Option('--seconds <S>', 'simulated time with faults').argParser(wholeNumber(1)).default(60))
    .addOption(
      new Option('--scenario <NAME>', 'one of those below; all: each seed has the next one')
        .choices(['all', ...scenarioNames])
        .default('all')
    )
    .addOption(
      new Option('--only <3,7,12>', 'only these faults of the schedule of one seed; none: no fault').argParser(faultIds)
    )
    .option('--trace <FILE>', 'writes what happened in one seed, turn by turn')
    .option('--twice', 'runs every seed again and compares the hashes of the traces', false)
    .addOption(new Option('--jobs <N>', 'processes side by side').argParser(wholeNumber(1)).default(1))
    .option('--until-failure', 'ends with the first seed that fails', false)
    .option('--no-shrink', 'does not look for the faults that a failure needs')
    .option('--tally', 'tells in the end how often faults were met, and what workloads did', false)
    .addHelpText(
      'after',
      `\nScenarios:\n${aboutScenarios.map(([name, about]) => `  ${name.padEnd(17)}  ${about}`).join('\n')}`
    )

/** @throws UsageError that says in one line what is wrong; CommanderError when help was printed */
export function readArguments(command: Command, args: readonly string[]): RunArguments {
  const { seed, ...options } = parseTool<Omit<RunArguments, 'isVerbose'> & { readonly seed?: number }>(command, args)
  const seeds = seed === undefined ? options.seeds : { from: seed, to: seed }
  for (const name of ['only', 'trace'] as const)
    if (options[name] !== undefined && seeds.from < seeds.to)
      throw new UsageError(`--${name} is for one seed: --seed ${seeds.from} --${name} …`)
  return { ...options, seeds, isVerbose: seed !== undefined }
}

const faultIds = (text: string): ReadonlySet<number> => {
  if (text === 'none') return new Set()
  try {
    return new Set(wholeNumbers(text))
  } catch {
    throw new InvalidArgumentError('numbers of faults, for example 3,7,12, or none')
  }
}

export const scenarioForSeed = ({ scenario }: RunArguments, seed: number): string =>
  scenario === 'all' ? scenarioOfSeed(seed) : scenario
