import type { Command } from 'commander'
import { aborted, type CommandDescription, EXIT_FAILURE, EXIT_OK, type Process } from '../command.js'
import { configOptions, settingOptions, settingsOf } from '../options.js'
import { usesColors } from '../standard-output.js'

const settings = settingOptions({
  '--host <HOST>': ['embedded.host', 'address to listen on (default 127.0.0.1)'],
  '--advertised-host <HOST>': [
    'embedded.advertisedHost',
    'host that clients are told to connect to (default: the address at which they connected)'
  ],
  '-p, --port <PORT>': ['embedded.port', 'port of the first node (default 9092; 0: any free ones)'],
  '--dir <DIR>': ['embedded.directory', 'directory for its records (default: records stay in memory)'],
  '--nodes <N>': ['embedded.nodes', 'number of brokers in the cluster (default 1)'],
  '--partitions <N>': [
    'embedded.defaultPartitions',
    'partitions of a topic that is created by a write to it (default 4)'
  ],
  '--allow-anonymous': ['http.allowAnonymous', 'allows addresses other machines can reach']
})

/** `castellan broker`: the embedded broker alone, for tests of other programs. */
export const brokerCommand: CommandDescription = {
  name: 'broker',
  summary: 'runs the embedded Kafka broker alone, for tests and trials',
  options: [...settings, ...configOptions],
  notes:
    'Any Kafka client can use it. It prints its address on stdout once it listens, and ends with SIGINT or SIGTERM.',
  examples: ['castellan broker', 'castellan broker --port 0', 'castellan broker --nodes 3 --dir ./data'],
  run: runBroker
}

async function runBroker(line: Command, { environment, stdout, stderr, stopped }: Process): Promise<number> {
  const { config: file, debug } = line.opts<{ config?: string; debug?: boolean }>()
  const [{ startEmbeddedBroker }, { createLogger }, { loadConfig }] = await Promise.all([
    import('../../server/app/embedded.js'),
    import('../../server/app/logger.js'),
    import('../../server/config/config.js')
  ])
  const config = loadConfig({ role: 'broker', file, environment, flags: settingsOf(line) })
  const log = createLogger({
    level: debug ? 'debug' : config.log.level,
    format: stderr.isTTY ? 'text' : 'json',
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
  await Promise.race([aborted(stopped), cluster.closed])
  await cluster.close()
  return stopped.aborted ? EXIT_OK : EXIT_FAILURE
}
