import { type ChildProcess, spawn } from 'node:child_process'
import { readFile, rm, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { pathToFileURL } from 'node:url'
import type { RunOrder, RunOutcome } from './run-order.js'

let runs = 0

/** Runs tests of the sandbox in a process of their own. Undefined: it had to be ended after `limitMs`, or it died. */
export async function runTests(
  sandbox: string,
  order: RunOrder,
  options: { readonly mutant?: string; readonly coverageFile?: string; readonly limitMs: number }
): Promise<RunOutcome | 'timed out' | 'died'> {
  const base = join(sandbox, `run-${process.pid}-${++runs}`)
  const [orderFile, outcomeFile] = [`${base}.order.json`, `${base}.outcome.json`]
  await writeFile(orderFile, JSON.stringify(order))
  try {
    const end = await processEnd(sandbox, [join(sandbox, 'test/mutation/one-run.js'), orderFile, outcomeFile], options)
    if (end === 'timed out') return end
    const outcome = await readFile(outcomeFile, 'utf8').catch(() => undefined)
    return outcome === undefined ? 'died' : JSON.parse(outcome)
  } finally {
    await Promise.all([rm(orderFile, { force: true }), rm(outcomeFile, { force: true })])
  }
}

/** Each leads a group of processes of its own, which would go on without this one. */
const running = new Set<ChildProcess>()
process.once('exit', () => {
  for (const { pid } of running) killGroup(pid)
})

function processEnd(
  sandbox: string,
  args: readonly string[],
  {
    mutant,
    coverageFile,
    limitMs
  }: { readonly mutant?: string; readonly coverageFile?: string; readonly limitMs: number }
): Promise<'ended' | 'timed out'> {
  const preload = `--import=${pathToFileURL(join(sandbox, 'test/mutation/preload.mjs')).href}`
  const env: NodeJS.ProcessEnv = { ...process.env, NO_COLOR: '1', FORCE_COLOR: '0' }
  if (mutant !== undefined) env.__STRYKER_ACTIVE_MUTANT__ = mutant
  if (coverageFile !== undefined) Object.assign(env, { COVERAGE_FILE: coverageFile, NODE_OPTIONS: preload })
  return new Promise(resolve => {
    const child = spawn(process.execPath, ['--max-old-space-size=2048', ...args], {
      cwd: sandbox,
      env,
      stdio: process.env.MUTATE_VERBOSE === undefined ? 'ignore' : 'inherit',
      detached: true
    })
    let end: 'ended' | 'timed out' = 'ended'
    const limit = setTimeout(() => {
      end = 'timed out'
      killGroup(child.pid)
    }, limitMs)
    running.add(child)
    child.once('close', () => {
      clearTimeout(limit)
      running.delete(child)
      killGroup(child.pid)
      resolve(end)
    })
  })
}

/** With the processes that the tests had started. */
function killGroup(pid: number | undefined): void {
  try {
    if (pid !== undefined) process.kill(-pid, 'SIGKILL')
  } catch {
    // Nobody is left.
  }
}
