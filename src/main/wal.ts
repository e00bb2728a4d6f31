import type { Command } from 'commander'
import { loadConfig } from '../config/config.js'
import { printable, printableJson } from '../printable.js'
import type { DeadLetter } from '../wal/dead-letters.js'
import type { LogDirectory } from '../wal/files.js'
import { inspectLog, readDeadLetters, type SlabReport, verifyLog } from '../wal/inspect.js'
import { readLoggedRecord } from '../wal/logged-record.js'
import * as operator from '../wal/operator.js'
import type { RedriveResult } from '../wal/redrive.js'
import type { WalSettings } from '../wal/settings.js'
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
  const directory = operator.existingLog(walSettings(line, process))
  const { slabs, backlog, deadLetters, quarantined } = inspectLog(directory)
  const waiting = [...backlog].map(([destination, { openEntries, firstSequence }]) => ({
    ...toPlace(destination),
    waiting: openEntries,
    firstSequence
  }))
  if (topics) writeTable(process.stdout, format, TOPIC_COLUMNS, waiting)
  else writeTable(process.stdout, format, SLAB_COLUMNS, slabs.map(toSlabRow))
  if (format === 'json') return EXIT_OK
  const total = slabs.reduce((sum, { openEntries }) => sum + openEntries, 0)
  const owner = (await operator.isInUse(directory)) ? 'in use by a running process' : 'not in use'
  process.stdout.write(
    `\n${total} records wait for ${waiting.length} topics; ${deadLetters} dead letters; ` +
      `${quarantined.length} damaged files set aside; ${owner}\n`
  )
  return EXIT_OK
}

/** `castellan wal verify` */
export async function verify(line: Command, process: Process): Promise<number> {
  const { format } = line.opts<WalFlags>()
  const directory = operator.existingLog(walSettings(line, process))
  const slabs = verifyLog(directory)
  writeTable(process.stdout, format, SLAB_COLUMNS, slabs.map(toSlabRow))
  const damaged = slabs.reduce((sum, { damagedEntries }) => sum + damagedEntries, 0)
  if (damaged === 0) return EXIT_OK
  throw new CommandError(`${damaged} records in ${printable(directory.path)} are damaged; the others are delivered`)
}

/** `castellan wal dead-letters` */
export async function listDead(line: Command, process: Process): Promise<number> {
  const { format } = line.opts<WalFlags>()
  const directory = operator.existingLog(walSettings(line, process))
  if (format === 'json') writeDeadAsJson(directory, process)
  else writeTable(process.stdout, format, DEAD_COLUMNS, [...readDeadLetters(directory)].map(toDeadRow))
  return EXIT_OK
}

/** One by one: all of them may not fit into memory. */
function writeDeadAsJson(directory: LogDirectory, { stdout }: Process): void {
  for (const letter of readDeadLetters(directory)) {
    const { key, value, headers, partition, timestampMs } = readLoggedRecord(letter.body)
    const full = {
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
  const { count, refusal }: RedriveResult = await act(walSettings(line, process), which, report)
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

const toSlabRow = ({ name, entries, openEntries, damagedEntries, sizeBytes }: SlabReport) => ({
  slab: name,
  records: entries,
  waiting: openEntries,
  damaged: damagedEntries,
  sizeBytes
})

const SLAB_COLUMNS: readonly Column<ReturnType<typeof toSlabRow>>[] = [
  'slab',
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
