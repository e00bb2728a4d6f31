/** File and number of the test in it, from 0: `test/producer/log/merging.test.js#3`. */
export type TestName = string

export interface RunOrder {
  /** Compiled test files, from the root of the sandbox. */
  readonly files: readonly string[]
  /** The tests to run, with their limits; undefined: all of them, each with its own limit. */
  readonly limitsMs?: Readonly<Record<TestName, number>>
  readonly hookLimitMs: number
  /** Ends with the first failure. */
  readonly bail: boolean
}

export interface RunOutcome {
  /** `test` is empty where it was a hook or the loading of a file. */
  readonly failures: readonly { readonly test: TestName; readonly error: string; readonly timedOut?: boolean }[]
  readonly durationsMs: Readonly<Record<TestName, number>>
  /** The mutants that each test came by. */
  readonly coverage: Readonly<Record<TestName, readonly string[]>>
}
