import type { Argument, Command, Option } from 'commander'
import { onAbort } from '../core/ending.js'
import type { Environment } from '../core/settings/setting-names.js'

/** The parts of a process that a command uses; tests pass their own. */
export interface Process {
  readonly environment: Environment
  readonly stdout: NodeJS.WriteStream
  readonly stderr: NodeJS.WriteStream
  readonly stdin: AsyncIterable<Buffer | string>
  /** Aborted by the first SIGINT or SIGTERM. The second signal ends the process at once. */
  readonly stopped: AbortSignal
  /** Resolves with the first uncaught error. */
  readonly crashed: Promise<unknown>
  /** Calls the listener at every SIGHUP. Without a listener, SIGHUP ends the process. */
  onHangUp(listener: () => void): void
}

/**
 * Describes one command, such as `castellan serve`. All descriptions are listed in cli.ts. Modules that only `run`
 * needs are imported when `run` is called, so that `castellan --help` does not load the gateway.
 */
export interface CommandDescription {
  readonly name: string
  /** One line that describes the command in the list of commands. */
  readonly summary: string
  readonly arguments?: readonly Argument[]
  readonly options: readonly Option[]
  readonly notes?: string
  /** At least one example. The list of commands shows the first. */
  readonly examples: readonly string[]
  readonly isHidden?: boolean
  /** The command gets every argument unchanged, even `--help`, because another program defines its command line. */
  readonly takesEverything?: boolean
  /** Flags, without dashes, that may be written in the style of Go's package `flag`, for example with one dash. */
  readonly goFlags?: ReadonlySet<string>
  /** After an uncaught error the command still shuts down in order. Other commands end at once. */
  readonly survivesCrash?: boolean
  /** Subcommands, such as `verify` of `castellan wal verify`. A command with subcommands has no `run`. */
  readonly commands?: readonly CommandDescription[]
  /** The first subcommand runs when the command line names none. `options` are those of this subcommand. */
  readonly runsFirst?: boolean
  /**
   * @param line `line.args` are the arguments, `line.opts()` the flags, and `settingsOf(line)` the flags that stand for
   * settings
   * @returns the exit code
   */
  run?(line: Command, process: Process): Promise<number>
}

/** Exit codes, as documented in docs/operations.md. */
export const EXIT_OK = 0
export const EXIT_FAILURE = 1
export const EXIT_USAGE = 2

/** The command line cannot be understood; exit code 2. */
export class UsageError extends Error {
  override readonly name = 'UsageError'
}

/** The command has failed; the message says what to change. Exit code 1. */
export class CommandError extends Error {
  override readonly name = 'CommandError'
}

/** Resolves when the signal fires, or at once if it has fired already. */
export const aborted = (signal: AbortSignal): Promise<void> => new Promise(resolve => void onAbort(signal, resolve))
