import type { Judged, Row } from './judged.js'
import type { CertificateRow, RefusalRow, WorkerRow } from './status.js'
import { bytesText, countOf, countText, durationText, percentText } from './units.js'

const DAY_MS = 86_400_000
/** A certificate is shown from this time before its end on, and as bad from the second one on. */
const CERTIFICATE_SOON_MS = 21 * DAY_MS
const CERTIFICATE_BAD_MS = 3 * DAY_MS
/** A refusal counts as present for this time. */
const REFUSED_LATELY_MS = 30_000
/** A worker that has ended is shown for this time after it serves again. */
const ENDED_LATELY_MS = 600_000
/** Shares of a limit from which on it is shown, and from which on it counts as reached. */
const FILLING = 0.8
const FULL = 0.95
/** The delay of the event loop is shown from this share of its limit on. */
const LATE = 0.5
const BUSY = 0.98

/** Memory, disk, event loop, workers, certificates and refusals of the gateway itself. */
export const troubleOfProcess = (status: Judged): Row[] => [
  ...troubleOfLog(status),
  ...troubleOfMemory(status),
  ...status.workers.flatMap(worker => troubleOfWorker(worker, status.workers.length)),
  ...status.gateway.silentWorkers.map(workerSilent),
  ...status.certificates.flatMap(troubleOfCertificate),
  ...status.refusals.flatMap(troubleOfRefusal),
  ...notReady(status),
  ...status.gateway.warnings.map(recordsOld)
]

function troubleOfLog({ log }: Judged): Row[] {
  const { state, why, sizeBytes, limitBytes, deadLetters, damagedRecords, quarantinedSegments } = log
  const rows: Row[] = []
  const used = sizeBytes / limitBytes
  if (state === 'failed') {
    rows.push({
      severity: 'bad',
      kind: 'logFailed',
      subject: 'durable log',
      cause: `It takes no records: ${why ?? 'the disk fails'}.`,
      next: 'Check the disk and the rights of the directory. The log is tried again by itself.',
      see: 'wal.directory'
    })
  } else if (state === 'full' || used >= FILLING) {
    const isFull = state === 'full' || used >= FULL
    rows.push({
      severity: isFull ? 'bad' : 'warning',
      kind: 'logFull',
      subject: 'durable log',
      cause: `${percentText(used)} of it are in use (${bytesText(sizeBytes)} of ${bytesText(limitBytes)})${why === undefined ? '' : `: ${why}`}.${isFull ? ' Requests that need it are refused.' : ''}`,
      next: 'Look above for why Kafka does not take its records. Until it does, more room helps: wal.maxBytes, or a larger disk.',
      see: 'wal.maxBytes'
    })
  }
  if (deadLetters > 0) {
    rows.push({
      severity: 'warning',
      kind: 'deadLetters',
      subject: 'durable log',
      cause: `${countOf(deadLetters, 'dead letter')}: Kafka has refused these records for good.`,
      next: 'castellan wal dead-letters names the reasons. Remove the cause, then castellan wal replay or discard.',
      see: 'docs/operations.md#the-durable-log'
    })
  }
  if (damagedRecords + quarantinedSegments > 0) {
    rows.push({
      severity: 'warning',
      kind: 'logDamaged',
      subject: 'durable log',
      cause: `${countOf(damagedRecords, 'damaged record')} and ${countOf(quarantinedSegments, 'damaged file')} were found; files were moved to quarantine/.`,
      next: 'Check the disk. castellan wal verify names the damaged files.',
      see: 'docs/operations.md#the-durable-log'
    })
  }
  return rows
}

function troubleOfMemory({ memory, refusals }: Judged): Row[] {
  const { bytes, limitBytes, records, stuckBytes, lost } = memory
  const used = limitBytes === 0 ? 0 : bytes / limitBytes
  const refuses = refusals.some(one => isLate(one) && one.setting === 'delivery.maxBytes')
  const rows: Row[] = []
  if (refuses || used >= FILLING) {
    const isFull = refuses || used >= FULL
    rows.push({
      severity: isFull ? 'bad' : 'warning',
      kind: 'memoryFull',
      subject: 'memory for records',
      cause: `${percentText(used)} of delivery.maxBytes are in use: ${countOf(records, 'record')} (${bytesText(bytes)}) wait for Kafka${stuckBytes > 0 ? `, ${bytesText(stuckBytes)} of them in partitions that are stuck` : ''}.${isFull ? ' Further records are refused.' : ''}`,
      next: 'Look for brokers and partitions in this list: Kafka takes less than comes. If it is only slow for moments, raise delivery.maxBytes.',
      see: 'delivery.maxBytes'
    })
  }
  if (lost > 0) {
    rows.push({
      severity: 'warning',
      kind: 'recordsLost',
      subject: 'records in memory',
      cause: `${countOf(lost, 'record')} that had been accepted ${lost === 1 ? 'was' : 'were'} not written to Kafka, since the start.`,
      next: 'The log names their topics and the reason. durability: disk of an API keeps records until Kafka has them.',
      see: 'docs/metrics.md#records-that-are-lost'
    })
  }
  return rows
}

function troubleOfWorker(worker: WorkerRow, workers: number): Row[] {
  const { number, isUp, lastEnd, restarts } = worker
  const who = workers > 1 ? `worker ${number}` : 'this process'
  const rows: Row[] = troubleOfLoad(worker, who)
  const endedLately = lastEnd !== undefined && lastEnd.agoMs <= ENDED_LATELY_MS
  if (!isUp || endedLately) {
    const how =
      lastEnd === undefined ? 'It does not serve yet' : `It ended ${durationText(lastEnd.agoMs)} ago (${lastEnd.how})`
    rows.push({
      severity: isUp ? 'warning' : 'bad',
      kind: 'workerDied',
      subject: who,
      cause: `${how}; it was started again ${restarts === 1 ? 'once' : `${restarts} times`}${isUp ? ' and serves' : ' and does not serve yet'}.`,
      next: 'The log of the moment before has the reason. SIGKILL mostly means that the system was out of memory: give it more, or lower delivery.maxBytes and cache.maxBytes.',
      see: 'workers.restartPauseMs'
    })
  }
  return rows
}

function troubleOfLoad(worker: WorkerRow, subject: string): Row[] {
  const { eventLoopDelayMs = 0, maxEventLoopDelayMs = 0, refusedShare = 0, eventLoopUse = 0 } = worker
  const { heapShare = 0, maxHeapShare = 1, isHeapFull = false } = worker
  const rows: Row[] = []
  const isLate = maxEventLoopDelayMs > 0 && eventLoopDelayMs >= maxEventLoopDelayMs * LATE
  if (refusedShare > 0 || isLate || eventLoopUse >= BUSY) {
    const delay = eventLoopDelayMs > 0 ? `is late by ${durationText(eventLoopDelayMs)} and ` : ''
    rows.push({
      severity: refusedShare > 0 ? 'bad' : 'warning',
      kind: 'eventLoopLate',
      subject,
      cause: `Its event loop ${delay}was busy for ${percentText(eventLoopUse)} of the time.${refusedShare > 0 ? ` ${percentText(refusedShare)} of the requests with a body are refused.` : ''}`,
      next: 'Give the gateway more processes (workers.count), or another instance behind the load balancer.',
      see: refusedShare > 0 ? 'advanced.http.maxEventLoopDelayMs' : 'workers.count'
    })
  }
  if (isHeapFull || (maxHeapShare < 1 && heapShare >= maxHeapShare)) {
    rows.push({
      severity: isHeapFull ? 'bad' : 'warning',
      kind: 'heapFull',
      subject,
      cause: `${percentText(heapShare)} of its heap are in use.${isHeapFull ? ' Requests with a body are refused.' : ''}`,
      next: 'Give the process more memory (node --max-old-space-size), or lower cache.maxBytes and http.maxBodiesInFlightBytes.',
      see: 'advanced.http.maxHeapShare'
    })
  }
  return rows
}

const workerSilent = (number: number): Row => ({
  severity: 'bad',
  kind: 'workerSilent',
  subject: `worker ${number}`,
  cause: 'It did not answer in time, so its numbers are missing here.',
  next: 'Look at the processor time of the process. A worker that stays silent for a minute is replaced.',
  see: 'workers.count'
})

function troubleOfCertificate({ of, subject, validTo, remainingMs }: CertificateRow): Row[] {
  if (remainingMs > CERTIFICATE_SOON_MS) return []
  const when = remainingMs > 0 ? `ends in ${durationText(remainingMs)}` : `ended ${durationText(-remainingMs)} ago`
  return [
    {
      severity: remainingMs <= CERTIFICATE_BAD_MS ? 'bad' : 'warning',
      kind: 'certificateEnds',
      subject: `certificate of ${of}`,
      cause: `The certificate of ${subject} ${when}, on ${validTo.slice(0, 10)}.`,
      next: `Put a new one into ${of}.certFile and ${of}.keyFile. Castellan reads the files again by itself, or on SIGHUP.`,
      see: `${of}.certFile`
    }
  ]
}

const isLate = ({ lastAgoMs }: RefusalRow): boolean => lastAgoMs <= REFUSED_LATELY_MS

/** Refusals that have a row of their own, or that their client has to mend. */
const TOLD_ELSEWHERE: ReadonlySet<string | undefined> = new Set(['delivery.maxBytes', 'wal.maxBytes'])

function troubleOfRefusal(refusal: RefusalRow): Row[] {
  const { reason, setting, count, lastAgoMs, message } = refusal
  if (!isLate(refusal) || TOLD_ELSEWHERE.has(setting)) return []
  const last = `${countText(count)} since the start, the last one ${durationText(lastAgoMs)} ago`
  if (reason === 'quotaExceeded') {
    return [
      {
        severity: 'warning',
        kind: 'quotaReached',
        subject: setting ?? 'quotas',
        cause: `Requests are refused with 429: ${message} (${last}).`,
        next: 'castellan_access_refused_requests_total and the audit log name who asks too much. Raise the quota, or have that client send less.',
        see: setting ?? 'quotas'
      }
    ]
  }
  if (reason !== 'overloaded') return []
  return [
    {
      severity: 'warning',
      kind: 'refusing',
      subject: setting ?? 'requests',
      cause: `Requests are refused: ${message} (${last}).`,
      next:
        setting === undefined
          ? 'Send less, or start another instance.'
          : `Raise ${setting}, or start another instance.`,
      see: setting ?? 'docs/errors.md'
    }
  ]
}

/** Reasons for not being ready that no other row tells. */
function notReady({ gateway: { reasons } }: Judged): Row[] {
  return reasons
    .filter(reason => !/^(no broker of cluster|worker \d+ )/.test(reason))
    .map(reason => ({
      severity: 'bad',
      kind: 'notReady',
      subject: 'this gateway',
      cause: `It is not ready: ${reason}.`,
      next: 'Load balancers send it no requests until it is.',
      see: 'docs/operations.md#health'
    }))
}

const recordsOld = (warning: string): Row => ({
  severity: 'warning',
  kind: 'recordsOld',
  subject: 'durable log',
  cause: warning,
  next: 'Raise retention.ms of the topic before Kafka takes the records, or set wal.timestamps: sent.',
  see: 'wal.timestamps'
})
