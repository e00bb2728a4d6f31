import { writeFileSync } from 'node:fs'
import { relative } from 'node:path'
import Mocha from 'mocha'
import type { Failure } from './run-again.js'

/** What a suite came to, as {@link TellFailures} leaves it. */
export interface Outcome {
  readonly passed: number
  readonly failures: readonly Failure[]
}

/** Collects what fails. Root hooks have no file: theirs is the one whose tests ran last. */
export function failuresOf(runner: Mocha.Runner): readonly Failure[] {
  const failures: Failure[] = []
  let lastFile = ''
  runner.on('test end', test => (lastFile = test.file ?? lastFile))
  runner.on('fail', (test, error: Error) => {
    const file = test.file ?? lastFile
    const isHook = (test as { type?: string }).type === 'hook'
    failures.push({
      file,
      title: isHook ? `${test.fullTitle()} in ${relative('.', file)}` : test.fullTitle(),
      isHook,
      error: error.stack ?? String(error)
    })
  })
  return failures
}

/** Mocha's `spec`, which also leaves an {@link Outcome} in the file that the environment names as TEST_OUTCOME. */
export default class TellFailures extends Mocha.reporters.Spec {
  constructor(runner: Mocha.Runner, options: Mocha.MochaOptions) {
    super(runner, options)
    const failures = failuresOf(runner)
    runner.once('end', () =>
      writeFileSync(process.env.TEST_OUTCOME!, JSON.stringify({ passed: runner.stats?.passes ?? 0, failures }))
    )
  }
}
