import type { Command } from 'commander'
import { printable, printableJson } from '../core/printable.js'
import type { DeadLetter } from '../producer/log/dead-letters.js'
import { inspectLog, type LogReport, readDeadLetters, type SegmentReport, verifyLog } from '../producer/log/inspect.js'
import { readLoggedRecord } from '../producer/log/logged-record.js'
import * as operator from '../producer/log/operator.js'
import type { RedriveResult } from '../producer/log/redrive.js'
import type { WalSettings } from '../producer/log/settings.js'
import { loadConfig } from '../server/config/config.js'
import { EXIT_FAILURE, EXIT_OK, type Process } from './command.js'
import { settingsOf } from './options.js'
import { toJson } from './record-format.js'
import { type Column, writeTable } from './table.js'
import { CommandError, UsageError } from './usage-error.js'

interface WalFlags {
  readonly config?: string
  readonly format?: 'table' | 'json'
  readonly topics?: boolean
  readonly all?: boolean
}

/** `castellan wal ls` */
export async function listLog(line: Command, process: Process): Promise<number> {
  const { format, topics } = line.opts<WalFlags>()
  const logs = operator.existingLogs(walSettings(line, process))
  const reports = logs.map(log => ({ log, ...inspectLog(log.directory) }))
  if (topics) writeRows(process, format, logs, TOPIC_COLUMNS, reports.map(toTopicRows))
  else
    writeRows(
      process,
      format,
      logs,
      SEGMENT_COLUMNS,
      reports.map(({ segments }) => segments.map(toSegmentRow))
    )
  if (format === 'json') return EXIT_OK
  process.stdout.write('\n')
  for (const report of reports) process.stdout.write(`${prefixOf(report.log, logs)}${await summaryOf(report)}\n`)
  return EXIT_OK
}

type FoundLog = LogReport & { readonly log: operator.ExistingLog }

const toTopicRows = ({ backlog }: LogReport) =>
  [...backlog].map(([destination, { openEntries, firstSequence }]) => ({
    ...toPlace(destination),
    waiting: openEntries,
    firstSequence
  }))

async function summaryOf({ log, segments, backlog, deadLetters, quarantined }: FoundLog): Promise<string> {
  const total = segments.reduce((sum, { openEntries }) => sum + openEntries, 0)
  const owner = (await operator.isInUse(log.directory)) ? 'in use by a running process' : 'not in use'
  return (
    `${total} records wait for ${backlog.size} topics; ${deadLetters} dead letters; ` +
    `${quarantined.length} damaged files set aside; ${owner}`
  )
}

/** Whether it has to be told which log something is in. */
const areNamed = (logs: readonly operator.ExistingLog[]): boolean => logs.length > 1 || logs[0]!.name !== '.'

const prefixOf = ({ name }: operator.ExistingLog, logs: readonly operator.ExistingLog[]): string =>
  areNamed(logs) ? `${name}: ` : ''

/** Writes the rows of each log. With logs of workers the first column says whose they are. */
function writeRows<Row extends object>(
  { stdout }: Process,
  format: WalFlags['format'],
  logs: readonly operator.ExistingLog[],
  columns: readonly Column<Row>[],
  rows: readonly (readonly Row[])[]
): void {
  if (!areNamed(logs)) writeTable(stdout, format, columns, rows.flat())
  else {
    const named = rows.flatMap((own, at) => own.map(row => ({ log: logs[at]!.name, ...row })))
    writeTable(stdout, format, ['log', ...columns] as readonly Column<{ log: string } & Row>[], named)
  }
}

/** `castellan wal verify` */
export async function verify(line: Command, process: Process): Promise<number> {
  const { format } = line.opts<WalFlags>()
  const settings = walSettings(line, process)
  const logs = operator.existingLogs(settings)
  const segments = logs.map(({ directory }) => verifyLog(directory))
  writeRows(
    process,
    format,
    logs,
    SEGMENT_COLUMNS,
    segments.map(own => own.map(toSegmentRow))
  )
  const damaged = segments.flat().reduce((sum, { damagedEntries }) => sum + damagedEntries, 0)
  if (damaged === 0) return EXIT_OK
  throw new CommandError(`${damaged} records in ${printable(settings.directory)} are damaged; the others are delivered`)
}

/** `castellan wal dead-letters` */
export async function listDead(line: Command, process: Process): Promise<number> {
  const { format } = line.opts<WalFlags>()
  const logs = operator.existingLogs(walSettings(line, process))
  if (format === 'json') for (const log of logs) writeDeadAsJson(log, areNamed(logs), process)
  else
    writeRows(
      process,
      format,
      logs,
      DEAD_COLUMNS,
      logs.map(({ directory }) => [...readDeadLetters(directory)].map(toDeadRow))
    )
  return EXIT_OK
}

/** One by one: all of them may not fit into memory. */
function writeDeadAsJson({ name, directory }: operator.ExistingLog, isNamed: boolean, { stdout }: Process): void {
  for (const letter of readDeadLetters(directory)) {
    const { key, value, headers, partition, timestampMs } = readLoggedRecord(letter.body)
    const full = {
      ...(isNamed && { log: name }),
      ...toDeadRow(letter),
      partition,
      timestampMs,
      key: toJson(key),
      value: toJson(value),
      headers: headers.map(header => ({ key: header.key, value: toJson(header.value) }))
    }
    stdout.write(`${printableJson(JSON.stringify(full))}\n`)
  }
}

/** `castellan wal replay` */
export const replay = (line: Command, process: Process): Promise<number> =>
  redrive(line, process, operator.replay, count => `${count} dead letters are back in the log`)

/** `castellan wal discard` */
export const discard = (line: Command, process: Process): Promise<number> =>
  redrive(line, process, operator.discard, count => `${count} dead letters are forgotten`)

async function redrive(
  line: Command,
  process: Process,
  act: typeof operator.replay,
  say: (count: number) => string
): Promise<number> {
  const { all } = line.opts<WalFlags>()
  const sequences = line.processedArgs[0] as readonly number[] | undefined
  const which = sequences?.length ? new Set(sequences) : undefined
  if ((all === true) === (which !== undefined)) throw new UsageError('name sequences of dead letters, or --all')
  const report = (_: object, message: string): unknown =>
    process.stderr.write(`${line.name()}: ${printable(message)}\n`)
  const settings = walSettings(line, process)
  const logs = operator.existingLogs(settings)
  if (which !== undefined && logs.length > 1) {
    const directories = logs.map(({ directory }) => printable(directory.path)).join(' or ')
    throw new UsageError(`each log has sequences of its own: name the log by --directory ${directories}`)
  }
  let count = 0
  let refusal: RedriveResult['refusal']
  for (const log of logs) {
    const result = await act(log, settings, which, report)
    count += result.count
    refusal ??= result.refusal
  }
  process.stdout.write(`${say(count)}\n`)
  if (refusal) throw new CommandError(`the others stay dead: ${refusal.message}`)
  if (which && count < which.size) {
    process.stderr.write(
      `${which.size - count} of the sequences are no dead letters; castellan wal dead-letters lists them\n`
    )
    return EXIT_FAILURE
  }
  return EXIT_OK
}

const walSettings = (line: Command, { environment }: Process): WalSettings =>
  loadConfig({ role: 'client', file: line.opts<WalFlags>().config, environment, flags: settingsOf(line) }).wal

/** `default/orders` */
function toPlace(destination: string): { readonly cluster: string; readonly topic: string } {
  const slash = destination.indexOf('/')
  return { cluster: destination.slice(0, slash), topic: destination.slice(slash + 1) }
}

const toSegmentRow = ({ name, entries, openEntries, damagedEntries, sizeBytes }: SegmentReport) => ({
  segment: name,
  records: entries,
  waiting: openEntries,
  damaged: damagedEntries,
  sizeBytes
})

const SEGMENT_COLUMNS: readonly Column<ReturnType<typeof toSegmentRow>>[] = [
  'segment',
  'records',
  'waiting',
  'damaged',
  'sizeBytes'
]

const TOPIC_COLUMNS: readonly Column<{ cluster: string; topic: string; waiting: number; firstSequence: number }>[] = [
  'cluster',
  'topic',
  'waiting',
  'firstSequence'
]

const toDeadRow = ({ sequence, destination, acceptedAtMs, reason, body }: DeadLetter) => ({
  sequence,
  ...toPlace(destination),
  accepted: new Date(acceptedAtMs).toISOString(),
  died: new Date(reason.diedAtMs).toISOString(),
  sizeBytes: body.length,
  code: reason.code,
  message: reason.message
})

const DEAD_COLUMNS: readonly Column<ReturnType<typeof toDeadRow>>[] = [
  'sequence',
  'cluster',
  'topic',
  'died',
  'sizeBytes',
  'code',
  'message'
]
