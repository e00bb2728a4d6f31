/**
 * `npm test` and `npm run test:system`: the test files of this folder, in an order that is drawn anew each time. The seed
 * of the order is printed first and last; `npm test -- --seed N` begins the files in the same order again, and with
 * `--jobs 1` each runs after the same ones in the same process.
 */
import { spawn } from 'node:child_process'
import { readdirSync } from 'node:fs'
import { join } from 'node:path'
import { Command } from 'commander'
import { shuffled } from './support/random.js'
import { countOption, seedOption, toolOptions, usageError } from './support/tool-options.js'

interface Options {
  readonly seed: number
  readonly jobs: number
  readonly system?: true
  readonly all?: true
}

const command = new Command('npm test')
  .description('Runs the tests that need nothing but Node. Further arguments are for mocha, such as --grep WORDS.')
  .addOption(seedOption())
  .addOption(countOption('--jobs <N>', 'processes that share the files', 4))
  .option('--system', 'the long tests instead: files named *.system.test.ts')
  .option('--all', 'both')
  .allowUnknownOption()
  .allowExcessArguments()
const { seed, jobs, system = false, all = false } = toolOptions<Options>(command)

/** Kafka's own tests have a runner of their own. */
const files = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.test.ts') && !name.startsWith('real-kafka/'))
  .filter(name => all || name.endsWith('.system.test.ts') === system)
  .map(name => join('test', name))
  .sort()
const ordered = shuffled(files, seed)
if (files.length === 0) usageError(command, 'no test files; run it from the root of the project')

const told = `${files.length} files in the order of seed ${seed}; again: npm ${system ? 'run test:system' : 'test'} -- --seed ${seed}`
process.stdout.write(`${told}\n`)
/** Long tests take several times as long on a busy machine. */
const timeout = system || all ? ['--timeout', '180000'] : []
/** With one job mocha loads the files itself, and in its parallel mode it would load them as another kind of module. */
const parallel = jobs > 1 ? ['--parallel', '--jobs', String(jobs)] : []
const mocha = spawn(
  process.execPath,
  ['node_modules/mocha/bin/mocha.js', ...parallel, ...timeout, ...command.args, ...ordered],
  { stdio: 'inherit' }
)
for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, () => mocha.kill(signal))
mocha.once('exit', (code, signal) => {
  process.stdout.write(`${told}\n`)
  process.exitCode = signal === null ? (code ?? 1) : 1
})
