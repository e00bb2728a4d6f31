import { Argument, Option } from 'commander'
import type { CommandDescription } from '../command.js'
import { clientOptions, notEmpty, wholeNumber } from '../options.js'
import { recordFormats } from '../record-format.js'

/** `castellan read TOPIC`: writes records to stdout. */
export const readCommand: CommandDescription = {
  name: 'read',
  summary: 'writes the records of a topic to stdout',
  arguments: [new Argument('<TOPIC>').argParser(notEmpty)],
  options: [
    new Option('--partition <N,…>', 'only these partitions (default: all)').argParser(notEmpty),
    new Option(
      '--from <WHERE>',
      'earliest (default), latest, an offset, -N for the last N, a time such as 2026-11-20T10:00:00Z, or @MILLISECONDS'
    ).argParser(notEmpty),
    new Option('-f, --follow', 'waits for further records at the end instead of stopping there'),
    new Option('-n, --count <N>', 'stops after so many records').argParser(wholeNumber(1)),
    new Option('--format <FORMAT>', 'value (default), key-value (with a tab between), or json').choices(recordFormats),
    ...clientOptions
  ],
  notes: 'Records of one partition come in order. Everything but records goes to stderr.',
  examples: [
    'castellan read orders',
    'castellan read orders --from latest --follow',
    'castellan read orders --from -10 --format json',
    'castellan read orders --partition 2 --from 1200 --count 5 --brokers kafka-1:9092'
  ],
  run: async (line, process) => (await import('../read.js')).read(line, process)
}
