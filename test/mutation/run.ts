import { type ChildProcess, execFile, spawn } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { promisify } from 'node:util'
import { Argument, Command, Option } from 'commander'
import { copyProject } from '../support/project-copy.js'
import { endOnSignals } from '../support/tool.js'
import { countOption, listOption, numberFrom, toolOptions, usageError } from '../support/tool-options.js'
import { findMutants, instrument, type Mutant } from './mutants.js'
import { chosenFiles, roomsWithTests, sourcesOf, testsOf } from './rooms.js'

const command = new Command('npm run mutate --')
  .description('Changes the sources of a room in one place at a time and sees whether its tests notice.')
  .addArgument(new Argument('<ROOM...>', 'folders of src that have tests').choices(roomsWithTests()))
  .addOption(countOption('--sample <N>', 'so many mutants of each room, drawn by lot', 60))
  .addOption(countOption('--seed <N>', 'another seed draws others', 1, 0))
  .addOption(listOption('--file <PATTERN>', 'only files whose path contains this, or, behind a !, only others'))
  .addOption(
    listOption('--tests <PATTERN>', 'only these tests of the room, in the same way: what is left out notices nothing')
  )
  .addOption(new Option('--minutes <M>', 'begins no new mutant afterwards').argParser(numberFrom(0)).default(600))
  .option('--verbose', 'shows what became of each mutant, not only of those that nothing noticed', false)

const options = toolOptions<{
  readonly sample: number
  readonly seed: number
  readonly file: readonly string[]
  readonly tests: readonly string[]
  readonly minutes: number
  readonly verbose: boolean
}>(command)
const until = Date.now() + options.minutes * 60_000

const COPIED = ['src', 'test', 'examples', 'docs', 'README.md', 'package.json', 'tsconfig.json', '.mocharc.json']
const preload = (folder: string): string => pathToFileURL(join(folder, 'test/mutation/preload.mjs')).href

/** Leads a group of processes, which would go on without this one. */
let running: ChildProcess | undefined
const killTests = (): void => {
  try {
    if (running?.pid !== undefined) process.kill(-running.pid, 'SIGKILL')
  } catch {
    // Nobody is left.
  }
}
process.once('exit', killTests)

/** Runs test files in a process of their own. */
async function runTests(
  folder: string,
  files: readonly string[],
  env: NodeJS.ProcessEnv,
  limitMs: number
): Promise<'passed' | 'failed' | 'timed out'> {
  const mocha = ['node_modules/mocha/bin/mocha.js', '--bail', '--exit', '--timeout', '20000', ...files]
  const child = spawn(process.execPath, mocha, {
    cwd: folder,
    env: { ...process.env, ...env },
    stdio: 'ignore',
    detached: true
  })
  running = child
  const limit = setTimeout(killTests, limitMs)
  const [code, signal] = await new Promise<[number | null, string | null]>(resolve =>
    child.once('close', (...end) => resolve(end))
  )
  clearTimeout(limit)
  killTests()
  running = undefined
  if (signal === 'SIGKILL') return 'timed out'
  return code === 0 ? 'passed' : 'failed'
}

interface Covered {
  readonly file: string
  readonly durationMs: number
  /** The mutants by which its tests come. */
  readonly mutants: ReadonlySet<string>
}

/** Runs each file without a mutant. Those that fail are left out: they would notice every one. */
async function coverageOf(folder: string, files: readonly string[]): Promise<Covered[]> {
  const coverageFile = join(folder, 'coverage.txt')
  const env = { COVERAGE_FILE: coverageFile, NODE_OPTIONS: `--import=${preload(folder)}` }
  const covered: Covered[] = []
  for (const file of files) {
    await writeFile(coverageFile, '')
    const startedAt = Date.now()
    const outcome = await runTests(folder, [file], env, 300_000)
    if (outcome !== 'passed') console.log(`  ${outcome} without a mutant, and is left out: ${file}`)
    else {
      const mutants = new Set((await readFile(coverageFile, 'utf8')).split('\n'))
      covered.push({ file, durationMs: Date.now() - startedAt, mutants })
    }
  }
  await rm(coverageFile)
  return covered.sort((one, other) => one.durationMs - other.durationMs)
}

/** Whether the compiler takes a mutant: nobody has to write a test against one that it refuses. */
async function compiles(folder: string, { file, content }: Mutant): Promise<boolean> {
  const flags = ['--noEmit', '--incremental', '--tsBuildInfoFile', 'src.tsbuildinfo']
  const project = { extends: './tsconfig.json', compilerOptions: { types: ['node'] }, include: ['src/**/*.ts'] }
  await writeFile(join(folder, 'tsconfig.src.json'), JSON.stringify(project))
  await writeFile(join(folder, file), content)
  try {
    await promisify(execFile)('node_modules/.bin/tsc', ['-p', 'tsconfig.src.json', ...flags], { cwd: folder })
    return true
  } catch {
    return false
  } finally {
    await writeFile(join(folder, file), await readFile(file))
  }
}

const shortened = (code: string): string => {
  const line = code.replace(/\s+/g, ' ')
  return line.length <= 110 ? line : `${line.slice(0, 107)}...`
}

const describe = ({ file, line, kind, original, replacement }: Mutant): string =>
  `${file}:${line} ${kind}: ${shortened(original)}  ->  ${shortened(replacement)}`

/** @returns a row of the table in the end */
async function scoreRoom(room: string, types: string): Promise<string> {
  const candidates = await findMutants(chosenFiles(sourcesOf(room), options.file), options.seed)
  const { files, mutants } = await instrument(candidates.slice(0, options.sample))
  console.log(`\n${room}: ${mutants.length} of ${candidates.length} mutants (seed ${options.seed})`)
  const folder = await copyProject('mutation', COPIED)
  for (const { name, content } of files) await writeFile(join(folder, name), content)
  const covered = await coverageOf(folder, chosenFiles(testsOf(room), options.tests))
  let noticed = 0
  let unnoticed = 0
  for (const mutant of mutants) {
    if (Date.now() >= until) break
    const tests = covered.filter(each => each.mutants.has(mutant.id))
    const limitMs = 30_000 + 5 * tests.reduce((sum, { durationMs }) => sum + durationMs, 0)
    const names = tests.map(({ file }) => file)
    const env = { __STRYKER_ACTIVE_MUTANT__: mutant.id }
    const outcome = names.length === 0 ? 'no coverage' : await runTests(folder, names, env, limitMs)
    const isNoticed = outcome === 'failed' || outcome === 'timed out'
    if (isNoticed) noticed++
    else if (await compiles(types, mutant)) unnoticed++
    else continue
    if (!isNoticed || options.verbose) console.log(`  ${outcome}: ${describe(mutant)}`)
  }
  const tried = noticed + unnoticed
  const score = tried === 0 ? '' : `${((100 * noticed) / tried).toFixed(0)} %`
  return `| ${[room, candidates.length, tried, noticed, unnoticed, score].join(' | ')} |`
}

for (const room of command.args) {
  if (chosenFiles(sourcesOf(room), options.file).length === 0)
    usageError(command, `--file ${options.file}: no source of ${room} is left`)
  if (chosenFiles(testsOf(room), options.tests).length === 0)
    usageError(command, `--tests ${options.tests}: no test of ${room} is left`)
}
endOnSignals()
const types = await copyProject('mutation-types', ['src', 'package.json', 'tsconfig.json'])
const rows = ['\n| room | mutants | tried | noticed | unnoticed | score |', '|---|---|---|---|---|---|']
for (const room of command.args) if (Date.now() < until) rows.push(await scoreRoom(room, types))
console.log(rows.join('\n'))
process.exit(0)
