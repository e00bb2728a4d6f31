import {
  type FailureRow,
  type GroupRow,
  type LagRow,
  type LineRow,
  type LossRow,
  MAX_ROWS,
  type RefusalRow,
  type Status,
  type StatusPart,
  type Sum,
  type TopicRow
} from './status.js'

/** Lines of the log that are answered. */
const MAX_LINES = 20

/**
 * Makes the status of one gateway of those of its processes. What each process has for itself is summed; of what all of
 * them see alike, the worst counts.
 */
export function mergeParts(parts: readonly StatusPart[]): StatusPart {
  const [first] = parts
  if (parts.length === 1 && first !== undefined) return bounded(first)
  const lags = parts.flatMap(({ lag }) => (lag === undefined ? [] : [lag]))
  return bounded({
    workers: parts.flatMap(({ workers }) => workers).sort((one, other) => one.number - other.number),
    clusters: mergeClusters(parts),
    memory: mergeMemory(parts),
    log: mergeLogs(parts),
    topics: mergeRows(
      parts.map(({ topics }) => topics),
      keyOfTopic,
      mergeTopic
    ),
    groups: mergeRows(
      parts.map(({ groups }) => groups),
      ({ cluster, group }) => `${cluster}/${group}`,
      mergeGroup
    ),
    ...(lags.length > 0 && {
      lag: mergeRows(lags, ({ cluster, group, topic }) => `${cluster}/${group}/${topic ?? ''}`, laterOf)
    }),
    certificates: firstOfEach(
      parts.flatMap(({ certificates }) => certificates),
      ({ of, subject }) => `${of} ${subject}`
    ),
    requests: addAll(parts.map(({ requests }) => requests)),
    way: mergeWays(parts),
    refusals: mergeEach(
      parts.flatMap(({ refusals }) => refusals),
      ({ reason, setting, what }) => `${what} ${reason} ${setting}`,
      mergeCount
    ),
    failures: mergeEach(
      parts.flatMap(({ failures }) => failures),
      ({ api, status, reason }) => `${api} ${status} ${reason}`,
      mergeCount
    ),
    losses: mergeEach(
      parts.flatMap(({ losses }) => losses),
      ({ cluster, api, topic, reason }) => `${cluster} ${api} ${topic} ${reason}`,
      mergeLoss
    ),
    lines: mergeEach(
      parts.flatMap(({ lines }) => lines),
      keyOfLine,
      mergeLine
    )
  })
}

/** Sorts the rows, worst first, and leaves out those beyond the limit. */
function bounded(part: StatusPart): StatusPart {
  const { topics, groups, lag, refusals, failures, losses, lines } = part
  return {
    ...part,
    topics: cut(topics, weightOfRow),
    groups: cut(groups, weightOfGroup),
    ...(lag !== undefined && { lag: cut(lag, ({ lag: records = 0 }) => records) }),
    refusals: latestOf(refusals, MAX_ROWS),
    failures: latestOf(failures, MAX_ROWS),
    losses: latestOf(losses, MAX_ROWS),
    lines: latestOf(lines, MAX_LINES)
  }
}

const latestOf = <Row extends { readonly lastAgoMs: number }>(rows: readonly Row[], most: number): Row[] =>
  [...rows].sort((one, other) => one.lastAgoMs - other.lastAgoMs).slice(0, most)

const cut = <Row>(
  { total, rows }: { readonly total: number; readonly rows: readonly Row[] },
  weightOf: (row: Row) => number
): { total: number; rows: Row[] } => ({
  total,
  rows: [...rows].sort((one, other) => weightOf(other) - weightOf(one)).slice(0, MAX_ROWS)
})

/** In trouble first, then those where most waits. */
const WEIGHTS: Readonly<Record<TopicRow['state'], number>> = {
  refused: 5,
  stuck: 4,
  missing: 3,
  lookingUp: 2,
  flowing: 1,
  idle: 0
}
/** More than any number of waiting bytes. */
const STATE_WEIGHT = 2 ** 44

/** How far in front a topic stands. */
export const weightOfTopic = (topic: {
  readonly state: TopicRow['state']
  readonly bytes: number
  readonly loggedRecords: number
}): number => WEIGHTS[topic.state] * STATE_WEIGHT + topic.bytes + topic.loggedRecords

const weightOfRow = ({ state, memory: { bytes }, log }: TopicRow): number =>
  weightOfTopic({ state, bytes, loggedRecords: log?.records ?? 0 })

/** How far in front a group stands. */
export const weightOfGroup = ({ refusal, waiting, pending }: GroupRow): number =>
  (refusal === undefined ? 0 : STATE_WEIGHT) + waiting + pending

interface Rows<Row> {
  readonly total: number
  readonly rows: readonly Row[]
}

/** The number of rows that several processes leave out is not known exactly: the same topic may be left out by each. */
function mergeRows<Row>(
  all: readonly Rows<Row>[],
  keyOf: (row: Row) => string,
  merge: (one: Row, other: Row) => Row
): { total: number; rows: Row[] } {
  const rows = mergeEach(
    all.flatMap(({ rows }) => rows),
    keyOf,
    merge
  )
  const leftOut = Math.max(0, ...all.map(({ total, rows }) => total - rows.length))
  return { total: rows.length + leftOut, rows }
}

function mergeEach<Row>(
  rows: readonly Row[],
  keyOf: (row: Row) => string,
  merge: (one: Row, other: Row) => Row
): Row[] {
  const merged = new Map<string, Row>()
  for (const row of rows) {
    const known = merged.get(keyOf(row))
    merged.set(keyOf(row), known === undefined ? row : merge(known, row))
  }
  return [...merged.values()]
}

const firstOfEach = <Row>(rows: readonly Row[], keyOf: (row: Row) => string): Row[] =>
  mergeEach(rows, keyOf, one => one)

const keyOfTopic = ({ cluster, topic }: TopicRow): string => `${cluster}/${topic}`
const keyOfLine = ({ message, topic, group }: LineRow): string => `${message} ${topic} ${group}`

function mergeTopic(one: TopicRow, other: TopicRow): TopicRow {
  const [worse, better] = WEIGHTS[one.state] >= WEIGHTS[other.state] ? [one, other] : [other, one]
  const log = addLogs(one.log, other.log)
  const refusal = worse.refusal ?? better.refusal
  return {
    ...worse,
    memory: {
      records: one.memory.records + other.memory.records,
      bytes: one.memory.bytes + other.memory.bytes,
      oldestAgeMs: Math.max(one.memory.oldestAgeMs, other.memory.oldestAgeMs)
    },
    ...(log !== undefined && { log }),
    partitions: Math.max(one.partitions, other.partitions),
    troubledPartitions: Math.max(one.troubledPartitions, other.troubledPartitions),
    troubled: firstOfEach([...worse.troubled, ...better.troubled], ({ partition }) => String(partition)),
    ...(refusal !== undefined && { refusal })
  }
}

function addLogs(one: TopicRow['log'], other: TopicRow['log']): TopicRow['log'] {
  if (one === undefined || other === undefined) return one ?? other
  return { records: one.records + other.records, bytesInMemory: one.bytesInMemory + other.bytesInMemory }
}

const mergeGroup = (one: GroupRow, other: GroupRow): GroupRow => {
  const refusal = one.refusal ?? other.refusal
  return {
    ...one,
    topics: [...new Set([...one.topics, ...other.topics])].slice(0, MAX_ROWS),
    partitions: one.partitions + other.partitions,
    waiting: one.waiting + other.waiting,
    pending: one.pending + other.pending,
    ...(refusal !== undefined && { refusal })
  }
}

const laterOf = (one: LagRow, other: LagRow): LagRow => ((one.asOf ?? '') >= (other.asOf ?? '') ? one : other)

const mergeCount = <Row extends RefusalRow | FailureRow>(one: Row, other: Row): Row => {
  const later = one.lastAgoMs <= other.lastAgoMs ? one : other
  return { ...later, count: one.count + other.count, perSecond: one.perSecond + other.perSecond }
}

const mergeLoss = (one: LossRow, other: LossRow): LossRow => ({
  ...(one.lastAgoMs <= other.lastAgoMs ? one : other),
  records: one.records + other.records,
  perSecond: one.perSecond + other.perSecond,
  firstAgoMs: Math.max(one.firstAgoMs, other.firstAgoMs)
})

const mergeLine = (one: LineRow, other: LineRow): LineRow => {
  const later = one.lastAgoMs <= other.lastAgoMs ? one : other
  return { ...later, count: one.count + other.count }
}

const BROKER_STATES = ['up', 'gone', 'down'] as const

function mergeClusters(parts: readonly StatusPart[]): Status['clusters'] {
  return mergeEach(
    parts.flatMap(({ clusters }) => clusters),
    ({ name }) => name,
    (one, other) => ({
      ...(one.isReady ? other : one),
      brokers: mergeEach(
        [...one.brokers, ...other.brokers],
        ({ nodeId }) => String(nodeId),
        (broker, same) => (BROKER_STATES.indexOf(same.state) > BROKER_STATES.indexOf(broker.state) ? same : broker)
      )
    })
  )
}

function mergeMemory(parts: readonly StatusPart[]): Status['memory'] {
  const all = parts.map(({ memory }) => memory)
  return {
    ...addAll(all),
    oldestAgeMs: Math.max(0, ...all.map(({ oldestAgeMs }) => oldestAgeMs)),
    timeoutMs: Math.max(0, ...all.map(({ timeoutMs }) => timeoutMs))
  }
}

const LOG_STATES = ['unused', 'closed', 'ok', 'full', 'failed'] as const

function mergeLogs(parts: readonly StatusPart[]): Status['log'] {
  const logs = parts.map(({ log }) => log)
  const worst = logs.reduce((worse, log) =>
    LOG_STATES.indexOf(log.state) > LOG_STATES.indexOf(worse.state) ? log : worse
  )
  const numbers = logs.map(({ state: _, why: __, ...rest }) => rest)
  return {
    ...addAll(numbers),
    oldestAgeMs: Math.max(0, ...logs.map(({ oldestAgeMs }) => oldestAgeMs)),
    state: worst.state,
    ...(worst.why !== undefined && { why: worst.why })
  }
}

function mergeWays(parts: readonly StatusPart[]): Status['way'] {
  const add = (name: keyof Status['way']): Sum => addAll(parts.map(({ way }) => way[name]))
  return {
    request: add('request'),
    body: add('body'),
    admission: add('admission'),
    capacity: add('capacity'),
    partition: add('partition'),
    router: add('router'),
    broker: add('broker')
  }
}

/** The sum of each field. */
function addAll<Numbers extends Readonly<Record<string, number>>>(all: readonly Numbers[]): Numbers {
  const sum: Record<string, number> = {}
  for (const one of all) for (const [name, value] of Object.entries(one)) sum[name] = (sum[name] ?? 0) + value
  return sum as Numbers
}
