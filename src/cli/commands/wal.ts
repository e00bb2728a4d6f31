import { type Command, Option } from 'commander'
import { printable } from '../../core/printable.js'
import type { LogReport, SegmentReport } from '../../producer/log/inspect.js'
import type * as operator from '../../producer/log/operator.js'
import { type CommandDescription, CommandError, EXIT_OK, type Process } from '../command.js'
import { openProgress, type RowColumn } from '../standard-output.js'
import { deadLetterCommands } from '../wal/dead-letters.js'
import {
  areNamed,
  BESIDE,
  format,
  logOptions,
  tools,
  toPlace,
  type WalFlags,
  walSettingsOf,
  writeRows
} from '../wal/logs.js'
import { salvageCommand } from '../wal/salvage.js'

/** `castellan wal`: commands with which an operator inspects and mends the durable log. */
export const walCommand: CommandDescription = {
  name: 'wal',
  summary: 'inspects the durable log, and puts dead letters back into it',
  options: [],
  examples: ['castellan wal ls', 'castellan wal dead-letters'],
  commands: [
    {
      name: 'ls',
      summary: 'lists the files of the log and the records that wait in them',
      options: [new Option('--topics', 'the waiting records of each topic instead'), format, ...logOptions],
      notes: BESIDE,
      examples: ['castellan wal ls', 'castellan wal ls --topics --directory /var/lib/castellan/wal'],
      run: listLog
    },
    {
      name: 'verify',
      summary: 'reads every byte of the log, its receipts and keys, and reports damage',
      options: [format, ...logOptions],
      notes: `${BESIDE} The exit code is 1 when something is damaged.`,
      examples: ['castellan wal verify'],
      run: verify
    },
    ...deadLetterCommands,
    salvageCommand
  ]
}

async function listLog(line: Command, process: Process): Promise<number> {
  const { format, topics } = line.opts<WalFlags>()
  const { existingLogs, inspectLog } = await tools()
  const logs = existingLogs((await walSettingsOf(line, process)).directory)
  const reports = logs.map(log => ({ log, ...inspectLog(log.directory) }))
  if (topics) writeRows(process, format, logs, TOPIC_COLUMNS, reports.map(toTopicRows))
  else {
    const rows = reports.map(({ segments }) => segments.map(toSegmentRow))
    writeRows(process, format, logs, SEGMENT_COLUMNS, rows)
  }
  if (format === 'json') return EXIT_OK
  process.stdout.write('\n')
  for (const report of reports) process.stdout.write(`${prefixOf(report.log, logs)}${await summaryOf(report)}\n`)
  return EXIT_OK
}

type ReportedLog = LogReport & { readonly log: operator.ExistingLog }

const toTopicRows = ({ backlog }: LogReport) =>
  [...backlog].map(([destination, { openEntries, firstSequence }]) => ({
    ...toPlace(destination),
    waiting: openEntries,
    firstSequence
  }))

async function summaryOf({ log, segments, backlog, deadLetters, quarantined }: ReportedLog): Promise<string> {
  const total = segments.reduce((sum, { openEntries }) => sum + openEntries, 0)
  const owner = (await (await tools()).isInUse(log.directory)) ? 'in use by a running process' : 'not in use'
  return (
    `${total} records wait for ${backlog.size} topics; ${deadLetters} dead letters; ` +
    `${quarantined.length} damaged files set aside; ${owner}`
  )
}

const prefixOf = ({ name }: operator.ExistingLog, logs: readonly operator.ExistingLog[]): string =>
  areNamed(logs) ? `${name}: ` : ''

async function verify(line: Command, process: Process): Promise<number> {
  const { format } = line.opts<WalFlags>()
  const { existingLogs, verifyLog, damagedLogFiles, damagedOutcomeFiles, KeyJournal } = await tools()
  const settings = await walSettingsOf(line, process)
  const logs = existingLogs(settings.directory)
  const { tell, end } = await openProgress(process.stderr, 'verify')
  const segments = logs.map(({ directory }) => verifyLog(directory, tell))
  end()
  const rows = segments.map(own => own.map(toSegmentRow))
  writeRows(process, format, logs, SEGMENT_COLUMNS, rows)
  const damaged = segments.flat().reduce((sum, { damagedEntries }) => sum + damagedEntries, 0)
  const files = logs.flatMap(({ directory }) => [
    ...damagedLogFiles(directory),
    ...damagedOutcomeFiles(directory),
    ...KeyJournal.damagedIn(directory)
  ])
  const problems = [
    ...(damaged > 0
      ? [`${damaged} records in ${printable(settings.directory)} are damaged; the others are delivered`]
      : []),
    ...(files.length > 0 ? [`damaged files: ${files.join(', ')}`] : [])
  ]
  if (problems.length === 0) return EXIT_OK
  throw new CommandError(problems.join('; '))
}

const toSegmentRow = ({ name, entries, openEntries, damagedEntries, sizeBytes }: SegmentReport) => ({
  segment: name,
  records: entries,
  waiting: openEntries,
  damaged: damagedEntries,
  sizeBytes
})

const SEGMENT_COLUMNS: readonly RowColumn<ReturnType<typeof toSegmentRow>>[] = [
  'segment',
  'records',
  'waiting',
  'damaged',
  'sizeBytes'
]

const TOPIC_COLUMNS: readonly RowColumn<{ cluster: string; topic: string; waiting: number; firstSequence: number }>[] =
  ['cluster', 'topic', 'waiting', 'firstSequence']
