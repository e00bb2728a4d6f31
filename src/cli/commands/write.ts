import { type Command, Option } from 'commander'
import type { ProduceRecord, RecordOutcome } from '../../core/model.js'
import { printable } from '../../core/printable.js'
import type { ClientFlags } from '../client.js'
import { aborted, type CommandDescription, EXIT_FAILURE, EXIT_OK, type Process, UsageError } from '../command.js'
import type { Fate, Say } from '../gateway-writer.js'
import { linesOf, toRecord } from '../line-records.js'
import { clientOptions, gatewayOptions, notEmpty, readToken, topicArgument } from '../options.js'

export const writeCommand: CommandDescription = {
  name: 'write',
  summary: 'writes each line of stdin to a topic as a record',
  arguments: [topicArgument],
  options: [
    new Option('--key-separator <TEXT>', 'a line is a key, this text, and a value').argParser(notEmpty),
    new Option('--json', 'a line is a record in JSON, as castellan read --format json writes it').conflicts('null'),
    new Option('--null', 'an empty key or value is a null, which deletes its key in a compacted topic'),
    new Option('-q, --quiet', 'says nothing when all records are written'),
    ...gatewayOptions('writes through the shared port of a gateway, instead of brokers'),
    ...clientOptions
  ],
  notes:
    'Bytes are written unchanged and in order; an empty line is an empty value. A record in JSON is {"key":"k1","value":"hello","headers":[{"key":"a","value":"b"}],"partition":0}: only the value is required, and {"base64":"AAE="} stands for any bytes. The command stops at the first line that is no record or is refused, and tells what was written by then, as it does after Ctrl-C. A record is given up after a minute, or after --timeout. The exit code is 0 when all lines are written.',
  examples: [
    'castellan write orders < orders.txt',
    'castellan write orders --key-separator : --null --brokers kafka-1:9092 < orders.txt',
    'castellan read orders --format json | castellan write copies --json',
    'castellan write orders --gateway https://gateway:8080 --token-file token < orders.txt'
  ],
  run: write
}

interface WriteFlags extends ClientFlags {
  readonly keySeparator?: string
  readonly json?: boolean
  readonly null?: boolean
  readonly quiet?: boolean
  readonly gateway?: string
  readonly tokenFile?: string
}

const DEFAULT_TIMEOUT_SECONDS = 60
/** Larger than any record that brokers take by default, in base64. A line without an end would fill the memory. */
const MAX_LINE_BYTES = 64 * 1024 * 1024
/** Records of one call. With the bytes of one chunk of stdin, this limits what waits in memory. */
const MAX_RECORDS = 1_000
/** Unwritten records that are told one by one. */
const MAX_TOLD = 10

/** Destination of records. */
interface Sink {
  /** Calls of `send` that may be under way; they begin in order. */
  readonly maxSending: number
  send(records: readonly ProduceRecord[]): Promise<readonly Fate[]>
  close(): Promise<void>
}

async function write(line: Command, process: Process): Promise<number> {
  const { keySeparator: separator, json, null: emptyIsNull = false, quiet } = line.opts<WriteFlags>()
  const format = json ? 'json' : separator === undefined ? 'value' : { separator }
  if (json && separator !== undefined) throw new UsageError('--json goes without --key-separator')
  const sink = await openSink(line, process)
  try {
    const toRecordOf = (bytes: Buffer): ProduceRecord => toRecord(format, emptyIsNull, line.args[0]!, bytes)
    return await writeLines(toRecordOf, sink, process, quiet)
  } finally {
    await sink.close()
  }
}

async function openSink(line: Command, process: Process): Promise<Sink> {
  const topic = line.args[0]!
  const { gateway, tokenFile, brokers, cluster, timeout = DEFAULT_TIMEOUT_SECONDS } = line.opts<WriteFlags>()
  const timeoutMs = timeout * 1_000
  if (gateway !== undefined) {
    if (brokers ?? cluster) throw new UsageError('--gateway goes without --brokers and --cluster')
    const token = tokenFile === undefined ? undefined : readToken(tokenFile)
    const { gatewayWriter } = await import('../gateway-writer.js')
    // Requests that follow each other keep the order of records.
    const send = gatewayWriter(gateway, topic, token, timeoutMs, sayTo(process.stderr))
    return { maxSending: 1, send, close: async () => undefined }
  }
  if (tokenFile !== undefined) throw new UsageError('--token-file is for --gateway')
  const { openClient, askForTopics } = await import('../client.js')
  const client = await openClient(line, process, 'silent')
  const options = { partitioner: 'murmur2', deadlineMs: timeoutMs, capacityWaitMs: timeoutMs } as const
  const send = async (records: readonly ProduceRecord[]): Promise<readonly Fate[]> =>
    (await client.verbs.produce(records, options).outcomes()).map(toFate)
  try {
    // Tells at once that no broker answers. The brokers may create a missing topic with its first record.
    await askForTopics(client, [topic])
    return { maxSending: 16, send, close: () => client.stop() }
  } catch (error) {
    await client.stop()
    throw error
  }
}

const sayTo =
  (stderr: Process['stderr']): Say =>
  text =>
    void stderr.write(`castellan write: ${printable(text)}\n`)

const toFate = (outcome: RecordOutcome): Fate => (outcome.type === 'delivered' ? { persisted: 'yes' } : outcome)

/** Ends with the last line, at the first record that is not written, at a signal, or when stdin cannot be read. */
async function writeLines(
  toRecordOf: (line: Buffer) => ProduceRecord,
  { maxSending, send }: Sink,
  { stdin, stderr, stopped }: Process,
  isQuiet = false
): Promise<number> {
  const say = sayTo(stderr)
  if ((stdin as { readonly isTTY?: boolean }).isTTY) say('each line is a record; Ctrl-D ends')
  const counts = { yes: 0, pending: 0, no: 0, unknown: 0 }
  const failed = new AbortController()
  const sending = new Set<Promise<void>>()
  let sentLines = 0
  const begin = (records: readonly ProduceRecord[]): void => {
    const firstLine = sentLines + 1
    sentLines += records.length
    const sent = send(records).then(fates => {
      sending.delete(sent)
      for (const [at, { persisted, message }] of fates.entries()) {
        counts[persisted]++
        if (persisted === 'yes' || persisted === 'pending') continue
        if (counts.no + counts.unknown <= MAX_TOLD) say(`line ${firstLine + at}: ${message} (in Kafka: ${persisted})`)
        failed.abort()
      }
    })
    sending.add(sent)
  }
  const end = AbortSignal.any([stopped, failed.signal])
  const ended = aborted(end).then(() => undefined)
  const chunks = linesOf(stdin, MAX_LINE_BYTES)
  let isWhole = false
  try {
    while (!isWhole && !end.aborted) {
      const next = await Promise.race([chunks.next(), ended])
      isWhole = next?.done === true
      const lines = next?.value ?? []
      for (let from = 0; from < lines.length && !end.aborted; from += MAX_RECORDS) {
        // The first call may create the topic, for which few records may wait.
        while (sending.size >= (counts.yes === 0 ? 1 : maxSending)) await Promise.race(sending)
        const records: ProduceRecord[] = []
        try {
          for (const line of lines.slice(from, from + MAX_RECORDS)) records.push(toRecordOf(line))
        } finally {
          if (records.length > 0) begin(records)
        }
      }
    }
  } catch (error) {
    const { message } = error as Error
    say(error instanceof SyntaxError ? `line ${sentLines + 1}: ${message}` : `cannot read on from stdin: ${message}`)
  }
  await Promise.all(sending)
  const { yes, pending, no, unknown } = counts
  const isDone = isWhole && no + unknown === 0
  const told = `${yes} written, ${no} refused`
  const pendingTold = pending > 0 ? `, ${pending} accepted by the gateway and not in Kafka yet` : ''
  const restTold = isDone ? '' : `, ${unknown} unknown; nothing after line ${sentLines} was sent`
  if (!isDone || !isQuiet) say(told + pendingTold + restTold)
  return isDone ? EXIT_OK : EXIT_FAILURE
}
