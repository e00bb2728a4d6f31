import { createLogger } from '../app/logger.js'
import { startApp } from '../app.js'
import { type Config, loadConfig } from '../config/config.js'
import { toYaml } from '../config/print.js'
import { aborted, type Command, EXIT_FAILURE, EXIT_OK, type Process } from './command.js'
import { configFlags } from './config-flags.js'
import type { FlagValues } from './flags.js'
import { usesColors } from './standard-output.js'
import { claimSocketPath } from './unix-socket.js'
import { version } from './version.js'

/** Load balancers ask `/ready` every few seconds; nobody does so of a process on a terminal. */
const DRAIN_MS = 5_000

/** `castellan serve`: the gateway. */
export const serveCommand: Command = {
  name: 'serve',
  summary: 'runs the HTTP gateway',
  positionals: [],
  flags: [
    {
      name: 'host',
      placeholder: 'HOST',
      help: 'address of the shared port (default 127.0.0.1)',
      setting: ['http', 'host']
    },
    {
      name: 'port',
      short: 'p',
      placeholder: 'PORT',
      help: 'the shared port (default 8080; 0: any free one)',
      setting: ['http', 'port']
    },
    {
      name: 'unix-socket',
      placeholder: 'PATH',
      help: 'serves the same on a unix socket',
      setting: ['http', 'unixSocket']
    },
    {
      name: 'management-host',
      placeholder: 'HOST',
      help: 'address of health and metrics (default 127.0.0.1)',
      setting: ['management', 'host']
    },
    {
      name: 'management-port',
      placeholder: 'PORT',
      help: 'port of health and metrics (default 8081; 0: any free one; off: none)',
      setting: ['management', 'port']
    },
    {
      name: 'brokers',
      short: 'b',
      placeholder: 'HOST:PORT,…',
      help: 'the Kafka cluster; none: the embedded broker',
      setting: ['clusters', 'default', 'brokers']
    },
    { name: 'embedded', help: 'the embedded broker, even with NODE_ENV=production', setting: ['embedded', 'enabled'] },
    {
      name: 'embedded-port',
      placeholder: 'PORT',
      help: 'where the embedded broker listens (default 9092; 0: any free one)',
      setting: ['embedded', 'port']
    },
    {
      name: 'embedded-dir',
      placeholder: 'DIR',
      help: 'where it keeps its records (default: in memory)',
      setting: ['embedded', 'directory']
    },
    {
      name: 'embedded-nodes',
      placeholder: 'N',
      help: 'how many brokers it pretends to be (default 1)',
      setting: ['embedded', 'nodes']
    },
    {
      name: 'allow-anonymous',
      help: 'allows addresses other machines can reach, without authentication',
      setting: ['http', 'allowAnonymous']
    },
    {
      name: 'log-level',
      placeholder: 'LEVEL',
      help: 'debug, info, warn, error or silent (default info)',
      setting: ['log', 'level']
    },
    { name: 'print-config', help: 'prints the settings in effect as YAML, without secrets, and exits' },
    ...configFlags
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

async function serve(values: FlagValues, process: Process): Promise<number> {
  const flags = values.settings()
  if (values.has('debug')) flags.unshift({ flag: '--debug', path: ['log', 'level'], value: 'debug' })
  const config = loadConfig({ file: values.text('config'), environment: process.environment, flags })
  if (values.has('print-config')) {
    process.stdout.write(toYaml(config))
    return EXIT_OK
  }
  return runGateway(config, process)
}

async function runGateway(config: Config, process: Process): Promise<number> {
  const { stopped, crashed, onHangUp, stdout } = process
  const log = createLogger({ ...config.log, ...prettiness(config, process), descriptor: 1 })
  if (config.http.unixSocket !== undefined) await claimSocketPath(config.http.unixSocket)
  const app = await startApp(config, { log, version: version(), drainMs: stdout.isTTY ? 0 : DRAIN_MS })
  onHangUp(() => {
    log.info({}, 'SIGHUP: reading certificates and keys again')
    void app.reload().catch((error: unknown) => log.error({ err: error }, 'reading again has failed'))
  })
  const crash = Promise.race([app.crashed, crashed]).then(error => {
    // What is in memory can still be written, most likely; a new process takes over after that.
    log.error({ err: error }, 'something has broken that only a new process can mend')
    return EXIT_FAILURE
  })
  const code = await Promise.race([crash, aborted(stopped).then(() => EXIT_OK)])
  const { lostRecords } = await app.stop({ isBroken: code !== EXIT_OK })
  return lostRecords > 0 ? EXIT_FAILURE : code
}

function prettiness({ log }: Config, { stdout, environment }: Process): { pretty: boolean; colors: boolean } {
  const pretty = log.pretty === 'always' || (log.pretty === 'auto' && stdout.isTTY)
  return { pretty, colors: usesColors(stdout, environment) }
}
