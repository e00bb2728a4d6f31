import { type Argument, Command } from 'commander'
import type { CommandDescription, Process } from './command.js'
import { usageMessage } from './usage-message.js'
import { version } from './version.js'

export interface Outcomes {
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
  outcomes: Outcomes
): Command {
  const program = new Command('castellan')
    .description('castellan - an HTTP gateway and an actor router for Apache Kafka')
    .usage('[COMMAND] [FLAGS]')
    .configureOutput({
      writeOut: text => stdout.write(text),
      // `refuse` is called instead.
      writeErr: () => undefined,
      getOutHelpWidth: () => stdout.columns
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

function addCommand(parent: Command, description: CommandDescription, outcomes: Outcomes): void {
  const { name, summary, examples, isHidden = false } = description
  const command = new Command(name).copyInheritedSettings(parent).summary(summary).description(summary)
  command.optionsGroup('Flags:')
  for (const argument of description.arguments ?? []) command.addArgument(argument)
  for (const option of description.options) command.addOption(option)
  command.usage([...command.registeredArguments.map(shownName), '[FLAGS]'].join(' '))
  command.addHelpText('after', commandNotes(description))
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

function addCommonFlags(command: Command, example: string | undefined, outcomes: Outcomes): Command {
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

const commandNotes = ({ notes, examples }: CommandDescription): string =>
  `${notes === undefined ? '' : `\n${notes}\n`}\nExamples:\n${indented(examples)}`

const indented = (lines: readonly string[]): string => lines.map(line => `  ${line}`).join('\n')
