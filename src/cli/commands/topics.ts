import { type Command, Option } from 'commander'
import { printable, printableJson } from '../../core/printable.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import type { ClientFlags } from '../client.js'
import { type CommandDescription, EXIT_OK, type Process } from '../command.js'
import { clientOptions, formatOption } from '../options.js'

export const topicsCommand: CommandDescription = {
  name: 'topics',
  summary: 'lists the topics of a cluster',
  options: [formatOption('topic'), new Option('--internal', "lists Kafka's internal topics, too"), ...clientOptions],
  examples: [
    'castellan topics',
    'castellan topics --brokers kafka-1:9092',
    'castellan topics --format json --internal'
  ],
  run: listTopics
}

interface TopicsFlags extends ClientFlags {
  readonly format?: 'table' | 'json'
  readonly internal?: boolean
}

async function listTopics(line: Command, process: Process): Promise<number> {
  const { format = 'table', internal = false } = line.opts<TopicsFlags>()
  const { openClient, askForTopics } = await import('../client.js')
  const client = await openClient(line, process)
  try {
    const topics = [...(await askForTopics(client, null)).values()].filter(({ isInternal }) => internal || !isInternal)
    process.stdout.write(listing(topics, format))
    return EXIT_OK
  } finally {
    await client.stop()
  }
}

/** One line per topic, in the order of the names. */
export function listing(topics: readonly TopicMetadata[], format: 'table' | 'json'): string {
  const sorted = [...topics].sort((a, b) => (a.topic < b.topic ? -1 : 1))
  return format === 'json' ? toLines(sorted) : toTable(sorted)
}

const summary = ({ topic, partitions }: TopicMetadata) => ({
  topic,
  partitions: partitions.length,
  replicas: partitions.reduce((most, { replicas }) => Math.max(most, replicas.length), 0),
  leaderless: partitions.filter(({ leaderId }) => leaderId < 0).length
})

const toLines = (topics: readonly TopicMetadata[]): string =>
  topics.map(topic => `${printableJson(JSON.stringify(summary(topic)))}\n`).join('')

/** A table whose columns are wide enough for the longest name. */
function toTable(topics: readonly TopicMetadata[]): string {
  const rows = topics.map(metadata => ({ ...summary(metadata), topic: printable(metadata.topic) }))
  const width = rows.reduce((widest, { topic }) => Math.max(widest, topic.length), 'TOPIC'.length)
  const line = (name: string, partitions: string | number, replicas: string | number, note = ''): string =>
    `${name.padEnd(width)}  ${String(partitions).padStart(10)}  ${String(replicas).padStart(8)}${note}\n`
  const body = rows.map(({ topic, partitions, replicas, leaderless }) =>
    line(topic, partitions, replicas, leaderless > 0 ? `  ${leaderless} without leader` : '')
  )
  return line('TOPIC', 'PARTITIONS', 'REPLICAS') + body.join('')
}
