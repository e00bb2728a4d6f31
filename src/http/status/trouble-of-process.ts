import type { Judged, Row } from './judged.js'
import { type CertificateRow, isRecent, type RefusalRow, type WorkerRow } from './status.js'
import { countText, durationText, percentText, perSecondText } from './units.js'

const DAY_MS = 86_400_000
/** A certificate is shown from this time before its end on, and as bad from the second one on. */
const CERTIFICATE_SOON_MS = 21 * DAY_MS
const CERTIFICATE_BAD_MS = 3 * DAY_MS
/** A worker that has ended is shown for this time after it serves again. */
const ENDED_LATELY_MS = 600_000
/** The delay of the event loop is shown from this share of its limit on. */
const LATE = 0.5

/** Event loop, heap, workers, certificates and refusals of the gateway itself. */
export const troubleOfProcess = (status: Judged): Row[] => [
  ...status.workers.flatMap(worker => troubleOfWorker(worker, status.workers.length)),
  ...status.gateway.silentWorkers.map(workerSilent),
  ...status.certificates.flatMap(troubleOfCertificate),
  ...status.refusals.flatMap(troubleOfRefusal),
  ...notReady(status),
  ...status.gateway.warnings.filter(isToldHere).map(rowOfWarning)
]

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
      see: 'advanced.workers.restartPauseMs'
    })
  }
  return rows
}

function troubleOfLoad(worker: WorkerRow, subject: string): Row[] {
  const { eventLoopDelayMs = 0, maxEventLoopDelayMs = 0, refusedShare = 0, eventLoopUse = 0 } = worker
  const { heapShare = 0, maxHeapShare = 1, isHeapFull = false } = worker
  const rows: Row[] = []
  const isLate = maxEventLoopDelayMs > 0 && eventLoopDelayMs >= maxEventLoopDelayMs * LATE
  if (refusedShare > 0 || isLate) {
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

/** Settings whose refusals have a row of their own. */
const TOLD_ELSEWHERE: ReadonlySet<string | undefined> = new Set(['delivery.maxBytes', 'wal.maxBytes'])

function troubleOfRefusal(refusal: RefusalRow): Row[] {
  const { reason, setting, count, perSecond, lastAgoMs, message } = refusal
  if (!isRecent(refusal) || TOLD_ELSEWHERE.has(setting)) return []
  const rate = perSecond > 0 ? `${perSecondText(perSecond)} per second, ` : ''
  const last = `${rate}${countText(count)} since the start, the last one ${durationText(lastAgoMs)} ago`
  if (reason === 'quotaExceeded') {
    return [
      {
        severity: 'warning',
        kind: 'quotaReached',
        subject: setting ?? 'quotas',
        cause: `Requests are refused with 429: ${message} (${last}).`,
        next: 'Raise the quota, or have the client that asks too much send less: with access.audit: denied, the audit log names its principal and address. What is refused is not written, unless the client sends it again.',
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
      cause: `${/maxConnections$/i.test(setting ?? '') ? 'Connections are closed at once' : 'Requests are refused'}: ${message} (${last}).`,
      next: nextOfOverload(setting),
      see: setting ?? 'docs/errors.md'
    }
  ]
}

function nextOfOverload(setting: string | undefined): string {
  if (setting === undefined) return 'Send less, or start another instance.'
  if (setting.includes('.perAddress.')) return `Find the client that takes so much, and raise ${setting} if it has to.`
  return `Raise ${setting}, or start another instance.`
}

/** Clusters and workers have rows of their own. */
const isToldHere = (text: string): boolean => !/^(no broker of cluster|worker \d+ )/.test(text)

/** Reasons for not being ready that no other row tells. */
function notReady({ gateway: { reasons } }: Judged): Row[] {
  return reasons.filter(isToldHere).map(reason => ({
    severity: 'bad',
    kind: 'notReady',
    subject: 'this gateway',
    cause: `It is not ready: ${reason}.`,
    next: 'Load balancers send it no requests until it is.',
    see: 'docs/operations.md#health'
  }))
}

const keysRefused = (warning: string): Row => ({
  severity: 'warning',
  kind: 'keysRefused',
  subject: 'keys of requests',
  cause: `${warning}.`,
  next: 'Start the gateway that is missing, or look at the network and at peers.addresses of all gateways. Requests without a key are served.',
  see: 'docs/peers.md#keys-of-requests'
})

function rowOfWarning(warning: string): Row {
  if (/Idempotency-Key/.test(warning)) return keysRefused(warning)
  return warning.startsWith('the clock ') ? clockAhead(warning) : recordsOld(warning)
}

const clockAhead = (warning: string): Row => ({
  severity: 'warning',
  kind: 'clockAhead',
  subject: 'clock',
  cause: `${warning}.`,
  next: 'Set the clock of this machine, or of the brokers, by NTP. Records get the time of this machine again as soon as its clock is set.',
  see: 'docs/operations.md#clocks'
})

const recordsOld = (warning: string): Row => ({
  severity: 'warning',
  kind: 'recordsOld',
  subject: 'durable log',
  cause: warning,
  next: 'Raise retention.ms of the topic before Kafka takes the records, or set wal.timestamps: sent.',
  see: 'wal.timestamps'
})
