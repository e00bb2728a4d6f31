import { WEBHOOK_GROUPS } from '../../consumer/group/webhook-groups.js'
import { groupBy } from '../../core/maps.js'
import { DAY_MS } from '../../core/model.js'
import { type Notice, textsOf } from '../../core/notice.js'
import type { VerbTrouble } from '../../verbs/facts.js'
import { BEYOND_END } from '../../verbs/lag.js'
import type {
  ClusterRow,
  LossRow,
  OpenTransactionRow,
  PartitionRow,
  QueueRow,
  RefusalRow,
  Status,
  TopicRow,
  Trouble,
  WebhookRow
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

/** Reasons and warnings have their kind here: clusters and damage of the log have rows of their own. */
type Facts = Judged & { readonly notices: readonly Notice[] }

/** A row without its kind. Default of `severity`: `bad`. */
type TroubleRow = Omit<Trouble, 'kind' | 'severity'> & Partial<Pick<Trouble, 'severity'>>

/** One kind of trouble. */
interface Kind {
  readonly rowsOf: (status: Facts) => TroubleRow[]
  /** Present: no request meets it, so that the log has to tell it. */
  readonly quietly?: (status: Quiet) => TroubleRow[]
  /** There may be as many rows as topics. */
  readonly isOfTopics?: true
}

/** A search for one kind of trouble, and the texts about each one that is found. */
type Rule<Of, Found> = [when: (status: Of) => readonly Found[], tell: (found: Found, status: Of) => TroubleRow]

const rowsBy =
  <Of, Found>(...[when, tell]: Rule<Of, Found>) =>
  (status: Of): TroubleRow[] =>
    when(status).map(found => tell(found, status))

const kind = <Found>(...rule: Rule<Facts, Found>): Kind => ({ rowsOf: rowsBy(...rule) })

const ofTopics = <Found>(...rule: Rule<Facts, Found>): Kind => ({ ...kind(...rule), isOfTopics: true })

const quiet = <Found>(...rule: Rule<Quiet, Found>): Kind => ({ rowsOf: rowsBy(...rule), quietly: rowsBy(...rule) })

/** A warning of the process, in its words. @param more said after it */
const warning = (of: Notice['kind'], subject: string, next: string, see: string, more = ''): Kind =>
  kind(
    status => noticed(status, of),
    text => ({ severity: 'warning', subject, cause: `${text}.${more}`, next, see })
  )

/** A kind of trouble of webhooks. */
const ofWebhook = (isSo: (row: WebhookRow) => boolean, tell: (row: WebhookRow) => Omit<TroubleRow, 'subject'>): Kind =>
  quiet(
    ({ webhooks }) => webhooks.rows.filter(isSo),
    row => ({ subject: nameIn(row, `webhook ${row.webhook}`), ...tell(row) })
  )

/** Troubles that no request meets, so that the log has to tell them. */
export type Quiet = Pick<Judged, 'certificates' | 'clocks'> & {
  readonly queues: { readonly rows: readonly QueueRow[] }
  readonly openTransactions: { readonly rows: readonly OpenTransactionRow[] }
  readonly webhooks: { readonly rows: readonly WebhookRow[] }
}

/** The setting of the certificate for other gateways. */
export const PEERS_TLS = 'peers.tlsDirectory'
/** A certificate is shown from this time before its end on, and as bad from the second one on. */
const CERTIFICATE_SOON_MS = 21 * DAY_MS
const CERTIFICATE_BAD_MS = 3 * DAY_MS
/** A clock is told from this difference on. */
const CLOCK_DIFFERS_MS = 10_000
/** The delay of the event loop is shown from this share of its limit on. */
const LATE = 0.5
/** Shares of a limit from which on it is shown, and from which on it counts as reached. */
const FILLING = 0.8
const FULL = 0.95
/** A refusal counts as present for this time, a loss as going on. */
const REFUSED_LATELY_MS = 30_000
const LOST_LATELY_MS = 60_000
/** A group is shown as lagging from the first number of records on, and as bad from the second. */
const LAG_WORTH_A_ROW = 1_000
const LAG_THAT_IS_BAD = 100_000
/** An endpoint that fails for so long has an alert. */
const FAILING_LONG_MS = 600_000
/** The age of the oldest open record of a webhook is told from this share of the retention on. */
const RETENTION_SHARE = 0.8
/** A message of a queue that is held for so long has an alert. */
const HELD_LONG_MS = 30 * 60_000
/** Topics with losses that have a row of their own at most; the others share one. */
const MAX_LOSSES = 5
/** Partitions, and topics, that are named one by one. */
const MAX_PARTITIONS = 5
const MAX_TOPICS = 3
/** Rows of an answer at most; a reader who has them has enough to do. */
const MAX_TROUBLE = 100
/** Causes stand before their effects, so that many topics must not push everything else off the list. */
const MAX_OF_TOPICS = 60

const LOG_DOCS = 'docs/durable-log.md'
const QUEUE_DOCS = 'docs/queues.md#what-is-promised'
const LAG_DOCS = 'docs/metrics.md#lag-of-consumer-groups'

/**
 * Every kind of trouble, from the worst to the least: what stops everything comes before what stops a part, and a cause
 * before its effects, as a partition that is stuck before the log that fills up by it.
 */
const troubles = {
  brokersAway: kind(
    ({ clusters }) => clusters.filter(({ isReady }) => !isReady),
    ({ name, away }) => ({
      subject: `cluster ${name}`,
      cause: `No broker answers${away === undefined ? '' : `: ${away}`}.`,
      next: `Check that its brokers run, and that this machine reaches them at clusters.${name}.brokers. Castellan connects by itself as soon as one answers.`,
      see: `clusters.${name}.brokers`
    })
  ),
  idRefused: kind(
    ({ clusters }) => clusters.flatMap(row => only(isRefusing(row), { ...row, ...row.idRefused! })),
    ({ name, error, message }) => ({
      subject: `cluster ${name}`,
      cause: `Kafka gives this gateway no producer id, so no record can be written: ${message}.`,
      next:
        error === 'UNSUPPORTED_VERSION'
          ? 'This Kafka has no idempotent writes, which Castellan needs for every record: write to another one.'
          : `Grant Write on a topic to the user of clusters.${name}.sasl; before Kafka 2.8 also IdempotentWrite on the cluster; for IAM of MSK kafka-cluster:WriteDataIdempotently on the cluster. Castellan asks again by itself.`,
      see: 'docs/status.md#idrefused'
    })
  ),
  logFailed: kind(
    ({ log }) => only(log.state === 'failed', log),
    ({ why = 'the disk fails' }) => ({
      subject: 'durable log',
      cause: `It takes no records: ${why}.`,
      next: 'Check the disk and the rights of the directory. The log is tried again by itself.',
      see: 'wal.directory'
    })
  ),
  heapFull: kind(
    ({ process }) => {
      const { isHeapFull, heapShare = 0, maxHeapShare = 1 } = process
      return only(isHeapFull || (maxHeapShare < 1 && heapShare >= maxHeapShare), process)
    },
    ({ isHeapFull, heapShare = 0 }) => ({
      severity: badIf(isHeapFull),
      subject: 'this process',
      cause: `${percentText(heapShare)} of its heap are in use.${isHeapFull ? ' Requests with a body are refused.' : ''}`,
      next: 'Give the process more memory (node --max-old-space-size), or lower cache.maxBytes and http.maxBodiesInFlightBytes.',
      see: 'advanced.http.maxHeapShare'
    })
  ),
  eventLoopLate: kind(
    ({ process }) => {
      const { refusedShare = 0, eventLoopDelayMs = 0, maxEventLoopDelayMs = 0 } = process
      const isLate = maxEventLoopDelayMs > 0 && eventLoopDelayMs >= maxEventLoopDelayMs * LATE
      return only(refusedShare > 0 || isLate, process)
    },
    ({ eventLoopDelayMs = 0, eventLoopUse = 0, refusedShare = 0 }) => {
      const delay = eventLoopDelayMs > 0 ? `is late by ${durationText(eventLoopDelayMs)} and ` : ''
      const refused = refusedShare > 0 ? ` ${percentText(refusedShare)} of the requests with a body are refused.` : ''
      return {
        severity: badIf(refusedShare > 0),
        subject: 'this process',
        cause: `Its event loop ${delay}was busy for ${percentText(eventLoopUse)} of the time.${refused}`,
        next: 'Start another gateway behind the load balancer: docs/several-cores.md.',
        see: refusedShare > 0 ? 'advanced.http.maxEventLoopDelayMs' : 'docs/several-cores.md'
      }
    }
  ),
  certificateEnds: quiet(
    ({ certificates }) => certificates.filter(({ remainingMs }) => remainingMs <= CERTIFICATE_SOON_MS),
    ({ of, subject, validTo, remainingMs: ms }) => ({
      severity: badIf(ms <= CERTIFICATE_BAD_MS),
      subject: `certificate of ${of}`,
      cause: `The certificate of ${subject} ${ms > 0 ? `ends in ${durationText(ms)}` : `ended ${durationText(-ms)} ago`}, on ${validTo.slice(0, 10)}.`,
      next:
        of === PEERS_TLS
          ? `Put a new one into ${of}, and start the gateway again: it is read at the start only.`
          : `Put a new one into ${of}.certFile and ${of}.keyFile. Castellan reads the files again on SIGHUP, and those of listeners by itself.`,
      see: of === PEERS_TLS ? of : `${of}.certFile`
    })
  ),
  notReady: kind(
    status => noticed(status, 'notReady'),
    reason => ({
      subject: 'this gateway',
      cause: `It is not ready: ${reason}.`,
      next: 'Load balancers send it no requests until it is.',
      see: 'docs/operations.md#health'
    })
  ),
  brokerDown: kind(
    status => brokersIn(status, 'down'),
    ({ name, broker: { forMs, lastError }, effect }) => ({
      subject: name,
      cause: `It has not answered for ${durationText(forMs)}${lastError === undefined ? '' : `: ${lastError}`}.${effect}`,
      next: 'Start the broker, or check the network to it. The records of its partitions wait until it or another broker leads them.',
      see: 'docs/status.md#brokerdown'
    })
  ),
  brokerGone: kind(
    status => brokersIn(status, 'gone'),
    ({ name, broker: { forMs }, effect }) => ({
      severity: badIf(effect !== ''),
      subject: name,
      cause: `Kafka has not named it for ${durationText(forMs)}: it has stopped, or was removed from the cluster.${effect}`,
      next:
        effect === ''
          ? 'Start the broker. If it was removed on purpose, this row goes after an hour, and not before its replicas are on others.'
          : 'Start the broker: records of these partitions wait until it, or another broker with a replica, leads them.',
      see: 'docs/status.md#brokergone'
    })
  ),
  noLeader: ofTopics(
    status => stuckParts(status).filter(({ isLed }) => !isLed),
    ({ name, row, partitions, away }, { memory }) => {
      const [these, its] = partitions.length === 1 ? ['The partition has', 'its'] : ['These partitions have', 'their']
      const who = away.length === 1 ? `Broker ${away[0]} does` : `Brokers ${away.join(', ')} do`
      const because = away.length === 0 ? '' : ` ${who} not run; the replicas that could lead are probably there.`
      const start = away.length === 0 ? `the brokers that hold ${its} replicas` : brokersText(away)
      return {
        subject: name,
        cause: `${these} no leader, so no broker takes ${its} records.${because}${waitingText(row)}`,
        next: `Start ${start}; kafka-topics --describe --topic ${row.topic} names the brokers of ${its} replicas. Records in memory wait for ${durationText(memory.timeoutMs)} at most (delivery.timeoutMs) and fail then; those of the durable log wait for as long as it takes.`,
        see: 'delivery.timeoutMs'
      }
    }
  ),
  notAuthorized: ofTopics(
    ({ topics, clusters }) =>
      topics.rows.filter(
        ({ state, cluster }) => state === 'refused' && !clusters.some(row => row.name === cluster && isRefusing(row))
      ),
    row => ({
      subject: nameIn(row, `topic ${row.topic}`),
      cause: `Kafka refuses its records: ${row.refusal?.message ?? 'not authorized for the topic'}.${waitingText(row)}`,
      next: `Grant the rights Describe and Write on topic ${row.topic} to the user of clusters.${row.cluster}.sasl: kafka-acls --add --allow-principal User:NAME --operation Describe --operation Write --topic ${row.topic}`,
      see: `clusters.${row.cluster}.sasl`
    })
  ),
  partitionStuck: ofTopics(
    status => stuckParts(status).filter(({ isLed }) => isLed),
    part => {
      const { name, row, partitions } = part
      const [{ leader = -1, message }] = partitions as [PartitionRow]
      const why = message ?? 'a batch has waited for more than half a second for its acknowledgement'
      const [its, it] = partitions.length === 1 ? ['its', 'it'] : ['their', 'them']
      const isOfOne = leader >= 0 && partitions.every(one => one.leader === leader)
      return {
        subject: name,
        cause: `Kafka does not take ${its} records: ${why}.${isOfOne ? ` Broker ${leader} leads ${it}.` : ''}${waitingText(row)}`,
        next: helpOfPart(part),
        see: 'docs/status.md#partitionstuck'
      }
    }
  ),
  topicMissing: ofTopics(
    status => topicsIn(status, 'missing'),
    row => ({
      severity: badIf(row.memory.records + (row.log?.records ?? 0) > 0),
      subject: nameIn(row, `topic ${row.topic}`),
      cause: `Brokers do not have this topic.${waitingText(row)}`,
      next: 'Create the topic, or correct the name in the program that writes to it. Records of the durable log wait until it exists.',
      see: 'delivery.createTopics'
    })
  ),
  logFull: kind(
    ({ log }) => {
      const used = log.sizeBytes / log.limitBytes
      const isFull = log.state === 'full' || used >= FULL
      return only(log.state !== 'failed' && (isFull || used >= FILLING), { ...log, used, isFull })
    },
    ({ used, isFull, why, sizeBytes, limitBytes }, status) => {
      const refused = status.refusals.filter(({ reason }) => reason === 'logUnavailable')
      const { because, first } = fillingBy(status, ({ log }) => log?.records ?? 0)
      return {
        severity: badIf(isFull),
        subject: 'durable log',
        cause: [
          `${percentText(used)} of it are in use (${bytesText(sizeBytes)} of ${bytesText(limitBytes)})${why === undefined ? '' : `: ${why}`}.`,
          ...only(isFull, `Records of ALL topics that need it are refused${refusedText(refused)}.`),
          ...because
        ].join(' '),
        next: `${first} Until then only more space helps: wal.maxBytes, or a larger disk.`,
        see: 'wal.maxBytes'
      }
    }
  ),
  memoryFull: kind(
    ({ memory, refusals }) => {
      const used = memory.limitBytes === 0 ? 0 : memory.bytes / memory.limitBytes
      const refused = refusals.filter(one => isRecent(one) && one.setting === 'delivery.maxBytes')
      const isFull = refused.length > 0 || used >= FULL
      return only(isFull || used >= FILLING, { ...memory, used, isFull, refused })
    },
    ({ used, isFull, refused, records, bytes, stuckBytes }, status) => {
      const stuck = stuckBytes > 0 ? `, ${bytesText(stuckBytes)} of them in partitions that are stuck` : ''
      const { because, first } = fillingBy(status, ({ memory }) => memory.records)
      return {
        severity: badIf(isFull),
        subject: 'memory for records',
        cause: [
          `${percentText(used)} of delivery.maxBytes are in use: ${countOf(records, 'record')} (${bytesText(bytes)}) wait for Kafka${stuck}.`,
          ...only(isFull, `Further records of ALL topics are refused${refusedText(refused)}.`),
          ...because
        ].join(' '),
        next: `${first} If Kafka is only slow for moments, raise delivery.maxBytes.`,
        see: 'delivery.maxBytes'
      }
    }
  ),
  recordsLost: kind(lossesByTopic, ({ what, rows }, { at }) => {
    const lastAgoMs = Math.min(...rows.map(row => row.lastAgoMs))
    const isGoingOn = lastAgoMs < LOST_LATELY_MS
    return {
      severity: badIf(isGoingOn),
      subject: `accepted records of ${what}`,
      cause: `${lossText(rows, isGoingOn, at)}, the last one ${agoText(lastAgoMs)}. ${senderText(rows)} had told their senders that they were accepted. Reason: ${rows[0]!.message}.`,
      next: `${isGoingOn ? 'Remove the reason, then have' : 'Have'} their senders send the lost records again. With durability: disk, an API keeps records until Kafka has them.`,
      see: 'docs/metrics.md#records-that-are-lost'
    }
  }),
  groupRefused: kind(
    ({ groups }) =>
      groups.rows.flatMap(({ refusal, ...row }) => (refusal === undefined ? [] : [{ ...row, ...refusal }])),
    ({ cluster, group, topic, message }) => ({
      subject: nameIn({ cluster }, `group ${group}`),
      cause: `${topic === undefined ? 'The group cannot be joined' : `The group cannot read topic ${topic}`}: ${message}. Requests of its clients are refused.`,
      next: `Grant ${topic === undefined ? 'Read on' : `Read on topic ${topic} and on`} group ${group} to the user of clusters.${cluster}.sasl. Castellan tries again every few seconds.`,
      see: `clusters.${cluster}.sasl`
    })
  ),
  transactionOpen: quiet(openByTopic, ([oldest, ...others]) => {
    const { topic, partition, lastStableOffset, records, openMs, holdsReads } = oldest
    const all = partitionsText([oldest, ...others].map(row => String(row.partition)))
    const reads = holdsReads
      ? `Reads of ${all} wait behind an open transaction`
      : `A transaction is open in ${all}: readers of committed records wait behind it, and this gateway does not`
    return {
      severity: badIf(holdsReads),
      subject: nameIn(oldest, `topic ${topic}`),
      cause: `${reads}. ${others.length === 0 ? 'It' : 'The oldest one'} has been open for ${durationText(openMs)} or longer, from offset ${lastStableOffset} on, with ${countOf(records, 'offset')} after that.`,
      next: `Find the program that has not ended it: kafka-transactions describe-producers --topic ${topic} --partition ${partition} names its producer id. Kafka aborts a transaction after the program's transaction.timeout.ms; one that stays is ended by kafka-transactions abort --topic ${topic} --partition ${partition} --start-offset ${lastStableOffset}`,
      see: 'docs/status.md#transactionopen'
    }
  }),
  queueNotServed: kind(
    ({ queues }) => queues.rows.filter(({ notServedMs }) => notServedMs !== undefined),
    ({ failure = 'Kafka does not answer', notServedMs = 0, waiting, ...row }) => ({
      subject: queueName(row),
      cause: `Its messages cannot be acquired for ${durationText(notServedMs)}: ${failure}.${waiting === 0 ? '' : ` ${countOf(waiting, 'request')} ${waiting === 1 ? 'waits' : 'wait'} for them.`}`,
      next: `Look at the brokers that lead topic ${row.topic}, and at the rights Read on the topic and on group ${row.group} of the user of clusters.${row.cluster}.sasl. Castellan tries again by itself.`,
      see: QUEUE_DOCS
    })
  ),
  queueArchived: kind(
    ({ queues }) => queues.rows.filter(({ archivedAgoMs }) => archivedAgoMs !== undefined),
    ({ archivedAgoMs = 0, archived, ...row }) => ({
      severity: 'warning',
      subject: queueName(row),
      cause: `Messages were archived at their last delivery, the last one ${agoText(archivedAgoMs)}${archived > 0 ? `; ${countOf(archived, 'message')} since the queue was opened` : ''}. No client has accepted or rejected them, and none gets them again.`,
      next: 'The log names each of them. Find out why workers fail or are too slow; a greater deliveryLimit of the group gives them more tries, and dead letters keep what is given up.',
      see: QUEUE_DOCS
    })
  ),
  queueIsolationDiffers: quiet(
    ({ queues }) => queues.rows.filter(({ differentIsolation }) => differentIsolation !== undefined),
    ({ differentIsolation, ...row }) => {
      const isOpen = differentIsolation === 'readUncommitted'
      return {
        severity: 'warning',
        subject: queueName(row),
        cause: isOpen
          ? 'It gives out records of transactions that are open or aborted, which all other reads of this gateway hide (router.isolationLevel).'
          : 'It hides records of transactions that are open or aborted, which all other reads of this gateway show (router.isolationLevel).',
        next: `If that is not wanted, set the isolation of the group, which counts for all its topics: PATCH /queues/${row.topic}/${row.group} with {"isolation":"${isOpen ? 'readCommitted' : 'readUncommitted'}"}.`,
        see: 'router.isolationLevel'
      }
    }
  ),
  queueHeldLong: quiet(
    ({ queues }) => queues.rows.filter(({ oldestHeldMs }) => oldestHeldMs >= HELD_LONG_MS),
    ({ oldestHeldMs, ...row }) => ({
      severity: 'warning',
      subject: queueName(row),
      cause: `A client has held a message for ${durationText(oldestHeldMs)}. Its partition stops 2,000 offsets after it.`,
      next: 'End the worker that hangs, or settle the message. Jobs that take so long are better split.',
      see: QUEUE_DOCS
    })
  ),
  webhookLost: ofWebhook(
    ({ lost }) => lost > 0,
    ({ lost, topic }) => ({
      cause: `Retention of topic ${topic} has deleted ${countOf(lost, 'record')} before they were delivered.`,
      next: 'The log names them. Raise retention.ms of the topic until the endpoint has caught up.',
      see: 'docs/webhooks.md#order-and-pace'
    })
  ),
  webhookRetention: ofWebhook(
    ({ oldestOpenMs, retentionMs = Number.POSITIVE_INFINITY }) => (oldestOpenMs ?? 0) > retentionMs * RETENTION_SHARE,
    ({ oldestOpenMs, retentionMs = 0, topic }) => ({
      cause: `Its oldest record is ${durationText(oldestOpenMs ?? 0)} old, and topic ${topic} keeps records for ${durationText(retentionMs)}.`,
      next: 'Raise retention.ms of the topic, mend the endpoint, or skip the record: castellan webhooks describe names it.',
      see: 'docs/webhooks.md#skip'
    })
  ),
  webhookBroken: ofWebhook(
    ({ state }) => state === 'broken',
    ({ because = 'Kafka does not let it read' }) => ({
      cause: `It sends nothing: ${because}.`,
      next: 'Correct its definition, or its topics. It is tried again every 30 s.',
      see: 'docs/webhooks.md#definition'
    })
  ),
  webhookDeadLettersStopped: ofWebhook(
    ({ deadLettersStopped }) => deadLettersStopped,
    () => ({
      cause:
        'Ten records in a row became dead letters, without a 2xx between them. No more are written, and records wait.',
      next: 'The endpoint refuses all records: correct it, or the url. It goes on with the first 2xx.',
      see: 'docs/webhooks.md#what-an-answer-means'
    })
  ),
  webhookFailing: ofWebhook(
    ({ failingMs = 0 }) => failingMs >= FAILING_LONG_MS,
    ({ failingMs = 0, open }) => ({
      cause: `No request has got a 2xx for ${durationText(failingMs)}; ${countOf(open, 'record')} ${open === 1 ? 'waits' : 'wait'} here.`,
      next: 'castellan webhooks describe shows the last answers, castellan webhooks test sends a request. Nothing is lost while the topic keeps its records.',
      see: 'docs/webhooks.md#what-an-answer-means'
    })
  ),
  webhookStalled: ofWebhook(
    ({ stalledPartitions }) => stalledPartitions > 0,
    ({ stalledPartitions, topic }) => ({
      cause: `${countOf(stalledPartitions, 'partition')} of topic ${topic} ${stalledPartitions === 1 ? 'is' : 'are'} not read further, since too many records are open.`,
      next: 'castellan webhooks describe names the oldest record: mend the endpoint for it, skip it, or name a topic for dead letters.',
      see: 'docs/webhooks.md#order-and-pace'
    })
  ),
  webhookGone: ofWebhook(
    ({ state }) => state === 'gone',
    ({ webhook }) => ({
      cause: 'The endpoint has answered 410, so nothing is sent to it.',
      next: `castellan webhooks resume ${webhook} goes on. If the endpoint is gone for good, remove the definition.`,
      see: 'docs/webhooks.md#what-an-answer-means'
    })
  ),
  webhookForeignMember: ofWebhook(
    ({ foreignMember }) => foreignMember,
    ({ webhook }) => ({
      cause: `Another client is a member of its group ${WEBHOOK_GROUPS}${webhook}, and gets records that are then not sent.`,
      next: 'Give that client another group.',
      see: 'docs/webhooks.md#kills-and-restarts'
    })
  ),
  quotaReached: kind(
    status => refusalsFor(status, 'quotaExceeded'),
    row => ({
      severity: 'warning',
      subject: row.setting ?? 'quotas',
      cause: `Requests are refused with 429: ${row.message} (${latestText(row)}).`,
      next: 'Raise the quota, or have the client that asks too much send less: with access.audit: denied, the audit log names its principal and address. What is refused is not written, unless the client sends it again.',
      see: row.setting ?? 'quotas'
    })
  ),
  registryAway: kind(
    status => refusalsFor(status, 'registryUnreachable'),
    row => ({
      subject: 'schema registry',
      cause: `Records with schemas that are not known yet are refused with 503: ${row.message} (${latestText(row)}).`,
      next: 'Check that the registry runs, and that this machine reaches it at schemas.registry.urls. It is asked again by itself.',
      see: 'schemas.registry.urls'
    })
  ),
  refusing: kind(
    status => refusalsFor(status, 'overloaded'),
    row => ({
      severity: 'warning',
      subject: row.setting ?? 'requests',
      cause: `${/maxConnections$/i.test(row.setting ?? '') ? 'Connections are closed at once' : 'Requests are refused'}: ${row.message} (${latestText(row)}).`,
      next: row.setting?.includes('.perAddress.')
        ? `Find the client that takes so much, and raise ${row.setting} if it has to.`
        : `${row.setting === undefined ? 'Send less' : `Raise ${row.setting}`}, or start another instance.`,
      see: row.setting ?? 'docs/errors.md'
    })
  ),
  keysRefused: warning(
    'keysRefused',
    'keys of requests',
    'Start the gateway that is missing, or look at the network and at peers.addresses of all gateways. Requests without a key are served.',
    'docs/peers.md#keys-of-requests'
  ),
  lendingStuck: warning(
    'lendingStuck',
    'lent messages',
    'Look at the gateways of peers.addresses, and at the network between them.',
    'docs/peers.md#messages-of-other-gateways'
  ),
  groupLags: kind(
    ({ lag }) =>
      (lag?.rows ?? []).filter(
        ({ failure, lag = 0, problem }) => failure === undefined && (lag >= LAG_WORTH_A_ROW || problem === BEYOND_END)
      ),
    ({ cluster, group, topic, lag = 0, problem, uncommitted, asOf }, { at }) => ({
      severity: badIf(lag >= LAG_THAT_IS_BAD),
      subject: groupName(cluster, group, topic),
      cause: [
        `It is ${problem !== undefined || uncommitted > 0 ? 'at least ' : ''}${countOf(lag, 'record')} behind${asOf === undefined ? '' : `, as of ${instantText(asOf, at)}`}.`,
        ...only(problem !== undefined, `Not all of it is known: ${problem}.`),
        ...only(uncommitted > 0, `Not counted: ${countOf(uncommitted, 'partition')} without a committed offset.`)
      ].join(' '),
      next: `${
        problem === BEYOND_END
          ? `Find out first whether topic ${topic} was created anew, or has lost the end of its log: clients that start now may skip records, or read them again.`
          : 'Check that its clients run and acknowledge what they read. If the number grows all the same, start more of them, up to one for each partition.'
      } castellan groups --lag ${group} names the partitions.`,
      see: LAG_DOCS
    })
  ),
  lagUnknown: kind(
    // All topics of a group with the same reason have one row.
    ({ lag }) => {
      const failed = (lag?.rows ?? []).filter(({ failure }) => failure !== undefined)
      return [...groupBy(failed, ({ cluster, group, problem }) => `${groupName(cluster, group)}\n${problem}`).values()]
    },
    (rows, { at }) => {
      const { cluster, group, topic, problem = 'Kafka does not answer', failure, asOf } = rows[0]!
      const records = sumOf(rows, ({ lag = 0 }) => lag)
      const isKnown = asOf !== undefined && rows.some(({ lag }) => lag !== undefined)
      const before = isKnown ? ` At ${instantText(asOf, at)} it was ${countText(records)} records behind.` : ''
      const orLeaveOut = 'take the group out of metrics.lag.groups'
      const next = {
        refused: `Grant Describe on group ${group} and on its topics to the user of clusters.${cluster}.sasl, or ${orLeaveOut}.`,
        tooLarge: `Delete offsets that the group does not need any more, or ${orLeaveOut} and watch it by Kafka's own tools.`,
        noAnswer: `Check the brokers of cluster ${cluster}. Castellan asks again at the next metrics.lag.everyMs.`
      }
      return {
        severity: badIf(records >= LAG_THAT_IS_BAD),
        subject: groupName(cluster, group, rows.length === 1 ? topic : undefined),
        cause: `How far it is behind is not known: ${problem}.${before}`,
        next: next[failure!],
        see: LAG_DOCS
      }
    }
  ),
  deadLetters: kind(
    ({ log }) => only(log.deadLetters > 0, log),
    ({ deadLetters, deadLetterTopics: of = [] }) => ({
      severity: 'warning',
      subject: 'durable log',
      cause: `${countOf(deadLetters, 'dead letter')}${of.length === 0 ? '' : ` of ${topicsText(of.map(row => nameIn(row, row.topic)))}`}: Kafka has refused these records for good.`,
      next: 'castellan wal dead-letters names the reasons. Remove the cause, then castellan wal replay or discard.',
      see: LOG_DOCS
    })
  ),
  logDamaged: kind(
    ({ log: { damagedRecords, quarantinedSegments, setAsideRecords, damagedFiles } }) => [
      ...only(setAsideRecords > 0, [
        'durable log',
        `The disk cannot read ${countOf(setAsideRecords, 'record')}: set aside in quarantine/, where they wait.`,
        'Check the disk. Stop the gateway, and run castellan wal salvage --append: the next start delivers what can be read.'
      ]),
      ...only(damagedRecords + quarantinedSegments > 0 && setAsideRecords === 0, [
        'durable log',
        `${countOf(damagedRecords, 'damaged record')} and ${countOf(quarantinedSegments, 'damaged file')} were found; files were moved to quarantine/.`
      ]),
      ...only(damagedFiles > 0, [
        'receipts and keys',
        `${countOf(damagedFiles, 'damaged file')} of receipts or keys of requests: some receipts say unknown, or some requests that come again are carried out again.`
      ])
    ],
    ([subject = '', cause = '', next = 'Check the disk. castellan wal verify names the damaged files.']) => ({
      severity: 'warning',
      subject,
      cause,
      next,
      see: LOG_DOCS
    })
  ),
  clockAhead: warning(
    'clockAhead',
    'clock',
    'Set the clock of this machine, or of the brokers, by NTP. Records get the time of this machine again as soon as its clock is set.',
    'docs/operations.md#clocks'
  ),
  clockDiffers: quiet(
    ({ clocks }) => clocks.filter(({ aheadMs }) => Math.abs(aheadMs) >= CLOCK_DIFFERS_MS),
    ({ comparedWith, cluster, aheadMs }) => {
      const whose = comparedWith === 'gateways' ? 'other gateways' : `the brokers of cluster ${cluster}`
      return {
        severity: 'warning',
        subject: `clock, compared with ${whose}`,
        cause: `The clock of this machine is ${durationText(Math.abs(aheadMs))} ${aheadMs > 0 ? 'ahead of' : 'behind'} that of ${whose}.`,
        next: 'Find out which clock is wrong, and set it by NTP.',
        see: 'docs/operations.md#clocks'
      }
    }
  ),
  settingsHidden: warning(
    'settingsHidden',
    'settings of Kafka',
    'Grant DescribeConfigs on the topics and on the cluster to the user of the gateway. It is asked for every 5 minutes.',
    'docs/status.md#settingshidden',
    ' So nothing warns of acknowledged records that may be in one copy only, or that wait longer than their topic keeps them, and brokers are taken to remember producers for a day.'
  ),
  recordsOld: kind(
    status => noticed(status, 'recordsOld'),
    cause => ({
      severity: 'warning',
      subject: 'durable log',
      cause,
      next: 'Raise retention.ms of the topic before Kafka takes the records, or set wal.timestamps: sent.',
      see: 'wal.timestamps'
    })
  )
} satisfies Record<Notice['kind'] | VerbTrouble, Kind> & Record<string, Kind>

export const RANKS = Object.keys(troubles) as readonly (keyof typeof troubles)[]

/** Everything that is wrong, worst first, each with its cause and the next step. */
export function troubleOf(judged: Judged, notices: readonly Notice[] = []): Trouble[] {
  const status = { ...judged, notices }
  const rows = RANKS.flatMap((kind, rank) => {
    const { rowsOf, isOfTopics }: Kind = troubles[kind]
    return rowsOf(status).map(told => ({ rank, isOfTopics, row: rowOf(kind, told) }))
  })
  // Kinds are in their order, and rows of one kind and subject stay in theirs.
  rows.sort(
    (one, other) =>
      Number(one.row.severity !== 'bad') - Number(other.row.severity !== 'bad') ||
      one.rank - other.rank ||
      (one.row.subject < other.row.subject ? -1 : one.row.subject > other.row.subject ? 1 : 0)
  )
  let countOfTopics = 0
  const kept = rows.filter(({ isOfTopics }) => !isOfTopics || countOfTopics++ < MAX_OF_TOPICS)
  return kept.slice(0, MAX_TROUBLE).map(({ row }) => row)
}

export const quietTroubleOf = (status: Quiet): Trouble[] =>
  RANKS.flatMap(kind => (troubles[kind] as Kind).quietly?.(status).map(told => rowOf(kind, told)) ?? [])

const rowOf = (kind: Trouble['kind'], { severity = 'bad', ...rest }: TroubleRow): Trouble => ({
  severity,
  kind,
  ...rest
})

/** A broker answers, and gives no producer id. */
const isRefusing = ({ isReady, idRefused }: ClusterRow): boolean => isReady && idRefused !== undefined

const only = <Found>(isThere: boolean, found: Found): Found[] => (isThere ? [found] : [])

const badIf = (isBad: boolean | undefined): Trouble['severity'] => (isBad ? 'bad' : 'warning')

const sumOf = <Row>(rows: readonly Row[], of: (row: Row) => number): number =>
  rows.reduce((sum, row) => sum + of(row), 0)

/** The cluster is named unless it is the default one. */
const nameIn = ({ cluster }: { readonly cluster: string }, what: string): string =>
  cluster === 'default' ? what : `${what} of cluster ${cluster}`

const groupName = (cluster: string, group: string, topic?: string): string =>
  `${nameIn({ cluster }, `group ${group}`)}${topic === undefined ? '' : ` in topic ${topic}`}`

const queueName = ({ cluster, topic, group }: Pick<QueueRow, 'cluster' | 'topic' | 'group'>): string =>
  nameIn({ cluster }, `queue ${topic} of group ${group}`)

const partitionsText = (numbers: readonly string[]): string =>
  `partition${numbers.length === 1 ? '' : 's'} ${firstOf(numbers, MAX_PARTITIONS)}`

/** Open transactions by topic, the oldest one of each topic first. */
function openByTopic({ openTransactions }: Quiet) {
  const oldestFirst = [...openTransactions.rows].sort((one, other) => other.openMs - one.openMs)
  const byTopic = groupBy(oldestFirst, ({ cluster, topic }) => `${cluster}/${topic}`)
  return [...byTopic.values()] as [OpenTransactionRow, ...OpenTransactionRow[]][]
}

const brokersText = (ids: readonly number[]): string => `broker${ids.length === 1 ? '' : 's'} ${ids.join(', ')}`

interface FoundBroker {
  readonly name: string
  readonly broker: ClusterRow['brokers'][number]
  /** ` Partitions without a leader now: audit/0, audit/2.`; empty: all of them have one. */
  readonly effect: string
}

/** Brokers of clusters that answer. */
const brokersIn = ({ clusters, topics: { rows } }: Judged, state: string): FoundBroker[] =>
  clusters.flatMap(({ name: cluster, isReady, brokers }) => {
    if (!isReady) return []
    const stuck = rows.filter(row => row.cluster === cluster && row.state === 'stuck')
    const leaderless = stuck.flatMap(({ topic, troubled }) =>
      troubled.filter(isLeaderless).map(({ partition }) => `${topic}/${partition}`)
    )
    const effect = ` Partitions without a leader now: ${firstOf(leaderless, MAX_PARTITIONS)}.`
    return brokers
      .filter(broker => broker.state === state)
      .map(broker => ({
        name: nameIn({ cluster }, `broker ${broker.nodeId} (${broker.address})`),
        broker,
        effect: leaderless.length === 0 ? '' : effect
      }))
  })

/** Topics of clusters that answer: while no broker does, that is the trouble of all topics. */
const topicsIn = ({ clusters, topics }: Judged, state: TopicRow['state']): TopicRow[] =>
  topics.rows.filter(
    row => row.state === state && clusters.every(({ name, isReady }) => isReady || name !== row.cluster)
  )

/** Partitions of a topic that are stuck for the same reason, and the brokers of its cluster that are not up. */
interface StuckPart {
  readonly name: string
  readonly row: TopicRow
  readonly partitions: readonly PartitionRow[]
  readonly isLed: boolean
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
    const away = brokers.filter(({ state }) => state === 'down' || state === 'gone').map(({ nodeId }) => nodeId)
    const parts = groupBy(row.troubled, partition => isLeaderless(partition) || String(partition.error))
    return Array.from(parts.values(), partitions => {
      const [first] = partitions as [PartitionRow]
      const more = row.troubledPartitions > row.troubled.length ? ', …' : ''
      const all = `{${partitions.map(({ partition }) => partition).join(', ')}${more}}`
      const what =
        partitions.length === 1 ? `partition ${row.topic}/${first.partition}` : `partitions ${row.topic}/${all}`
      const isLed = !isLeaderless(first)
      return { name: nameIn(row, what), row, partitions, isLed, away, brokers: brokers.length }
    })
  })

/** Advice for errors that operators can end. */
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
  const oldestMs = Math.max(memory.oldestAgeMs, log?.oldestAgeMs ?? 0)
  const age = oldestMs > 0 ? `, the oldest for ${durationText(oldestMs)}` : ''
  return ` Records that wait: ${parts.join(' and ')}${age}.`
}

/** Why the log or the memory fills up, and what to do first. */
function fillingBy({ clusters, topics }: Judged, recordsOf: (row: TopicRow) => number) {
  const away = clusters.find(({ isReady }) => !isReady)
  if (away !== undefined) {
    const because = [`It fills because no broker of cluster ${away.name} answers.`]
    return { because, first: 'Get brokers to answer first: their row is above.' }
  }
  const refusing = clusters.find(isRefusing)
  if (refusing !== undefined) {
    const because = [`It fills because cluster ${refusing.name} gives no producer id.`]
    return { because, first: 'Have Kafka give one first: its row is above.' }
  }
  const culprits = topics.rows
    .filter(row => ['refused', 'stuck', 'missing'].includes(row.state) && recordsOf(row) > 0)
    .sort((one, other) => recordsOf(other) - recordsOf(one))
    .map(({ topic }) => topic)
  if (culprits.length === 0)
    return { because: [], first: 'Kafka takes less than comes: check how busy its brokers are, or send less.' }
  const rows = culprits.length === 1 ? 'its row is' : 'their rows are'
  const names = topicsText(culprits)
  return {
    because: [`It fills because Kafka does not take the records of ${names}.`],
    first: `Mend ${names} first: ${rows} above.`
  }
}

/** `topics a, b, c and 2 more` */
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

/** Losses of each topic, by any API and for any reason, the latest first. */
function lossesByTopic({ losses }: Judged) {
  const nameOf = (row: LossRow): string =>
    nameIn(row, row.topic === undefined ? 'further topics' : `topic ${row.topic}`)
  const all = Array.from(groupBy(losses, nameOf), ([what, rows]) => ({ what, rows }))
  const rest = all.splice(MAX_LOSSES)
  const others = { what: `${rest.length} more topics`, rows: rest.flatMap(({ rows }) => rows) }
  return [...all, ...only(rest.length > 0, others)]
}

function lossText(rows: readonly LossRow[], isGoingOn: boolean, at: string): string {
  const since = instantText(Date.parse(at) - Math.max(...rows.map(row => row.firstAgoMs)), at)
  const records = sumOf(rows, row => row.records)
  const rate = sumOf(rows, row => row.perSecond)
  if (!isGoingOn)
    return `${countOf(records, 'accepted record')} ${records === 1 ? 'was' : 'were'} lost, the first one at ${since}`
  const perSecond = rate > 0 ? `${perSecondText(rate)} per second, ` : ''
  return `Accepted records are being lost: ${perSecond}${countOf(records, 'record')} since ${since}`
}

/** `The APIs kprf, arion and the library`; the library: a program that uses it does not wait for outcomes. */
function senderText(rows: readonly LossRow[]): string {
  const apis = new Set(rows.map(({ api }) => api))
  const isOfLibrary = apis.delete('library')
  const named = `${apis.size === 1 ? 'API' : 'The APIs'} ${[...apis].join(', ')}`
  if (apis.size === 0) return 'The library'
  return isOfLibrary ? `${named} and the library` : named
}

const isRecent = ({ lastAgoMs }: RefusalRow): boolean => lastAgoMs <= REFUSED_LATELY_MS

/** Settings whose refusals have a row of their own. */
const TOLD_ELSEWHERE: ReadonlySet<string | undefined> = new Set(['delivery.maxBytes', 'wal.maxBytes'])

const refusalsFor = ({ refusals }: Judged, reason: string): RefusalRow[] =>
  refusals.filter(row => row.reason === reason && isRecent(row) && !TOLD_ELSEWHERE.has(row.setting))

const latestText = ({ perSecond, count, lastAgoMs }: RefusalRow): string =>
  `${perSecond > 0 ? `${perSecondText(perSecond)} per second, ` : ''}${countText(count)} since the start, the last one ${agoText(lastAgoMs)}`

const noticed = ({ notices }: Facts, kind: Notice['kind']): string[] =>
  textsOf(notices.filter(notice => notice.kind === kind))
