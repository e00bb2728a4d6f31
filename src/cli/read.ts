import type { Command } from 'commander'
import type { ReadProblem } from '../consumer/stream/partition-reader.js'
import { requireTopic } from '../consumer/stream/readable-partitions.js'
import { readTopic } from '../consumer/stream/topic-readers.js'
import { CastellanError } from '../core/errors.js'
import { printable } from '../core/printable.js'
import type { TopicMetadata } from '../kafka/broker-client.js'
import { type Client, type ClientFlags, openClient } from './client.js'
import { EXIT_FAILURE, EXIT_OK, type Process } from './command.js'
import { askForTopics } from './metadata.js'
import { toReadStart } from './read-start.js'
import type { RecordFormat } from './record-format.js'
import { RecordOutput } from './record-output.js'
import { CommandError, UsageError } from './usage-error.js'

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
    const metadata = requireTopicAt(client, topic, await askForTopics(client, [topic]))
    const stopped = AbortSignal.any([process.stopped, brokenPipe(process.stdout)])
    const output = new RecordOutput(process.stdout, { format, isTerminal: process.stdout.isTTY }, count, stopped)
    const problems: ReadProblem[] = []
    const reading = readTopic(
      client.system,
      { metadata, partitions: chosen, start, follow },
      {
        router: client.router,
        requestTimeoutMs: REQUEST_TIMEOUT_MS,
        write: (topicPartition, batch, end) => output.write(topicPartition, batch, end),
        warn: message => process.stderr.write(`castellan read: ${printable(message)}\n`),
        onProblem: problem => problems.push(problem)
      }
    ).then(() => problems)
    return await outcome(reading, output, stopped, process)
  } finally {
    await client.stop()
  }
}

/** Ends when all partitions are read, when enough records are written, on a signal, or when stdout is closed. */
async function outcome(
  reading: Promise<readonly ReadProblem[]>,
  output: RecordOutput,
  stopped: AbortSignal,
  { stderr }: Process
): Promise<number> {
  const enough = new Promise<undefined>(resolve => {
    stopped.addEventListener('abort', () => resolve(undefined), { once: true })
    output.onFull = () => resolve(undefined)
  })
  const named = (await Promise.race([reading, enough])) ?? []
  for (const { message } of named) stderr.write(`castellan read: ${printable(message)}\n`)
  return named.length > 0 ? EXIT_FAILURE : EXIT_OK
}

function toPartitions(text: string | undefined): readonly number[] | undefined {
  if (text === undefined) return undefined
  if (!/^\d{1,9}(,\d{1,9})*$/.test(text)) throw new UsageError(`--partition takes numbers such as 0,2, not "${text}"`)
  return text.split(',').map(Number)
}

/** Says in addition where the topic was looked for, and how to find out which ones there are. */
function requireTopicAt({ brokers }: Client, topic: string, topics: ReadonlyMap<string, TopicMetadata>): TopicMetadata {
  try {
    return requireTopic(topic, topics)
  } catch (error) {
    if (!(error instanceof CastellanError && error.code === 'unknownTopic')) throw error
    throw new CommandError(`${error.message} at ${brokers.join(', ')}; castellan topics lists what does`)
  }
}

/** Fires when stdout is closed, as with `| head`. That is no failure. */
function brokenPipe(stdout: NodeJS.WriteStream): AbortSignal {
  const controller = new AbortController()
  stdout.once('error', () => controller.abort())
  return controller.signal
}
