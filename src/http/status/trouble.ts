import { BEYOND_END } from '../../gateway/lag.js'
import type {
  CertificateRow,
  ClusterRow,
  GroupRow,
  LagOfGroup,
  LossRow,
  PartitionRow,
  RefusalRow,
  Status,
  TopicRow,
  Trouble,
  WorkerRow
} from './status.js'
import {
  agoText,
  bytesText,
  countOf,
  countText,
  durationText,
  firstOf,
  instantText,
  percentText,
  perSecondText
} from './units.js'

export type Judged = Omit<Status, 'trouble'>

/** A text, or how it is made of what was found and the whole status. */
type Told<Found, Text extends string = string> = Text | ((found: Found, status: Judged) => Text)

/** One kind of trouble: what is looked for, and what is said about each thing that is found. */
interface Kind<Found> {
  readonly when: (status: Judged) => readonly Found[]
  /** Absent: `bad`. */
  readonly severity?: Told<Found, Trouble['severity']>
  readonly subject: Told<Found>
  readonly cause: Told<Found>
  readonly next: Told<Found>
  readonly see: Told<Found>
}

type Rows = (status: Judged) => Omit<Trouble, 'kind'>[]

const rowsOf =
  <Found>({ when, severity = 'bad', subject, cause, next, see }: Kind<Found>): Rows =>
  status =>
    when(status).map(found => {
      const told = <Text extends string>(text: Told<Found, Text>): Text =>
        typeof text === 'function' ? text(found, status) : text
      return { severity: told(severity), subject: told(subject), cause: told(cause), next: told(next), see: told(see) }
    })

const DAY_MS = 86_400_000
/** A certificate is shown from this time before its end on, and as bad from the second one on. */
const CERTIFICATE_SOON_MS = 21 * DAY_MS
const CERTIFICATE_BAD_MS = 3 * DAY_MS
/** A worker that has ended is shown for this time after it serves again. */
const ENDED_LATELY_MS = 600_000
/** The delay of the event loop is shown from this share of its limit on. */
const LATE = 0.5
/** Shares of a limit from which on it is shown, and from which on it counts as reached. */
const FILLING = 0.8
const FULL = 0.95
/** A refusal counts as present for this time, a loss as going on. */
const REFUSED_LATELY_MS = 30_000
const LOST_LATELY_MS = 60_000
/** From the first number of records on a group is shown as lagging, from the second one on as bad. */
const LAG_WORTH_A_ROW = 1_000
const LAG_THAT_IS_BAD = 100_000
/** Topics with losses that have a row of their own at most; the others share one. */
const MAX_LOSSES = 5
/** Partitions, and topics, that are named one by one. */
const MAX_PARTITIONS = 5
const MAX_TOPICS = 3
/** Rows of an answer at most; a reader who has them has enough to do. */
const MAX_TROUBLE = 100
/** Causes stand before their effects, so that many topics must not push everything else off the list. */
const MAX_OF_TOPICS = 60

const STUCK_DOCS = 'docs/status.md#partitionstuck'
const LOG_DOCS = 'docs/operations.md#the-durable-log'
const LAG_DOCS = 'docs/metrics.md#lag-of-consumer-groups'

/**
 * Every kind of trouble, from the worst to the least: what stops everything comes before what stops a part, and a cause
 * before its effects, as a partition that is stuck before the log that fills up by it.
 */
const troubles = {
  brokersAway: rowsOf<ClusterRow>({
    when: ({ clusters }) => clusters.filter(({ isReady }) => !isReady),
    subject: ({ name }) => `cluster ${name}`,
    cause: ({ away }) => `No broker answers${away === undefined ? '' : `: ${away}`}.`,
    next: ({ name }) =>
      `Check that its brokers run, and that this machine reaches them at clusters.${name}.brokers. Castellan connects by itself as soon as one answers.`,
    see: ({ name }) => `clusters.${name}.brokers`
  }),
  logFailed: rowsOf({
    when: ({ log }) => only(log.state === 'failed', log),
    subject: 'durable log',
    cause: ({ why = 'the disk fails' }) => `It takes no records: ${why}.`,
    next: 'Check the disk and the rights of the directory. The log is tried again by itself.',
    see: 'wal.directory'
  }),
  heapFull: rowsOf<WorkerRow>({
    when: ({ workers }) =>
      workers.filter(
        ({ isHeapFull, heapShare = 0, maxHeapShare = 1 }) =>
          isHeapFull || (maxHeapShare < 1 && heapShare >= maxHeapShare)
      ),
    severity: ({ isHeapFull }) => badIf(isHeapFull),
    subject: processName,
    cause: ({ heapShare = 0, isHeapFull }) =>
      `${percentText(heapShare)} of its heap are in use.${isHeapFull ? ' Requests with a body are refused.' : ''}`,
    next: 'Give the process more memory (node --max-old-space-size), or lower cache.maxBytes and http.maxBodiesInFlightBytes.',
    see: 'advanced.http.maxHeapShare'
  }),
  eventLoopLate: rowsOf<WorkerRow>({
    when: ({ workers }) =>
      workers.filter(
        ({ refusedShare = 0, eventLoopDelayMs = 0, maxEventLoopDelayMs = 0 }) =>
          refusedShare > 0 || (maxEventLoopDelayMs > 0 && eventLoopDelayMs >= maxEventLoopDelayMs * LATE)
      ),
    severity: ({ refusedShare = 0 }) => badIf(refusedShare > 0),
    subject: processName,
    cause: ({ eventLoopDelayMs = 0, eventLoopUse = 0, refusedShare = 0 }) => {
      const delay = eventLoopDelayMs > 0 ? `is late by ${durationText(eventLoopDelayMs)} and ` : ''
      const refused = refusedShare > 0 ? ` ${percentText(refusedShare)} of the requests with a body are refused.` : ''
      return `Its event loop ${delay}was busy for ${percentText(eventLoopUse)} of the time.${refused}`
    },
    next: 'Give the gateway more processes (workers.count), or another instance behind the load balancer.',
    see: ({ refusedShare = 0 }) => (refusedShare > 0 ? 'advanced.http.maxEventLoopDelayMs' : 'workers.count')
  }),
  workerDied: rowsOf<WorkerRow>({
    when: ({ workers }) =>
      workers.filter(({ isUp, lastEnd }) => !isUp || (lastEnd !== undefined && lastEnd.agoMs <= ENDED_LATELY_MS)),
    severity: ({ isUp }) => badIf(!isUp),
    subject: processName,
    cause: ({ isUp, lastEnd, restarts }) => {
      const how = lastEnd && `It ended ${durationText(lastEnd.agoMs)} ago (${lastEnd.how})`
      const times = restarts === 1 ? 'once' : `${restarts} times`
      return `${how ?? 'It does not serve yet'}; it was started again ${times}${isUp ? ' and serves' : ' and does not serve yet'}.`
    },
    next: 'The log of the moment before has the reason. SIGKILL mostly means that the system was out of memory: give it more, or lower delivery.maxBytes and cache.maxBytes.',
    see: 'advanced.workers.restartPauseMs'
  }),
  workerSilent: rowsOf<number>({
    when: ({ gateway }) => gateway.silentWorkers,
    subject: number => `worker ${number}`,
    cause: 'It did not answer in time, so its numbers are missing here.',
    next: 'Look at the processor time of the process. A worker that stays silent for a minute is replaced.',
    see: 'workers.count'
  }),
  certificateEnds: rowsOf<CertificateRow>({
    when: ({ certificates }) => certificates.filter(({ remainingMs }) => remainingMs <= CERTIFICATE_SOON_MS),
    severity: ({ remainingMs }) => badIf(remainingMs <= CERTIFICATE_BAD_MS),
    subject: ({ of }) => `certificate of ${of}`,
    cause: ({ subject, validTo, remainingMs: ms }) =>
      `The certificate of ${subject} ${ms > 0 ? `ends in ${durationText(ms)}` : `ended ${durationText(-ms)} ago`}, on ${validTo.slice(0, 10)}.`,
    next: ({ of }) =>
      `Put a new one into ${of}.certFile and ${of}.keyFile. Castellan reads the files again by itself, or on SIGHUP.`,
    see: ({ of }) => `${of}.certFile`
  }),
  notReady: rowsOf<string>({
    when: ({ gateway }) => gateway.reasons.filter(isToldHere),
    subject: 'this gateway',
    cause: reason => `It is not ready: ${reason}.`,
    next: 'Load balancers send it no requests until it is.',
    see: 'docs/operations.md#health'
  }),
  brokerDown: rowsOf<FoundBroker>({
    when: status => brokersIn(status, 'down'),
    subject: brokerName,
    cause: ({ broker: { forMs, lastError }, leaderless }) =>
      `It has not answered for ${durationText(forMs)}${lastError === undefined ? '' : `: ${lastError}`}.${effectOf(leaderless)}`,
    next: 'Start the broker, or check the network to it. The records of its partitions wait until it or another broker leads them.',
    see: 'docs/status.md#brokerdown'
  }),
  brokerGone: rowsOf<FoundBroker>({
    when: status => brokersIn(status, 'gone'),
    severity: ({ leaderless }) => badIf(leaderless.length > 0),
    subject: brokerName,
    cause: ({ broker: { forMs }, leaderless }) =>
      `Kafka has not named it for ${durationText(forMs)}: it has stopped, or was removed from the cluster.${effectOf(leaderless)}`,
    next: ({ leaderless }) =>
      leaderless.length > 0
        ? 'Start the broker: records of these partitions wait until it, or another broker with a replica, leads them.'
        : 'Start the broker. If it was removed on purpose, nothing has to be done: this row goes after an hour.',
    see: 'docs/status.md#brokergone'
  }),
  noLeader: rowsOf<StuckPart>({
    when: status => stuckParts(status).filter(({ partitions }) => isLeaderless(partitions[0]!)),
    subject: partName,
    cause: ({ row, partitions, away }) => {
      const [these, its] = partitions.length === 1 ? ['The partition has', 'its'] : ['These partitions have', 'their']
      const who = away.length === 1 ? `Broker ${away[0]} does` : `Brokers ${away.join(', ')} do`
      const because = away.length === 0 ? '' : ` ${who} not run; the replicas that could lead are probably there.`
      return `${these} no leader, so no broker takes ${its} records.${because}${waitingText(row)}`
    },
    next: ({ row, partitions, away }, { memory }) => {
      const its = partitions.length === 1 ? 'its' : 'their'
      const start = away.length === 0 ? `the brokers that hold ${its} replicas` : brokersText(away)
      return `Start ${start}; kafka-topics --describe --topic ${row.topic} names the brokers of ${its} replicas. Records in memory wait for ${durationText(memory.timeoutMs)} at most (delivery.timeoutMs) and fail then; those of the durable log wait for as long as it takes.`
    },
    see: 'delivery.timeoutMs'
  }),
  notAuthorized: rowsOf<TopicRow>({
    when: ({ topics }) => topics.rows.filter(({ state }) => state === 'refused'),
    subject: row => nameIn(row, `topic ${row.topic}`),
    cause: row =>
      `Kafka refuses its records: ${row.refusal?.message ?? 'not authorized for the topic'}.${waitingText(row)}`,
    next: ({ cluster, topic }) =>
      `Grant the rights Describe and Write on topic ${topic} to the user of clusters.${cluster}.sasl: kafka-acls --add --allow-principal User:NAME --operation Describe --operation Write --topic ${topic}`,
    see: ({ cluster }) => `clusters.${cluster}.sasl`
  }),
  partitionStuck: rowsOf<StuckPart>({
    when: status => stuckParts(status).filter(({ partitions }) => !isLeaderless(partitions[0]!)),
    subject: partName,
    cause: ({ row, partitions }) => {
      const [{ leader = -1, message }] = partitions as [PartitionRow]
      const why = message ?? 'a batch has waited for more than half a second for its acknowledgement'
      const [its, it] = partitions.length === 1 ? ['its', 'it'] : ['their', 'them']
      const isLed = leader >= 0 && partitions.every(one => one.leader === leader)
      return `Kafka does not take ${its} records: ${why}.${isLed ? ` Broker ${leader} leads ${it}.` : ''}${waitingText(row)}`
    },
    next: helpOfPart,
    see: STUCK_DOCS
  }),
  topicMissing: rowsOf<TopicRow>({
    when: status => topicsIn(status, 'missing'),
    severity: ({ memory, log }) => badIf(memory.records + (log?.records ?? 0) > 0),
    subject: row => nameIn(row, `topic ${row.topic}`),
    cause: row => `Brokers do not have this topic.${waitingText(row)}`,
    next: 'Create the topic, or correct the name in the program that writes to it. Records of the durable log wait until it exists.',
    see: 'delivery.createTopics'
  }),
  logFull: rowsOf<Filling>({
    when: ({ log, refusals }) => {
      const used = log.sizeBytes / log.limitBytes
      const refused = refusals.filter(({ reason }) => reason === 'logUnavailable')
      const isShown = log.state !== 'failed' && (log.state === 'full' || used >= FILLING)
      return only(isShown, { used, isFull: log.state === 'full' || used >= FULL, refused })
    },
    severity: ({ isFull }) => badIf(isFull),
    subject: 'durable log',
    cause: ({ used, isFull, refused }, status) => {
      const { why, sizeBytes, limitBytes } = status.log
      const size = `${bytesText(sizeBytes)} of ${bytesText(limitBytes)}`
      return [
        `${percentText(used)} of it are in use (${size})${why === undefined ? '' : `: ${why}`}.`,
        ...only(isFull, `Records of ALL topics that need it are refused${refusedText(refused)}.`),
        ...whyFull(status, waitingInLog)
      ].join(' ')
    },
    next: (_, status) =>
      `${firstStep(status, waitingInLog)} Until then only more room helps: wal.maxBytes, or a larger disk.`,
    see: 'wal.maxBytes'
  }),
  memoryFull: rowsOf<Filling>({
    when: ({ memory, refusals }) => {
      const used = memory.limitBytes === 0 ? 0 : memory.bytes / memory.limitBytes
      const refused = refusals.filter(one => isRecent(one) && one.setting === 'delivery.maxBytes')
      const isFull = refused.length > 0 || used >= FULL
      return only(isFull || used >= FILLING, { used, isFull, refused })
    },
    severity: ({ isFull }) => badIf(isFull),
    subject: 'memory for records',
    cause: ({ used, isFull, refused }, status) => {
      const { records, bytes, stuckBytes } = status.memory
      const stuck = stuckBytes > 0 ? `, ${bytesText(stuckBytes)} of them in partitions that are stuck` : ''
      const waiting = `${countOf(records, 'record')} (${bytesText(bytes)}) wait for Kafka${stuck}`
      return [
        `${percentText(used)} of delivery.maxBytes are in use: ${waiting}.`,
        ...only(isFull, `Further records of ALL topics are refused${refusedText(refused)}.`),
        ...whyFull(status, waitingInMemory)
      ].join(' ')
    },
    next: (_, status) =>
      `${firstStep(status, waitingInMemory)} If Kafka is only slow for moments, raise delivery.maxBytes.`,
    see: 'delivery.maxBytes'
  }),
  recordsLost: rowsOf<Losses>({
    when: lossesByTopic,
    severity: ({ isGoingOn }) => badIf(isGoingOn),
    subject: ({ what }) => `accepted records of ${what}`,
    cause: lossText,
    next: ({ isGoingOn }) =>
      `${isGoingOn ? 'Remove the reason, then have' : 'Have'} their senders send the lost records again. With durability: disk, an API keeps records until Kafka has them.`,
    see: 'docs/metrics.md#records-that-are-lost'
  }),
  groupRefused: rowsOf<GroupRow>({
    when: ({ groups }) => groups.rows.filter(({ refusal }) => refusal !== undefined),
    subject: groupName,
    cause: ({ refusal: { topic, message } = { message: '' } }) =>
      `${topic === undefined ? 'The group cannot be joined' : `The group cannot read topic ${topic}`}: ${message}. Requests of its clients are refused.`,
    next: ({ cluster, group, refusal: { topic } = {} }) =>
      `Grant ${topic === undefined ? 'Read on' : `Read on topic ${topic} and on`} group ${group} to the user of clusters.${cluster}.sasl. Castellan tries again every few seconds.`,
    see: ({ cluster }) => `clusters.${cluster}.sasl`
  }),
  quotaReached: rowsOf<RefusalRow>({
    when: status => refusalsFor(status, 'quotaExceeded'),
    severity: 'warning',
    subject: ({ setting = 'quotas' }) => setting,
    cause: row => `Requests are refused with 429: ${row.message} (${latestText(row)}).`,
    next: 'Raise the quota, or have the client that asks too much send less: with access.audit: denied, the audit log names its principal and address. What is refused is not written, unless the client sends it again.',
    see: ({ setting = 'quotas' }) => setting
  }),
  refusing: rowsOf<RefusalRow>({
    when: status => refusalsFor(status, 'overloaded'),
    severity: 'warning',
    subject: ({ setting = 'requests' }) => setting,
    cause: row =>
      `${/maxConnections$/i.test(row.setting ?? '') ? 'Connections are closed at once' : 'Requests are refused'}: ${row.message} (${latestText(row)}).`,
    next: ({ setting }) => {
      if (setting === undefined) return 'Send less, or start another instance.'
      if (!setting.includes('.perAddress.')) return `Raise ${setting}, or start another instance.`
      return `Find the client that takes so much, and raise ${setting} if it has to.`
    },
    see: ({ setting = 'docs/errors.md' }) => setting
  }),
  keysRefused: rowsOf<string>({
    when: status => warningsIn(status, 'keysRefused'),
    severity: 'warning',
    subject: 'keys of requests',
    cause: warning => `${warning}.`,
    next: 'Start the gateway that is missing, or look at the network and at peers.addresses of all gateways. Requests without a key are served.',
    see: 'docs/peers.md#keys-of-requests'
  }),
  groupLags: rowsOf<LagOfGroup>({
    when: ({ lag }) =>
      (lag?.rows ?? []).filter(
        ({ failure, lag = 0, problem }) => failure === undefined && (lag >= LAG_WORTH_A_ROW || problem === BEYOND_END)
      ),
    severity: ({ lag = 0 }) => badIf(lag >= LAG_THAT_IS_BAD),
    subject: groupInTopic,
    cause: ({ lag = 0, problem, uncommitted, asOf }, { at }) => {
      const isPartial = problem !== undefined || uncommitted > 0
      const when = asOf === undefined ? '' : `, as of ${instantText(asOf, at)}`
      return [
        `It is ${isPartial ? 'at least ' : ''}${countOf(lag, 'record')} behind${when}.`,
        ...only(problem !== undefined, `Not all of it is known: ${problem}.`),
        ...only(uncommitted > 0, `Not counted: ${countOf(uncommitted, 'partition')} without a committed offset.`)
      ].join(' ')
    },
    next: ({ problem, topic, group }) =>
      `${
        problem === BEYOND_END
          ? `Find out first whether topic ${topic} was created anew, or has lost the end of its log: clients that start now may skip records, or read them again.`
          : 'Check that its clients run and acknowledge what they read. If the number grows all the same, start more of them, up to one for each partition.'
      } castellan groups --lag ${group} names the partitions.`,
    see: LAG_DOCS
  }),
  lagUnknown: rowsOf<readonly LagOfGroup[]>({
    // All topics of a group with the same reason have one row.
    when: ({ lag }) =>
      groupBy(
        (lag?.rows ?? []).filter(({ failure }) => failure !== undefined),
        row => `${groupName(row)}\n${row.problem}`
      ),
    severity: rows => badIf(sumOf(rows, ({ lag = 0 }) => lag) >= LAG_THAT_IS_BAD),
    subject: rows => (rows.length === 1 ? groupInTopic(rows[0]!) : groupName(rows[0]!)),
    cause: (rows, { at }) => {
      const { problem = 'Kafka does not answer', asOf } = rows[0]!
      const isKnown = asOf !== undefined && rows.some(({ lag }) => lag !== undefined)
      const records = countText(sumOf(rows, ({ lag = 0 }) => lag))
      const before = isKnown ? ` At ${instantText(asOf, at)} it was ${records} records behind.` : ''
      return `How far it is behind is not known: ${problem}.${before}`
    },
    next: ([row]) => {
      const { failure, cluster, group } = row!
      const orLeaveOut = 'take the group out of metrics.lag.groups'
      if (failure === 'refused')
        return `Grant Describe on group ${group} and on its topics to the user of clusters.${cluster}.sasl, or ${orLeaveOut}.`
      if (failure === 'tooLarge')
        return `Delete offsets that the group does not need any more, or ${orLeaveOut} and watch it by Kafka's own tools.`
      return `Check the brokers of cluster ${cluster}. Castellan asks again at the next metrics.lag.everyMs.`
    },
    see: LAG_DOCS
  }),
  deadLetters: rowsOf({
    when: ({ log }) => only(log.deadLetters > 0, log),
    severity: 'warning',
    subject: 'durable log',
    cause: ({ deadLetters }) => `${countOf(deadLetters, 'dead letter')}: Kafka has refused these records for good.`,
    next: 'castellan wal dead-letters names the reasons. Remove the cause, then castellan wal replay or discard.',
    see: LOG_DOCS
  }),
  logDamaged: rowsOf<readonly [subject: string, cause: string, next?: string]>({
    when: ({ log: { damagedRecords, quarantinedSegments, setAsideRecords, damagedFiles } }) => {
      const found = `${countOf(damagedRecords, 'damaged record')} and ${countOf(quarantinedSegments, 'damaged file')}`
      const files = `${countOf(damagedFiles, 'damaged file')} of receipts or keys of requests`
      return [
        ...only(setAsideRecords > 0, [
          'durable log',
          `The disk cannot read ${countOf(setAsideRecords, 'record')}: set aside in quarantine/, where they wait.`,
          'Check the disk. Stop the gateway, and run castellan wal salvage --append: the next start delivers what can be read.'
        ] as const),
        ...only(damagedRecords + quarantinedSegments > 0 && setAsideRecords === 0, [
          'durable log',
          `${found} were found; files were moved to quarantine/.`
        ] as const),
        ...only(damagedFiles > 0, [
          'receipts and keys',
          `${files}: some receipts say unknown, or some requests that come again are carried out again.`
        ] as const)
      ]
    },
    severity: 'warning',
    subject: ([subject]) => subject,
    cause: ([, cause]) => cause,
    next: ([, , next = 'Check the disk. castellan wal verify names the damaged files.']) => next,
    see: LOG_DOCS
  }),
  clockAhead: rowsOf<string>({
    when: status => warningsIn(status, 'clockAhead'),
    severity: 'warning',
    subject: 'clock',
    cause: warning => `${warning}.`,
    next: 'Set the clock of this machine, or of the brokers, by NTP. Records get the time of this machine again as soon as its clock is set.',
    see: 'docs/operations.md#clocks'
  }),
  recordsOld: rowsOf<string>({
    when: status => warningsIn(status, 'recordsOld'),
    severity: 'warning',
    subject: 'durable log',
    cause: warning => warning,
    next: 'Raise retention.ms of the topic before Kafka takes the records, or set wal.timestamps: sent.',
    see: 'wal.timestamps'
  })
}

export type TroubleKind = keyof typeof troubles
export const RANKS = Object.keys(troubles) as readonly TroubleKind[]

const OF_TOPICS: ReadonlySet<string> = new Set<TroubleKind>([
  'noLeader',
  'notAuthorized',
  'partitionStuck',
  'topicMissing'
])

/** Everything that is wrong, worst first, each with its cause and the next step. */
export function troubleOf(status: Judged): Trouble[] {
  const rows = RANKS.flatMap((kind, rank) =>
    troubles[kind](status).map(({ severity, ...rest }) => ({ rank, row: { severity, kind, ...rest } }))
  )
  // Kinds are in their order, and rows of one kind and subject stay in theirs.
  rows.sort(
    (one, other) =>
      Number(one.row.severity !== 'bad') - Number(other.row.severity !== 'bad') ||
      one.rank - other.rank ||
      (one.row.subject < other.row.subject ? -1 : one.row.subject > other.row.subject ? 1 : 0)
  )
  let ofTopics = 0
  const kept = rows.filter(({ row }) => !OF_TOPICS.has(row.kind) || ofTopics++ < MAX_OF_TOPICS)
  return kept.slice(0, MAX_TROUBLE).map(({ row }) => row)
}

const only = <Found>(isThere: boolean, found: Found): Found[] => (isThere ? [found] : [])

const badIf = (isBad: boolean | undefined): Trouble['severity'] => (isBad ? 'bad' : 'warning')

function sumOf<Row>(rows: readonly Row[], of: (row: Row) => number): number {
  return rows.reduce((sum, row) => sum + of(row), 0)
}

function groupBy<Row>(rows: readonly Row[], keyOf: (row: Row) => unknown): Row[][] {
  const groups = new Map<unknown, Row[]>()
  for (const row of rows) {
    const group = groups.get(keyOf(row))
    if (group === undefined) groups.set(keyOf(row), [row])
    else group.push(row)
  }
  return [...groups.values()]
}

/** The cluster is named unless it is the default one. */
const nameIn = ({ cluster }: { readonly cluster: string }, what: string): string =>
  cluster === 'default' ? what : `${what} of cluster ${cluster}`

function processName({ number }: WorkerRow, { workers }: Judged): string {
  return workers.length > 1 ? `worker ${number}` : 'this process'
}

interface FoundBroker {
  readonly cluster: string
  readonly broker: ClusterRow['brokers'][number]
  /** Partitions without a leader whose records wait, as `audit/0`. */
  readonly leaderless: readonly string[]
}

/** Brokers of clusters that answer. */
const brokersIn = ({ clusters, topics: { rows } }: Judged, state: string): FoundBroker[] =>
  clusters.flatMap(({ name: cluster, isReady, brokers }) => {
    if (!isReady) return []
    const stuck = rows.filter(row => row.cluster === cluster && row.state === 'stuck')
    const leaderless = stuck.flatMap(({ topic, troubled }) =>
      troubled.filter(isLeaderless).map(({ partition }) => `${topic}/${partition}`)
    )
    return brokers.filter(broker => broker.state === state).map(broker => ({ cluster, broker, leaderless }))
  })

function brokerName({ cluster, broker: { nodeId, address } }: FoundBroker): string {
  return nameIn({ cluster }, `broker ${nodeId} (${address})`)
}

/** ` Partitions without a leader now: audit/0, audit/2.` */
const effectOf = (leaderless: readonly string[]): string =>
  leaderless.length === 0 ? '' : ` Partitions without a leader now: ${firstOf(leaderless, MAX_PARTITIONS)}.`

/** Topics of clusters that answer: while no broker does, that is the trouble of all topics. */
const topicsIn = ({ clusters, topics }: Judged, state: TopicRow['state']): TopicRow[] =>
  topics.rows.filter(
    row => row.state === state && clusters.every(({ name, isReady }) => isReady || name !== row.cluster)
  )

/** Partitions of a topic that are stuck for the same reason, and the brokers of its cluster that are not up. */
interface StuckPart {
  readonly row: TopicRow
  readonly partitions: readonly PartitionRow[]
  readonly away: readonly number[]
  readonly brokers: number
}

/** Kafka's names, and our own, of a partition that no broker leads. */
const LEADERLESS: ReadonlySet<string | undefined> = new Set(['noLeader', 'LEADER_NOT_AVAILABLE'])

const isLeaderless = ({ error, leader }: PartitionRow): boolean => leader === -1 || LEADERLESS.has(error)

/** All partitions of a topic mostly have the same trouble: one row for each error. */
const stuckParts = (status: Judged): StuckPart[] =>
  topicsIn(status, 'stuck').flatMap(row => {
    const { brokers = [] } = status.clusters.find(({ name }) => name === row.cluster) ?? {}
    const away = brokers.filter(({ state }) => state !== 'up').map(({ nodeId }) => nodeId)
    const parts = groupBy(row.troubled, partition => isLeaderless(partition) || String(partition.error))
    return parts.map(partitions => ({ row, partitions, away, brokers: brokers.length }))
  })

function partName({ row, partitions }: StuckPart): string {
  const [only] = partitions
  if (partitions.length === 1) return nameIn(row, `partition ${row.topic}/${only!.partition}`)
  const more = row.troubledPartitions > row.troubled.length ? ', …' : ''
  return nameIn(row, `partitions ${row.topic}/{${partitions.map(({ partition }) => partition).join(', ')}${more}}`)
}

const brokersText = (ids: readonly number[]): string => `broker${ids.length === 1 ? '' : 's'} ${ids.join(', ')}`

/** What helps against errors that operators can end. */
const HELP: Readonly<Partial<Record<string, string>>> = {
  unknownPartition:
    'Add partitions to the topic, or correct the program that names the partition. Records of the durable log wait until it exists.',
  brokerUnreachable: 'Start the broker that leads it, or check the network to it.',
  unanswered: 'Look at the log and the disks of the broker that leads it: it does not answer in time.'
}

function helpOfPart({ row: { topic }, partitions, away, brokers }: StuckPart): string {
  const { error = '' } = partitions[0]!
  if (!error.startsWith('NOT_ENOUGH_REPLICAS'))
    return HELP[error] ?? 'Look at the log of the broker that leads it. Castellan tries again by itself.'
  const look = `kafka-topics --describe --topic ${topic} shows its replicas, those in sync (Isr) and min.insync.replicas`
  const lower = 'To lower min.insync.replicas also ends it, but makes losses possible.'
  if (away.length > 0) return `Start ${brokersText(away)}. If that does not help: ${look}. ${lower}`
  const all = brokers === 1 ? 'The only broker answers' : `All ${brokers} brokers answer`
  return `${all}: replicas are behind, or min.insync.replicas is above the number of replicas. ${look}. ${lower}`
}

function waitingText({ memory, log }: TopicRow): string {
  const logged = log?.records ?? 0
  const parts = [
    ...only(memory.records > 0, `${countText(memory.records)} in memory (${bytesText(memory.bytes)})`),
    ...only(logged > 0, `${countText(logged)} in the durable log`)
  ]
  if (parts.length === 0) return ''
  const age = memory.oldestAgeMs > 0 ? `, the oldest for ${durationText(memory.oldestAgeMs)}` : ''
  return ` Records that wait: ${parts.join(' and ')}${age}.`
}

/** How much of the log or the memory is used, and what was refused for it. */
interface Filling {
  readonly used: number
  readonly isFull: boolean
  readonly refused: readonly RefusalRow[]
}

const waitingInLog = ({ log }: TopicRow): number => log?.records ?? 0
const waitingInMemory = ({ memory }: TopicRow): number => memory.records

/** The names of topics that Kafka does not take, those with the most records first. */
const culpritsOf = ({ topics }: Judged, recordsOf: (row: TopicRow) => number): readonly string[] =>
  topics.rows
    .filter(row => ['refused', 'stuck', 'missing'].includes(row.state) && recordsOf(row) > 0)
    .sort((one, other) => recordsOf(other) - recordsOf(one))
    .map(({ topic }) => topic)

function whyFull(status: Judged, recordsOf: (row: TopicRow) => number): string[] {
  const away = status.clusters.find(({ isReady }) => !isReady)
  if (away !== undefined) return [`It fills because no broker of cluster ${away.name} answers.`]
  const topics = culpritsOf(status, recordsOf)
  return only(topics.length > 0, `It fills because Kafka does not take the records of ${topicsText(topics)}.`)
}

function firstStep(status: Judged, recordsOf: (row: TopicRow) => number): string {
  const topics = culpritsOf(status, recordsOf)
  if (status.clusters.some(({ isReady }) => !isReady)) return 'Get brokers to answer first: their row is above.'
  if (topics.length === 0) return 'Kafka takes less than comes: check how busy its brokers are, or send less.'
  return `Mend ${topicsText(topics)} first: ${topics.length === 1 ? 'its row is' : 'their rows are'} above.`
}

const topicsText = (names: readonly string[]): string =>
  `topic${names.length === 1 ? '' : 's'} ${firstOf(names, MAX_TOPICS)}`

/** ` (12.9 records per second)` */
function refusedText(refusals: readonly RefusalRow[]): string {
  const texts = (['records', 'requests'] as const).flatMap(unit => {
    const rate = sumOf(refusals, ({ what, perSecond }) => (what === unit ? perSecond : 0))
    return only(rate > 0, `${perSecondText(rate)} ${unit} per second`)
  })
  return texts.length === 0 ? '' : ` (${texts.join(', ')})`
}

/** Losses of one topic, by any API and for any reason. The latest is the first. */
interface Losses {
  readonly what: string
  readonly rows: readonly LossRow[]
  readonly lastAgoMs: number
  readonly isGoingOn: boolean
}

function lossesByTopic({ losses }: Judged): Losses[] {
  const nameOf = (row: LossRow): string =>
    nameIn(row, row.topic === undefined ? 'further topics' : `topic ${row.topic}`)
  const all = groupBy(losses, nameOf).map(rows => ({ what: nameOf(rows[0]!), rows }))
  const rest = all.splice(MAX_LOSSES)
  const others = { what: `${rest.length} more topics`, rows: rest.flatMap(({ rows }) => rows) }
  return [...all, ...only(rest.length > 0, others)].map(one => {
    const lastAgoMs = Math.min(...one.rows.map(row => row.lastAgoMs))
    return { ...one, lastAgoMs, isGoingOn: lastAgoMs < LOST_LATELY_MS }
  })
}

function lossText({ rows, lastAgoMs, isGoingOn }: Losses, { at }: Judged): string {
  const since = instantText(Date.parse(at) - Math.max(...rows.map(row => row.firstAgoMs)), at)
  const records = sumOf(rows, row => row.records)
  const rate = sumOf(rows, row => row.perSecond)
  const last = `the last one ${agoText(lastAgoMs)}.`
  const perSecond = rate > 0 ? `${perSecondText(rate)} per second, ` : ''
  const facts = isGoingOn
    ? `Accepted records are being lost: ${perSecond}${countOf(records, 'record')} since ${since}, ${last}`
    : `${countOf(records, 'accepted record')} ${records === 1 ? 'was' : 'were'} lost, the first one at ${since}, ${last}`
  const apis = [...new Set(rows.map(({ api }) => api))]
  // A program that uses Castellan as a library, and does not wait for outcomes.
  const named = apis.filter(api => api !== 'library')
  const who = [
    ...only(named.length > 0, `${named.length === 1 ? 'API' : 'the APIs'} ${named.join(', ')}`),
    ...only(named.length < apis.length, 'the library')
  ].join(' and ')
  return `${facts} ${who.charAt(0).toUpperCase()}${who.slice(1)} had told their senders that they were accepted. Reason: ${rows[0]!.message}.`
}

function groupName(row: Pick<GroupRow, 'cluster' | 'group'>): string {
  return nameIn(row, `group ${row.group}`)
}

function groupInTopic(row: LagOfGroup): string {
  return `${groupName(row)}${row.topic === undefined ? '' : ` in topic ${row.topic}`}`
}

const isRecent = ({ lastAgoMs }: RefusalRow): boolean => lastAgoMs <= REFUSED_LATELY_MS

/** Settings whose refusals have a row of their own. */
const TOLD_ELSEWHERE: ReadonlySet<string | undefined> = new Set(['delivery.maxBytes', 'wal.maxBytes'])

const refusalsFor = ({ refusals }: Judged, reason: string): RefusalRow[] =>
  refusals.filter(row => row.reason === reason && isRecent(row) && !TOLD_ELSEWHERE.has(row.setting))

const latestText = ({ perSecond, count, lastAgoMs }: RefusalRow): string =>
  `${perSecond > 0 ? `${perSecondText(perSecond)} per second, ` : ''}${countText(count)} since the start, the last one ${durationText(lastAgoMs)} ago`

/** Clusters and workers have rows of their own. */
const isToldHere = (text: string): boolean => !/^(no broker of cluster|worker \d+ )/.test(text)

function warningsIn({ gateway: { warnings } }: Judged, kind: string): string[] {
  const kindOf = (warning: string): string => {
    if (/Idempotency-Key/.test(warning)) return 'keysRefused'
    if (/castellan wal salvage/.test(warning)) return 'logDamaged'
    return warning.startsWith('the clock ') ? 'clockAhead' : 'recordsOld'
  }
  return warnings.filter(warning => isToldHere(warning) && kindOf(warning) === kind)
}
