import { CastellanError, ConfigError } from '../errors.js'
import { printable, printableLines } from '../printable.js'
import { brokerCommand } from './broker.js'
import { closest } from './closest.js'
import { type Command, EXIT_FAILURE, EXIT_OK, EXIT_USAGE, type Process } from './command.js'
import { type FlagValues, parseFlags } from './flags.js'
import { commonFlags, describeCommand, overview } from './help.js'
import { passwordCommand } from './password.js'
import { readCommand } from './read.js'
import { serveCommand } from './serve.js'
import { flush } from './standard-output.js'
import { tokenCommand } from './token.js'
import { topicsCommand } from './topics.js'
import { CommandError, UsageError } from './usage-error.js'
import { version } from './version.js'

const commands: readonly Command[] = [
  serveCommand,
  readCommand,
  topicsCommand,
  brokerCommand,
  tokenCommand,
  passwordCommand
]

/**
 * Runs one command line.
 *
 * @param args without node and the script
 * @returns the exit code
 */
export async function run(args: readonly string[], process: Process): Promise<number> {
  const code = await runOne(args, process)
  if (code !== EXIT_OK) return code
  try {
    return (await flush(process.stdout)) ? EXIT_OK : EXIT_FAILURE
  } catch (error) {
    return report(error, undefined, args.includes('--debug'), process)
  }
}

async function runOne(args: readonly string[], process: Process): Promise<number> {
  let command: Command | undefined
  try {
    const [first = '', ...rest] = args
    if (first === '--help' || first === '-h' || first === 'help') return print(process, helpFor(rest[0]))
    if (first === 'version') return print(process, `${version()}\n`)
    command = first === '' || first.startsWith('-') ? serveCommand : requireCommand(first)
    const flags = [...command.flags, ...commonFlags]
    // Help and version first: they are asked for when the rest of the line is not right yet.
    if (args.includes('--help') || args.includes('-h')) return print(process, describeCommand(command))
    const values = parseFlags(first === command.name ? rest : args, flags, command.positionals)
    if (values.has('version')) return print(process, `${version()}\n`)
    requirePositionals(command, values)
    const running = command.run(values, process)
    return await (command.survivesCrash ? running : Promise.race([running, rejectWith(process.crashed)]))
  } catch (error) {
    return report(error, command, args.includes('--debug'), process)
  }
}

const rejectWith = async (crashed: Promise<unknown>): Promise<never> => {
  throw await crashed
}

function helpFor(name: string | undefined): string {
  if (name === undefined || name.startsWith('-')) return overview(commands, serveCommand)
  return describeCommand(requireCommand(name))
}

function requireCommand(name: string): Command {
  const found = commands.find(command => command.name === name)
  if (found) return found
  const names = commands.map(command => command.name)
  throw new UsageError(`there is no command ${name}${closest(name, names)}; there are ${names.join(', ')}`)
}

function requirePositionals({ positionals, examples }: Command, values: FlagValues): void {
  const empty = positionals[values.positionals.indexOf('')]
  if (empty !== undefined) throw new UsageError(`${empty} is empty, for example: ${examples[0]}`)
  const missing = positionals[values.positionals.length]
  if (missing !== undefined) throw new UsageError(`${missing} is missing, for example: ${examples[0]}`)
}

function print({ stdout }: Process, text: string): number {
  stdout.write(text)
  return EXIT_OK
}

/** Says what went wrong in as few lines as there are problems; a stack only with `--debug`. */
function report(error: unknown, command: Command | undefined, debug: boolean, { stderr }: Process): number {
  const called = command ? `castellan ${command.name}` : 'castellan'
  const known = error instanceof UsageError || error instanceof CommandError || error instanceof CastellanError
  const message = error instanceof Error ? error.message : String(error)
  // Only the configuration can have several problems; a line break elsewhere belongs to a name.
  const lines = error instanceof ConfigError ? message.split('\n') : [message || 'failed']
  for (const line of lines) stderr.write(`${called}: ${printable(line)}\n`)
  if (error instanceof UsageError) stderr.write(`${called} --help shows the usage\n`)
  if (!known && !debug) stderr.write('this is a bug; --debug shows where it happened\n')
  if (debug && error instanceof Error) stderr.write(`${printableLines(String(error.stack))}\n`)
  return error instanceof UsageError || error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILURE
}
