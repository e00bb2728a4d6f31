import type { RecentLines } from '../../core/recent-lines.js'
import type { Refusals } from '../../core/refusals.js'
import type { CertificateView } from '../../http/server/certificates.js'
import type { ProcessStatus } from '../../http/server/management-port.js'
import type { StatusPart, WorkerRow } from '../../http/status/status.js'
import type { GatewayHead } from '../../http/status/status-source.js'
import type { WorkerView } from '../workers/supervisor.js'
import { toCertificateRow, toLineRow, toRefusalRow } from './process-status.js'

/** What is known about the gateway as a whole. */
export function headOf(status: ProcessStatus): GatewayHead {
  const { version, brokerMode: broker } = status
  const reasons = [...status.unreadyReasons()]
  return {
    version,
    broker,
    uptimeSeconds: status.uptimeSeconds(),
    isReady: reasons.length === 0,
    reasons,
    warnings: [...status.warnings()],
    silentWorkers: []
  }
}

const NO_TIMES = { count: 0, seconds: 0 }

/** The part of a parent, which serves the management port and nothing else. */
export function parentPart(
  refusals: Pick<Refusals, 'all'>,
  lines: Pick<RecentLines, 'all'>,
  certificate: CertificateView | undefined
): StatusPart {
  const nowMs = performance.now()
  return {
    workers: [],
    clusters: [],
    memory: {
      records: 0,
      bytes: 0,
      limitBytes: 0,
      stuckBytes: 0,
      oldestAgeMs: 0,
      timeoutMs: 0,
      delivered: 0,
      failed: 0,
      lost: 0
    },
    log: {
      state: 'unused',
      limitBytes: 0,
      sizeBytes: 0,
      records: 0,
      oldestAgeMs: 0,
      deadLetters: 0,
      damagedRecords: 0,
      quarantinedSegments: 0,
      damagedFiles: 0
    },
    topics: { total: 0, rows: [] },
    groups: { total: 0, rows: [] },
    certificates: certificate === undefined ? [] : [toCertificateRow(certificate, Date.now())],
    requests: { total: 0, failed: 0, refused: 0, inFlight: 0, connections: 0 },
    way: {
      request: NO_TIMES,
      body: NO_TIMES,
      admission: NO_TIMES,
      capacity: NO_TIMES,
      partition: NO_TIMES,
      router: NO_TIMES,
      broker: NO_TIMES
    },
    refusals: refusals.all().map(one => toRefusalRow(one, nowMs)),
    failures: [],
    losses: [],
    lines: lines.all().map(one => toLineRow(one, nowMs))
  }
}

/** Adds what the parent knows of its workers, and those that gave no part. */
export function withWorkers(
  parts: readonly StatusPart[],
  workers: readonly WorkerView[],
  nowMs: number
): readonly StatusPart[] {
  const known = new Map(workers.map(worker => [worker.number, worker]))
  const told = parts.map(part => ({
    ...part,
    workers: part.workers.map(row => {
      const worker = known.get(row.number)
      known.delete(row.number)
      return worker === undefined ? row : { ...row, ...factsOf(worker, nowMs) }
    })
  }))
  const rest = Array.from(known.values(), worker => ({ number: worker.number, ...factsOf(worker, nowMs) }))
  const [first, ...others] = told
  if (first !== undefined) return [{ ...first, workers: [...first.workers, ...rest] }, ...others]
  return [{ ...parentPart(NOTHING, NOTHING, undefined), workers: rest }]
}

const NOTHING = { all: () => [] }

const factsOf = (
  { isUp, restarts, lastEnd }: WorkerView,
  nowMs: number
): Pick<WorkerRow, 'isUp' | 'restarts' | 'lastEnd'> => ({
  isUp,
  restarts,
  ...(lastEnd !== undefined && { lastEnd: { how: lastEnd.how, agoMs: Math.round(nowMs - lastEnd.at) } })
})
