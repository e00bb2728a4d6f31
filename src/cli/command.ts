import type { Argument, Command, Option } from 'commander'

/** The parts of a process that a command uses; tests pass their own. */
export interface Process {
  readonly environment: Readonly<Record<string, string | undefined>>
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  /** Standard input. */
  readonly stdin: AsyncIterable<Buffer | string>
  /** Aborted by the first SIGINT or SIGTERM; the second ends the process at once. */
  readonly stopped: AbortSignal
  /** Resolves with the first error that was not caught anywhere. */
  readonly crashed: Promise<unknown>
  /** Calls back at every SIGHUP. Without a listener SIGHUP ends the process. */
  onHangUp(listener: () => void): void
}

/**
 * Describes one of `castellan serve`, `castellan read`, …; the list is in commands.ts. A description imports nothing
 * that only `run` needs: `run` imports it when it is called, so that `castellan --help` does not load the gateway.
 */
export interface CommandDescription {
  readonly name: string
  /** One line for the list of commands. */
  readonly summary: string
  readonly arguments?: readonly Argument[]
  readonly options: readonly Option[]
  /** Further lines of `--help`. */
  readonly notes?: string
  /** At least one; the first is shown in the list of commands. */
  readonly examples: readonly string[]
  /** Left out of the list of commands. */
  readonly isHidden?: boolean
  /** Every argument is handed on as it is, `--help` included: the command has a command line of another program. */
  readonly takesEverything?: boolean
  /** Flags, without dashes, that may be written as Go's package `flag` takes them: with one dash, for example. */
  readonly goFlags?: ReadonlySet<string>
  /** Stops in order by itself after an error that was not caught; other commands end at once. */
  readonly survivesCrash?: boolean
  /** `castellan wal inspect`: commands below this one. A command with commands below it does not run itself. */
  readonly commands?: readonly CommandDescription[]
  /**
   * @param line `line.args` are the arguments, `line.opts()` the flags, `settingsOf(line)` those that are settings
   * @returns the exit code
   */
  run?(line: Command, process: Process): Promise<number>
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
