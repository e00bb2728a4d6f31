import { spawn, spawnSync } from 'node:child_process'
import { readdirSync, readFileSync } from 'node:fs'
import { createRequire } from 'node:module'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { loadConfig, silentLogger, startApp } from 'castellan'
import { startEmbeddedCluster } from 'castellan/testing'

/**
 * Runs every example of this folder in a process of its own and compares its output with the ```text block in its head
 * comment, which is the only place where the expected output is written down. The examples in testing/ are run by the
 * test runner that they are written for; those in confluent/ are clients, each with a gateway of its own.
 */
const FOLDER = fileURLToPath(new URL('.', import.meta.url))
const EXAMPLE_TIMEOUT_MS = 30_000
const MOCHA = createRequire(import.meta.url).resolve('mocha/bin/mocha.js')

interface Outcome {
  readonly stdout: string
  readonly stderr: string
  readonly problem: string | undefined
}

/** The ```text block in the first comment of a file, without the signs of the comment. */
function expectedOutput(source: string): string | undefined {
  const block = /```text\n([\s\S]*?)\n(?: \* |# )?```/.exec(source)?.[1]
  return block?.replaceAll(/^(?: \*|#) ?/gm, '')
}

const run = (...args: readonly string[]): Promise<Outcome> => runWith(process.execPath, '--import', 'tsx', ...args)

function runWith(command: string, ...args: readonly string[]): Promise<Outcome> {
  return new Promise(resolve => {
    const child = spawn(command, args, { stdio: ['ignore', 'pipe', 'pipe'] })
    let [stdout, stderr, late] = ['', '', false]
    child.stdout.setEncoding('utf8').on('data', text => {
      stdout += text
    })
    child.stderr.setEncoding('utf8').on('data', text => {
      stderr += text
    })
    const timer = setTimeout(() => {
      late = true
      child.kill('SIGKILL')
    }, EXAMPLE_TIMEOUT_MS)
    child.on('close', code => {
      clearTimeout(timer)
      const problem = late
        ? `it did not end within ${EXAMPLE_TIMEOUT_MS} ms`
        : code === 0
          ? undefined
          : `exit code ${code}`
      resolve({ stdout, stderr, problem })
    })
  })
}

/** Runs an example. Returns a description of the problem, or `undefined` if there is none. */
async function check(name: string): Promise<string | undefined> {
  const expected = expectedOutput(readFileSync(join(FOLDER, name), 'utf8'))
  if (expected === undefined) return 'its head comment does not say what it prints'
  return problemOf(expected, await run(join(FOLDER, name)))
}

function problemOf(expected: string, { stdout, stderr, problem }: Outcome): string | undefined {
  if (problem !== undefined) return `${problem}\n${stdout}${stderr}`
  if (stdout.trim() === expected.trim()) return undefined
  return `it should print\n\n${expected}\n\nand printed\n\n${stdout}${stderr}`
}

/** Runs an example of a test. Returns a description of the problem, or `undefined` if the test passes. */
async function checkTest(name: string): Promise<string | undefined> {
  const file = join(FOLDER, name)
  const runner = name.endsWith('.node-test.ts')
    ? ['--test']
    : [MOCHA, '--no-config', '--timeout', String(EXAMPLE_TIMEOUT_MS)]
  const { stdout, stderr, problem } = await run(...runner, file)
  return problem && `${problem}\n${stdout}${stderr}`
}

const set = (setting: string, value: string) => ({ flag: `--set ${setting}`, path: setting.split('.'), value })

/** What runs the examples of a language; `needed`: what it must be able to do. */
const languages: Readonly<Record<string, { readonly command: string; readonly needed: readonly string[] }>> = {
  sh: { command: 'sh', needed: ['-c', 'curl --version'] },
  py: { command: 'python3', needed: ['-c', 'import requests'] }
}

/** Runs a client of Confluent's API beside a gateway of its own. `'not run'`: the machine cannot. */
async function checkClient(name: string): Promise<string | undefined> {
  const file = join(FOLDER, name)
  const expected = expectedOutput(readFileSync(file, 'utf8'))
  if (expected === undefined) return 'its head comment does not say what it prints'
  const language = languages[name.split('.').at(-1)!]
  if (language !== undefined && spawnSync(language.command, language.needed).status !== 0) return NOT_RUN
  const broker = await startEmbeddedCluster()
  broker.createTopic('orders', { partitions: 1 })
  const settings = { 'clusters.default.brokers': broker.bootstrap, 'delivery.createTopics': 'false' }
  const ports = { 'http.port': '0', 'management.port': '0' }
  // A gateway that runs here has the default one. The log is not opened before there is a record for it.
  const log = { 'wal.directory': join(tmpdir(), `castellan-example-${process.pid}`) }
  const flags = Object.entries({ ...settings, ...ports, ...log }).map(([setting, value]) => set(setting, value))
  const app = await startApp(loadConfig({ flags }), { log: silentLogger, version: 'example' })
  try {
    const { shared } = app.urls
    const outcome =
      language === undefined
        ? await run(file, shared, 'orders')
        : await runWith(language.command, file, `${shared}/confluent`, 'orders')
    return problemOf(expected, outcome)
  } finally {
    await app.stop()
    await broker.close()
  }
}

const NOT_RUN = 'not run'
const programs = readdirSync(FOLDER).filter(name => name.endsWith('.ts') && name !== 'run.ts')
const tests = readdirSync(join(FOLDER, 'testing')).map(name => join('testing', name))
const clients = readdirSync(join(FOLDER, 'confluent')).map(name => join('confluent', name))
const kinds = [
  { names: programs, check },
  { names: tests, check: checkTest },
  { names: clients, check: checkClient }
]
const counts = { passed: 0, failed: 0, 'not run': 0 }
for (const { names, check } of kinds) {
  for (const name of names) {
    const wrong = await check(name)
    if (wrong === undefined) {
      counts.passed++
      process.stdout.write(`ok      ${name}\n`)
    } else if (wrong === NOT_RUN) {
      counts[NOT_RUN]++
      const { command, needed } = languages[name.split('.').at(-1)!]!
      process.stdout.write(`NOT RUN ${name}: this machine cannot do ${command} ${needed.join(' ')}\n`)
    } else {
      counts.failed++
      process.stdout.write(`FAILED  ${name}: ${wrong}\n`)
    }
  }
}
const all = Object.entries(counts).map(([what, count]) => `${count} ${what}`)
process.stdout.write(`${all.join(', ')}\n`)
process.exitCode = counts.failed === 0 && kinds.every(({ names }) => names.length > 0) ? 0 : 1
