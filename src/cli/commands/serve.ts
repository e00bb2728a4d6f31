import { type Command, Option } from 'commander'
import type { FlagSetting } from '../../server/config/config.js'
import { type CommandDescription, EXIT_OK, type Process } from '../command.js'
import { configOptions, SettingOption, settingsOf } from '../options.js'

export const serveCommand: CommandDescription = {
  name: 'serve',
  summary: 'runs the HTTP gateway',
  options: [
    new SettingOption('--host <HOST>', 'address of the shared port (default 127.0.0.1)', ['http', 'host']),
    new SettingOption('-p, --port <PORT>', 'the shared port (default 8080; 0: any free one)', ['http', 'port']),
    new SettingOption('--unix-socket <PATH>', 'unix socket that serves the same as the shared port', [
      'http',
      'unixSocket'
    ]),
    new SettingOption('--management-host <HOST>', 'address of health and metrics (default 127.0.0.1)', [
      'management',
      'host'
    ]),
    new SettingOption(
      '--management-port <PORT>',
      'port of health and metrics (default 8081; 0: any free one; off: none)',
      ['management', 'port']
    ),
    new SettingOption('-b, --brokers <HOST:PORT,…>', 'the Kafka cluster; none: the embedded broker', [
      'clusters',
      'default',
      'brokers'
    ]),
    new SettingOption('--embedded', 'the embedded broker, even with NODE_ENV=production', ['embedded', 'enabled']),
    new SettingOption('--embedded-port <PORT>', 'port of the embedded broker (default 9092; 0: any free one)', [
      'embedded',
      'port'
    ]),
    new SettingOption('--embedded-dir <DIR>', 'directory of the embedded broker (default: records stay in memory)', [
      'embedded',
      'directory'
    ]),
    new SettingOption('--embedded-nodes <N>', 'number of brokers in the embedded cluster (default 1)', [
      'embedded',
      'nodes'
    ]),
    new SettingOption('--workers <N>', 'processes that serve the same ports (default 1; auto: one for each core)', [
      'workers',
      'count'
    ]),
    new SettingOption('--allow-anonymous', 'allows addresses other machines can reach, without authentication', [
      'http',
      'allowAnonymous'
    ]),
    new SettingOption('--log-level <LEVEL>', 'debug, info, warn, error or silent (default info)', ['log', 'level']),
    new Option(
      '--print-config',
      'prints the settings in effect as YAML, each with its origin and without secrets, and exits'
    ),
    ...configOptions
  ],
  notes: 'Settings come from the YAML file, then CASTELLAN_… variables, then flags; later ones win.',
  examples: [
    'castellan serve',
    'castellan serve --brokers kafka-1:9092,kafka-2:9092',
    'castellan serve --config castellan.yaml --port 80 --host 0.0.0.0 --allow-anonymous',
    'castellan serve --embedded-dir ./data --management-port off',
    'CASTELLAN_HTTP_PORT=9000 castellan serve --print-config'
  ],
  survivesCrash: true,
  run: serve
}

export interface ServeFlags {
  readonly config?: string
  readonly debug?: boolean
  readonly printConfig?: boolean
  /** Castellan's file in commands whose `--config` belongs to the imitated system. */
  readonly castellanConfig?: string
}

/** Runs the gateway until it is stopped, or prints its configuration. */
async function serve(line: Command, process: Process): Promise<number> {
  const { explainConfig } = await import('../../server/config/config.js')
  const { config: file, printConfig } = line.opts<ServeFlags>()
  const sources = { file, environment: process.environment, flags: settingFlags(line) }
  const { config, originOf } = explainConfig(sources)
  if (printConfig) {
    const { toYaml } = await import('../../server/config/print.js')
    process.stdout.write(toYaml(config, originOf))
    return EXIT_OK
  }
  const { runGateway } = await import('../run-gateway.js')
  return runGateway({ config, read: () => explainConfig(sources).config }, process)
}

/** The settings that the flags give, including `--debug`. */
export function settingFlags(line: Command): FlagSetting[] {
  const flags = settingsOf(line)
  if (line.opts<ServeFlags>().debug) flags.unshift({ flag: '--debug', path: ['log', 'level'], value: 'debug' })
  return flags
}
