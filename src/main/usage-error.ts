/** The command line cannot be understood; exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** A command could not do what was asked; the message is for people, and says what to change. Exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}
