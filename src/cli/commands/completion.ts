import type { RootCommand, Command as Target } from '@bomb.sh/tab'
import { Argument, type Command, type Option } from 'commander'
import { type CommandDescription, EXIT_OK } from '../command.js'

const SHELLS = ['bash', 'zsh', 'fish'] as const

/** Matches a flag whose value is a path. The shell itself completes paths. */
const PATH_OPTION = /<(FILE|DIR|PATH)>$/

/** `castellan completion bash` writes a script for the shell. The script calls `castellan complete` at every tab. */
export const completionCommand: CommandDescription = {
  name: 'completion',
  summary: 'writes a script that completes commands and flags in a shell',
  arguments: [new Argument('<SHELL>').choices(SHELLS)],
  options: [],
  notes: 'bash, zsh and fish. With zsh, compinit must have run before.',
  examples: [
    'castellan completion bash > /etc/bash_completion.d/castellan',
    'source <(castellan completion zsh)',
    'castellan completion fish > ~/.config/fish/completions/castellan.fish'
  ],
  run: async line => {
    const { script } = await import('@bomb.sh/tab')
    script(line.args[0] as (typeof SHELLS)[number], 'castellan', 'castellan')
    return EXIT_OK
  }
}

/** `castellan complete -- read --fo` is called by the script and writes the completions. */
export const completeCommand: CommandDescription = {
  name: 'complete',
  summary: 'completes a command line',
  arguments: [new Argument('[WORDS...]')],
  options: [],
  examples: ['castellan complete -- read --fo'],
  isHidden: true,
  run: async ({ args, parent }, { stdout }) => {
    const { RootCommand, ShellCompDirective } = await import('@bomb.sh/tab')
    const program = parent!
    // The shell completes paths itself.
    if (takesPath(args, program)) stdout.write(`:${ShellCompDirective.ShellCompDirectiveDefault}\n`)
    else declare(program, new RootCommand()).parse([...args])
    return EXIT_OK
  }
}

function takesPath(words: readonly string[], program: Command): boolean {
  const former = words.at(-2) ?? ''
  const { options } = lineOf(words, program)
  return options.some(({ long, short, flags }) => [long, short].includes(former) && PATH_OPTION.test(flags))
}

/** The command that a command line names. When it names none, the default command. */
function lineOf(words: readonly string[], program: Command): Command {
  const line = words.reduce((parent, word) => parent.commands.find(child => child.name() === word) ?? parent, program)
  return line === program ? program.commands[0]! : line
}

function declare(program: Command, root: RootCommand): RootCommand {
  const help = program.createHelp()
  for (const option of help.visibleOptions(lineOf([], program))) addOption(root, option)
  const add = (parent: Command, path: string): void => {
    for (const command of help.visibleCommands(parent)) {
      const name = `${path}${command.name()}`
      const target = root.command(name, command.description())
      for (const option of help.visibleOptions(command)) addOption(target, option)
      for (const argument of command.registeredArguments) addArgument(target, argument)
      add(command, `${name} `)
    }
  }
  add(program, '')
  return root
}

function addOption(target: Target, { long, short, description, argChoices, required }: Option): void {
  const name = long!.replace(/^--/, '')
  const alias = short?.replace(/^-/, '')
  if (required) target.option(name, description, offer(argChoices), alias)
  else target.option(name, description, alias)
}

const addArgument = (target: Target, argument: Argument): void => {
  target.argument(argument.name(), offer(argument.argChoices), argument.variadic)
}

const offer =
  (choices: readonly string[] = []) =>
  (complete: (value: string, description: string) => void): void => {
    for (const choice of choices) complete(choice, '')
  }
