import { readFile, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { runTests } from './processes.js'
import type { TestName } from './run-order.js'

const LIMIT_MS = 300_000

export interface Coverage {
  /** Tests that pass without a mutant, and how long they take. */
  readonly durationsMs: ReadonlyMap<TestName, number>
  /** Tests that come by a mutant. */
  readonly testsOf: ReadonlyMap<string, ReadonlySet<TestName>>
  /** Tests and files that fail without any mutant: no one is killed by these. */
  readonly failing: readonly string[]
}

/** Runs every file once without a mutant, each in a process of its own. Files that `until` leaves no time for are left out. */
export async function coverageOf(
  sandbox: string,
  files: readonly string[],
  { jobs, until }: { readonly jobs: number; readonly until: number }
): Promise<Coverage> {
  const coverage = { durationsMs: new Map<TestName, number>(), testsOf: new Map<string, Set<TestName>>(), failing: [] }
  const waiting = [...files]
  const work = async (): Promise<void> => {
    for (let file = waiting.shift(); file !== undefined && Date.now() < until; file = waiting.shift()) {
      await coverFile(sandbox, file, Math.min(LIMIT_MS, until - Date.now()), coverage)
    }
  }
  await Promise.all(Array.from({ length: jobs }, work))
  return coverage
}

interface Collected {
  readonly durationsMs: Map<TestName, number>
  readonly testsOf: Map<string, Set<TestName>>
  readonly failing: string[]
}

async function coverFile(sandbox: string, file: string, limitMs: number, collected: Collected): Promise<void> {
  const { durationsMs, testsOf, failing } = collected
  const coverageFile = join(sandbox, `${file.replaceAll('/', '-')}.coverage.txt`)
  const outcome = await runTests(
    sandbox,
    { files: [file], hookLimitMs: LIMIT_MS, bail: false },
    { coverageFile, limitMs }
  )
  const outside = (await readFile(coverageFile, 'utf8').catch(() => '')).split('\n').filter(Boolean)
  await rm(coverageFile, { force: true })
  if (outcome === 'timed out' || outcome === 'died') {
    failing.push(`${file}: ${outcome}`)
    return
  }
  failing.push(...outcome.failures.map(({ error }) => `${file}: ${error}`))
  if (outcome.failures.some(({ test }) => test === '')) return
  const failed = new Set(outcome.failures.map(({ test }) => test))
  for (const [test, durationMs] of Object.entries(outcome.durationsMs)) {
    if (failed.has(test)) continue
    durationsMs.set(test, durationMs)
    // Code that runs outside of tests, or in other processes and threads, may matter to each test of the file.
    for (const mutant of [...(outcome.coverage[test] ?? []), ...outside]) {
      testsOf.set(mutant, (testsOf.get(mutant) ?? new Set()).add(test))
    }
  }
}
