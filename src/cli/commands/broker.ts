import type { CommandDescription } from '../command.js'
import { configOptions, SettingOption } from '../options.js'

/** `castellan broker`: the embedded broker alone, for tests of other programs. */
export const brokerCommand: CommandDescription = {
  name: 'broker',
  summary: 'runs the embedded Kafka broker alone, for tests and trials',
  options: [
    new SettingOption('--host <HOST>', 'address to listen on (default 127.0.0.1)', ['embedded', 'host']),
    new SettingOption(
      '--advertised-host <HOST>',
      'host that clients are told to connect to (default: the address at which they connected)',
      ['embedded', 'advertisedHost']
    ),
    new SettingOption('-p, --port <PORT>', 'port of the first node (default 9092; 0: any free ones)', [
      'embedded',
      'port'
    ]),
    new SettingOption('--dir <DIR>', 'directory of its records (default: they stay in memory)', [
      'embedded',
      'directory'
    ]),
    new SettingOption('--nodes <N>', 'number of brokers in the cluster (default 1)', ['embedded', 'nodes']),
    new SettingOption('--partitions <N>', 'partitions of a topic that is created by a write to it (default 4)', [
      'embedded',
      'defaultPartitions'
    ]),
    new SettingOption('--allow-anonymous', 'allows addresses other machines can reach', ['http', 'allowAnonymous']),
    ...configOptions
  ],
  notes:
    'Any Kafka client can use it. It prints its address on stdout once it listens, and ends with SIGINT or SIGTERM.',
  examples: ['castellan broker', 'castellan broker --port 0', 'castellan broker --nodes 3 --dir ./data'],
  run: async (line, process) => (await import('../broker.js')).runBroker(line, process)
}
