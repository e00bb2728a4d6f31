import type { Command } from 'commander'
import { EXIT_OK, type Process } from '../command.js'
import { writeTable } from '../table.js'
import { CommandError } from '../usage-error.js'
import { PixyClient, type PixyFlags } from './pixy-client.js'

interface GroupsFlags extends PixyFlags {
  readonly format?: 'table' | 'json'
}

/** Writes who reads a topic, on behalf of which groups. */
export async function groups(line: Command, process: Process): Promise<number> {
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

/** `{"billing": {"pixy-1": [0, 1]}}` => one row a client */
function toRows(found: unknown): { group: string; client: string; partitions: readonly number[] }[] {
  if (typeof found !== 'object' || found === null) {
    throw new CommandError('the server has answered with something that is no list of consumers')
  }
  return Object.entries(found as Record<string, Record<string, number[]>>).flatMap(([group, clients]) =>
    Object.entries(clients).map(([client, partitions]) => ({ group, client, partitions }))
  )
}
