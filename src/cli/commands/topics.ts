import { Argument, type Command, Option } from 'commander'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import type { Client, ClientFlags } from '../client.js'
import { type CommandDescription, EXIT_OK, type Process } from '../command.js'
import {
  castellanConfigOption,
  clientOptions,
  formatOption,
  legalTopic,
  settingOfTopic,
  topicArgument,
  wholeNumber
} from '../options.js'
import { writeTable } from '../standard-output.js'
import { deleteEach, withClient } from '../with-client.js'

const listOptions = [
  formatOption('topic'),
  new Option('--internal', "lists Kafka's internal topics, too"),
  ...clientOptions
]

export const topicsCommand: CommandDescription = {
  name: 'topics',
  summary: 'lists, creates and deletes topics of a cluster',
  options: listOptions,
  notes: 'Without a command, it is castellan topics list.',
  examples: ['castellan topics --brokers kafka-1:9092', 'castellan topics create orders'],
  runsFirst: true,
  commands: [
    {
      name: 'list',
      summary: 'lists the topics of a cluster',
      options: listOptions,
      examples: ['castellan topics list', 'castellan topics list --format json --internal'],
      run: withClient(listTopics)
    },
    {
      name: 'create',
      summary: 'creates a topic',
      arguments: [topicArgument],
      options: [
        new Option('--partitions <N>', 'default: as the brokers are set').argParser(wholeNumber(1, 2 ** 31 - 1)),
        new Option('--replicas <N>', 'default: as the brokers are set').argParser(wholeNumber(1, 2 ** 15 - 1)),
        new Option('--config <NAME=VALUE>', 'e.g. cleanup.policy=compact; repeatable').argParser(settingOfTopic),
        formatOption('topic'),
        castellanConfigOption,
        ...clientOptions.filter(({ long }) => long !== '--config')
      ],
      notes: 'Writes the topic as castellan topics list does.',
      examples: [
        'castellan topics create orders',
        'castellan topics create customers --partitions 6 --replicas 3 --config cleanup.policy=compact'
      ],
      run: withClient(createTopic)
    },
    {
      name: 'delete',
      summary: 'deletes topics with all their records, for good and without a question',
      arguments: [
        new Argument('<TOPIC...>').argParser((text, former: readonly string[] = []) => [...former, legalTopic(text)])
      ],
      options: clientOptions,
      notes: 'Writes the name of each topic once it is deleted. The exit code is 1 when one is not.',
      examples: ['castellan topics delete orders', 'castellan topics delete orders customers --brokers kafka-1:9092'],
      run: withClient(deleteTopics)
    }
  ]
}

type OutputFormat = 'table' | 'json' | undefined

interface TopicsFlags extends Omit<ClientFlags, 'config'> {
  readonly format?: OutputFormat
  readonly internal?: boolean
  readonly partitions?: number
  readonly replicas?: number
  readonly config?: ReadonlyMap<string, string>
}

async function listTopics(line: Command, { stdout }: Process, { verbs, timeoutMs }: Client): Promise<number> {
  const { format, internal = false } = line.opts<TopicsFlags>()
  const topics = await verbs.topics('all', timeoutMs)
  writeTopics(
    stdout,
    format,
    [...topics.values()].filter(({ isInternal }) => internal || !isInternal)
  )
  return EXIT_OK
}

/** Creates a topic, and lists it. */
async function createTopic(line: Command, { stdout }: Process, { verbs, timeoutMs }: Client): Promise<number> {
  const [name] = line.args as [string]
  const { format, partitions, replicas: replicationFactor, config: configs } = line.opts<TopicsFlags>()
  await verbs.admin.createTopic({ name, partitions, replicationFactor, configs }, { timeoutMs })
  writeTopics(stdout, format, (await verbs.topics([name], timeoutMs)).values())
  return EXIT_OK
}

/** Deletes one topic after the other. One that cannot be deleted does not keep the others. */
function deleteTopics(line: Command, process: Process, { verbs, timeoutMs }: Client): Promise<number> {
  return deleteEach('castellan topics delete', line.args, process, name => verbs.admin.deleteTopic(name, timeoutMs))
}

/** Writes a row for each topic, in the order of the names. */
export function writeTopics(
  stdout: NodeJS.WritableStream,
  format: OutputFormat,
  topics: Iterable<TopicMetadata>
): void {
  const sorted = [...topics].sort((a, b) => (a.topic < b.topic ? -1 : 1))
  const rows = sorted.map(toRow)
  const trouble = rows.some(({ leaderless }) => leaderless > 0) ? (['leaderless'] as const) : []
  writeTable(stdout, format, ['topic', 'partitions', 'replicas', ...trouble], rows)
}

const toRow = ({ topic, partitions }: TopicMetadata) => ({
  topic,
  partitions: partitions.length,
  replicas: partitions.reduce((most, { replicas }) => Math.max(most, replicas.length), 0),
  leaderless: partitions.filter(({ leaderId }) => leaderId < 0).length
})
