import { z } from 'zod'
import { groupLag, listGroups, queueStatus } from './group-tools.js'
import { findRecord, getSchema, listProblems } from './process-tools.js'
import { produceMessage } from './produce-tool.js'
import { readMessages } from './read-tool.js'
import type { McpSettings } from './settings.js'
import type { Tool } from './tool.js'
import { describeTopic, listTopics } from './topic-tools.js'

/** Tools that change nothing, in the order in which agents see them. */
const readers: readonly Tool[] = [
  listProblems,
  listTopics,
  describeTopic,
  readMessages,
  findRecord,
  listGroups,
  groupLag,
  queueStatus,
  getSchema
]
const writers: readonly Tool[] = [produceMessage]

/** The tools that agents may call. */
export const toolsOf = ({ write }: McpSettings): ReadonlyMap<string, Tool> =>
  new Map([...readers, ...(write ? writers : [])].map(one => [one.name, one]))

const schemaOf = (schema: z.ZodType): Record<string, unknown> => {
  const { $schema, ...rest } = z.toJSONSchema(schema, { io: 'input' })
  return rest
}

/** A tool as `tools/list` tells it. @param clusters of the configuration; where there are several, a call may name one */
export function describedTool({ name, description, input, output, writes = false }: Tool, clusters: readonly string[]) {
  return {
    name,
    description,
    inputSchema: schemaOf(withCluster(input, clusters)) as { type: 'object' },
    ...(output && { outputSchema: schemaOf(output) as { type: 'object' } }),
    annotations: writes
      ? { destructiveHint: false, openWorldHint: false }
      : { readOnlyHint: true, openWorldHint: false }
  }
}

export const withCluster = (input: z.ZodObject, clusters: readonly string[]): z.ZodObject =>
  clusters.length > 1 ? input.extend({ cluster: z.enum(clusters as [string]).default('default') }) : input
