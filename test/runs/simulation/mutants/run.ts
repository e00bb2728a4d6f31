import { execFile } from 'node:child_process'
import { writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { Command, Option } from 'commander'
import { copyProject, removeCopy } from '../../../support/project-copy.js'
import { countOption, toolOptions } from '../../../support/tool-options.js'
import { endOnSignals } from '../../tool.js'
import { scenarioNames } from '../scenarios/scenarios.js'
import { plantedBugs } from './bugs.js'
import { type PlantedBug, plant, readSources } from './plant.js'

const COPIED = [
  'src',
  'test/runs/simulation',
  'test/runs/mutants',
  'test/runs/tool.ts',
  'test/support',
  'package.json',
  'tsconfig.json'
]
const run = promisify(execFile)

const all = plantedBugs.map(({ name }) => name)
const sources = await readSources('src')

const command = new Command('npm run simulate:mutants --')
  .description(
    'Plants one bug after another into a copy of the sources and sees how many seeds it takes the simulation to notice it;\n' +
      'then runs as many seeds as the slowest took on the sources as they are, of which none may fail.'
  )
  .addOption(new Option('--only <NAME...>', `some of ${all.join(', ')}`).choices(all).default(all, 'all'))
  .addOption(countOption('--seeds <N>', 'the most seeds for each', 2_000))
  .addOption(
    new Option('--scenario <NAME>', 'of all seeds; all: each seed has the next one')
      .choices(['all', ...scenarioNames])
      .default('all')
  )
const {
  only: wanted,
  seeds: mostSeedsEach,
  scenario
} = toolOptions<{
  readonly only: readonly string[]
  readonly seeds: number
  readonly scenario: string
}>(command)
endOnSignals()

interface Noticed {
  /** Undefined: it was not noticed. */
  readonly seeds: number | undefined
  /** What was violated first. */
  readonly by: string
}

/** Runs seeds on a copy of the sources with these files changed until one fails. */
async function inCopy(seeds: number, changed: ReadonlyMap<string, string>): Promise<Noticed> {
  const folder = await copyProject('mutant', COPIED)
  try {
    for (const [path, text] of changed) await writeFile(join(folder, path), text)
    // A bug that does not compile would be noticed at once, by names that are not there.
    const compile = ['-p', 'test/runs/simulation/tsconfig.json', '--noCheck', 'false']
    await run(join('node_modules', '.bin', 'tsc'), compile, { cwd: folder })
    return await seedsNeeded(folder, seeds)
  } finally {
    await removeCopy(folder)
  }
}

const tryBug = async (bug: PlantedBug): Promise<Noticed> => inCopy(mostSeedsEach, plant(bug, sources))

async function seedsNeeded(folder: string, upTo: number): Promise<Noticed> {
  const flags = ['--seeds', `1-${upTo}`, '--scenario', scenario, '--until-failure', '--no-shrink']
  const args = ['.cache/simulation/test/runs/simulation/run.js', ...flags]
  const { stdout } = await run(process.execPath, args, { cwd: folder, maxBuffer: 64 * 1024 * 1024 }).catch(
    (failure: { stdout: string; stderr: string }) => ({ stdout: `${failure.stdout}${failure.stderr}` })
  )
  const seeds = [...stdout.matchAll(/^seed (\d+) (\w+): (.*)$/gm)]
  const caught = seeds.find(([, , , verdict]) => verdict!.includes('VIOLATIONS'))
  if (caught === undefined) return { seeds: undefined, by: lastLine(stdout) }
  const rule = /^ {2}([A-Z][A-Z -]+): /m.exec(stdout)?.[1]?.toLowerCase() ?? ''
  return { seeds: seeds.indexOf(caught) + 1, by: `${caught[2]}: ${rule}` }
}

const lastLine = (text: string): string => text.trim().split('\n').at(-1) ?? ''

let missed = 0
let mostSeeds = 1
console.log('| bug | seeds needed | noticed as |\n|---|---|---|')
for (const bug of plantedBugs.filter(({ name }) => wanted.includes(name))) {
  const { seeds, by } = await tryBug(bug).catch((error: Error & { readonly stdout?: string }) => ({
    seeds: undefined,
    by: `${error.message.trim()}\n${error.stdout ?? ''}`.split('\n').slice(0, 3).join(' ')
  }))
  if (seeds === undefined) missed++
  mostSeeds = Math.max(mostSeeds, seeds ?? 0)
  console.log(`| ${bug.name}: ${bug.about} | ${seeds ?? 'not noticed'} | ${by} |`)
}
// Without it, a simulation that always fails would notice everything.
const control = await inCopy(mostSeeds, new Map())
const isSound = control.seeds === undefined
console.log(
  `| none: the sources as they are, seeds 1 to ${mostSeeds} | ${isSound ? 'none fails' : control.seeds} | ${control.by} |`
)
const failed = missed + (isSound ? 0 : 1)
console.log(`\n  ${wanted.length + 1 - failed} passing\n${failed > 0 ? `  ${failed} failing\n` : ''}`)
process.exitCode = failed > 0 ? 1 : 0
