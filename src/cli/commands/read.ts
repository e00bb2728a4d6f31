import { once } from 'node:events'
import { type Command, Option } from 'commander'
import type { ReadStart } from '../../consumer/stream/partition-reader.js'
import { CastellanError } from '../../core/errors.js'
import type { KafkaRecord, Offset, RecordBatch, TopicPartition } from '../../core/model.js'
import { printable } from '../../core/printable.js'
import { timeOf } from '../../core/time-of.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import { type Decoding, type RecordJson, recordJson, recordJsons } from '../../schemas/record-json.js'
import { SchemaError } from '../../schemas/schema-error.js'
import type { Client, ClientFlags } from '../client.js'
import {
  aborted,
  type CommandDescription,
  CommandError,
  EXIT_FAILURE,
  EXIT_OK,
  type Process,
  UsageError
} from '../command.js'
import { clientOptions, notEmpty, topicArgument, wholeNumber } from '../options.js'
import { formatRecord, type LineStyle, type RecordLook, recordFormats } from '../record-format.js'

/** `castellan read TOPIC`: writes records to stdout. */
export const readCommand: CommandDescription = {
  name: 'read',
  summary: 'writes the records of a topic to stdout',
  arguments: [topicArgument],
  options: [
    new Option('--partition <N,…>', 'only these partitions (default: all)').argParser(notEmpty),
    new Option(
      '--from <WHERE>',
      'earliest (default), latest, an offset, -N for the last N, a time such as 2026-11-20T10:00:00Z, or @MILLISECONDS'
    ).argParser(notEmpty),
    new Option('-f, --follow', 'waits for new records at the end of the topic instead of stopping there'),
    new Option('-n, --count <N>', 'stops after this many records').argParser(wholeNumber(1)),
    new Option('--format <FORMAT>', 'value (default), key-value (with a tab between), or json').choices(recordFormats),
    new Option(
      '--schema',
      'key and value as JSON, decoded by the schema registry (schemas.registry.urls); with --format json, `undecodable` says why one is not'
    ),
    ...clientOptions
  ],
  notes: 'Records of one partition come in order. Everything but records goes to stderr.',
  examples: [
    'castellan read orders',
    'castellan read orders --from latest --follow',
    'castellan read orders --from -10 --format json',
    'castellan read orders --schema --set schemas.registry.urls=http://registry:8081',
    'castellan read orders --partition 2 --from 1200 --count 5 --brokers kafka-1:9092'
  ],
  run: read
}

/** Time limit of one request. A reader that waits for records then sends the next request. */
const REQUEST_TIMEOUT_MS = 10_000
/** JSON that schemas make of records is written in steps of so many bytes. */
const MAX_JSON_BYTES = 4 * 1024 * 1024

interface ReadFlags extends ClientFlags {
  readonly partition?: string
  readonly from?: string
  readonly follow?: boolean
  readonly count?: number
  readonly format?: LineStyle
  readonly schema?: boolean
}

/** Writes records to stdout. */
async function read(line: Command, process: Process): Promise<number> {
  const topic = line.args[0]!
  const { from = 'earliest', format = 'value', follow = false, partition, count, schema } = line.opts<ReadFlags>()
  const start = toReadStart(from)
  const chosen = toPartitions(partition)
  const { openClient, askForTopics } = await import('../client.js')
  const { readTopic, requireTopic } = await import('../../consumer/stream/topic-readers.js')
  const client = await openClient(line, process)
  try {
    const topics = await askForTopics(client, [topic])
    const metadata = foundAt(client, () => requireTopic(topic, topics))
    const stopped = AbortSignal.any([process.stopped, brokenPipe(process.stdout)])
    const look = { format, isTerminal: process.stdout.isTTY }
    const schemas = schema ? await client.schemas() : undefined
    const full = new AbortController()
    const write = recordWriter(process.stdout, look, count, stopped, schemas, () => full.abort())
    const problems: CastellanError[] = []
    const warn = warnTo(process.stderr)
    const reading = readTopic(
      { metadata, partitions: chosen, start, follow },
      {
        router: client.router,
        requestTimeoutMs: REQUEST_TIMEOUT_MS,
        write,
        warn,
        onRetry: warn,
        onProblem: problem => problems.push(problem)
      }
    )
    // Ends when all partitions are read, when enough records are written, on a signal, or when stdout is closed.
    if (!(await endsBefore(reading, AbortSignal.any([stopped, full.signal])))) return EXIT_OK
    for (const { message } of problems) warn(message)
    return problems.length > 0 ? EXIT_FAILURE : EXIT_OK
  } finally {
    await client.stop()
  }
}

const warnTo =
  (stderr: Process['stderr']) =>
  (message: string): void =>
    void stderr.write(`castellan read: ${printable(message)}\n`)

const endsBefore = (reading: Promise<unknown>, signal: AbortSignal): Promise<boolean> =>
  Promise.race([reading.then(() => true), aborted(signal).then(() => false)])

/**
 * Parses the value of `--from`:
 *
 *   earliest | latest       the ends
 *   42                      an offset
 *   -10                     the last ten of each partition
 *   2026-11-20T10:00:00Z    the first record at or after a time
 *   @1795000000000          the same in epoch milliseconds
 *
 * @throws UsageError for anything else
 */
export function toReadStart(text: string): ReadStart {
  if (text === 'earliest' || text === 'latest') return text
  if (/^\d{1,15}$/.test(text)) return { offset: Number(text) }
  if (/^-\d{1,15}$/.test(text)) return { last: -Number(text) }
  if (/^@\d{1,15}$/.test(text)) return { timestampMs: Number(text.slice(1)) }
  const timestampMs = timeOf(text)
  if (!Number.isNaN(timestampMs)) return { timestampMs }
  throw new UsageError(
    `--from takes earliest, latest, an offset, -N for the last N, a time such as 2026-11-20T10:00:00Z, or @MILLISECONDS, not "${text}"`
  )
}

function toPartitions(text: string | undefined): readonly number[] | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}(,\d{1,9})*$/.test(text)) throw new UsageError(`--partition takes numbers such as 0,2, not "${text}"`)
  return text.split(',').map(Number)
}

/** Adds two facts to the error: the brokers that do not have the topic, and the command that lists their topics. */
function foundAt({ brokers }: Client, require: () => TopicMetadata): TopicMetadata {
  try {
    return require()
  } catch (error) {
    if (!(error instanceof CastellanError && error.code === 'unknownTopic')) throw error
    throw new CommandError(`${error.message} at ${brokers.join(', ')}; castellan topics lists and creates topics`)
  }
}

/** Fires when the reader closes stdout, as `| head` does. This is not a failure. */
function brokenPipe(stdout: NodeJS.WriteStream): AbortSignal {
  const controller = new AbortController()
  stdout.once('error', () => controller.abort())
  return controller.signal
}

type WriteBatch = (topicPartition: TopicPartition, batch: RecordBatch, end: Offset) => Promise<Offset | undefined>

/**
 * Writes records to a stream, and stops after a number of records.
 *
 * @param onFull called when the wanted number of records is written
 * @returns a function that resolves when the stream can take more data, with the next offset if more records are wanted
 */
function recordWriter(
  stream: NodeJS.WriteStream,
  look: RecordLook,
  count: number | undefined,
  stopped: AbortSignal,
  schemas: Decoding | undefined,
  onFull: () => void
): WriteBatch {
  let left = count ?? Number.POSITIVE_INFINITY
  const isFull = (): boolean => left <= 0 || stopped.aborted
  const written = async (lines: readonly Buffer[]): Promise<void> => {
    if (lines.length > 0 && !stream.write(Buffer.concat(lines))) {
      await once(stream, 'drain', { signal: stopped }).catch(() => undefined)
    }
  }
  return async (topicPartition, batch, end) => {
    const records = [...batch].filter(({ offset }) => offset < end)
    while (records.length > 0 && !isFull()) {
      const jsons = schemas && (await decoded(schemas, records))
      // Lines of several partitions are counted as they are written, so nothing waits behind this.
      const some = isFull() ? [] : records.splice(0, Math.min(left, jsons?.length ?? records.length))
      left -= some.length
      await written(some.map((record, at) => formatRecord(look, topicPartition, record, jsons?.[at])))
    }
    if (left <= 0) onFull()
    return isFull() ? undefined : batch.nextOffset
  }
}

/** JSON of the first records: a few bytes may be megabytes of it. */
async function decoded(schemas: Decoding, records: readonly KafkaRecord[]): Promise<readonly RecordJson[]> {
  const limits = { maxBytes: MAX_JSON_BYTES, owner: undefined }
  try {
    return await recordJsons(schemas, records, limits)
  } catch (error) {
    if (!(error instanceof SchemaError)) throw error
    return [await recordJson(schemas, records[0]!)]
  }
}
