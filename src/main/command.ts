import type { Flag, FlagValues } from './flags.js'

/** What a command may touch of its process, so that it can be run without one. */
export interface Process {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** What is typed or piped in. */
  readonly stdin: AsyncIterable<Buffer | string>
  /** Aborted by the first SIGINT or SIGTERM; the second ends the process at once. */
  readonly stopped: AbortSignal
  /** Resolves with the first error that nobody caught. */
  readonly crashed: Promise<unknown>
  /** Calls back at every SIGHUP. Without a listener SIGHUP ends the process. */
  onHangUp(listener: () => void): void
}

/** One of `castellan serve`, `castellan read`, … */
export interface Command {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  /** Names of what it takes besides flags: `['TOPIC']`. */
  readonly positionals: readonly string[]
  readonly flags: readonly Flag[]
  /** Further lines of `--help`. */
  readonly notes: string
  readonly examples: readonly string[]
  /** Puts its house in order after a crash; others are over at once. */
  readonly survivesCrash?: boolean
  /** @returns the exit code */
  run(values: FlagValues, process: Process): Promise<number>
}

/** Exit codes, as documented in docs/operations.md. */
export const EXIT_OK = 0
export const EXIT_FAILURE = 1
export const EXIT_USAGE = 2

/** Resolves when the signal fires, or at once when it has. */
export const aborted = (signal: AbortSignal): Promise<void> =>
  new Promise(resolve => {
    if (signal.aborted) resolve()
    else signal.addEventListener('abort', () => resolve(), { once: true })
  })
