import { z } from 'zod'

/** The number of the format. A field may be added without a new number; none is removed or changes its meaning. */
export const STATUS_VERSION = 1

/** Rows of each kind that are listed at most, the worst first. The rest is counted. */
export const MAX_ROWS = 50

const count = z.int().nonnegative()
const milliseconds = z.number().nonnegative()
const bytes = z.number().nonnegative()

const refusal = z.object({ code: z.string(), message: z.string() })

const trouble = z
  .object({
    severity: z
      .enum(['bad', 'warning'])
      .describe('`bad`: requests fail or records do not flow; `warning`: soon, or in part'),
    kind: z.string().describe('The kind of trouble, as `noLeader`; docs/status.md lists all'),
    subject: z.string().describe('What is in trouble: `topic orders`, `broker 3`'),
    cause: z.string(),
    next: z.string().describe('What to do next'),
    see: z.string().describe('The setting or the page of the documentation that belongs to it')
  })
  .describe('One trouble, with its cause and the next step')

const broker = z.object({
  nodeId: z.int(),
  address: z.string(),
  state: z.enum(['up', 'down', 'gone']).describe('`gone`: Kafka has not named it since, but did within the last hour'),
  forMs: milliseconds.describe('How long it has been down or gone'),
  lastError: z.string().optional()
})

const cluster = z.object({
  name: z.string(),
  isReady: z.boolean().describe('A broker answers'),
  away: z.string().optional().describe('Why no broker answers'),
  brokers: z.array(broker)
})

const partition = z.object({
  partition: z.int(),
  state: z.string(),
  attempts: count.describe('How often its oldest batch was tried'),
  error: z.string().optional().describe("Kafka's name of the error, or `noLeader`, `brokerUnreachable`, `unanswered`"),
  message: z.string().optional(),
  leader: z.int().optional().describe('The broker that leads it, as far as known; -1: none does')
})

const waiting = z.object({
  records: count,
  bytes,
  oldestAgeMs: milliseconds
})

const topic = z.object({
  cluster: z.string(),
  topic: z.string(),
  state: z.enum(['idle', 'flowing', 'stuck', 'lookingUp', 'missing', 'refused']),
  memory: waiting.describe('Records in memory'),
  log: z
    .object({ records: count, bytesInMemory: bytes })
    .optional()
    .describe('Records of the durable log, and the part of them that was read into memory'),
  partitions: count,
  troubledPartitions: count,
  troubled: z.array(partition).describe('Some of the troubled partitions'),
  refusal: refusal.optional().describe('The last refusal by brokers, where it still counts')
})

const durableLog = z.object({
  state: z.enum(['unused', 'ok', 'full', 'failed', 'closed']),
  why: z.string().optional(),
  limitBytes: bytes,
  sizeBytes: bytes,
  records: count,
  oldestAgeMs: milliseconds,
  deadLetters: count,
  damagedRecords: count,
  quarantinedSegments: count,
  setAsideRecords: count.describe('Records in files that the disk cannot read'),
  damagedFiles: count.describe('Damaged files of receipts and keys of requests')
})

const group = z.object({
  cluster: z.string(),
  group: z.string(),
  topics: z.array(z.string()),
  partitions: count,
  waiting: count.describe('Requests that wait for messages'),
  pending: count.describe('Messages that are offered and not acknowledged'),
  refusal: z.object({ topic: z.string().optional(), message: z.string() }).optional()
})

const lagOfGroup = z.object({
  cluster: z.string(),
  group: z.string(),
  topic: z.string().optional().describe('Absent: the row is about the group as a whole'),
  lag: count.optional().describe('Records after the committed offsets of all partitions; absent: it is not known'),
  uncommitted: count.describe('Partitions without a committed offset, whose records do not count'),
  asOf: z.iso.datetime().optional().describe('When Kafka answered; absent: it has not yet'),
  problem: z.string().optional().describe('Why the lag is not known, or is that of an earlier time'),
  failure: z
    .enum(['refused', 'tooLarge', 'noAnswer'])
    .optional()
    .describe('Why the last question had no answer: `lag` and `asOf` are those of an earlier one')
})

const worker = z.object({
  number: z.int(),
  isUp: z.boolean(),
  restarts: count,
  lastEnd: z.object({ how: z.string(), agoMs: milliseconds }).optional().describe('How it ended last'),
  eventLoopDelayMs: milliseconds.optional().describe('Absent: it is not watched, because no requests come'),
  maxEventLoopDelayMs: milliseconds.optional().describe('`advanced.http.maxEventLoopDelayMs`; 0: no limit'),
  eventLoopUse: z
    .number()
    .optional()
    .describe('Share of the time since the last look in which the event loop was busy'),
  refusedShare: z.number().optional().describe('Share of requests that is refused because the event loop is late'),
  heapShare: z.number().optional(),
  maxHeapShare: z.number().optional(),
  isHeapFull: z.boolean().optional()
})

const certificate = z.object({
  of: z.string().describe('The section of the settings: `http.tls`'),
  subject: z.string(),
  validTo: z.iso.datetime(),
  remainingMs: z.number().describe('Negative: it has ended')
})

const refused = z.object({
  reason: z.string().describe('A code of docs/errors.md'),
  setting: z.string().optional().describe('The setting that the error names'),
  what: z
    .enum(['requests', 'records'])
    .describe('What `count` counts: requests that were refused before their bodies were used, or single records'),
  count,
  perSecond: z.number().describe('As of the last seconds'),
  lastAgoMs: milliseconds,
  message: z.string()
})

const failure = z
  .object({
    api: z.string(),
    status: z.int(),
    reason: z.string().describe('A code of docs/errors.md; `unknown`: the API has noted none'),
    count,
    perSecond: z.number().describe('As of the last seconds'),
    lastAgoMs: milliseconds
  })
  .describe('Requests that were answered 5xx')

const loss = z
  .object({
    cluster: z.string(),
    api: z.string().describe('The API that had accepted the records'),
    topic: z.string().optional().describe('Absent: several topics'),
    reason: z.string().describe('A code of docs/errors.md'),
    message: z.string(),
    records: count,
    perSecond: z.number().describe('As of the last seconds'),
    firstAgoMs: milliseconds,
    lastAgoMs: milliseconds
  })
  .describe('Accepted records that are lost')

const sum = z.object({ count, seconds: z.number() }).describe('Since the start, so that readers take differences')

const logLine = z.object({
  level: z.enum(['warn', 'error']),
  message: z.string(),
  count,
  lastAgoMs: milliseconds,
  topic: z.string().optional(),
  group: z.string().optional(),
  worker: z.int().optional()
})

const rowsOf = <Row extends z.ZodType>(row: Row) =>
  z.object({ total: count.describe('Of which rows are the worst'), rows: z.array(row) })

/** What `GET /status.json` of the management port answers. */
export const statusSchema = z.object({
  version: z.literal(STATUS_VERSION),
  at: z.iso.datetime(),
  gateway: z.object({
    version: z.string(),
    broker: z.enum(['embedded', 'kafka']),
    uptimeSeconds: z.number(),
    isReady: z.boolean(),
    reasons: z.array(z.string()),
    warnings: z.array(z.string()),
    silentWorkers: z.array(z.int()).describe('Workers that did not answer in time: their numbers are missing below')
  }),
  trouble: z.array(trouble).describe('Worst first; empty: all is well'),
  workers: z.array(worker),
  clusters: z.array(cluster),
  memory: z.object({
    records: count,
    bytes,
    limitBytes: bytes.describe('`delivery.maxBytes` of all workers and clusters'),
    stuckBytes: bytes,
    oldestAgeMs: milliseconds,
    timeoutMs: milliseconds.describe('`delivery.timeoutMs`: how long records in memory wait for Kafka at most'),
    delivered: count,
    failed: count,
    lost: count.describe('Accepted records that are lost')
  }),
  log: durableLog,
  topics: rowsOf(topic).describe('Topics where records wait or do not flow'),
  groups: rowsOf(group),
  lag: rowsOf(lagOfGroup).optional().describe('Absent: Kafka is not asked for the lag of groups'),
  certificates: z.array(certificate),
  requests: z.object({
    total: count,
    failed: count.describe('Answered 5xx'),
    refused: count.describe('Answered 401, 403, 413, 429 or 503'),
    inFlight: count,
    connections: count
  }),
  way: z
    .object({ request: sum, body: sum, admission: sum, capacity: sum, partition: sum, router: sum, broker: sum })
    .describe('Where the time of a record goes'),
  refusals: z.array(refused),
  failures: z.array(failure).describe('The latest first'),
  losses: z.array(loss).describe('The latest first'),
  lines: z.array(logLine).describe('The last warnings and errors of the log, the newest first')
})

export type Status = z.output<typeof statusSchema>
export type Trouble = z.output<typeof trouble>
export type TopicRow = z.output<typeof topic>
export type PartitionRow = z.output<typeof partition>
export type GroupRow = z.output<typeof group>
export type LagRow = z.output<typeof lagOfGroup>
export type WorkerRow = z.output<typeof worker>
export type ClusterRow = z.output<typeof cluster>
export type CertificateRow = z.output<typeof certificate>
export type RefusalRow = z.output<typeof refused>
export type FailureRow = z.output<typeof failure>
export type LossRow = z.output<typeof loss>
export type LineRow = z.output<typeof logLine>

/** The status of one process. Several become one by {@link mergeParts}. */
export type StatusPart = Omit<Status, 'version' | 'at' | 'gateway' | 'trouble'>

const none = { total: 0, rows: [] }
const never = { count: 0, seconds: 0 }
const noRecords = { records: 0, limitBytes: 0, oldestAgeMs: 0 }

/** The status of a process that has nothing. */
export const NOTHING: StatusPart = {
  workers: [],
  clusters: [],
  memory: { ...noRecords, bytes: 0, stuckBytes: 0, timeoutMs: 0, delivered: 0, failed: 0, lost: 0 },
  log: {
    state: 'unused',
    ...noRecords,
    sizeBytes: 0,
    deadLetters: 0,
    damagedRecords: 0,
    quarantinedSegments: 0,
    setAsideRecords: 0,
    damagedFiles: 0
  },
  topics: none,
  groups: none,
  certificates: [],
  requests: { total: 0, failed: 0, refused: 0, inFlight: 0, connections: 0 },
  way: {
    request: never,
    body: never,
    admission: never,
    capacity: never,
    partition: never,
    router: never,
    broker: never
  },
  refusals: [],
  failures: [],
  losses: [],
  lines: []
}
