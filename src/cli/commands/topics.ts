import { Option } from 'commander'
import type { CommandDescription } from '../command.js'
import { clientOptions } from '../options.js'

/** `castellan topics`: lists topics. */
export const topicsCommand: CommandDescription = {
  name: 'topics',
  summary: 'lists the topics of a cluster',
  options: [
    new Option('--format <FORMAT>', 'table (default), or json with one line per topic').choices(['table', 'json']),
    new Option('--internal', "Kafka's own topics too"),
    ...clientOptions
  ],
  examples: [
    'castellan topics',
    'castellan topics --brokers kafka-1:9092',
    'castellan topics --format json --internal'
  ],
  run: async (line, process) => (await import('../topics.js')).listTopics(line, process)
}
