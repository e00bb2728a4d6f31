import { Argument, Command, InvalidArgumentError, Option } from 'commander'

/** The options of a benchmark. */
export interface BenchOptions {
  /** Length of one measured window. */
  readonly seconds: number
  /** How often each work is measured, in turn with the work that it is compared with. The report has the medians. */
  readonly rounds: number
  /** Works to run. Absent: all works. The works that they are compared with always run. */
  readonly only?: readonly string[] | undefined
  /**
   * For `peers`: the command line of another server, and the URL at which it accepts the requests of kprf's `POST
   * /push`.
   */
  readonly peer?: string | undefined
  readonly peerUrl?: string | undefined
  /** For `confluent`: the records of one long stream, instead of all works. */
  readonly records?: number | undefined
  /** For `lone`: the idle minutes before a push, instead of all works. */
  readonly minutes?: number | undefined
  /** For `queue`, `consume` and `write`: three nodes of a Kafka that runs already, instead of the embedded broker. */
  readonly brokers?: string | undefined
  /** For `journey`: the work whose files are printed. For `connections`: `idle`, for `produce`: `topic`, the objects by constructor. */
  readonly list?: string | undefined
}
export interface BenchCommand extends BenchOptions {
  readonly name: string
  readonly json: string | undefined
}

const IDLE_SECONDS = 10
const SECONDS = 2
const ROUNDS = 5
/** `journey` counts files, which is the same in each round, and runs eleven works one after another. */
const JOURNEY_ROUNDS = 2

/**
 * Reads the command line of a benchmark; `--help` prints and ends the process.
 *
 * @throws CommanderError with a line for the user when the arguments are invalid
 */
export function parseCommand(args: readonly string[], names: readonly string[]): BenchCommand {
  const command = new Command('npm run bench --')
    .addArgument(new Argument('<NAME>', 'the benchmark').choices(names))
    .option('--json <FILE>', 'also write {name, rows} as JSON')
    .addOption(new Option('--seconds <N>', 'length of one measured window (default 2; idle: 10)').argParser(positive))
    .addOption(
      new Option(
        '--rounds <N>',
        'windows per work, interleaved; medians are printed (default 5; journey: 2)'
      ).argParser(positive)
    )
    .option('--only <WORK,…>', 'runs only these works and the works that they are compared with')
    .option('--peer <CMD>', 'peers: starts another server; {brokers} in it becomes HOST:PORT of the broker')
    .option('--peer-url <URL>', 'peers: where it is asked')
    .addOption(
      new Option(
        '--records <N>',
        'confluent: only one stream of so many records, and the memory after each million'
      ).argParser(positive)
    )
    .addOption(new Option('--minutes <N>', 'lone: only the first push after so many idle minutes').argParser(positive))
    .option(
      '--brokers <HOST:PORT,…>',
      'queue, consume, write: a Kafka that runs already, of three nodes, instead of the embedded broker'
    )
    .option(
      '--list <WORK>',
      'journey: also prints the files and functions of this work; connections: idle; produce: topic'
    )
    .configureOutput({ writeErr: () => undefined })
    .exitOverride(error => {
      if (error.exitCode === 0) process.exit(0)
      throw error
    })
    .parse(args, { from: 'user' })
  const name = command.args[0]!
  const { json, seconds, rounds, only, peer, peerUrl, records, minutes, brokers, list } = command.opts<{
    json?: string
    seconds?: number
    rounds?: number
    only?: string
    peer?: string
    peerUrl?: string
    records?: number
    minutes?: number
    brokers?: string
    list?: string
  }>()
  return {
    name,
    json,
    seconds: seconds ?? (name === 'idle' ? IDLE_SECONDS : SECONDS),
    rounds: rounds ?? (name === 'journey' ? JOURNEY_ROUNDS : ROUNDS),
    only: only?.split(','),
    peer,
    peerUrl,
    records,
    minutes,
    brokers,
    list
  }
}

function positive(text: string): number {
  const value = Number(text)
  if (value > 0) return value
  throw new InvalidArgumentError('It must be a number above 0.')
}
