import { Argument, type Command, Option } from 'commander'
import { type CommandDescription, CommandError, type Process, UsageError } from '../command.js'
import { notEmpty } from '../options.js'
import { writeTable } from '../standard-output.js'
import { group, type PixyClient, type PixyFlags, pixyOptions, table, topic, withPixyClient } from './pixy-client.js'

export const pixyGroupsCommand: CommandDescription = {
  name: 'groups',
  summary: 'lists the groups that read a topic, and their members',
  arguments: [topic, new Argument('[GROUP]')],
  options: [table, ...pixyOptions],
  examples: ['castellan pixy groups orders', 'castellan pixy groups orders billing --format json'],
  run: groups
}

interface GroupsFlags extends PixyFlags {
  readonly format?: 'table' | 'json'
}

/** Writes which clients read a topic, and for which groups. */
function groups(line: Command, process: Process): Promise<number> {
  const [topic, group] = line.args as [string, string | undefined]
  const { format } = line.opts<GroupsFlags>()
  return withPixyClient(line, async client => {
    const found = await client.demand(topic, 'consumers', { query: { group } })
    writeTable(process.stdout, format, ['group', 'client', 'partitions'], toClientRows(found))
  })
}

/** Turns `{"billing": {"pixy-1": [0, 1]}}` into one row per client. */
function toClientRows(found: unknown): { group: string; client: string; partitions: readonly number[] }[] {
  if (typeof found !== 'object' || found === null) {
    throw new CommandError('the answer of the server is not a list of consumers')
  }
  return Object.entries(found as Record<string, Record<string, number[]>>).flatMap(([group, clients]) =>
    Object.entries(clients).map(([client, partitions]) => ({ group, client, partitions }))
  )
}

export const offsetsCommand: CommandDescription = {
  name: 'offsets',
  summary: 'shows or sets the offsets of a group in a topic',
  arguments: [topic, group],
  options: [
    new Option('--set <PARTITION=OFFSET,…>', 'sets these offsets first; -1 is the end, -2 the oldest record').argParser(
      notEmpty
    ),
    table,
    ...pixyOptions
  ],
  notes:
    'Stop the consumers of the group before its offsets are set: Castellan refuses while other processes read for the group, and members of Kafka-Pixy overwrite what was set.',
  examples: ['castellan pixy offsets orders billing', 'castellan pixy offsets orders billing --set 0=120,1=-2'],
  run: offsets
}

interface OffsetsFlags extends PixyFlags {
  readonly set?: string
  readonly format?: 'table' | 'json'
}

interface PartitionOffset {
  readonly partition: number
  readonly begin: number
  readonly end: number
  readonly count: number
  readonly offset: number
  readonly lag: number
  readonly metadata?: string
  readonly sparse_acks?: string
}

/** Sets the offsets that `--set` names, if any, and writes the group's offsets. */
async function offsets(line: Command, process: Process): Promise<number> {
  const [topic, group] = line.args as [string, string]
  const { set, format } = line.opts<OffsetsFlags>()
  const wanted = set === undefined ? undefined : toOffsets(set)
  return withPixyClient(line, async client => {
    if (wanted !== undefined) await setOffsets(client, topic, group, wanted)
    const rows = await client.demand(topic, 'offsets', { query: { group } })
    if (!Array.isArray(rows)) throw new CommandError('the answer of the server is not a list of offsets')
    writeTable(process.stdout, format, offsetColumns, (rows as PartitionOffset[]).map(toOffsetRow))
  })
}

const offsetColumns = ['partition', 'begin', 'end', 'count', 'offset', 'lag', 'sparseAcks'] as const

const toOffsetRow = ({ sparse_acks: sparseAcks = '', metadata = '', ...numbers }: PartitionOffset) => ({
  ...numbers,
  sparseAcks,
  metadata
})

function setOffsets(client: PixyClient, topic: string, group: string, offsets: readonly object[]): Promise<unknown> {
  const headers = { 'content-type': 'application/json' }
  const body = Buffer.from(JSON.stringify(offsets))
  return client.demand(topic, 'offsets', { method: 'POST', query: { group }, headers, body })
}

/** `0=120,1=-2` => partition 0 at 120, partition 1 at the oldest record. */
function toOffsets(text: string): readonly object[] {
  if (!/^\d{1,9}=(-[12]|\d{1,15})(,\d{1,9}=(-[12]|\d{1,15}))*$/.test(text)) {
    throw new UsageError(
      `--set takes PARTITION=OFFSET,… with -1 for the end and -2 for the oldest record, not "${text}"`
    )
  }
  return text.split(',').map(pair => {
    const [partition, offset] = pair.split('=')
    return { partition: Number(partition), offset: Number(offset) }
  })
}
