import { Argument, Option } from 'commander'
import type { CommandDescription } from '../command.js'
import { configOptions, SettingOption, wholeNumber } from '../options.js'

const options = [
  new SettingOption('--directory <DIR>', 'directory of the log (default: that of the configuration)', [
    'wal',
    'directory'
  ]),
  ...configOptions
]
const format = new Option('--format <FORMAT>', 'table (default), or json with one line each').choices(['table', 'json'])
const selection = {
  arguments: [
    new Argument('[SEQUENCE...]').argParser((text, former: readonly number[] = []) => [...former, sequence(text)])
  ],
  options: [new Option('--all', 'all of them'), ...options]
}
const sequence = wholeNumber(1)

const STOPPED = 'The gateway that uses the log must be stopped: the command refuses a directory that is in use.'
const BESIDE = 'Changes nothing, and may run beside the gateway that uses the log.'

/** `castellan wal`: what an operator does with the durable log. */
export const walCommand: CommandDescription = {
  name: 'wal',
  summary: 'looks at the durable log, and puts dead letters back into it',
  options: [],
  examples: ['castellan wal ls', 'castellan wal dead-letters'],
  commands: [
    {
      name: 'ls',
      summary: 'lists the files of the log and what waits in them',
      options: [new Option('--topics', 'what waits for each topic instead'), format, ...options],
      notes: BESIDE,
      examples: ['castellan wal ls', 'castellan wal ls --topics --directory /var/lib/castellan/wal'],
      run: async (line, process) => (await import('../wal.js')).listLog(line, process)
    },
    {
      name: 'verify',
      summary: 'reads every byte of the log, and tells what is damaged',
      options: [format, ...options],
      notes: `${BESIDE} The exit code is 1 when something is damaged.`,
      examples: ['castellan wal verify'],
      run: async (line, process) => (await import('../wal.js')).verify(line, process)
    },
    {
      name: 'dead-letters',
      summary: 'lists records that Kafka has refused for good',
      options: [format, ...options],
      notes: `${BESIDE} --format json has keys and values, too.`,
      examples: ['castellan wal dead-letters', 'castellan wal dead-letters --format json'],
      run: async (line, process) => (await import('../wal.js')).listDead(line, process)
    },
    {
      ...selection,
      name: 'replay',
      summary: 'puts dead letters back into the log, to be delivered again',
      notes: `${STOPPED}\nThey are delivered at its next start, behind what waits already.`,
      examples: ['castellan wal replay 12 13', 'castellan wal replay --all'],
      run: async (line, process) => (await import('../wal.js')).replay(line, process)
    },
    {
      ...selection,
      name: 'discard',
      summary: 'forgets dead letters for good',
      notes: STOPPED,
      examples: ['castellan wal discard 12 13', 'castellan wal discard --all'],
      run: async (line, process) => (await import('../wal.js')).discard(line, process)
    }
  ]
}
