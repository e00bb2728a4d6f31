import { Argument, type Command, InvalidArgumentError, Option } from 'commander'
import type { QueueSettings, ResetTo } from '../../verbs/verbs.js'
import type { Client, ClientFlags } from '../client.js'
import { type CommandDescription, CommandError, EXIT_OK, type Process } from '../command.js'
import { clientOptions, formatOption, topicArgument } from '../options.js'
import { writeTable } from '../standard-output.js'
import { failing, withClient } from '../with-client.js'

const queueArguments = [topicArgument, new Argument('<GROUP>')]

export const queuesCommand: CommandDescription = {
  name: 'queues',
  summary: 'lists, describes and resets queues, which are share groups of Kafka',
  options: [formatOption(), ...clientOptions],
  notes: 'Without a command, it is castellan queues list.',
  examples: ['castellan queues', 'castellan queues reset orders workers --to earliest --dry-run'],
  runsFirst: true,
  commands: [
    {
      name: 'list',
      summary: 'lists the share groups of a cluster with their topics',
      options: [formatOption(), ...clientOptions],
      notes: 'Kafka hides groups that this client may not describe, and does not say so.',
      examples: ['castellan queues list', 'castellan queues list --format json'],
      run: withClient(listQueues)
    },
    {
      name: 'describe',
      summary: 'shows state and settings of a queue, and where it stands in each partition',
      arguments: queueArguments,
      options: [formatOption(), ...clientOptions],
      notes: 'START is the first message that is not settled; - where nothing was settled yet.',
      examples: ['castellan queues describe orders workers'],
      run: withClient(describeQueue)
    },
    {
      name: 'reset',
      summary: 'moves a group without members to other offsets of a topic',
      arguments: queueArguments,
      options: [
        new Option('--to <PLACE>', 'earliest, latest, a time such as 2026-11-20T12:00:00Z, or 0=12,1=30')
          .argParser(placeOf)
          .makeOptionMandatory(),
        new Option('--dry-run', 'shows what would be moved'),
        new Option('--yes', 'needed without --dry-run: locks and delivery counts are gone'),
        formatOption(),
        ...clientOptions
      ],
      notes:
        'Kafka refuses while the group has members, except with --dry-run: gateways leave 30 s after their last acquire. Offsets must be in the log.',
      examples: [
        'castellan queues reset orders workers --to earliest --dry-run',
        'castellan queues reset orders workers --to 0=12,1=30 --yes'
      ],
      run: resetQueue
    }
  ]
}

interface QueuesFlags extends ClientFlags {
  readonly format?: 'table' | 'json'
  readonly to: ResetTo
  readonly dryRun?: boolean
  readonly yes?: boolean
}

const IS_TIME = /^\d{4}-\d\d-\d\dT.*(?:Z|[+-]\d\d:?\d\d)$/

function placeOf(text: string): ResetTo {
  if (text === 'earliest' || text === 'latest') return text
  const timestampMs = IS_TIME.test(text) ? Date.parse(text) : Number.NaN
  if (!Number.isNaN(timestampMs)) return { timestampMs }
  const pairs = text.split(',').map(pair => /^(\d{1,10})=(\d{1,15})$/.exec(pair))
  if (pairs.includes(null))
    throw new InvalidArgumentError('earliest, latest, a time such as 2026-11-20T12:00:00Z, or 0=12,1=30')
  return { offsets: new Map(pairs.map(pair => [Number(pair![1]), Number(pair![2])])) }
}

async function listQueues(line: Command, { stdout }: Process, { verbs, timeoutMs }: Client): Promise<number> {
  const { groups } = await failing(verbs.shareGroups.list({}, timeoutMs))
  const rows = groups.map(({ groupId: group, state, members, topics }) => {
    return { group, state, members: members.length, topics }
  })
  writeTable(stdout, line.opts<QueuesFlags>().format, ['group', 'state', 'members', 'topics'], rows)
  return EXIT_OK
}

async function describeQueue(line: Command, { stdout }: Process, { verbs, timeoutMs }: Client): Promise<number> {
  const [topic = '', group = ''] = line.args
  const { format } = line.opts<QueuesFlags>()
  const { state, members, partitions, settings } = await failing(verbs.queues.describe(topic, group, timeoutMs))
  if (state === 'absent') throw new CommandError(`there is no share group ${group}`)
  const rows = partitions.map(({ partition, startOffset: start, lag }) => ({ partition, start, lag }))
  if (format !== 'json') stdout.write(`${state}, members: ${members.length}${wordsOf(settings)}\n`)
  writeTable(stdout, format, ['partition', 'start', 'lag'], rows)
  return EXIT_OK
}

function wordsOf(settings: QueueSettings | undefined): string {
  if (settings === undefined) return ', settings: hidden'
  const { start, lockMs, deliveryLimit, deadLetters, isolation } = settings
  return `, start: ${start}, lockMs: ${lockMs}, deliveryLimit: ${deliveryLimit}, deadLetters: ${deadLetters ?? '-'}, isolation: ${isolation}`
}

async function resetQueue(line: Command, process: Process): Promise<number> {
  const [topic = '', group = ''] = line.args
  const { to, format, dryRun = false, yes = false } = line.opts<QueuesFlags>()
  if (!dryRun && !yes)
    throw new CommandError(`${group}: locks and delivery counts would be gone; add --yes, or look with --dry-run`)
  const run = withClient(async (_, { stdout }, { verbs, timeoutMs }) => {
    const moved = await failing(verbs.shareGroups.reset(topic, group, to, dryRun, timeoutMs))
    writeTable(stdout, format, ['partition', 'from', 'to'], moved)
    return EXIT_OK
  })
  return run(line, process)
}
