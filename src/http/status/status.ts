import { z } from 'zod'

/** The number of the format. A field may be added without a new number; none is removed or changes its meaning. */
export const STATUS_VERSION = 1

/** Rows of each kind that are listed at most, the worst first. The rest is counted. */
export const MAX_ROWS = 50

const text = z.string()
const maybe = text.optional()
const int = z.int()
const count = int.nonnegative()
const number = z.number()
/** Milliseconds and seconds. */
const amount = number.nonnegative()
const bytes = amount
const share = number.optional()
const instant = z.iso.datetime()

const trouble = z
  .object({ severity: z.enum(['bad', 'warning']), kind: text, subject: text, cause: text, next: text, see: text })
  .describe('`bad`: requests fail or records do not flow; `warning`: soon, or in part. docs/status.md lists the kinds')

const broker = z.object({
  nodeId: int,
  address: text,
  state: z
    .enum(['up', 'down', 'gone', 'notAsked'])
    .describe(
      '`notAsked`: no call of this process was answered for 30 s, and none has failed; `gone`: Kafka has not named it since, but did within the last hour, or it has replicas'
    ),
  forMs: amount.describe('How long it has been down or gone'),
  lastError: maybe
})
const cluster = z.object({
  name: text,
  isReady: z.boolean(),
  away: maybe,
  idRefused: z
    .object({ error: text, message: text })
    .optional()
    .describe("Why brokers give no producer id, so that no record can be written, with Kafka's name of the error"),
  brokers: z.array(broker)
})

const partition = z.object({
  partition: int,
  state: text,
  attempts: count.describe('How often its oldest batch was tried'),
  error: maybe.describe("Kafka's name of the error, or `noLeader`, `brokerUnreachable`, `unanswered`"),
  message: maybe,
  leader: int.optional().describe('The broker that leads it, as far as known; -1: none does')
})

const topic = z.object({
  cluster: text,
  topic: text,
  state: z.enum(['idle', 'flowing', 'waiting', 'stuck', 'lookingUp', 'missing', 'refused']),
  memory: z.object({ records: count, bytes, oldestAgeMs: amount }),
  log: z
    .object({
      records: count,
      bytesInMemory: bytes,
      oldestAgeMs: amount.optional().describe('Known of the 20 topics whose records have waited longest')
    })
    .optional()
    .describe('Records of the durable log'),
  partitions: count,
  troubledPartitions: count,
  troubled: z.array(partition).describe('Some of the troubled partitions'),
  refusal: z.object({ code: text, message: text }).optional().describe('The last one, where it still counts')
})

const deadTopic = z.object({ cluster: text, topic: text, count })
const durableLog = z.object({
  state: z.enum(['unused', 'ok', 'full', 'failed', 'closed']),
  why: maybe,
  limitBytes: bytes,
  sizeBytes: bytes,
  records: count,
  oldestAgeMs: amount,
  deadLetters: count,
  deadLetterTopics: z.array(deadTopic).optional(),
  damagedRecords: count,
  quarantinedSegments: count,
  setAsideRecords: count.describe('Records in files that the disk cannot read'),
  damagedFiles: count.describe('Damaged files of receipts and keys of requests')
})

const group = z.object({
  cluster: text,
  group: text,
  topics: z.array(text),
  partitions: count,
  waiting: count.describe('Requests that wait for messages'),
  pending: count.describe('Messages that are offered and not acknowledged'),
  refusal: z.object({ topic: maybe, message: text }).optional()
})

const queue = z.object({
  cluster: text,
  topic: text,
  group: text,
  held: count.describe('Messages that clients have, that wait for one, or whose release is delayed'),
  lastDeliveries: count.describe('Those of them that Kafka archives when they are released, or when their locks end'),
  oldestHeldMs: amount.describe('How long the message is held that is held longest; 0: none is'),
  waiting: count.describe('Requests that wait for messages'),
  archived: count.describe('Messages that Kafka has archived at their last delivery since the queue was opened'),
  failure: maybe.describe('Why messages cannot be acquired'),
  notServedMs: amount.optional().describe('How long they cannot; absent: they can, or could not for moments'),
  differentIsolation: maybe.describe(
    'The isolation of the group, where it is another one than `router.isolationLevel`'
  ),
  archivedAgoMs: amount.optional().describe('When a message was archived last; absent: none was within 11 minutes')
})

const webhook = z.object({
  cluster: text,
  webhook: text,
  topic: text,
  state: z.enum(['running', 'waiting', 'paused', 'gone', 'broken']),
  because: maybe.describe('Why it is broken'),
  open: count.describe('Records that were read and are neither delivered nor given up'),
  oldestOpenMs: amount
    .nullable()
    .describe('Age of the oldest of them, by its timestamp; 0: there is none; null: their times are below 0 or ahead'),
  retentionMs: amount.optional().describe('`retention.ms` of the topic; absent: not known, or no limit'),
  stalledPartitions: count.describe('Partitions of which no further record is read, since too many are open'),
  inFlight: count.describe('Requests under way'),
  failingMs: amount
    .optional()
    .describe('How long no request got a 2xx; absent: the last one did, or no record is open'),
  deadLettersStopped: z.boolean().describe('No dead letter is written until a request gets a 2xx'),
  foreignMember: z.boolean().describe('Another client is a member of the group'),
  sendsAborted: z.boolean().describe('Records of aborted transactions are sent (`router.isolationLevel`)'),
  deadLetters: count,
  skipped: count,
  lost: count.describe('Records that retention deleted before they were delivered')
})

const openTransaction = z.object({
  cluster: text,
  topic: text,
  partition: int,
  lastStableOffset: int.nonnegative().describe('Where it begins. Readers of committed records do not get beyond it'),
  records: count.describe('Offsets from there to the end of the partition'),
  openMs: amount.describe('How long reads of this gateway have seen it'),
  holdsReads: z
    .boolean()
    .describe('Reads of this gateway wait for its end, because `router.isolationLevel` is `readCommitted`')
})

const lagOfGroup = z.object({
  cluster: text,
  group: text,
  topic: maybe.describe('Absent: the row is about the group as a whole'),
  lag: count.optional().describe('Records after the committed offsets of all partitions; absent: it is not known'),
  uncommitted: count.describe('Partitions without a committed offset, whose records do not count'),
  asOf: instant.optional().describe('When Kafka answered; absent: it has not yet'),
  problem: maybe.describe('Why the lag is not known, or is that of an earlier time'),
  failure: z.enum(['refused', 'tooLarge', 'noAnswer']).optional().describe('Why the last question had no answer')
})

const ownProcess = z.object({
  eventLoopDelayMs: amount.optional().describe('Absent: it is not watched, because no requests come'),
  maxEventLoopDelayMs: amount.optional().describe('`advanced.http.maxEventLoopDelayMs`; 0: no limit'),
  eventLoopUse: share.describe('Share of the time since the last look in which the event loop was busy'),
  refusedShare: share.describe('Share of requests that is refused because the event loop is late'),
  heapShare: share,
  maxHeapShare: share,
  isHeapFull: z.boolean().optional()
})

const certificate = z.object({ of: text, subject: text, validTo: instant, remainingMs: number })

const clock = z.object({
  comparedWith: z.enum(['brokers', 'gateways']),
  cluster: maybe.describe('That of the brokers'),
  aheadMs: number.describe('How far the clock of this machine is ahead, at the least; negative: behind')
})

/** Counts of refusals or failures: since the start, and per second in the last seconds. */
const counted = { count, perSecond: number, lastAgoMs: amount }
const refused = z.object({
  reason: text.describe('A code of docs/errors.md'),
  setting: maybe.describe('The setting that the error names'),
  what: z.enum(['requests', 'records']).describe('The unit of `count`'),
  ...counted,
  message: text
})
const failure = z
  .object({ api: text, status: int, reason: text, ...counted })
  .describe('Requests that were answered 5xx. `reason` is a code of docs/errors.md, or `unknown`')
const loss = z.object({
  cluster: text,
  api: text.describe('The API that had accepted the records'),
  topic: maybe.describe('Absent: several topics'),
  reason: text.describe('A code of docs/errors.md'),
  message: text,
  records: count,
  perSecond: number,
  firstAgoMs: amount,
  lastAgoMs: amount
})
const logLine = z.object({
  level: z.enum(['warn', 'error']),
  message: text,
  count,
  lastAgoMs: amount,
  topic: maybe,
  group: maybe
})

const sum = z.object({ count, seconds: number })
/** The stages of the way of a record. */
const stages = { request: sum, body: sum, admission: sum, capacity: sum, partition: sum, router: sum, broker: sum }
const rowsOf = <Row extends z.ZodType>(row: Row) =>
  z.object({ total: count.describe('Of which rows are the worst'), rows: z.array(row) })

/** Schema of the answer of `GET /status.json` of the management port. */
export const statusSchema = z.object({
  version: z.literal(STATUS_VERSION),
  at: instant,
  gateway: z.object({
    version: text,
    broker: z.enum(['embedded', 'kafka']),
    uptimeSeconds: number,
    isReady: z.boolean(),
    reasons: z.array(text),
    warnings: z.array(text)
  }),
  trouble: z.array(trouble).describe('Worst first; empty: all is well'),
  process: ownProcess.describe('The process that answers'),
  clusters: z.array(cluster),
  memory: z.object({
    records: count,
    bytes,
    limitBytes: bytes.describe('`delivery.maxBytes` of all clusters'),
    stuckBytes: bytes,
    oldestAgeMs: amount,
    timeoutMs: amount.describe('`delivery.timeoutMs`'),
    delivered: count,
    failed: count,
    lost: count.describe('Accepted records that are lost')
  }),
  log: durableLog,
  topics: rowsOf(topic).describe('Topics where records wait or do not flow'),
  groups: rowsOf(group),
  queues: rowsOf(queue)
    .extend({ archived: count.describe('Since the start, also of queues that are not open any more') })
    .describe('Topics whose messages share groups acquire here'),
  webhooks: rowsOf(webhook).describe('Webhooks at this gateway'),
  openTransactions: rowsOf(openTransaction).describe(
    'Partitions with a transaction that reads of this gateway have seen open for 60 s or more'
  ),
  lag: rowsOf(lagOfGroup).optional().describe('Absent: Kafka is not asked for the lag of groups'),
  certificates: z.array(certificate),
  clocks: z.array(clock).describe('Clocks of other machines, as far as they tell the time'),
  requests: z
    .object({ total: count, failed: count, refused: count, inFlight: count, connections: count })
    .describe('`failed`: answered 5xx; `refused`: answered 401, 403, 413, 429 or 503'),
  way: z.object(stages).describe('Where the time of a record goes, since the start, so that readers take differences'),
  refusals: z.array(refused),
  failures: z.array(failure).describe('The latest first'),
  losses: z.array(loss).describe('Accepted records that are lost; the latest first'),
  lines: z.array(logLine).describe('The last warnings and errors of the log, the newest first')
})

export type Status = z.output<typeof statusSchema>
export type Trouble = z.output<typeof trouble>
export type TopicRow = z.output<typeof topic>
export type PartitionRow = z.output<typeof partition>
export type GroupRow = z.output<typeof group>
export type QueueRow = z.output<typeof queue>
export type WebhookRow = z.output<typeof webhook>
export type OpenTransactionRow = z.output<typeof openTransaction>
export type LagOfGroup = z.output<typeof lagOfGroup>
export type ClusterRow = z.output<typeof cluster>
export type CertificateRow = z.output<typeof certificate>
export type ClockRow = z.output<typeof clock>
export type RefusalRow = z.output<typeof refused>
export type FailureRow = z.output<typeof failure>
export type LossRow = z.output<typeof loss>
export type LineRow = z.output<typeof logLine>

/** The status without what is judged of it. */
export type StatusPart = Omit<Status, 'version' | 'at' | 'gateway' | 'trouble'>

const noRows = {
  clusters: [],
  certificates: [],
  clocks: [],
  refusals: [],
  failures: [],
  losses: [],
  lines: []
}
const none = { total: 0, rows: [] }
const never = { count: 0, seconds: 0 }
const noRecords = { records: 0, limitBytes: 0, oldestAgeMs: 0 }
const noDamage = { deadLetters: 0, damagedRecords: 0, quarantinedSegments: 0, setAsideRecords: 0, damagedFiles: 0 }

export const NOTHING: StatusPart = {
  process: {},
  ...noRows,
  memory: { ...noRecords, bytes: 0, stuckBytes: 0, timeoutMs: 0, delivered: 0, failed: 0, lost: 0 },
  log: { state: 'unused', ...noRecords, sizeBytes: 0, ...noDamage },
  topics: none,
  groups: none,
  queues: { ...none, archived: 0 },
  webhooks: none,
  openTransactions: none,
  requests: { total: 0, failed: 0, refused: 0, inFlight: 0, connections: 0 },
  way: Object.fromEntries(Object.keys(stages).map(name => [name, never])) as Status['way']
}

export type StatusSource = () => Promise<Status>

/** An answer is given to all who ask within this time, so that many readers cost as much as one. */
const SHARED_FOR_MS = 500

/** Reads the status when it is asked for, one look for all who ask at the same time. */
export function sharedStatus(read: StatusSource, clock: () => number): StatusSource {
  let reading: Promise<Status> | undefined
  let readAt = Number.NEGATIVE_INFINITY
  return () => {
    if (reading !== undefined && clock() - readAt <= SHARED_FOR_MS) return reading
    readAt = clock()
    const own = read()
    reading = own
    // A failure is not shared with those who ask later.
    own.catch(() => {
      if (reading === own) reading = undefined
    })
    return own
  }
}
