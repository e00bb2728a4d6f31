import { pathToFileURL } from 'node:url'
import type { Command, Option } from 'commander'
import { commands, toProgram } from '../../../src/cli/cli.js'
import type { CommandDescription } from '../../../src/cli/command.js'
import { nameOf } from '../../../src/cli/usage-message.js'

const HEAD = `# The command line

For those who type commands or write scripts: every command with its flags; \`castellan COMMAND --help\` shows the same. Without a command, as in
\`castellan --port 9000\`, it is \`castellan serve\`. [operations.md](operations.md) has the exit codes. A flag that stands for a setting of
[configuration.md](configuration.md) wins over the configuration file and the environment.

All commands also have \`--help\` (\`-h\`) and \`--version\`; those with *shared flags* have \`--set\` and \`--debug\`, too.
`

/** A flag, or a paragraph, that so many commands have with one meaning is described once for all of them. */
const MANY_COMMANDS = 3

/**
 * docs/command-line.md, made of the descriptions of the commands. After a change of a command write it with
 * `npm run docs`.
 */
export function commandLinePage(): string {
  const program = toProgram(commands, process, { run: async () => undefined, refuse: () => process.exit(1) })
  const shown = commands.filter(({ isHidden }) => !isHidden)
  const all = shown.flatMap(withChildren)
  const shared = sharedOf(all)
  const sections = shown.flatMap(command => describe(command, program, shared))
  const options = [...shared.flags.values()]
  const others = options.filter(option => !shared.ofGateways.has(row(option)))
  return `${HEAD}\n${[
    ...sections,
    `## Flags of a gateway\n\n${table(options.filter(option => shared.ofGateways.has(row(option))))}`,
    ...[...shared.paragraphs].map(paragraph => `The commands of imitated systems have these flags, too. ${paragraph}`),
    `## Flags of several commands\n\n${table(others)}`
  ].join('\n\n')}\n`
}

interface Shared {
  readonly flags: ReadonlyMap<string, Option>
  /** Rows that all commands with shared flags have. */
  readonly ofAll: ReadonlySet<string>
  /** Rows that only commands which run a gateway have. */
  readonly ofGateways: ReadonlySet<string>
  readonly paragraphs: ReadonlySet<string>
}

function sharedOf(all: readonly CommandDescription[]): Shared {
  const flags = sharedFlags(all)
  const users = all
    .map(command => new Set(flagsOf(command).map(row)))
    .filter(rows => [...rows].some(one => flags.has(one)))
  const isOfGateway = (rows: ReadonlySet<string>): boolean => [...rows].some(one => one.includes('--unix-socket'))
  const rows = [...flags.keys()]
  const paragraphs = all.flatMap(paragraphsOf)
  return {
    flags,
    ofAll: new Set(rows.filter(one => users.every(user => user.has(one)))),
    ofGateways: new Set(rows.filter(one => users.every(user => !user.has(one) || isOfGateway(user)))),
    paragraphs: new Set(paragraphs.filter(one => paragraphs.filter(other => other === one).length >= MANY_COMMANDS))
  }
}

const paragraphsOf = ({ notes }: CommandDescription): string[] => notes?.split('\n\n') ?? []

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

function describe(description: CommandDescription, parent: Command, shared: Shared): string[] {
  const line = parent.commands.find(command => command.name() === description.name)!
  const { summary, examples, commands: children = [] } = description
  const usage = line.createHelp().commandUsage(line)
  const flags = flagsOf(description)
  const own = flags.filter(option => !shared.flags.has(row(option)))
  const parts = [
    `## ${nameOf(line)}`,
    `\`${usage}\` ${summary}.`,
    ...paragraphsOf(description).filter(one => !shared.paragraphs.has(one)),
    ...(own.length === 0 ? [] : [table(own)]),
    ...sharedLine(flags, shared),
    `\`\`\`sh\n${examples.join('\n')}\n\`\`\``
  ]
  return [parts.join('\n\n'), ...children.flatMap(child => describe(child, line, shared))]
}

function sharedLine(flags: readonly Option[], { flags: shared, ofAll, ofGateways }: Shared): string[] {
  const used = flags.filter(option => shared.has(row(option)))
  const named = used.filter(option => !ofAll.has(row(option)) && !ofGateways.has(row(option)))
  const parts = [
    ...(used.some(option => ofGateways.has(row(option))) ? ['[those of a gateway](#flags-of-a-gateway)'] : []),
    ...named.map(({ long }) => `\`${long}\``)
  ]
  return parts.length === 0 ? [] : [`[Shared flags](#flags-of-several-commands): ${parts.join(', ')}`]
}

const table = (options: readonly Option[]): string =>
  ['| flag | meaning |', '|---|---|', ...options.map(row)].join('\n')

const row = ({ flags, description }: Option): string => `| \`${flags}\` | ${description} |`

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { writeFileSync } = await import('node:fs')
  writeFileSync('docs/command-line.md', commandLinePage())
}
