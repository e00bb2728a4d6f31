import {
  type GroupRow,
  MAX_ROWS,
  type OpenTransactionRow,
  type PartitionRow,
  type QueueRow,
  type TopicRow,
  type WebhookRow
} from './status.js'

/** States from the best to the worst. */
const TOPIC_STATES: readonly string[] = ['idle', 'flowing', 'waiting', 'lookingUp', 'missing', 'stuck', 'refused']
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

/** Weight of a webhook's row in the sort order. */
export const weightOfWebhook = ({ state, lost, failingMs = 0, oldestOpenMs }: WebhookRow): number =>
  (lost > 0 ? 2 * STATE_WEIGHT : 0) + (state === 'broken' ? STATE_WEIGHT : 0) + failingMs + (oldestOpenMs ?? 0)

export const weightOfOpenTransaction = ({ openMs }: OpenTransactionRow): number => openMs

interface Rows<Row> {
  total: number
  rows: Row[]
}

/** The rows with the greatest weight, the greatest first; equal ones stay in their order. */
export function worst<Row>(all: readonly Row[], weightOf: (row: Row) => number, total = all.length): Rows<Row> {
  const weighed = all.map(row => ({ row, weight: weightOf(row) })).sort((one, other) => other.weight - one.weight)
  return { total, rows: weighed.slice(0, MAX_ROWS).map(({ row }) => row) }
}

/** The partitions in trouble of the memory and of the log, each once, by their numbers: an obstacle counts before none. */
export function troubledOfBoth(ones: readonly PartitionRow[], others: readonly PartitionRow[]): PartitionRow[] {
  const all = new Map<number, PartitionRow>()
  for (const row of [...ones, ...others]) if (all.get(row.partition)?.error === undefined) all.set(row.partition, row)
  return [...all.values()].sort((one, other) => one.partition - other.partition)
}

/** The latest rows, the latest first. */
export const latestOf = <Row extends { readonly lastAgoMs: number }>(rows: readonly Row[], most = MAX_ROWS): Row[] =>
  [...rows].sort((one, other) => one.lastAgoMs - other.lastAgoMs).slice(0, most)
