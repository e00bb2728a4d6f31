import { parseArgs } from 'node:util'
import { aboutScenarios, scenarioOfSeed } from './scenarios/scenarios.js'

export interface RunArguments {
  readonly from: number
  readonly to: number
  readonly seconds: number
  /** `all`: each seed has the next one. */
  readonly scenario: string
  readonly only: ReadonlySet<number> | undefined
  /** Where to write the trace. */
  readonly traceFile: string | undefined
  readonly twice: boolean
  /** Processes side by side. */
  readonly jobs: number
  /** Ends with the first seed that fails. */
  readonly untilFailure: boolean
  /** Looks for the smallest schedule of faults with which a seed still fails. */
  readonly shrinks: boolean
  /** Tells everything about seeds that pass as well. */
  readonly verbose: boolean
}

export const usage = `npm run simulate -- [options]

  --seed N           one seed, told in full
  --seeds A-B        several; default 1-20
  --seconds S        simulated time with faults; default 60
  --scenario NAME    one of those below; default all: each seed has the next one
  --only 3,7,12      only these faults of the schedule; none: no fault
  --trace FILE       writes what happened, turn by turn
  --twice            runs every seed again and compares the hashes of the traces
  --jobs N           processes side by side; default 1
  --until-failure    ends with the first seed that fails
  --no-shrink        does not look for the faults that a failure needs

Scenarios:
${aboutScenarios.map(([name, about]) => `  ${name.padEnd(17)}  ${about}`).join('\n')}
`

/** @throws Error that says what is wrong */
export function readArguments(args: readonly string[]): RunArguments {
  const { values } = parseArgs({
    args: [...args],
    options: {
      seed: { type: 'string' },
      seeds: { type: 'string', default: '1-20' },
      seconds: { type: 'string', default: '60' },
      scenario: { type: 'string', default: 'all' },
      only: { type: 'string' },
      trace: { type: 'string' },
      twice: { type: 'boolean', default: false },
      jobs: { type: 'string', default: '1' },
      'until-failure': { type: 'boolean', default: false },
      'no-shrink': { type: 'boolean', default: false }
    }
  })
  const [from = Number.NaN, to = from] = (values.seed ?? values.seeds).split('-').map(Number)
  if (!Number.isInteger(from) || !Number.isInteger(to))
    throw new Error(`--seeds ${values.seeds}: say for example 1-100`)
  return {
    from,
    to,
    seconds: Number(values.seconds),
    scenario: values.scenario,
    only:
      values.only === undefined ? undefined : new Set(values.only === 'none' ? [] : values.only.split(',').map(Number)),
    traceFile: values.trace,
    twice: values.twice,
    jobs: Number(values.jobs),
    untilFailure: values['until-failure'],
    shrinks: !values['no-shrink'],
    verbose: values.seed !== undefined
  }
}

export const scenarioForSeed = ({ scenario }: RunArguments, seed: number): string =>
  scenario === 'all' ? scenarioOfSeed(seed) : scenario
