import { orEnd } from '../../support/tool-options.js'
import { readArguments, simulateCommand } from './arguments.js'
import { isJob, runJob, runSideBySide } from './jobs.js'
import { checkFaults, runSeeds } from './seeds.js'

/** Runs seeds one after another, or shares them out. The last line is in mocha's words, for those who count. */
async function main(): Promise<void> {
  const args = process.argv.slice(2)
  const command = simulateCommand()
  const wanted = orEnd(command, () => {
    const read = readArguments(command, args)
    checkFaults(read)
    return read
  })
  if (isJob()) return runJob(wanted)
  const startedAt = performance.now()
  const inTurn = { began: () => undefined, say: (text: string) => console.log(text) }
  const isShared = wanted.jobs > 1 && wanted.seeds.from < wanted.seeds.to
  const { passed, failed } = isShared ? await runSideBySide(wanted, args) : await runSeeds(wanted, inTurn)
  console.log(`${((performance.now() - startedAt) / 1_000).toFixed(1)} s`)
  console.log(`\n  ${passed} passing\n${failed > 0 ? `  ${failed} failing\n` : ''}`)
  process.exitCode = failed > 0 ? 1 : 0
}

await main()
