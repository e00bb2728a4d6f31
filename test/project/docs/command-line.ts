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

/**
 * docs/command-line.md, made of the descriptions of the commands. After a change of a command write it with
 * `npm run docs`.
 */
export function commandLinePage(): string {
  const program = toProgram(commands, process, { run: async () => undefined, refuse: () => process.exit(1) })
  const sections = commands.filter(({ isHidden }) => !isHidden).flatMap(command => describe(command, program))
  return `${HEAD}\n${sections.join('\n\n')}\n`
}

function describe(description: CommandDescription, parent: Command): string[] {
  const line = parent.commands.find(command => command.name() === description.name)!
  const { summary, notes, examples, options, commands: children = [] } = description
  const usage = line.createHelp().commandUsage(line)
  const parts = [
    `## ${nameOf(line)}`,
    `\`${usage}\` ${summary}.`,
    ...(notes === undefined ? [] : [notes]),
    ...(options.length === 0 || children.length > 0 ? [] : [table(options.filter(({ hidden }) => !hidden))]),
    `\`\`\`sh\n${examples.join('\n')}\n\`\`\``
  ]
  return [parts.join('\n\n'), ...children.flatMap(child => describe(child, line))]
}

const table = (options: readonly Option[]): string =>
  ['| flag | meaning |', '|---|---|', ...options.map(row)].join('\n')

const row = ({ flags, description }: Option): string => `| \`${flags}\` | ${description} |`

if (process.argv[1] !== undefined && import.meta.url === pathToFileURL(process.argv[1]).href) {
  const { writeFileSync } = await import('node:fs')
  writeFileSync('docs/command-line.md', commandLinePage())
}
