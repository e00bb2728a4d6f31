import { z } from 'zod'
import { bytes, count, milliseconds } from '../../core/settings/units.js'
import { asyncDurability, commonSettings } from '../../http/api/common-settings.js'
import { templateProblem } from './routes.js'

const KIB = 1024
const MIB = 1024 * KIB
const DEFAULT_BODY_BYTES = 64_000

/** A template in cowboy's syntax; what is wrong with it is said in words. */
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

/** How a record without a partition finds one, by ekaf's names. */
export type PartitionStrategy = (typeof PARTITION_STRATEGIES)[number]

/** What ekaf lets a topic have for itself; where a topic has nothing, these apply. */
const topicOptions = {
  maxBufferRecords: count
    .default(100)
    .describe('Records of a batch route that are produced together at the latest (`ekaf_max_buffer_size`)'),
  bufferTtlMs: milliseconds
    .default(5_000)
    .describe('How long a record of a batch route waits for others at most (`ekaf_buffer_ttl`)'),
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
    ),
  maxDowntimeRecords: count
    .optional()
    .describe(
      'Records of a topic that wait while no broker can be reached (`ekaf_max_downtime_buffer_size`); absent: as many as `delivery.maxBytes` holds'
    )
}

/** The same for one topic: without defaults, since what is absent is that of all topics. */
const oneTopic = z.strictObject({
  topic: z.string().describe('The topic'),
  maxBufferRecords: topicOptions.maxBufferRecords.unwrap().optional().describe('As above'),
  bufferTtlMs: topicOptions.bufferTtlMs.unwrap().optional().describe('As above'),
  partitionStrategy: topicOptions.partitionStrategy.unwrap().optional().describe('As above'),
  stickyPartitionRecords: topicOptions.stickyPartitionRecords.unwrap().optional().describe('As above'),
  maxDowntimeRecords: topicOptions.maxDowntimeRecords.describe('As above')
})

/** kafboy's API and ekaf's producer: what is their own. Their limits come on top of those in `http` and `delivery`. */
export const kafboySettings = z
  .strictObject({
    ...commonSettings({ prefix: '/kafboy', portNote: ', as kafboy had 8000', maxBodyBytes: DEFAULT_BODY_BYTES }),
    maxBodyBytes: bytes
      .default(DEFAULT_BODY_BYTES)
      .describe(
        'One request body; more is answered 400 `{"error":"no_body"}`, as kafboy does beyond about 64,000 bytes'
      ),
    durability: asyncDurability('records of asynchronous and batch routes'),
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
        'Status of a synchronous request that failed: `honest` 502, 503 or 504; `original` 200, as kafboy does. The body names the failure either way'
      ),
    whenFull: z
      .enum(['refuse', 'drop'])
      .default('refuse')
      .describe(
        'What an asynchronous request gets that finds no room: `refuse` says so (503), `drop` answers `{"ok":1}` and loses it, as kafboy does'
      ),
    syncUrl: routeTemplate.default('/sync/:topic/').describe('Path of synchronous requests (`kafboy_sync_url`)'),
    asyncUrl: routeTemplate.default('/async/:topic/').describe('Path of asynchronous requests (`kafboy_async_url`)'),
    routesSync: z
      .array(routeTemplate)
      .default([])
      .describe('More paths of synchronous requests, as cowboy writes them: `/1/foo/:topic`, `[/optional]`, `[...]`'),
    routesAsync: z.array(routeTemplate).default([]).describe('More paths of asynchronous requests'),
    routesAsyncBatch: z
      .array(routeTemplate)
      .default([])
      .describe('More paths of asynchronous requests that are batched'),
    safeRoutes: z
      .boolean()
      .default(false)
      .describe('Serves the paths of kafboy before 0.6.0, too: `/safe/sync/:topic` and so on'),
    callbackEditJson: z
      .string()
      .min(1)
      .optional()
      .describe(
        'A module whose default export is `defineKafboyHooks({ … })`; a path, relative to the working directory. Absent: no hooks'
      ),
    callbackTimeoutMs: milliseconds
      .default(5_000)
      .describe('How long a hook may take to decide about a request; after it the answer is 504'),
    callbackMaxRequests: count.default(10_000).describe('Requests that wait for a hook; those beyond are answered 503'),
    callbackMaxBytes: bytes.default(16 * MIB).describe('What one decision of a hook may hold; more is answered 500'),
    syncTimeoutMs: milliseconds
      .default(5_000)
      .describe('A synchronous request is answered within this; what has not been delivered then has failed'),
    asyncTimeoutMs: milliseconds
      .default(120_000)
      .describe('How long a record of an asynchronous request waits for Kafka before it is given up and counted'),
    ...topicOptions,
    maxBufferBytes: bytes
      .default(16 * MIB)
      .describe(
        'Bytes of all records of batch routes that wait for others, or for room; a topic whose batch has 1 MiB does not wait for others'
      ),
    topics: z
      .array(oneTopic)
      .default([])
      .describe('What single topics have for themselves; the last one of a topic counts'),
    bootstrapTopics: z
      .array(z.string())
      .default([])
      .describe(
        'Topics that are looked up at start (`ekaf_bootstrap_topics`), so that their first record is not held up'
      ),
    perPartitionWorkers: count
      .optional()
      .describe(
        'Accepted and without effect (`ekaf_per_partition_workers`): one connection to a broker carries all partitions'
      ),
    perPartitionWorkersMax: count.optional().describe('Accepted and without effect (`ekaf_per_partition_workers_max`)'),
    retries: count
      .optional()
      .describe('Accepted and without effect: records are tried until their time is over, not a number of times'),
    loadBalancer: z
      .string()
      .optional()
      .describe(
        'A URL that is asked once at start, as kafboy asks for a node to join (`kafboy_load_balancer`). The answer is logged; nothing is forwarded'
      ),
    loadBalancerHosts: z
      .array(z.string().min(1))
      .default([])
      .describe('Hosts that the load balancer may have; a loopback address need not be named'),
    loadBalancerNodes: z
      .array(z.string().min(1))
      .default([])
      .describe('Nodes that the load balancer may name; an answer that is not among them is logged as unexpected'),
    master: z.boolean().default(false).describe('The load balancer is not asked (`kafboy_master`)')
  })
  .prefault({})
  .describe('The API of kafboy and the producer ekaf, under `/kafboy`')

export type KafboySettings = z.output<typeof kafboySettings>
