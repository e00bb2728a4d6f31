import { z } from 'zod'
import { MAX_PARSED_BYTES } from '../../core/json/parsed-json.js'
import { nonEmpty } from '../../core/settings/units.js'
import { commonSettings } from '../../http/api/api.js'

const shown = z.strictObject({
  topics: z.array(nonEmpty).min(1).describe('Patterns of topics; `*` stands for any characters'),
  show: z
    .enum(['full', 'keys', 'none'])
    .describe('`full`: all of a record; `keys`: no value and no header; `none`: its place, time and sizes only')
})

export const mcpSettings = z
  .strictObject({
    ...commonSettings(MAX_PARSED_BYTES),
    enabled: z
      .boolean()
      .default(false)
      .describe('Serves this API. With the embedded broker it is on, unless this is set'),
    write: z.boolean().default(false).describe('Agents may write records, by the tool `produce_message`'),
    url: z
      .url({ protocol: /^https?$/ })
      .optional()
      .describe(
        'The URL by which clients reach `/mcp`. With issuers of tokens it is served as protected resource metadata (RFC 9728). Absent: none is'
      ),
    values: z
      .array(shown)
      .default([])
      .describe('What of records agents get: the first entry that fits the topic counts, else `full`')
  })
  .prefault({})
  .describe('Tools for agents, by the Model Context Protocol, under `/mcp`')

export type McpSettings = z.output<typeof mcpSettings>
