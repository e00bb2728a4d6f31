import { readFileSync, writeFileSync } from 'node:fs'
import Mocha from 'mocha'
import type { RunOrder, RunOutcome, TestName } from './run-order.js'

// Runs the tests that its order names, in this process, and writes what came of it. Arguments: the files of both.
const [orderFile, outcomeFile] = process.argv.slice(2) as [string, string]
const order: RunOrder = JSON.parse(readFileSync(orderFile, 'utf8'))
const durationsMs: Record<TestName, number> = {}
const coverage: { currentTestId?: string; mutantCoverage?: { perTest: Record<TestName, Record<string, number>> } } = ((
  globalThis as { __stryker__?: object }
).__stryker__ ??= {})

function finish(outcome: Omit<RunOutcome, 'durationsMs' | 'coverage'>): never {
  const perTest = coverage.mutantCoverage?.perTest ?? {}
  const covered = Object.fromEntries(Object.entries(perTest).map(([test, hits]) => [test, Object.keys(hits)]))
  writeFileSync(outcomeFile, JSON.stringify({ ...outcome, durationsMs, coverage: covered } satisfies RunOutcome))
  process.exit(0)
}

/** Says nothing: what happened is in the outcome. */
class Silent extends Mocha.reporters.Base {
  override epilogue(): void {}
}

const mocha = new Mocha({ timeout: order.hookLimitMs, bail: order.bail, reporter: Silent })
const numbers = new Map<string, number>()
const names = new Map<Mocha.Test, TestName>()

/** Titles may be given twice or drawn by lot; a test's place in its file is its own. */
function nameOf(test: Mocha.Test): TestName {
  const file = order.files.find(path => test.file?.endsWith(path)) ?? ''
  const number = numbers.get(file) ?? 0
  numbers.set(file, number + 1)
  return `${file}#${number}`
}

function keepOnlyOrdered(suite: Mocha.Suite): void {
  suite.tests = suite.tests.filter(test => {
    const name = nameOf(test)
    names.set(test, name)
    if (order.limitsMs === undefined) return true
    const limitMs = order.limitsMs[name]
    if (limitMs !== undefined) test.timeout(limitMs)
    return limitMs !== undefined
  })
  suite.suites.forEach(keepOnlyOrdered)
}

for (const file of order.files) mocha.addFile(file)
await mocha.loadFilesAsync().catch((error: Error) => finish({ failures: [{ test: '', error: error.message }] }))
keepOnlyOrdered(mocha.suite)
const failures: { test: TestName; error: string; timedOut?: boolean }[] = []
const runner = mocha.run(() => finish({ failures }))
runner.on('test', test => {
  coverage.currentTestId = names.get(test)!
})
runner.on('test end', test => {
  durationsMs[names.get(test)!] = test.duration ?? 0
  delete coverage.currentTestId
})
runner.on('fail', (test, error) =>
  failures.push({
    test: names.get(test as Mocha.Test) ?? '',
    error: `${test.fullTitle()}: ${error.message}`,
    timedOut: (error as { code?: string }).code === 'ERR_MOCHA_TIMEOUT'
  })
)
