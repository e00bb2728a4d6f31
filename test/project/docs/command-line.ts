import { pathToFileURL } from 'node:url'
import type { Command, Option } from 'commander'
import { commands, toProgram } from '../../../src/cli/cli.js'
import type { CommandDescription } from '../../../src/cli/command.js'
import { nameOf } from '../../../src/cli/usage-message.js'

const HEAD = `# The command line

For those who type commands or write scripts: every command with its flags; \`castellan COMMAND --help\` shows the same. Without a command, as in
\`castellan --port 9000\`, it is \`castellan serve\`. [operations.md](operations.md) has the exit codes. A flag that stands for a setting of
[configuration.md](configuration.md) wins over the configuration file and the environment.

All commands also have \`--help\` (\`-h\`) and \`--version\`.
`

/** A flag that so many commands have with one meaning is described once for all of them. */
const MANY_COMMANDS = 3

/**
 * docs/command-line.md, made of the descriptions of the commands. After a change of a command write it with
 * `npm run docs`.
 */
export function commandLinePage(): string {
  const program = toProgram(commands, process, { run: async () => undefined, refuse: () => process.exit(1) })
  const shown = commands.filter(({ isHidden }) => !isHidden)
  const shared = sharedFlags(shown.flatMap(withChildren))
  const sections = shown.flatMap(command => describe(command, program, shared))
  const several = `## Flags of several commands\n\nEach command names those that it has.\n\n${table([...shared.values()])}`
  return `${HEAD}\n${[...sections, several].join('\n\n')}\n`
}

const withChildren = (command: CommandDescription): CommandDescription[] => [
  command,
  ...(command.commands ?? []).flatMap(withChildren)
]

const flagsOf = ({ options, commands: children = [] }: CommandDescription): readonly Option[] =>
  children.length > 0 ? [] : options.filter(({ hidden }) => !hidden)

/** By their rows. A name with two meanings is described once with that of most commands. */
function sharedFlags(all: readonly CommandDescription[]): Map<string, Option> {
  const flags = all.flatMap(flagsOf)
  const countOf = (option: Option): number => flags.filter(one => row(one) === row(option)).length
  const byName = new Map<string, Option>()
  for (const option of flags) {
    const known = byName.get(option.name())
    if (countOf(option) >= (known === undefined ? MANY_COMMANDS : countOf(known))) byName.set(option.name(), option)
  }
  return new Map([...byName.values()].map(option => [row(option), option]))
}

function describe(description: CommandDescription, parent: Command, shared: ReadonlyMap<string, Option>): string[] {
  const line = parent.commands.find(command => command.name() === description.name)!
  const { summary, notes, examples, commands: children = [] } = description
  const usage = line.createHelp().commandUsage(line)
  const flags = flagsOf(description)
  const own = flags.filter(option => !shared.has(row(option)))
  const others = flags.filter(option => shared.has(row(option))).map(({ long }) => `\`${long}\``)
  const parts = [
    `## ${nameOf(line)}`,
    `\`${usage}\` ${summary}.`,
    ...(notes === undefined ? [] : [notes]),
    ...(own.length === 0 ? [] : [table(own)]),
    ...(others.length === 0 ? [] : [`[Flags of several commands](#flags-of-several-commands): ${others.join(', ')}`]),
    `\`\`\`sh\n${examples.join('\n')}\n\`\`\``
  ]
  return [parts.join('\n\n'), ...children.flatMap(child => describe(child, line, shared))]
}

const table = (options: readonly Option[]): string =>
  ['| flag | meaning |', '|---|---|', ...options.map(row)].join('\n')

const row = ({ flags, description }: Option): string => `| \`${flags}\` | ${description} |`

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { writeFileSync } = await import('node:fs')
  writeFileSync('docs/command-line.md', commandLinePage())
}
