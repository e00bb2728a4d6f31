import type { Coverage } from './coverage.js'
import { runTests } from './processes.js'

export type Verdict = 'killed' | 'survived' | 'timed out' | 'no coverage'

/** Runs the tests that come by this mutant, the quick files first, until one fails. Undefined: `until` came first. */
export async function tryMutant(
  sandbox: string,
  mutant: string,
  { testsOf, durationsMs }: Coverage,
  until: number
): Promise<{ readonly verdict: Verdict; readonly by: string } | undefined> {
  const tests = [...(testsOf.get(mutant) ?? [])]
  if (tests.length === 0) return { verdict: 'no coverage', by: '' }
  const limitsMs = Object.fromEntries(tests.map(test => [test, 5000 + 10 * durationsMs.get(test)!]))
  const fileMs = new Map<string, number>()
  for (const test of tests) fileMs.set(fileOf(test), (fileMs.get(fileOf(test)) ?? 0) + durationsMs.get(test)!)
  const files = [...fileMs.keys()].sort((a, b) => fileMs.get(a)! - fileMs.get(b)!)
  const totalMs = [...fileMs.values()].reduce((sum, ms) => sum + ms, 0)
  const limitMs = Math.min(30_000 + 5 * totalMs, until - Date.now())
  const outcome = await runTests(sandbox, { files, limitsMs, hookLimitMs: 10_000, bail: true }, { mutant, limitMs })
  if (Date.now() >= until) return undefined
  if (outcome === 'timed out') return { verdict: 'timed out', by: '' }
  if (outcome === 'died') return { verdict: 'killed', by: 'the process died' }
  const [failure] = outcome.failures
  if (failure === undefined) return { verdict: 'survived', by: `${tests.length} tests passed` }
  return { verdict: failure.timedOut ? 'timed out' : 'killed', by: failure.error.split('\n')[0]! }
}

const fileOf = (test: string): string => test.slice(0, test.indexOf('#'))
