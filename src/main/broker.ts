import { startEmbeddedBroker } from '../app/embedded.js'
import { createLogger } from '../app/logger.js'
import { loadConfig } from '../config/config.js'
import { aborted, type Command, EXIT_OK, type Process } from './command.js'
import { configFlags } from './config-flags.js'
import type { FlagValues } from './flags.js'
import { usesColors } from './standard-output.js'

/** `castellan broker`: the embedded broker alone, for other people's tests. */
export const brokerCommand: Command = {
  name: 'broker',
  summary: 'runs the embedded Kafka broker alone, for tests and trials',
  positionals: [],
  flags: [
    {
      name: 'host',
      placeholder: 'HOST',
      help: 'address to listen on (default 127.0.0.1)',
      setting: ['embedded', 'host']
    },
    {
      name: 'advertised-host',
      placeholder: 'HOST',
      help: 'host that clients are told to connect to (default: the address at which they came)',
      setting: ['embedded', 'advertisedHost']
    },
    {
      name: 'port',
      short: 'p',
      placeholder: 'PORT',
      help: 'port of the first node (default 9092; 0: any free ones)',
      setting: ['embedded', 'port']
    },
    {
      name: 'dir',
      placeholder: 'DIR',
      help: 'where it keeps its records (default: in memory)',
      setting: ['embedded', 'directory']
    },
    {
      name: 'nodes',
      placeholder: 'N',
      help: 'how many brokers it pretends to be (default 1)',
      setting: ['embedded', 'nodes']
    },
    {
      name: 'partitions',
      placeholder: 'N',
      help: 'partitions of a topic somebody writes to (default 4)',
      setting: ['embedded', 'defaultPartitions']
    },
    { name: 'allow-anonymous', help: 'allows addresses other machines can reach', setting: ['http', 'allowAnonymous'] },
    ...configFlags
  ],
  notes: 'Any Kafka client can use it. Prints its address on stdout once it listens; ends with SIGINT or SIGTERM.',
  examples: ['castellan broker', 'castellan broker --port 0', 'castellan broker --nodes 3 --dir ./data'],
  run: runBroker
}

async function runBroker(values: FlagValues, { environment, stdout, stderr, stopped }: Process): Promise<number> {
  const config = loadConfig({ role: 'broker', file: values.text('config'), environment, flags: values.settings() })
  const log = createLogger({
    level: values.has('debug') ? 'debug' : config.log.level,
    pretty: stderr.isTTY,
    colors: usesColors(stderr, environment),
    descriptor: 2
  })
  const cluster = await startEmbeddedBroker(
    config.embedded,
    '--port (embedded.port)',
    '--host (embedded.host)',
    message => log.warn({}, message)
  )
  stdout.write(`${cluster.bootstrap}\n`)
  log.info(
    { brokers: cluster.bootstrap, storage: config.embedded.directory ?? 'memory' },
    `embedded broker on ${cluster.bootstrap}, ${config.embedded.directory === undefined ? 'records in memory, gone at exit' : `records in ${config.embedded.directory}`}; for trying things, not for production`
  )
  await aborted(stopped)
  await cluster.close()
  return EXIT_OK
}
