import { z } from 'zod'
import {
  across,
  type ClockRow,
  type ClusterRow,
  type FailureRow,
  type GroupRow,
  type LagOfGroup,
  type LineRow,
  type LossRow,
  MAX_ROWS,
  type OpenTransactionRow,
  type PartitionRow,
  type QueueRow,
  type RefusalRow,
  type StatusPart,
  statusSchema,
  type TopicRow,
  type WebhookRow
} from './status.js'

const { shape } = statusSchema

/** Lines of the log that are answered. */
const MAX_LINES = 20
/** States from the best to the worst. */
const TOPIC_STATES: readonly string[] = ['idle', 'flowing', 'waiting', 'lookingUp', 'missing', 'stuck', 'refused']
const LOG_STATES: readonly string[] = ['unused', 'closed', 'ok', 'full', 'failed']
const BROKER_STATES: readonly string[] = ['notAsked', 'up', 'gone', 'down']
/** Weight of a state, greater than any number of waiting bytes. */
const STATE_WEIGHT = 2 ** 44

/** How far in front a topic stands: in trouble first, then those where most waits. */
export const weightOfTopic = (state: TopicRow['state'], bytes = 0, loggedRecords = 0): number =>
  TOPIC_STATES.indexOf(state) * STATE_WEIGHT + bytes + loggedRecords

export const weightOfGroup = ({ refusal, waiting, pending }: GroupRow): number =>
  (refusal === undefined ? 0 : STATE_WEIGHT) + waiting + pending

export const weightOfQueue = ({
  failure,
  archivedAgoMs,
  differentIsolation,
  oldestHeldMs,
  waiting
}: QueueRow): number =>
  (failure === undefined ? 0 : 2 * STATE_WEIGHT) +
  (archivedAgoMs === undefined && differentIsolation === undefined ? 0 : STATE_WEIGHT) +
  oldestHeldMs +
  waiting

/** Weight of a webhook's row in the sort order. Of several workers, one runs the webhook. */
export const weightOfWebhook = ({ state, lost, failingMs = 0, oldestOpenMs }: WebhookRow): number =>
  (lost > 0 ? 2 * STATE_WEIGHT : 0) + (state === 'broken' ? STATE_WEIGHT : 0) + failingMs + oldestOpenMs

export const weightOfOpenTransaction = ({ openMs }: OpenTransactionRow): number => openMs

type BrokerRow = ClusterRow['brokers'][number]

interface Rows<Row> {
  total: number
  rows: Row[]
}

/** The rows with the greatest weight, the greatest first; equal ones stay in their order. */
export function worst<Row>(all: readonly Row[], weightOf: (row: Row) => number, total = all.length): Rows<Row> {
  const weighed = all.map(row => ({ row, weight: weightOf(row) })).sort((one, other) => other.weight - one.weight)
  return { total, rows: weighed.slice(0, MAX_ROWS).map(({ row }) => row) }
}

/** Merges the status of the processes of one gateway, with a limit of rows. */
export function mergeParts(parts: readonly StatusPart[]): StatusPart {
  const whole = parts.reduce(mergeTwo)
  const { topics, groups, queues, webhooks, openTransactions, lag } = whole
  return {
    ...whole,
    topics: worst(topics.rows, row => weightOfTopic(row.state, row.memory.bytes, row.log?.records), topics.total),
    groups: worst(groups.rows, weightOfGroup, groups.total),
    queues: { ...queues, ...worst(queues.rows, weightOfQueue, queues.total) },
    webhooks: worst(webhooks.rows, weightOfWebhook, webhooks.total),
    openTransactions: worst(openTransactions.rows, weightOfOpenTransaction, openTransactions.total),
    lag: lag && worst(lag.rows, ({ lag: records = 0 }) => records, lag.total),
    refusals: latestOf(whole.refusals, MAX_ROWS),
    failures: latestOf(whole.failures, MAX_ROWS),
    losses: latestOf(whole.losses, MAX_ROWS),
    lines: latestOf(whole.lines, MAX_LINES)
  }
}

/** Merges two processes: numbers that each process has for itself are summed; of what all see alike, the worst counts. */
function mergeTwo(one: StatusPart, other: StatusPart): StatusPart {
  const lag =
    one.lag && other.lag
      ? mergeRows(one.lag, other.lag, by('cluster', 'group', 'topic'), laterLag)
      : (one.lag ?? other.lag)
  return {
    workers: [...one.workers, ...other.workers].sort((a, b) => a.number - b.number),
    clusters: mergeEach(one.clusters, other.clusters, by('name'), mergeCluster),
    memory: mergeNumbers(shape.memory, one.memory, other.memory),
    log: mergeLog(one.log, other.log),
    topics: mergeRows(one.topics, other.topics, by('cluster', 'topic'), mergeTopic),
    groups: mergeRows(one.groups, other.groups, by('cluster', 'group'), mergeGroup),
    queues: {
      ...mergeNumbers(shape.queues, one.queues, other.queues),
      ...mergeRows(one.queues, other.queues, by('cluster', 'topic', 'group'), asSaid(shape.queues))
    },
    webhooks: mergeRows(one.webhooks, other.webhooks, by('cluster', 'webhook'), asSaid(shape.webhooks)),
    openTransactions: mergeRows(
      one.openTransactions,
      other.openTransactions,
      by('cluster', 'topic', 'partition'),
      asSaid(shape.openTransactions)
    ),
    lag,
    certificates: mergeEach(one.certificates, other.certificates, by('of', 'subject')),
    clocks: mergeEach(one.clocks, other.clocks, by('comparedWith', 'cluster'), furtherOff),
    requests: mergeNumbers(shape.requests, one.requests, other.requests),
    way: mergeNumbers(shape.way, one.way, other.way),
    refusals: mergeEach(one.refusals, other.refusals, by('what', 'reason', 'setting'), addToLater(shape.refusals)),
    failures: mergeEach(one.failures, other.failures, by('api', 'status', 'reason'), addToLater(shape.failures)),
    losses: mergeEach(one.losses, other.losses, by('cluster', 'api', 'topic', 'reason'), addToLater(shape.losses)),
    lines: mergeEach(one.lines, other.lines, by('message', 'topic', 'group'), addToLater(shape.lines))
  }
}

/** The key of rows that are alike in these fields. */
const by =
  <Name extends string>(...names: readonly Name[]) =>
  (row: { readonly [name in Name]?: unknown }): string =>
    JSON.stringify(names.map(name => row[name]))

/** `kept` with the numbers of both as the schema says, also of the objects in it; without fields that are undefined. */
function mergeNumbers<Row extends object>(schema: z.ZodObject, kept: Row, other: Row): Row {
  const theirs = new Map<string, unknown>(Object.entries(other))
  const defined = Object.entries(kept).filter(([, mine]) => mine !== undefined)
  const entries = defined.map(([name, mine]: [string, unknown]) => {
    const its = theirs.get(name)
    const field = schema.shape[name]
    const inner = field instanceof z.ZodOptional ? field.unwrap() : field
    if (its === undefined || inner === undefined) return [name, mine]
    if (inner instanceof z.ZodObject) return [name, mergeNumbers(inner, mine as object, its as object)]
    const is = across.get(inner as z.ZodType)?.is
    if (is === 'sum') return [name, Number(mine) + Number(its)]
    return [name, is === 'max' ? Math.max(Number(mine), Number(its)) : mine]
  })
  return Object.fromEntries(entries) as Row
}

/** Merges two rows of a list as its schema says. */
const asSaid =
  ({ shape: { rows } }: z.ZodObject<{ rows: z.ZodArray<z.ZodObject> }>) =>
  <Row extends object>(one: Row, other: Row): Row => ({ ...other, ...mergeNumbers(rows.element, one, other) })

function worseFirst<Row extends { readonly state: string }>(
  one: Row,
  other: Row,
  states: readonly string[]
): [Row, Row] {
  return states.indexOf(one.state) >= states.indexOf(other.state) ? [one, other] : [other, one]
}

const addToLater =
  ({ element }: z.ZodArray<z.ZodObject>) =>
  <Row extends RefusalRow | FailureRow | LossRow | LineRow>(one: Row, other: Row): Row =>
    one.lastAgoMs <= other.lastAgoMs ? mergeNumbers(element, one, other) : mergeNumbers(element, other, one)

function mergeLog(one: StatusPart['log'], other: StatusPart['log']): StatusPart['log'] {
  const [ours, theirs] = [one.deadLetterTopics ?? [], other.deadLetterTopics ?? []]
  const { element } = shape.log.shape.deadLetterTopics.unwrap()
  const topics = mergeEach(ours, theirs, by('cluster', 'topic'), (mine, its) => mergeNumbers(element, mine, its))
  const deadLetterTopics = topics.length === 0 ? undefined : worst(topics, ({ count }) => count).rows
  return { ...mergeNumbers(shape.log, ...worseFirst(one, other, LOG_STATES)), deadLetterTopics }
}

/** The partitions in trouble of two views, each once, by their numbers. */
export const mergeTroubled = (ones: readonly PartitionRow[], others: readonly PartitionRow[]): PartitionRow[] =>
  mergeEach(ones, others, by('partition'), (one, other) => (one.error === undefined ? other : one)).sort(
    (one, other) => one.partition - other.partition
  )

function mergeTopic(one: TopicRow, other: TopicRow): TopicRow {
  const [worse, better] = worseFirst(one, other, TOPIC_STATES)
  const merged = mergeNumbers(shape.topics.shape.rows.element, worse, better)
  const troubled = mergeTroubled(worse.troubled, better.troubled)
  const troubledPartitions = Math.max(merged.troubledPartitions, troubled.length)
  return { ...better, ...merged, troubledPartitions, troubled }
}

const mergeGroup = (one: GroupRow, other: GroupRow): GroupRow => ({
  ...asSaid(shape.groups)(one, other),
  topics: [...new Set([...one.topics, ...other.topics])].slice(0, MAX_ROWS)
})

const mergeCluster = (one: ClusterRow, other: ClusterRow): ClusterRow => ({
  ...(one.isReady ? other : one),
  ...(one.idRefused && { idRefused: one.idRefused }),
  ...(other.idRefused && { idRefused: other.idRefused }),
  brokers: mergeEach(one.brokers, other.brokers, by('nodeId'), worseBroker)
})

const furtherOff = (one: ClockRow, other: ClockRow): ClockRow =>
  Math.abs(one.aheadMs) >= Math.abs(other.aheadMs) ? one : other
const worseBroker = (one: BrokerRow, other: BrokerRow): BrokerRow => worseFirst(one, other, BROKER_STATES)[0]
const laterLag = (one: LagOfGroup, other: LagOfGroup): LagOfGroup =>
  (one.asOf ?? '') >= (other.asOf ?? '') ? one : other

/** The number of rows that several processes leave out is not known exactly: the same topic may be left out by each. */
function mergeRows<Row>(
  one: Rows<Row>,
  other: Rows<Row>,
  keyOf: (row: Row) => string,
  merge: (one: Row, other: Row) => Row
): Rows<Row> {
  const rows = mergeEach(one.rows, other.rows, keyOf, merge)
  const leftOut = Math.max(0, one.total - one.rows.length, other.total - other.rows.length)
  return { total: rows.length + leftOut, rows }
}

/** Merges the rows with the same key. @param merge absent: the first row stays */
function mergeEach<Row>(
  ones: readonly Row[],
  others: readonly Row[],
  keyOf: (row: Row) => unknown,
  merge: (one: Row, other: Row) => Row = one => one
): Row[] {
  const merged = new Map<unknown, Row>()
  for (const row of [...ones, ...others]) {
    const known = merged.get(keyOf(row))
    merged.set(keyOf(row), known === undefined ? row : merge(known, row))
  }
  return [...merged.values()]
}

const latestOf = <Row extends { readonly lastAgoMs: number }>(rows: readonly Row[], most: number): Row[] =>
  [...rows].sort((one, other) => one.lastAgoMs - other.lastAgoMs).slice(0, most)
