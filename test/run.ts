/**
 * `npm test`, `test:sockets` and `test:system`: the test files of this folder of one kind, in an order that is drawn anew
 * each time. The seed of the order, of properties and of random tests is printed first and last; `npm test -- --seed N`
 * begins the files in the same order again, and with `--jobs 1` each runs after the same ones in the same process. What
 * fails in any suite but `npm test` runs once more, alone: docs/develop/testing.md.
 */
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import { Command } from 'commander'
import { isForEachNode } from './runs/each-node.js'
import { shuffled } from './support/random.js'
import { runAgain } from './support/run-again.js'
import type { Outcome } from './support/tell-failures.js'
import { countOption, seedOption, toolOptions, usageError } from './support/tool-options.js'

/** Files with real sockets that `npm test` runs nevertheless. */
const SMOKE: readonly string[] = [
  'apis/kprf/wire-format',
  'apis/tiny-api',
  'cli/unix-socket',
  'embedded-broker/connection',
  'project/examples/testing',
  'http/engine/response-head',
  'http/server/heads',
  'kafka/against-embedded-broker',
  'kafka/security',
  'producer/log/log-thread',
  'server/app/clusters'
].map(name => `${name}.socket.test.ts`)

const KINDS = ['sockets', 'system', 'explored', 'eachNode'] as const
type Kind = (typeof KINDS)[number] | 'decided'
type Options = { readonly seed: number; readonly jobs: number; readonly slowMachine?: true } & {
  readonly [kind in Kind]?: true
}

const command = new Command('npm test')
  .description('Runs the tests that need nothing but Node. Further arguments are for mocha, such as --grep WORDS.')
  .addOption(seedOption())
  .addOption(countOption('--jobs <N>', 'processes that share the files', 4))
  .option('--sockets', 'tests that need real sockets or moments instead: files named *.socket.test.ts')
  .option('--system', 'the long tests instead: files named *.system.test.ts')
  .option('--explored', 'those instead that only `npm run explore` runs: files named *.explore.test.ts')
  .option('--each-node', 'those instead that CI runs on each Node: test/runs/each-node.ts')
  .option('--slow-machine', 'on a machine that is slow at moments which the seed gives: test/support/slow-machine.mjs')
  .allowUnknownOption()
  .allowExcessArguments()
const options = toolOptions<Options>(command)
const { seed, jobs, slowMachine = false } = options
const kind = KINDS.find(name => options[name]) ?? 'decided'

function kindOf(name: string): Kind {
  if (SMOKE.includes(name)) return 'decided'
  if (name.endsWith('.socket.test.ts')) return 'sockets'
  if (name.endsWith('.explore.test.ts')) return 'explored'
  return name.endsWith('.system.test.ts') ? 'system' : 'decided'
}

/** Kafka's own tests have a runner of their own. */
const all = readdirSync('test', { recursive: true, encoding: 'utf8' })
  .filter(name => name.endsWith('.test.ts') && !/^runs\/(real-kafka|registry)\//.test(name))
  .sort()
if (all.length === 0) usageError(command, 'no test files; run it from the root of the project')
/** They take longer than others: begun last, they would be alone. */
const LONGEST: readonly string[] = [
  'apis/kafboy/app.socket',
  'cli/process.system',
  'cli/revoked.system',
  'cli/reworded.system',
  'http/page/troubles.system',
  'project/docs/library.socket',
  'project/docs/shell-blocks.system',
  'project/package.system',
  'runs/deploy/rolling-restart.system',
  'runs/integration/group-starts.system',
  'runs/integration/idempotency.socket',
  'runs/integration/pixy-consume.system',
  'runs/integration/pixy-offsets.system',
  'runs/simulation/determinism.system',
  'schemas/bombs.system',
  'schemas/thread-codec-host.socket'
].map(name => join('test', `${name}.test.ts`))
const files = shuffled(
  all
    .filter(name => (kind === 'eachNode' ? isForEachNode(name) : kindOf(name) === kind))
    .map(name => join('test', name)),
  seed
).sort((one, other) => Number(LONGEST.includes(other)) - Number(LONGEST.includes(one)))
const flags = `${kind === 'decided' ? '' : ` --${kind === 'eachNode' ? 'each-node' : kind}`}${slowMachine ? ' --slow-machine' : ''}`
const told = `${files.length} files in the order of seed ${seed}; again: npm test --${flags} --seed ${seed}`

mkdirSync('.cache/failures', { recursive: true })
const log = join('.cache/failures', `${kind}-${seed}.log`)
/** Explored tests take several times as long on a busy machine. */
const timeout = kind === 'decided' ? [] : ['--timeout', '180000']

const environment = {
  ...process.env,
  TEST_SEED: String(seed),
  ...(slowMachine && {
    SLOW_MACHINE: String(seed),
    NODE_OPTIONS: `${process.env.NODE_OPTIONS ?? ''} --import ${pathToFileURL('test/support/slow-machine.mjs')}`
  })
}

/** Runs mocha with {@link timeout}. An outcome without failures from a run with a bad end is `undefined`. */
async function mocha(args: readonly string[]): Promise<Outcome | undefined> {
  const file = `${log}.json`
  const child = spawn(
    process.execPath,
    ['node_modules/mocha/bin/mocha.js', '--reporter', './test/support/tell-failures.ts', ...timeout, ...args],
    { stdio: 'inherit', env: { ...environment, TEST_OUTCOME: file } }
  )
  const stop = (signal: NodeJS.Signals): boolean => child.kill(signal)
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.on(signal, stop)
  const [code] = await once(child, 'exit')
  for (const signal of ['SIGINT', 'SIGTERM'] as const) process.off(signal, stop)
  const outcome = existsSync(file) ? (JSON.parse(readFileSync(file, 'utf8')) as Outcome) : undefined
  rmSync(file, { force: true })
  return code === 0 || (outcome?.failures.length ?? 0) > 0 ? outcome : undefined
}

async function run(): Promise<{ passed: number; failed: number }> {
  if (files.length === 0) return { passed: 0, failed: 0 }
  /** With one job mocha loads the files itself, and in its parallel mode it would load them as another kind of module. */
  const parallel = jobs > 1 ? ['--parallel', '--jobs', String(jobs)] : []
  const first = await mocha([...parallel, ...command.args, ...files])
  if (first === undefined) return { passed: 0, failed: 1 }
  const { passed, failures } = first
  if (failures.length === 0 || kind === 'decided') return { passed, failed: failures.length }
  writeFileSync(log, failures.map(({ file, title, error }) => `${title}\n${file}\n${error}\n`).join('\n'))
  const failed = await runAgain(failures, `seed ${seed}, log ${log}`, async ({ file, grep }) => {
    const again = await mocha(['--exit', '--fail-zero', ...(grep === undefined ? [] : ['--grep', grep]), file])
    return again?.failures.length === 0
  })
  return { passed: passed + failures.length - failed, failed }
}

process.stdout.write(`${told}\n`)
const { passed, failed } = await run()
process.stdout.write(`${told}\n${passed} passed, ${failed} failed\n`)
process.exitCode = failed > 0 ? 1 : 0
