/** The command line cannot be understood; exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The command has failed; the message says what to change. Exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}
