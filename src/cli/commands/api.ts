import { Option } from 'commander'
import type { ApiCommand } from '../../apis/command.js'
import { apiCommands } from '../../apis/commands.js'
import type { CommandDescription } from '../command.js'
import { isSetting, notEmpty, SettingOption } from '../options.js'
import { serveCommand } from './serve.js'

const NOTES = "Castellan's own settings win over these: its file (--castellan-config), CASTELLAN_… variables, flags."

/** Castellan's own file, where the imitated system has a flag `--config`. */
const castellanConfig = new Option(
  '--castellan-config <FILE>',
  'YAML file with settings; see examples/castellan.yaml'
).argParser(notEmpty)

/** A command of its own for an API: `castellan serve` with the flags and variables of the imitated system. */
export function describeApiCommand(command: ApiCommand): CommandDescription {
  const { name, summary, flags, takesGoFlags = false, notes, examples } = command
  const own = flags.map(({ flags: text, description }) => new Option(text, description).argParser(notEmpty))
  const isTaken = ({ long, short }: Option): boolean =>
    own.some(option => option.long === long || (short !== undefined && option.short === short))
  const others = serveCommand.options
    .filter(option => option.long !== '--config' && !isTaken(option))
    .map(withOtherDefault)
  return {
    name,
    summary,
    options: [...own, castellanConfig, ...others],
    notes: notes === undefined ? NOTES : `${notes}\n\n${NOTES}`,
    examples,
    survivesCrash: true,
    ...(takesGoFlags && { goFlags: new Set(own.map(option => option.name())) }),
    run: async (line, process) => (await import('../serve.js')).serveAs(command, line, process)
  }
}

/** What has another default than in `castellan serve`: clients use the port of the API, and the foreign configuration names Kafka. */
const OTHER_DEFAULTS = new Map([
  ['--port', 'the shared port, where the API has a prefix (default: any free one)'],
  ['--brokers', 'the Kafka cluster, instead of the one that the foreign configuration or its default names']
])

function withOtherDefault(option: Option): Option {
  const description = OTHER_DEFAULTS.get(option.long ?? '')
  if (description === undefined || !isSetting(option)) return option
  return new SettingOption(option.flags, description, option.path)
}

export const commandsOfApis: readonly CommandDescription[] = apiCommands.map(describeApiCommand)
