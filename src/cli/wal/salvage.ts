import { closeSync, fsyncSync, openSync, writeFileSync } from 'node:fs'
import { Argument, type Command, Option } from 'commander'
import { isoOf } from '../../core/instants.js'
import type { TellProgress } from '../../core/model.js'
import { printable, printableJson } from '../../core/printable.js'
import type * as operator from '../../producer/log/operator.js'
import { type CommandDescription, CommandError, EXIT_FAILURE, EXIT_OK, type Process, UsageError } from '../command.js'
import { contentToJson } from '../record-format.js'
import { openProgress } from '../standard-output.js'
import { areNamed, logOptions, tools, toPlace, type WalFlags, walSettingsOf } from './logs.js'

/** The command for records that the disk could not read when the gateway needed them. */
export const salvageCommand: CommandDescription = {
  name: 'salvage',
  summary: 'reads records that the disk could not read, and puts them back into the log',
  arguments: [new Argument('[DIR]', 'directory of the log, as --directory')],
  options: [
    new Option('--out <FILE>', 'writes the records to this file, one JSON object per line'),
    new Option('--append', 'puts the records back into the log'),
    ...logOptions
  ],
  notes:
    '--out changes nothing in the log, and may run while a gateway uses it. For --append the gateway must be stopped.\n' +
    'The next start delivers the records. Newer records of their keys may be in Kafka by then, so each gets the header castellan-salvaged with the time of its acceptance. Files that could not be read stay in quarantine/. The exit code is 1 when some records could not be read.',
  examples: ['castellan wal salvage --out records.jsonl', 'castellan wal salvage --append'],
  run: (line, process) =>
    salvage(line, process).catch((error: NodeJS.ErrnoException) => {
      throw error.syscall === undefined ? error : new CommandError(error.message)
    })
}

async function salvage(line: Command, process: Process): Promise<number> {
  const { out, append } = line.opts<WalFlags & { readonly out?: string; readonly append?: boolean }>()
  if (out === undefined && append !== true)
    throw new UsageError('name a file by --out, or put the records back by --append')
  const { existingLogs, salvage } = await tools()
  const settings = await walSettingsOf(line, process)
  const [directory = settings.directory] = line.processedArgs as readonly (string | undefined)[]
  const logs = existingLogs(directory)
  const say = (text: string): unknown => process.stderr.write(`salvage: ${printable(text)}\n`)
  const { tell, end } = await openProgress(process.stderr, 'salvage')
  if (out !== undefined) {
    const count = await write(out, logs, tell)
    end()
    process.stdout.write(`${count} records were written to ${printable(out)}\n`)
  }
  if (append !== true) return EXIT_OK
  let lost = 0
  for (const log of logs) {
    const report = (_: object, message: string): unknown => say(message)
    const salvaged = await salvage(log, settings, report, tell)
    end()
    for (const one of salvaged) {
      const name = areNamed(logs) ? `${log.name}/${one.name}` : one.name
      const rest =
        one.lost === 0 ? '' : `; at most ${one.lost} others could not be read, and the file stays in quarantine/`
      process.stdout.write(`${name}: ${one.records} records are back in the log${rest}\n`)
      lost += one.lost
    }
  }
  return lost === 0 ? EXIT_OK : EXIT_FAILURE
}

async function write(path: string, logs: readonly operator.ExistingLog[], tell: TellProgress): Promise<number> {
  const { readAside, readLoggedRecord } = await tools()
  const file = openSync(path, 'w', 0o600)
  let count = 0
  try {
    for (const { directory } of logs)
      for (const { sequence, destination, acceptedAtMs, body, letter } of readAside(directory, tell)) {
        const record = readLoggedRecord(letter?.body ?? body)
        const { partition, timestampMs } = record
        const accepted = isoOf(acceptedAtMs)
        const why = letter && { code: letter.reason.code, message: letter.reason.message }
        const place = { sequence, ...toPlace(destination), accepted, ...why, partition, timestampMs }
        writeFileSync(file, `${printableJson(JSON.stringify({ ...place, ...contentToJson(record) }))}\n`)
        count++
      }
    fsyncSync(file)
  } finally {
    closeSync(file)
  }
  return count
}
