import { type Command, CommanderError } from 'commander'
import { CastellanError, ConfigError } from '../core/errors.js'
import { printable, printableLines } from '../core/printable.js'
import {
  type CommandDescription,
  CommandError,
  EXIT_FAILURE,
  EXIT_OK,
  EXIT_USAGE,
  type Process,
  UsageError
} from './command.js'
import { commands } from './commands.js'
import { fromGoFlags } from './go-flags.js'
import { settingsOf } from './options.js'
import { toProgram } from './program.js'
import { flush } from './standard-output.js'
import { unknownCommand } from './usage-message.js'

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
    return report(error, 'castellan', args, process)
  }
}

async function runOne(args: readonly string[], process: Process): Promise<number> {
  let called = 'castellan'
  let code = EXIT_OK
  const program = toProgram(commands, process, {
    run: async (description, line) => {
      called = nameOf(line)
      code = await runCommand(description, line, process)
    },
    refuse: (line, message) => {
      called = nameOf(line)
      throw new UsageError(message)
    }
  })
  try {
    await program.parseAsync(complete(args, program), { from: 'user' })
    return code
  } catch (error) {
    // Help or the version has been written, which is no error.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT_OK
    return report(error, called, args, process)
  }
}

/** Adds the default command to a command line that names none: `castellan --port 1` is `castellan serve --port 1`. */
function complete(args: readonly string[], program: Command): readonly string[] {
  const [first = '', ...rest] = args
  if (['--help', '-h', '--version'].includes(first)) return args
  if (first === 'version') return ['--version']
  if (first === '' || first.startsWith('-')) return [commands[0]!.name, ...args]
  if (first !== 'help') requireCommand(first, program)
  else if (rest[0] !== undefined) requireCommand(rest[0], program)
  return [first, ...spelledOut(first, rest)]
}

/** Rewrites the flags of a command into the form that commander understands. */
function spelledOut(name: string, args: readonly string[]): readonly string[] {
  const description = commands.find(command => command.name === name)
  return description?.goFlags === undefined ? args : fromGoFlags(args, description.options, description.goFlags)
}

/** Refuses an unknown command. commander alone would answer `sreve --help` with the list of commands. */
function requireCommand(name: string, program: Command): void {
  const isKnown = program.commands.some(command => command.name() === name)
  if (!isKnown) throw new UsageError(unknownCommand(name, program))
}

/** The full name of a command, such as `castellan read` or `castellan wal verify`. */
const nameOf = (line: Command): string => (line.parent ? `${nameOf(line.parent)} ${line.name()}` : line.name())

async function runCommand(
  { run, survivesCrash }: CommandDescription,
  line: Command,
  process: Process
): Promise<number> {
  await warnOfSecrets(line, process)
  const running = run!(line, process)
  return survivesCrash ? running : Promise.race([running, rejectWith(process.crashed)])
}

async function warnOfSecrets(line: Command, { stderr }: Process): Promise<void> {
  const flags = settingsOf(line)
  if (flags.length === 0) return
  const { warningsAboutSecrets } = await import('../server/config/schema.js')
  for (const warning of warningsAboutSecrets(flags)) stderr.write(`${nameOf(line)}: warning: ${printable(warning)}\n`)
}

const rejectWith = async (crashed: Promise<unknown>): Promise<never> => {
  throw await crashed
}

/** Writes one line per problem to stderr, and a stack only with `--debug`. */
function report(error: unknown, called: string, args: readonly string[], { stderr }: Process): number {
  const debug = args.includes('--debug')
  const known = error instanceof UsageError || error instanceof CommandError || error instanceof CastellanError
  const message = error instanceof Error ? error.message : String(error)
  // Only a ConfigError lists several problems, one per line. In other messages a line break is part of a name.
  const lines = error instanceof ConfigError ? message.split('\n') : [message || 'failed']
  for (const line of lines) stderr.write(`${called}: ${printable(line)}\n`)
  if (error instanceof UsageError) stderr.write(`${called} --help shows the usage\n`)
  if (!known && !debug) stderr.write('this is a bug; --debug shows where it happened\n')
  if (debug && error instanceof Error) stderr.write(`${printableLines(String(error.stack))}\n`)
  return error instanceof UsageError || error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILURE
}
