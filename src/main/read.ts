import type { Command } from 'commander'
import { printable } from '../printable.js'
import { type ReadProblem, readPartition } from '../reading/partition-reader.js'
import type { TopicMetadata } from '../wire/broker-client.js'
import { errorCodes } from '../wire/error-codes.js'
import { type Client, type ClientFlags, openClient } from './client.js'
import { EXIT_FAILURE, EXIT_OK, type Process } from './command.js'
import { askForTopics } from './metadata.js'
import { toReadStart } from './read-start.js'
import type { RecordFormat } from './record-format.js'
import { RecordOutput } from './record-output.js'
import { CommandError, UsageError } from './usage-error.js'

const { UNKNOWN_TOPIC_OR_PARTITION, INVALID_TOPIC_EXCEPTION, NONE } = errorCodes

/** Time limit of one request; a reader that waits for records asks again. */
const REQUEST_TIMEOUT_MS = 10_000

interface ReadFlags extends ClientFlags {
  readonly partition?: string
  readonly from?: string
  readonly follow?: boolean
  readonly count?: number
  readonly format?: RecordFormat
}

/** An actor per partition asks the Router for records and writes them to stdout. */
export async function read(line: Command, process: Process): Promise<number> {
  const topic = line.args[0]!
  const { from = 'earliest', format = 'value', follow = false, partition, count } = line.opts<ReadFlags>()
  const start = toReadStart(from)
  const chosen = toPartitions(partition)
  const client = await openClient(line, process)
  try {
    const metadata = requireTopic(topic, await askForTopics(client, [topic]), client)
    const stopped = AbortSignal.any([process.stopped, brokenPipe(process.stdout)])
    const output = new RecordOutput(process.stdout, { format, isTerminal: process.stdout.isTTY }, count, stopped)
    const readers = selectPartitions(metadata, chosen).map(partition =>
      readPartition(
        client.system,
        { topicPartition: { topic, partition }, start, follow },
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

/** Ends when all partitions are read, when enough records are written, on a signal, or when stdout is closed. */
async function outcome(
  readers: readonly Promise<ReadProblem | undefined>[],
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
  for (const { message } of named) stderr.write(`castellan read: ${printable(message)}\n`)
  return named.length > 0 ? EXIT_FAILURE : EXIT_OK
}

function toPartitions(text: string | undefined): readonly number[] | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}(,\d{1,9})*$/.test(text)) throw new UsageError(`--partition takes numbers such as 0,2, not "${text}"`)
  return [...new Set(text.split(',').map(Number))]
}

function requireTopic(topic: string, topics: ReadonlyMap<string, TopicMetadata>, { brokers }: Client): TopicMetadata {
  const metadata = topics.get(topic)
  if (metadata?.errorCode === NONE) return metadata
  const code = metadata?.errorCode ?? UNKNOWN_TOPIC_OR_PARTITION
  if (code === UNKNOWN_TOPIC_OR_PARTITION) {
    throw new CommandError(`topic ${topic} does not exist at ${brokers.join(', ')}; castellan topics lists what does`)
  }
  if (code === INVALID_TOPIC_EXCEPTION) throw new CommandError(`${topic} is not a legal topic name`)
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

/** Fires when stdout is closed, as with `| head`. That is no failure. */
function brokenPipe(stdout: NodeJS.WriteStream): AbortSignal {
  const controller = new AbortController()
  stdout.once('error', () => controller.abort())
  return controller.signal
}
