import { Argument, Command, InvalidArgumentError, Option } from 'commander'

/** What a benchmark is told. */
export interface BenchOptions {
  /** Length of one measured window. */
  readonly seconds: number
  /** How often every work is measured, in turn with what it is compared with; medians are reported. */
  readonly rounds: number
  /** Works to run; absent: all. What they are compared with runs anyway. */
  readonly only?: readonly string[] | undefined
  /** Of `peers`: the command line of another server, and where it takes what kprf's `POST /push` takes. */
  readonly peer?: string | undefined
  readonly peerUrl?: string | undefined
}
export interface BenchCommand extends BenchOptions {
  readonly name: string
  readonly json: string | undefined
}

const IDLE_SECONDS = 10
const SECONDS = 2

/**
 * Reads the command line of a benchmark; `--help` prints and ends the process.
 *
 * @throws CommanderError with a line for the user when the arguments make no sense
 */
export function parseCommand(args: readonly string[], names: readonly string[]): BenchCommand {
  const command = new Command('npm run bench --')
    .addArgument(new Argument('<NAME>', 'the benchmark').choices(names))
    .option('--json <FILE>', 'also write {name, rows} as JSON')
    .addOption(new Option('--seconds <N>', 'length of one measured window (default 2; idle: 10)').argParser(positive))
    .addOption(new Option('--rounds <N>', 'windows per work, interleaved; medians are printed').argParser(positive))
    .option('--only <WORK,…>', 'these works and what they are compared with')
    .option('--peer <CMD>', 'peers: starts another server; {brokers} in it becomes HOST:PORT of the broker')
    .option('--peer-url <URL>', 'peers: where it is asked')
    .configureOutput({ writeErr: () => undefined })
    .exitOverride(error => {
      if (error.exitCode === 0) process.exit(0)
      throw error
    })
    .parse(args, { from: 'user' })
  const name = command.args[0]!
  const { json, seconds, rounds, only, peer, peerUrl } = command.opts<{
    json?: string
    seconds?: number
    rounds?: number
    only?: string
    peer?: string
    peerUrl?: string
  }>()
  return {
    name,
    json,
    seconds: seconds ?? (name === 'idle' ? IDLE_SECONDS : SECONDS),
    rounds: rounds ?? 5,
    only: only?.split(','),
    peer,
    peerUrl
  }
}

function positive(text: string): number {
  const value = Number(text)
  if (value > 0) return value
  throw new InvalidArgumentError('It must be a number above 0.')
}
