import { writeFileSync } from 'node:fs'
import { UsageError } from '../../../src/cli/command.js'
import { type RunArguments, scenarioForSeed } from './arguments.js'
import { details, replayCommand, summary, Tally } from './report.js'
import { shrink } from './shrink.js'
import { type SimulationOptions, type SimulationResult, scheduleOf, simulate } from './simulation.js'
import { warmUp } from './warm-up.js'

export interface Score {
  readonly passed: number
  readonly failed: number
}

/** Told what happens, seed by seed. */
export interface SeedListener {
  /** @param score of the seeds before it */
  began(seed: number, score: Score): void
  say(text: string): void
}

/** Runs seeds one after another. */
export async function runSeeds(wanted: RunArguments, listener: SeedListener): Promise<Score> {
  await warmUp()
  let passed = 0
  let failed = 0
  const tally = new Tally()
  for (let seed = wanted.seeds.from; seed <= wanted.seeds.to; seed++) {
    listener.began(seed, { passed, failed })
    if (await isFine(wanted, seed, tally, text => listener.say(text))) passed++
    else failed++
    if (failed > 0 && wanted.untilFailure) break
  }
  if (wanted.tally) listener.say(tally.text)
  return { passed, failed }
}

type Say = (text: string) => void

/** @throws UsageError when the schedule of the seed has not all faults that are wanted */
export function checkFaults(wanted: RunArguments): void {
  const { only = new Set(), seconds, seeds } = wanted
  const seed = seeds.from
  const scenario = scenarioForSeed(wanted, seed)
  const ids = new Set(scheduleOf({ seed, seconds, scenario }).map(({ id }) => id))
  const missing = [...only].filter(id => !ids.has(id))
  if (missing.length > 0)
    throw new UsageError(
      `--only ${missing}: seed ${seed} of ${scenario} has ${ids.size === 0 ? 'no faults' : `the faults 1 to ${ids.size}`} in ${seconds} s`
    )
}

async function isFine(wanted: RunArguments, seed: number, tally: Tally, say: Say): Promise<boolean> {
  const options: SimulationOptions = {
    seed,
    seconds: wanted.seconds,
    scenario: scenarioForSeed(wanted, seed),
    isTraced: wanted.trace !== undefined,
    ...(wanted.only && { only: wanted.only })
  }
  const result = await simulate(options)
  tally.add(result)
  const isRight = result.violations.length === 0
  say(summary(result))
  if (!isRight || wanted.isVerbose) say(details(result))
  if (wanted.trace !== undefined) writeFileSync(wanted.trace, `${result.trace.join('\n')}\n`)
  if (!isRight) await showSmallest(wanted, result, say)
  return (!wanted.twice || (await isSameAgain(options, result.hash, say))) && isRight
}

/** What is left of the schedule when everything is left out that is not needed, and the command that replays it. */
async function showSmallest({ shrink: shrinks }: RunArguments, result: SimulationResult, say: Say): Promise<void> {
  const smallest = shrinks ? await shrink(result) : result
  if (smallest !== result) {
    say(`  with ${smallest.schedule.length} of ${result.schedule.length} faults, ${smallest.options.seconds} s:`)
    say(details({ ...smallest, counts: {} }))
  }
  say(`  replay: ${replayCommand(smallest)}`)
}

async function isSameAgain(options: SimulationOptions, hash: string, say: Say): Promise<boolean> {
  const again = await simulate(options)
  if (again.hash !== hash) say(`seed ${options.seed}: NOT THE SAME the second time, trace ${again.hash}`)
  return again.hash === hash
}
