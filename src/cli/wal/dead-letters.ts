import { Argument, type Command, Option } from 'commander'
import { isoOf } from '../../core/instants.js'
import { printable, printableJson } from '../../core/printable.js'
import type { DeadLetter } from '../../producer/log/dead-letters.js'
import type * as operator from '../../producer/log/operator.js'
import { type CommandDescription, CommandError, EXIT_FAILURE, EXIT_OK, type Process, UsageError } from '../command.js'
import { wholeNumber } from '../options.js'
import { contentToJson } from '../record-format.js'
import { openProgress, type RowColumn } from '../standard-output.js'
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
} from './logs.js'

const selection = {
  arguments: [
    new Argument('[SEQUENCE...]').argParser((text, former: readonly number[] = []) => [...former, sequence(text)])
  ],
  options: [new Option('--all', 'all dead letters'), ...logOptions]
}
const sequence = wholeNumber(1)

const STOPPED = 'The gateway that uses the log must be stopped: the command refuses a directory that is in use.'

/** The commands of `castellan wal` for records that Kafka has refused for good. */
export const deadLetterCommands: readonly CommandDescription[] = [
  {
    name: 'dead-letters',
    summary: 'lists records that Kafka has refused for good',
    options: [format, ...logOptions],
    notes: `${BESIDE} --format json also shows keys and values.`,
    examples: ['castellan wal dead-letters', 'castellan wal dead-letters --format json'],
    run: listDead
  },
  {
    ...selection,
    name: 'replay',
    summary: 'puts dead letters back into the log, to be delivered again',
    notes: `${STOPPED}\nAt the next start, the records are delivered after all records that already wait.`,
    examples: ['castellan wal replay 12 13', 'castellan wal replay --all'],
    run: replay
  },
  {
    ...selection,
    name: 'discard',
    summary: 'deletes dead letters for good',
    notes: STOPPED,
    examples: ['castellan wal discard 12 13', 'castellan wal discard --all'],
    run: discard
  }
]

async function listDead(line: Command, process: Process): Promise<number> {
  const { format } = line.opts<WalFlags>()
  const { existingLogs, readDeadLetters } = await tools()
  const logs = existingLogs((await walSettingsOf(line, process)).directory)
  if (format === 'json') for (const log of logs) await writeDeadAsJson(log, areNamed(logs), process)
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

/** Writes dead letters one by one, because all of them together may exceed the memory. */
async function writeDeadAsJson(
  { name, directory }: operator.ExistingLog,
  isNamed: boolean,
  { stdout }: Process
): Promise<void> {
  const { readDeadLetters, readLoggedRecord } = await tools()
  for (const letter of readDeadLetters(directory)) {
    const record = readLoggedRecord(letter.body)
    const { partition, timestampMs } = record
    const full = {
      ...(isNamed && { log: name }),
      ...toDeadRow(letter),
      partition,
      timestampMs,
      ...contentToJson(record)
    }
    stdout.write(`${printableJson(JSON.stringify(full))}\n`)
  }
}

async function replay(line: Command, process: Process): Promise<number> {
  return redrive(line, process, (await tools()).replay, count => `${count} dead letters are back in the log`)
}

async function discard(line: Command, process: Process): Promise<number> {
  return redrive(line, process, (await tools()).discard, count => `${count} dead letters were deleted`)
}

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
  const settings = await walSettingsOf(line, process)
  const logs = (await tools()).existingLogs(settings.directory)
  if (which !== undefined && logs.length > 1) {
    const directories = logs.map(({ directory }) => printable(directory.path)).join(' or ')
    throw new UsageError(`each log has sequences of its own: name the log by --directory ${directories}`)
  }
  let count = 0
  let refusal: operator.RedriveResult['refusal']
  const { tell, end } = await openProgress(process.stderr, line.name())
  for (const log of logs) {
    const result = await act(log, settings, which, report, tell)
    count += result.count
    refusal ??= result.refusal
  }
  end()
  process.stdout.write(`${say(count)}\n`)
  if (refusal) throw new CommandError(`the remaining dead letters stay as they are: ${refusal.message}`)
  if (which && count < which.size) {
    process.stderr.write(
      `${which.size - count} of the sequences are no dead letters; castellan wal dead-letters lists them\n`
    )
    return EXIT_FAILURE
  }
  return EXIT_OK
}

const toDeadRow = ({ sequence, destination, acceptedAtMs, reason, body }: DeadLetter) => ({
  sequence,
  ...toPlace(destination),
  accepted: isoOf(acceptedAtMs),
  died: isoOf(reason.diedAtMs),
  sizeBytes: body.length,
  code: reason.code,
  message: reason.message
})

const DEAD_COLUMNS: readonly RowColumn<ReturnType<typeof toDeadRow>>[] = [
  'sequence',
  'cluster',
  'topic',
  'died',
  'sizeBytes',
  'code',
  'message'
]
