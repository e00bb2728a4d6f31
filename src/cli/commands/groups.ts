import { Argument, type Command, Option } from 'commander'
import { performanceClock } from '../../core/clocks.js'
import { CastellanError } from '../../core/errors.js'
import type { TopicLag } from '../../verbs/lag.js'
import type { ShareGroupDescription } from '../../verbs/share-groups.js'
import type { GroupDescription } from '../../verbs/verbs.js'
import type { Client, ClientFlags } from '../client.js'
import { type CommandDescription, CommandError, EXIT_FAILURE, EXIT_OK, type Process } from '../command.js'
import { clientOptions, formatOption } from '../options.js'
import { type RowColumn, writeTable } from '../standard-output.js'
import { deleteEach, failing, withClient } from '../with-client.js'

const listOptions = [
  new Option('--lag', 'the lag in each topic, with GROUP in each partition'),
  formatOption(),
  ...clientOptions
]
const listArguments = [new Argument('[GROUP]')]

export const groupsCommand: CommandDescription = {
  name: 'groups',
  summary: 'lists the consumer groups and share groups of a cluster, and their lag, and deletes them',
  arguments: listArguments,
  options: listOptions,
  notes: 'Without a command, it is castellan groups list.',
  examples: ['castellan groups', 'castellan groups --lag', 'castellan groups --lag billing --format json'],
  runsFirst: true,
  commands: [
    {
      name: 'list',
      summary: 'lists the consumer groups and share groups of a cluster, and their lag',
      arguments: listArguments,
      options: listOptions,
      notes:
        'Without --lag, GROUP lists the members of the group; those of a share group may have the same partitions. The lag of a share group is what is not settled, and COMMITTED where that begins. A partition without a committed offset has no lag. A group whose lag cannot be read has its reason in the column TROUBLE, and the exit code is 1.',
      examples: ['castellan groups list', 'castellan groups list --lag billing'],
      run: withClient(groups)
    },
    {
      name: 'delete',
      summary: 'deletes groups that have no members, with their committed offsets, for good',
      arguments: [new Argument('<GROUP...>')],
      options: [new Option('--yes', 'needed: what the groups have read is forgotten'), ...clientOptions],
      notes:
        "Stop the consumers of a group first: Kafka refuses while it has members. A gateway leaves a group of Kafka-Pixy's API 15 s (`consumer.subscriptionTimeoutMs`) after the last request, once its messages are acknowledged (else after up to `consumer.ackTimeoutMs`, 5 min); instances of Confluent's and Strimzi's APIs are deleted, or go after their idle time. A group that begins again starts where its clients say, at the end as a rule. Of a share group all state goes. Writes the name of each deleted group. The exit code is 1 when one is not deleted.",
      examples: ['castellan groups delete billing --yes'],
      run: deleteGroups
    }
  ]
}

interface GroupsFlags extends ClientFlags {
  readonly lag?: boolean
  readonly format?: 'table' | 'json'
  readonly yes?: boolean
}

async function deleteGroups(line: Command, process: Process): Promise<number> {
  if (line.opts<GroupsFlags>().yes !== true)
    throw new CommandError(`${line.args.join(', ')}: the committed offsets would be gone for good; add --yes`)
  const run = withClient((_, process, { verbs, timeoutMs }) =>
    deleteEach('castellan groups delete', line.args, process, group => verbs.admin.deleteGroup(group, timeoutMs))
  )
  return run(line, process)
}

async function groups(line: Command, { stdout }: Process, client: Client): Promise<number> {
  const [group] = line.args as [string | undefined]
  const { lag = false, format } = line.opts<GroupsFlags>()
  const write = <Row extends object>(columns: readonly RowColumn<Row>[], rows: readonly Row[]): void =>
    writeTable(stdout, format, columns, rows)
  if (!lag) return await listGroups(client, group, write)
  return group === undefined ? await listLags(client, write) : await listLag(client, group, write)
}

type AnyGroupDescription = GroupDescription | (ShareGroupDescription & { readonly type: 'share' })

type Write = <Row extends object>(columns: readonly RowColumn<Row>[], rows: readonly Row[]) => void

async function listGroups(client: Client, group: string | undefined, write: Write): Promise<number> {
  const described = await describe(client, group === undefined ? 'all' : [group])
  if (group === undefined) {
    write(['group', 'type', 'state', 'members', 'coordinator'], described.map(toGroupRow))
    return EXIT_OK
  }
  const [found] = described
  if (found === undefined) throw new CommandError(`there is no group ${group}`)
  write(['member', 'client', 'host', 'partitions'], toMemberRows(found))
  return EXIT_OK
}

const toGroupRow = ({ groupId: group, type, state, members, coordinatorId: coordinator }: AnyGroupDescription) => ({
  group,
  type,
  state,
  members: members.length,
  coordinator
})

const toMemberRows = ({ members }: AnyGroupDescription) =>
  members.map(({ memberId: member, clientId: client, clientHost: host, partitions }) => ({
    member,
    client,
    host,
    partitions: [...partitions].map(([topic, numbers]) => `${topic}/${numbers.join(',')}`).join(' ')
  }))

/** Groups in the order of their names. A group that does not exist is absent. */
async function describe(client: Client, names: readonly string[] | 'all'): Promise<AnyGroupDescription[]> {
  const { GroupReaders } = await import('../../verbs/group-readers.js')
  const { router, timeoutMs } = client
  const readers = new GroupReaders({ router, log: client.log, timeoutMs, clock: performanceClock }, {})
  const found: AnyGroupDescription[] = [...(await failing(readers.describe(names))).values()]
  // The name of a group is that of one kind.
  if (names === 'all' || found.length === 0)
    for (const group of (await failing(readers.describeShareGroups(names))).values())
      found.push({ ...group, type: 'share' })
  return found.sort((one, other) => (one.groupId < other.groupId ? -1 : 1))
}

interface LagOfTopic {
  readonly group: string
  readonly topic: string | null
  readonly partitions: number
  readonly uncommitted: number
  readonly lag: number | null
  readonly trouble: string
}

/** One row per group and topic. A group that cannot be read does not end the list. */
async function listLags(client: Client, write: Write): Promise<number> {
  const { readLag, readShareLag, sumOf } = await import('../../verbs/lag.js')
  const rows: LagOfTopic[] = []
  let hasFailed = false
  for (const { groupId: group, type } of await describe(client, 'all')) {
    const none = { group, topic: null, partitions: 0, uncommitted: 0, lag: null }
    try {
      const read = type === 'share' ? readShareLag : readLag
      const lags = await read(client.router, group, client.timeoutMs)
      if (lags.length === 0) rows.push({ ...none, trouble: NOTHING })
      for (const lag of lags) {
        const sum = sumOf(lag)
        rows.push({ group, topic: lag.topic, ...sum, lag: sum.lag ?? null, trouble: lag.trouble ?? '' })
      }
    } catch (error) {
      if (!(error instanceof CastellanError)) throw error
      hasFailed = true
      rows.push({ ...none, trouble: error.message })
    }
  }
  write(['group', 'topic', 'partitions', 'uncommitted', 'lag', 'trouble'], rows)
  return hasFailed ? EXIT_FAILURE : EXIT_OK
}

const NOTHING = 'the group has committed no offset'

/** One row per partition of the topics in which the group has committed offsets. */
async function listLag(client: Client, group: string, write: Write): Promise<number> {
  const { readLag, readShareLag } = await import('../../verbs/lag.js')
  const committed = await failing(readLag(client.router, group, client.timeoutMs))
  const lags = committed.length > 0 ? committed : await failing(readShareLag(client.router, group, client.timeoutMs))
  if (lags.length === 0) throw new CommandError(`group ${group} has committed no offset, or does not exist`)
  write(['topic', 'partition', 'committed', 'end', 'lag', 'trouble'], lags.flatMap(toPartitionRows))
  return EXIT_OK
}

interface LagOfPartition {
  readonly topic: string
  readonly partition: number | null
  readonly committed: number | null
  readonly end: number | null
  readonly lag: number | null
  readonly trouble: string
}

const toPartitionRows = ({ topic, partitions, trouble = '' }: TopicLag): LagOfPartition[] => {
  if (partitions.length === 0) return [{ topic, partition: null, committed: null, end: null, lag: null, trouble }]
  return partitions.map(({ partition, committed = null, end = null, lag = null }) => {
    const isInTrouble = lag === null && committed !== null
    return { topic, partition, committed, end, lag, trouble: isInTrouble ? trouble : '' }
  })
}
