import { writeFileSync } from 'node:fs'
import { type RunArguments, readArguments, scenarioForSeed, usage } from './arguments.js'
import { runSideBySide } from './jobs.js'
import { details, replayCommand, summary } from './report.js'
import { shrink } from './shrink.js'
import { type SimulationOptions, type SimulationResult, simulate } from './simulation.js'
import { warmUp } from './warm-up.js'

/** Runs seeds one after another, or shares them out. The last line is in mocha's words, for those who count. */
async function main(): Promise<void> {
  const args = process.argv.slice(2)
  if (args.includes('--help')) return void process.stdout.write(usage)
  const wanted = readArguments(args)
  const startedAt = performance.now()
  const { passed, failed } = wanted.jobs > 1 ? await runSideBySide(wanted, args) : await runInTurn(wanted)
  console.log(`${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)
  console.log(`\n  ${passed} passing\n${failed > 0 ? `  ${failed} failing\n` : ''}`)
  process.exitCode = failed > 0 ? 1 : 0
}

async function runInTurn(wanted: RunArguments): Promise<{ passed: number; failed: number }> {
  await warmUp()
  let passed = 0
  let failed = 0
  for (let seed = wanted.from; seed <= wanted.to; seed++) {
    if (await isFine(wanted, seed)) passed++
    else failed++
    if (failed > 0 && wanted.untilFailure) break
  }
  return { passed, failed }
}

async function isFine(wanted: RunArguments, seed: number): Promise<boolean> {
  const options: SimulationOptions = {
    seed,
    seconds: wanted.seconds,
    scenario: scenarioForSeed(wanted, seed),
    isTraced: wanted.traceFile !== undefined,
    ...(wanted.only && { only: wanted.only })
  }
  const result = await simulate(options)
  const isRight = result.violations.length === 0
  console.log(summary(result))
  if (!isRight || wanted.verbose) console.log(details(result))
  if (!isRight) await showSmallest(wanted, result)
  if (wanted.traceFile !== undefined) writeFileSync(wanted.traceFile, result.trace.join('\n'))
  return (!wanted.twice || (await isSameAgain(options, result.hash))) && isRight
}

/** What is left of the schedule when everything is left out that is not needed, and the command that replays it. */
async function showSmallest({ shrinks }: RunArguments, result: SimulationResult): Promise<void> {
  const smallest = shrinks ? await shrink(result) : result
  if (smallest !== result) {
    console.log(`  with ${smallest.schedule.length} of ${result.schedule.length} faults:`)
    console.log(details({ ...smallest, counts: {} }))
  }
  console.log(`  replay: ${replayCommand(smallest)}`)
}

async function isSameAgain(options: SimulationOptions, hash: string): Promise<boolean> {
  const again = await simulate(options)
  if (again.hash !== hash) console.log(`seed ${options.seed}: NOT THE SAME the second time, trace ${again.hash}`)
  return again.hash === hash
}

await main()
