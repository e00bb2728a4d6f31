import { printable } from '../printable.js'
import type { TopicMetadata } from '../wire/broker-client.js'
import { errorCodes } from '../wire/error-codes.js'
import { type Client, openClient } from './client.js'
import { type Command, EXIT_FAILURE, EXIT_OK, type Process } from './command.js'
import { clientFlags } from './config-flags.js'
import type { FlagValues } from './flags.js'
import { askForTopics } from './metadata.js'
import { readPartition } from './partition-reader.js'
import { toReadStart } from './read-start.js'
import { type RecordFormat, recordFormats } from './record-format.js'
import { RecordOutput } from './record-output.js'
import { CommandError, UsageError } from './usage-error.js'

const UNKNOWN_TOPIC_OR_PARTITION = 3
const INVALID_TOPIC = 17

/** How long the Router may take for one answer; a reader that waits for records asks again. */
const REQUEST_TIMEOUT_MS = 10_000

/** `castellan read TOPIC`: an actor per partition asks the Router for records and writes them to stdout. */
export const readCommand: Command = {
  name: 'read',
  summary: 'writes the records of a topic to stdout',
  positionals: ['TOPIC'],
  flags: [
    { name: 'partition', placeholder: 'N,…', help: 'only these partitions (default: all)' },
    {
      name: 'from',
      placeholder: 'WHERE',
      help: 'earliest (default), latest, an offset, -N for the last N, a time such as 2026-11-20T10:00:00Z, or @MILLISECONDS'
    },
    { name: 'follow', short: 'f', help: 'waits for further records at the end instead of stopping there' },
    { name: 'count', short: 'n', placeholder: 'N', help: 'stops after so many records' },
    { name: 'format', placeholder: 'FORMAT', help: 'value (default), key-value (with a tab between), or json' },
    ...clientFlags
  ],
  notes: 'Records of one partition come in order. Everything but records goes to stderr.',
  examples: [
    'castellan read orders',
    'castellan read orders --from latest --follow',
    'castellan read orders --from -10 --format json',
    'castellan read orders --partition 2 --from 1200 --count 5 --brokers kafka-1:9092'
  ],
  run: read
}

async function read(values: FlagValues, process: Process): Promise<number> {
  const topic = values.positionals[0]!
  const start = toReadStart(values.text('from') ?? 'earliest')
  const format = toFormat(values.text('format') ?? 'value')
  const chosen = toPartitions(values.text('partition'))
  const count = values.count('count', 1)
  const client = openClient(values, process)
  try {
    const metadata = requireTopic(topic, await askForTopics(client, [topic]), client)
    const stopped = AbortSignal.any([process.stopped, brokenPipe(process.stdout)])
    const output = new RecordOutput(process.stdout, { format, isTerminal: process.stdout.isTTY }, count, stopped)
    const readers = selectPartitions(metadata, chosen).map(partition =>
      readPartition(
        client.system,
        { topicPartition: { topic, partition }, start, follow: values.has('follow') },
        {
          router: client.router,
          requestTimeoutMs: REQUEST_TIMEOUT_MS,
          write: (topicPartition, batch, end) => output.write(topicPartition, batch, end),
          warn: message => process.stderr.write(`castellan read: ${printable(message)}\n`)
        }
      )
    )
    return await outcome(readers, output, stopped, process)
  } finally {
    await client.stop()
  }
}

/** Ends when all partitions are read, when enough is written, or when the operator or the reader of stdout has left. */
async function outcome(
  readers: readonly Promise<string | undefined>[],
  output: RecordOutput,
  stopped: AbortSignal,
  { stderr }: Process
): Promise<number> {
  const enough = new Promise<undefined>(resolve => {
    stopped.addEventListener('abort', () => resolve(undefined), { once: true })
    output.onFull = () => resolve(undefined)
  })
  const problems = await Promise.race([Promise.all(readers), enough])
  const named = (problems ?? []).filter(problem => problem !== undefined)
  for (const problem of named) stderr.write(`castellan read: ${printable(problem)}\n`)
  return named.length > 0 ? EXIT_FAILURE : EXIT_OK
}

function toFormat(text: string): RecordFormat {
  const format = recordFormats.find(known => known === text)
  if (!format) throw new UsageError(`--format takes ${recordFormats.join(', ')}, not "${text}"`)
  return format
}

function toPartitions(text: string | undefined): readonly number[] | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}(,\d{1,9})*$/.test(text)) throw new UsageError(`--partition takes numbers such as 0,2, not "${text}"`)
  return [...new Set(text.split(',').map(Number))]
}

function requireTopic(topic: string, topics: ReadonlyMap<string, TopicMetadata>, { brokers }: Client): TopicMetadata {
  const metadata = topics.get(topic)
  if (metadata?.errorCode === errorCodes.NONE) return metadata
  const code = metadata?.errorCode ?? UNKNOWN_TOPIC_OR_PARTITION
  if (code === UNKNOWN_TOPIC_OR_PARTITION) {
    throw new CommandError(`topic ${topic} does not exist at ${brokers.join(', ')}; castellan topics lists what does`)
  }
  if (code === INVALID_TOPIC) throw new CommandError(`${topic} cannot be the name of a topic`)
  throw new CommandError(`topic ${topic} cannot be read: Kafka answers with error ${code}`)
}

function selectPartitions(
  { topic, partitions }: TopicMetadata,
  chosen: readonly number[] | undefined
): readonly number[] {
  const existing = partitions.map(({ partition }) => partition)
  const missing = chosen?.find(partition => !existing.includes(partition))
  if (missing !== undefined) {
    throw new CommandError(`topic ${topic} has no partition ${missing}; ${numbersOf(existing)}`)
  }
  return chosen ?? existing
}

const numbersOf = (partitions: readonly number[]): string =>
  partitions.length === 1 ? 'its only one is 0' : `they are 0 to ${partitions.length - 1}`

/** Fires when nobody reads stdout any more, as with `| head`. That is no failure. */
function brokenPipe(stdout: NodeJS.WriteStream): AbortSignal {
  const controller = new AbortController()
  stdout.once('error', () => controller.abort())
  return controller.signal
}
