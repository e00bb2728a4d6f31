import type { Command } from './command.js'
import { describeFlags, type Flag } from './flags.js'

/** Flags every command has. */
export const commonFlags: readonly Flag[] = [
  { name: 'help', short: 'h', help: 'this text' },
  { name: 'version', help: 'the version' }
]

/** `castellan --help` */
export function overview(commands: readonly Command[], defaultCommand: Command): string {
  const width = Math.max(...commands.map(({ name }) => name.length))
  return `castellan - an HTTP gateway and an actor router for Apache Kafka

usage: castellan [COMMAND] [FLAGS]

commands:
${commands.map(({ name, summary }) => `  ${name.padEnd(width)}  ${summary}`).join('\n')}

Without a command it is ${defaultCommand.name}. castellan COMMAND --help tells the flags of a command.

examples:
${commands.map(({ examples }) => `  ${examples[0]}`).join('\n')}

exit codes: 0 all went well, 1 it did not, 2 the command line or the configuration is wrong
`
}

/** `castellan read --help` */
export function describeCommand({ name, summary, positionals, flags, notes, examples }: Command): string {
  const usage = ['castellan', name, ...positionals, '[FLAGS]'].join(' ')
  return `usage: ${usage}

${summary}
${notes === '' ? '' : `\n${notes}\n`}
flags:
${describeFlags([...flags, ...commonFlags])}

examples:
${examples.map(example => `  ${example}`).join('\n')}
`
}
