import { type Argument, Command, CommanderError, type Option } from 'commander'
import { CastellanError, ConfigError } from '../core/errors.js'
import { messageOf } from '../core/node-errors.js'
import { printable, printableLines } from '../core/printable.js'
import { letYoungGenerationGrow } from '../server/app/heap-growth.js'
import {
  type CommandDescription,
  CommandError,
  EXIT_FAILURE,
  EXIT_OK,
  EXIT_USAGE,
  type Process,
  UsageError
} from './command.js'
import { commandsOfApis } from './commands/api.js'
import { brokerCommand } from './commands/broker.js'
import { completeCommand, completionCommand } from './commands/completion.js'
import { passwordCommand, tokenCommand } from './commands/credentials.js'
import { doctorCommand } from './commands/doctor.js'
import { groupsCommand } from './commands/groups.js'
import { queuesCommand } from './commands/queues.js'
import { readCommand } from './commands/read.js'
import { receiptCommand } from './commands/receipt.js'
import { receiveCommand } from './commands/receive.js'
import { serveCommand } from './commands/serve.js'
import { topicsCommand } from './commands/topics.js'
import { walCommand } from './commands/wal.js'
import { webhooksCommand } from './commands/webhooks.js'
import { writeCommand } from './commands/write.js'
import { settingsOf } from './options.js'
import { flush } from './standard-output.js'
import { nameOf, unknownCommand, usageMessage } from './usage-message.js'
import { version } from './version.js'

/** Every command, in the order of `castellan --help`. The first command runs when the command line names none. */
export const commands: readonly CommandDescription[] = [
  serveCommand,
  ...commandsOfApis,
  readCommand,
  writeCommand,
  topicsCommand,
  groupsCommand,
  queuesCommand,
  webhooksCommand,
  doctorCommand,
  receiptCommand,
  receiveCommand,
  brokerCommand,
  walCommand,
  tokenCommand,
  passwordCommand,
  completionCommand,
  completeCommand
]

interface CliOutcomes {
  run(description: CommandDescription, line: Command): Promise<void>
  /** Throws the error for an invalid command line. */
  refuse(line: Command, message: string): never
}

/**
 * Creates commander's parser of the command line. After help or the version, it throws a CommanderError with exit code
 * 0.
 */
export function toProgram(
  descriptions: readonly CommandDescription[],
  { stdout }: Pick<Process, 'stdout'>,
  outcomes: CliOutcomes
): Command {
  const program = new Command('castellan')
    .description('castellan - an HTTP gateway and an actor router for Apache Kafka')
    .usage('[COMMAND] [FLAGS]')
    .configureOutput({
      writeOut: text => stdout.write(text),
      // `refuse` is called instead.
      writeErr: () => undefined,
      // Longer lines are hard to read, also in a wide window.
      getOutHelpWidth: () => Math.min(stdout.columns || 80, 100)
    })
    .configureHelp({ subcommandTerm: command => command.name() })
    // Suggestions are made by `usageMessage`.
    .showSuggestionAfterError(false)
    .enablePositionalOptions()
    .optionsGroup('Flags:')
    .helpCommand('help [COMMAND]', 'shows the flags of a command')
    .addHelpText('after', overviewNotes(descriptions))
  for (const description of descriptions) addCommand(program, description, outcomes)
  return addCommonFlags(program, undefined, outcomes)
}

function addCommand(parent: Command, description: CommandDescription, outcomes: CliOutcomes): void {
  const { name, summary, examples, isHidden = false } = description
  const command = new Command(name).copyInheritedSettings(parent).summary(summary).description(summary)
  command.optionsGroup('Flags:')
  for (const argument of description.arguments ?? []) command.addArgument(argument)
  for (const option of description.options) command.addOption(option)
  const child = description.runsFirst ? '[COMMAND]' : 'COMMAND'
  const words = description.commands ? [child] : command.registeredArguments.map(shownName)
  command.usage([...words, '[FLAGS]'].join(' '))
  command.addHelpText('after', commandNotes(description, command))
  if (description.run) command.action(() => outcomes.run(description, command))
  for (const child of description.commands ?? []) addCommand(command, child, outcomes)
  if (description.takesEverything) takeEverything(command)
  else addCommonFlags(command, examples[0], outcomes)
  parent.addCommand(command, { hidden: isHidden })
}

/** `TOPIC`, or `[SEQUENCE…]` where there may be none or several. */
function shownName(argument: Argument): string {
  const name = `${argument.name()}${argument.variadic ? '…' : ''}`
  return argument.required ? name : `[${name}]`
}

function addCommonFlags(command: Command, example: string | undefined, outcomes: CliOutcomes): Command {
  return command
    .helpOption('-h, --help', 'shows this text')
    .version(version(), '--version', 'shows the version')
    .exitOverride(error => {
      if (error.exitCode === 0) throw error
      outcomes.refuse(command, usageMessage(error, command, example))
    })
}

const takeEverything = (command: Command): Command =>
  command.allowUnknownOption().allowExcessArguments().passThroughOptions().helpOption(false)

const overviewNotes = (descriptions: readonly CommandDescription[]): string => `
Without a command, castellan runs ${descriptions[0]!.name}. castellan COMMAND --help shows the flags of a command.

Examples:
${indented(descriptions.filter(({ isHidden }) => !isHidden).map(({ examples }) => examples[0]!))}

Exit codes: 0 success, 1 failure, 2 the command line or the configuration is wrong`

function commandNotes({ notes, examples }: CommandDescription, command: Command): string {
  const wrapped = command.createHelp().boxWrap(notes ?? '', command.configureOutput().getOutHelpWidth!())
  return `${notes === undefined ? '' : `\n${wrapped}\n`}\nExamples:\n${indented(examples)}`
}

const indented = (lines: readonly string[]): string => lines.map(line => `  ${line}`).join('\n')

const ON = /^(?:1|t|true)$/i
const OFF = /^(?:0|f|false)$/i

/**
 * Translates flags from the style of Go's package `flag` to the style of commander. In Go's style a flag has one dash
 * or two, its value follows a space or a `=`, and a flag without a value may have `=true` or `=false`.
 *
 *   -config a.yaml -tls=true  =>  --config a.yaml --tls
 *
 * @param options every flag of the command
 * @param names the flags that may be written in Go's style; the names have no dashes
 */
export function fromGoFlags(args: readonly string[], options: readonly Option[], names: ReadonlySet<string>): string[] {
  const taken: string[] = []
  for (let at = 0; at < args.length; at++) {
    const arg = args[at]!
    if (arg === '--') return [...taken, ...args.slice(at)]
    const [, name = '', value] = /^--?([^-=][^=]*)(?:=(.*))?$/s.exec(arg) ?? []
    const option = names.has(name)
      ? options.find(({ long }) => long === `--${name}`)
      : options.find(({ long, short }) => arg === long || arg === short)
    // An unknown flag with one dash gets a second dash, because commander reads -bogus=3 as -b with the value ogus=3.
    if (option === undefined) taken.push(/^-[^-]{2}/.test(arg) && name.length > 1 ? `-${arg}` : arg)
    else if (option.required) {
      taken.push(names.has(name) ? `--${arg.replace(/^-+/, '')}` : arg)
      // The next argument is the value of the flag, even when it begins with a dash.
      if (value === undefined && at + 1 < args.length) taken.push(args[++at]!)
    } else if (!names.has(name)) taken.push(arg)
    else if (value === undefined || ON.test(value)) taken.push(`--${name}`)
    else if (!OFF.test(value)) taken.push(arg)
  }
  return taken
}

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
  const refuse = (line: Command, message: string): never => {
    called = nameOf(line)
    throw new UsageError(message)
  }
  const run = async (description: CommandDescription, line: Command): Promise<void> => {
    called = nameOf(line)
    code = await runCommand(description, line, process)
  }
  const program = toProgram(commands, process, { run, refuse })
  try {
    const named = args[0] === 'version' ? ['--version'] : complete(args, program, refuse)
    await program.parseAsync(named, { from: 'user' })
    return code
  } catch (error) {
    // Help or the version has been written, which is no error.
    if (error instanceof CommanderError && error.exitCode === 0) return EXIT_OK
    return report(error, called, args, process)
  }
}

const castellan = { commands, runsFirst: true, options: commands[0]!.options }

/**
 * Rewrites a command line into the form that commander understands. The command is named: `--port 1` is `serve --port
 * 1`, and `help wal ls` is `wal ls --help`. Refuses an unknown command, because commander alone would answer `sreve
 * --help` with the list of commands.
 *
 * @param parent the command or program to which the arguments belong
 */
function complete(
  args: readonly string[],
  parent: Command,
  refuse: CliOutcomes['refuse'],
  { commands, runsFirst, options, goFlags }: Partial<CommandDescription> = castellan
): readonly string[] {
  if (commands === undefined) return goFlags === undefined ? args : fromGoFlags(args, options!, goFlags)
  const [first = '', ...rest] = args
  if (first === 'help' && rest.length > 0) return complete([...rest, '--help'], parent, refuse, { commands })
  if (['help', '--help', '-h', '--version'].includes(first)) return args
  if (first === '' || first.startsWith('-')) return runsFirst ? [commands[0]!.name, ...args] : args
  const child = parent.commands.find(command => command.name() === first)
  // `groups billing` is `groups list billing`.
  if (child === undefined && runsFirst && commands[0]!.arguments !== undefined) return [commands[0]!.name, ...args]
  if (child === undefined) refuse(parent, unknownCommand(first, parent))
  return [first, ...complete(rest, child, refuse, commands.find(({ name }) => name === first)!)]
}

async function runCommand(
  { run, survivesCrash }: CommandDescription,
  line: Command,
  process: Process
): Promise<number> {
  // A gateway lets it grow when it listens.
  if (!survivesCrash) letYoungGenerationGrow()
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
  const message = messageOf(error)
  // Only a ConfigError lists several problems, one per line. In other messages a line break is part of a name.
  const lines = error instanceof ConfigError ? message.split('\n') : [message || 'failed']
  for (const line of lines) stderr.write(`${called}: ${printable(line)}\n`)
  if (error instanceof UsageError) stderr.write(`${called} --help shows the usage\n`)
  if (!known && !debug) stderr.write('this is a bug; --debug shows where it happened\n')
  if (debug && error instanceof Error) stderr.write(`${printableLines(String(error.stack))}\n`)
  return error instanceof UsageError || error instanceof ConfigError ? EXIT_USAGE : EXIT_FAILURE
}
