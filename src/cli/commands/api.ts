import { type Command, Option } from 'commander'
import type { ApiCommand } from '../../apis/api-command.js'
import { apiCommands } from '../../apis/api-commands.js'
import type { TranslatedConfig } from '../../server/config/config.js'
import { type CommandDescription, EXIT_OK, type Process } from '../command.js'
import { castellanConfigOption, isSetting, notEmpty, SettingOption } from '../options.js'
import { type ServeFlags, serveCommand, settingFlags } from './serve.js'

const NOTES =
  'The gateway listens on 127.0.0.1 only, unless clients can authenticate or --allow-anonymous is given.\n' +
  "Castellan's own settings win over these: its file (--castellan-config), CASTELLAN_… variables, flags."

/** Flags of `castellan serve` that these commands have not. */
const OF_SERVE: ReadonlySet<string | undefined> = new Set(['--config', '--webhook'])

/** Describes the command of one API: `castellan serve` with the flags and variables of the imitated system. */
export function describeApiCommand(command: ApiCommand): CommandDescription {
  const { name, summary, flags, takesGoFlags = false, notes, examples } = command
  const own = flags.map(({ flags: text, description }) => new Option(text, description).argParser(notEmpty))
  const isTaken = ({ long, short }: Option): boolean =>
    own.some(option => option.long === long || (short !== undefined && option.short === short))
  const others = serveCommand.options
    .filter(option => !OF_SERVE.has(option.long) && !isTaken(option))
    .map(withOtherDefault)
  return {
    name,
    summary,
    options: [...own, castellanConfigOption, ...others],
    notes: notes === undefined ? NOTES : `${notes}\n\n${NOTES}`,
    examples,
    survivesCrash: true,
    ...(takesGoFlags && { goFlags: new Set(own.map(option => option.name())) }),
    run: (line, process) => serveAs(command, line, process)
  }
}

/**
 * Flags whose default differs from `castellan serve`. Here clients use the port of the API, and the brokers come from
 * the configuration of the imitated system.
 */
const OTHER_DEFAULTS = new Map([
  ['--port', 'the shared port, if the API has a prefix (default: any free one)'],
  ['--brokers', 'the Kafka cluster, instead of that of the imitated system']
])

function withOtherDefault(option: Option): Option {
  const description = OTHER_DEFAULTS.get(option.long ?? '')
  if (description === undefined || !isSetting(option)) return option
  return new SettingOption(option.flags, description, option.path.join('.'))
}

export const commandsOfApis: readonly CommandDescription[] = apiCommands.map(describeApiCommand)

/**
 * Runs the gateway until it is stopped, or prints its configuration. The configuration combines the settings of the
 * imitated system with Castellan's own.
 */
async function serveAs(command: ApiCommand, line: Command, process: Process): Promise<number> {
  const [{ translateConfig }, { readText }] = await Promise.all([
    import('../../server/config/config.js'),
    import('../../server/config/read-sources.js')
  ])
  const { environment, stdout } = process
  const { castellanConfig: file, printConfig } = line.opts<ServeFlags>()
  const sources = { file, environment, flags: settingFlags(line) }
  const read = async (): Promise<TranslatedConfig> => {
    const flags = ownFlags(command, line)
    const translation = await command.translate({ flags, environment, readFile: name => readText(name) })
    return translateConfig(sources, translation, command.name)
  }
  const { config, originOf, notes } = await read()
  if (!printConfig) {
    const { runGateway } = await import('../run-gateway.js')
    return runGateway({ config, read: async () => (await read()).config }, process, notes)
  }
  const { toYaml } = await import('../../server/config/print.js')
  stdout.write(toYaml(config, originOf))
  return EXIT_OK
}

function ownFlags({ flags }: ApiCommand, line: Command): ReadonlyMap<string, string | true> {
  const names = new Set(flags.map(({ flags: text }) => new Option(text).name()))
  const given = line.options.filter(
    option => names.has(option.name()) && line.getOptionValueSource(option.attributeName()) === 'cli'
  )
  return new Map(given.map(option => [option.name(), line.getOptionValue(option.attributeName()) as string | true]))
}
