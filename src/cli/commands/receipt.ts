import { Argument, type Command, Option } from 'commander'
import { printable, printableJson } from '../../core/printable.js'
import { type CommandDescription, CommandError, EXIT_FAILURE, EXIT_OK, type Process } from '../command.js'
import { whyNoAnswer } from '../gateway-writer.js'
import { formatOption, gatewayOptions, notEmpty, readToken } from '../options.js'

/** `castellan receipt ID`: tells what became of the records of a request. */
export const receiptCommand: CommandDescription = {
  name: 'receipt',
  summary: 'tells what became of the records of a request, by its receipt',
  arguments: [new Argument('<ID>').argParser(notEmpty)],
  options: [
    ...gatewayOptions('a port of the gateway whose API produces (default http://127.0.0.1:8080)'),
    new Option('--wait <TIME>', 'waits until all records are settled, at most this long: 500ms, 30s or 5m').argParser(
      notEmpty
    ),
    formatOption('record')
  ],
  notes: 'The exit code is 0 when Kafka has all records, and 1 otherwise.',
  examples: ['castellan receipt EHnGq0…', 'castellan receipt EHnGq0… --wait 30s --gateway https://gateway:8080'],
  run: tell
}

interface ReceiptFlags {
  readonly gateway?: string
  readonly wait?: string
  readonly tokenFile?: string
  readonly format?: 'table' | 'json'
}

/** A record as `GET /receipts/ID` has it. */
export interface ToldRecord {
  readonly index: number
  readonly state: string
  readonly topic?: string
  readonly partition?: number
  readonly offset?: number | null
  readonly why?: string
}

interface ReceiptPage {
  readonly records: readonly ToldRecord[]
  readonly next?: number
}

/** Writes one line per record. */
async function tell(line: Command, process: Process): Promise<number> {
  const { gateway = 'http://127.0.0.1:8080', wait, tokenFile, format = 'table' } = line.opts<ReceiptFlags>()
  const token = tokenFile === undefined ? undefined : readToken(tokenFile)
  const headers = token === undefined ? {} : { authorization: `Bearer ${token}` }
  let isAllInKafka = true
  for (let from: number | undefined = 0; from !== undefined; ) {
    const url = new URL(`/receipts/${encodeURIComponent(line.args[0]!)}`, gateway)
    if (from > 0) url.searchParams.set('from', String(from))
    else if (wait !== undefined) url.searchParams.set('wait', wait)
    const { records, next } = await ask(url, headers, process.stopped)
    isAllInKafka &&= records.every(({ state }) => state === 'inKafka')
    process.stdout.write(records.map(record => lineOf(record, format)).join(''))
    from = next
  }
  return isAllInKafka ? EXIT_OK : EXIT_FAILURE
}

/** @throws CommandError when there is no answer, or no such receipt */
async function ask(url: URL, headers: Readonly<Record<string, string>>, signal: AbortSignal): Promise<ReceiptPage> {
  const response = await fetch(url, { headers, signal }).catch((error: unknown) => {
    throw new CommandError(whyNoAnswer(url, error))
  })
  const text = await response.text()
  if (response.status === 200) return JSON.parse(text)
  throw new CommandError(`${response.status}: ${messageIn(text)}`)
}

function messageIn(text: string): string {
  try {
    return printable(String(JSON.parse(text).message))
  } catch {
    return printable(text)
  }
}

export function lineOf(record: ToldRecord, format: 'table' | 'json'): string {
  if (format === 'json') return `${printableJson(JSON.stringify(record))}\n`
  const { index, state, topic, partition, offset, why } = record
  const place = partition === undefined ? topic : `${topic}/${partition} offset ${offset ?? 'unknown'}`
  const parts = [String(index).padStart(5), state.padEnd(10), place, why].filter(part => part !== undefined)
  return `${parts.map(part => printable(part)).join('  ')}\n`
}
