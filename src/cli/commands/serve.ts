import { type Command, Option } from 'commander'
import type { FlagSetting } from '../../server/config/config.js'
import { type CommandDescription, EXIT_OK, type Process } from '../command.js'
import { configOptions, settingOptions, settingsOf } from '../options.js'
import { webhookFlag, withWebhooks } from '../webhook-flags.js'

const settings = settingOptions({
  '--host <HOST>': ['http.host', 'address of the shared port (default 127.0.0.1)'],
  '-p, --port <PORT>': ['http.port', 'the shared port (default 8080; 0: any free one)'],
  '--unix-socket <PATH>': ['http.unixSocket', 'unix socket that serves the same as the shared port'],
  '--management-host <HOST>': ['management.host', 'address of health and metrics (default 127.0.0.1)'],
  '--management-port <PORT>': [
    'management.port',
    'port of health and metrics (default 8081; 0: any free one; off: none)'
  ],
  '-b, --brokers <HOST:PORT,…>': ['clusters.default.brokers', 'the Kafka cluster; none: the embedded broker'],
  '--embedded': ['embedded.enabled', 'the embedded broker, even with NODE_ENV=production'],
  '--embedded-port <PORT>': ['embedded.port', 'port of the embedded broker (default 9092; 0: any free one)'],
  '--embedded-dir <DIR>': ['embedded.directory', 'directory of the embedded broker (default: records stay in memory)'],
  '--embedded-nodes <N>': ['embedded.nodes', 'number of brokers in the embedded cluster (default 1)'],
  '--allow-anonymous': ['http.allowAnonymous', 'allows addresses other machines can reach, without authentication'],
  '--log-level <LEVEL>': ['log.level', 'debug, info, warn, error or silent (default info)']
})

export const serveCommand: CommandDescription = {
  name: 'serve',
  summary: 'runs the HTTP gateway',
  options: [
    ...settings,
    new Option(
      '--webhook <TOPIC=URL>',
      'sends each record of the topic to the URL; repeatable. A secret is made, and printed, where none is given'
    ).argParser(webhookFlag),
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
    'castellan serve --embedded --webhook orders=http://127.0.0.1:9000/',
    'CASTELLAN_HTTP_PORT=9000 castellan serve --print-config'
  ],
  survivesCrash: true,
  run: serve
}

export interface ServeFlags {
  readonly config?: string
  readonly debug?: boolean
  readonly printConfig?: boolean
  readonly webhook?: ReturnType<typeof webhookFlag>
  /** Castellan's file in commands whose `--config` belongs to the imitated system. */
  readonly castellanConfig?: string
}

/** Runs the gateway until it is stopped, or prints its configuration. */
async function serve(line: Command, process: Process): Promise<number> {
  const { explainConfig } = await import('../../server/config/config.js')
  const { config: file, printConfig, webhook = [] } = line.opts<ServeFlags>()
  const given = { file, environment: process.environment, flags: settingFlags(line) }
  const say = (text: string): void => void process.stderr.write(`castellan serve: ${text}\n`)
  const sources = await withWebhooks(given, webhook, printConfig === true, say)
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
