import { Argument, type Command } from 'commander'
import { type CommandDescription, EXIT_OK, type Process } from '../command.js'
import { writeTable } from '../table.js'
import { CommandError } from '../usage-error.js'
import { PixyClient, type PixyFlags, pixyOptions, table, topic } from './pixy-client.js'

/** `castellan pixy groups` */
export const groupsCommand: CommandDescription = {
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
async function groups(line: Command, process: Process): Promise<number> {
  const [topic, group] = line.args as [string, string | undefined]
  const client = new PixyClient(line)
  try {
    const found = await client.demand(topic, 'consumers', { query: { group } })
    const { format } = line.opts<GroupsFlags>()
    writeTable(process.stdout, format, ['group', 'client', 'partitions'], toRows(found))
    return EXIT_OK
  } finally {
    client.close()
  }
}

/** Turns `{"billing": {"pixy-1": [0, 1]}}` into one row per client. */
function toRows(found: unknown): { group: string; client: string; partitions: readonly number[] }[] {
  if (typeof found !== 'object' || found === null) {
    throw new CommandError('the answer of the server is not a list of consumers')
  }
  return Object.entries(found as Record<string, Record<string, number[]>>).flatMap(([group, clients]) =>
    Object.entries(clients).map(([client, partitions]) => ({ group, client, partitions }))
  )
}
