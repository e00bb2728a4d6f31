import { z } from 'zod'
import { count, milliseconds, nonEmpty, yesOrNo } from '../../core/settings/units.js'
import { commonSettings, durability, syncTimeoutMs, whenFull } from '../../http/api/api.js'

/** kafboy refuses bodies that are larger than about this. */
const BODY_BYTES = 64_000

/** Describes the problem of a template; `undefined`: it has none. */
export function templateProblem(template: string): string | undefined {
  if (!template.startsWith('/')) return 'begin it with /'
  if (!template.split(/[/[\]]/).includes(':topic')) return 'name the topic in it, as in /events/:topic'
  const depth = [...template].reduce((open, letter) => open + (letter === '[' ? 1 : letter === ']' ? -1 : 0), 0)
  return depth === 0 ? undefined : 'close every bracket'
}

/** A template in cowboy's syntax; problems are reported in words. */
const routeTemplate = z.string().superRefine((template, context) => {
  const problem = templateProblem(template)
  if (problem !== undefined) context.addIssue({ code: 'custom', message: problem })
})

const PARTITION_STRATEGIES = [
  'random',
  'sticky_round_robin',
  'ordered_round_robin',
  'strict_round_robin',
  'custom'
] as const

/** Settings that ekaf lets each topic override. */
const topicOptions = {
  maxBufferRecords: count
    .default(100)
    .describe(
      'Records of a batch route that the hook `massageBuffer` gets together at most (`ekaf_max_buffer_size`); without this hook batches are those of delivery'
    )
    .meta({ advanced: true }),
  bufferTtlMs: milliseconds
    .default(5_000)
    .describe(
      'How long a record of a batch route waits for others before the hook `massageBuffer` is called (`ekaf_buffer_ttl`)'
    )
    .meta({ advanced: true }),
  partitionStrategy: z
    .enum(PARTITION_STRATEGIES)
    .default('random')
    .describe(
      'Which partition a record goes to (`ekaf_partition_strategy`). `ordered_round_robin` is another name of `sticky_round_robin`; `custom` asks the hook `pickPartition`, or without one hashes the key as kafboy does'
    ),
  stickyPartitionRecords: count
    .default(1_000)
    .describe(
      'Records after which `sticky_round_robin` changes the partition, at most once a second (`ekaf_sticky_partition_buffer_size`)'
    )
    .meta({ advanced: true })
}

/** Settings of one topic. They have no defaults: if one is absent, the setting for all topics applies. */
const oneTopic = z.strictObject({
  topic: z.string().describe('The topic'),
  maxBufferRecords: topicOptions.maxBufferRecords.unwrap().optional().describe('As above'),
  bufferTtlMs: topicOptions.bufferTtlMs.unwrap().optional().describe('As above'),
  partitionStrategy: topicOptions.partitionStrategy.unwrap().optional().describe('As above'),
  stickyPartitionRecords: topicOptions.stickyPartitionRecords.unwrap().optional().describe('As above')
})

/**
 * The settings of kafboy's API and ekaf's producer. Their limits apply in addition to those in `http` and `delivery`.
 */
export const kafboySettings = z
  .strictObject({
    ...commonSettings(BODY_BYTES),
    durability: durability('memory'),
    payload: z
      .enum(['json', 'fields'])
      .default('json')
      .describe(
        'What a form becomes without a hook: `json` one record, a JSON object of its fields; `fields` a record for each field, with its name as the key, as kafboy does'
      ),
    failureStatus: z
      .enum(['honest', 'original'])
      .default('honest')
      .describe(
        'Status of a synchronous request that failed: `honest` 502, 503 or 504; `original` 200, as kafboy does'
      ),
    whenFull,
    syncUrl: routeTemplate
      .default('/sync/:topic/')
      .describe('Path of synchronous requests (`kafboy_sync_url`)')
      .meta({ advanced: true }),
    asyncUrl: routeTemplate
      .default('/async/:topic/')
      .describe('Path of asynchronous requests (`kafboy_async_url`)')
      .meta({ advanced: true }),
    routesSync: z
      .array(routeTemplate)
      .default([])
      .describe('More paths of synchronous requests, as cowboy writes them: `/1/foo/:topic`, `[/optional]`, `[...]`')
      .meta({ advanced: true }),
    routesAsync: z
      .array(routeTemplate)
      .default([])
      .describe('More paths of asynchronous requests')
      .meta({ advanced: true }),
    routesAsyncBatch: z
      .array(routeTemplate)
      .default([])
      .describe('More paths of asynchronous requests that are batched')
      .meta({ advanced: true }),
    safeRoutes: yesOrNo(false)
      .describe('Serves the paths of kafboy before 0.6.0, too: `/safe/sync/:topic` and so on')
      .meta({ advanced: true }),
    callbackEditJson: nonEmpty
      .optional()
      .describe(
        'A module whose default export is `defineKafboyHooks({ … })`, imported into this process; a path, relative to the working directory. Absent: no hooks'
      ),
    callbackTimeoutMs: milliseconds
      .default(5_000)
      .describe('How long a hook may take to decide about a request; after it the answer is 504')
      .meta({ advanced: true }),
    syncTimeoutMs: syncTimeoutMs(5_000),
    ...topicOptions,
    topics: z
      .array(oneTopic)
      .default([])
      .describe('What single topics have for themselves; the last one of a topic counts')
  })
  .prefault({})
  .describe('The API of kafboy and the producer ekaf, under `/kafboy`')

export type KafboySettings = z.output<typeof kafboySettings>
