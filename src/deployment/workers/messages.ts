import type { MetricsSnapshot } from '../../core/metrics/prometheus.js'
import type { StatsdValue } from '../../core/metrics/statsd.js'
import type { Notice } from '../../core/notice.js'
import type { HttpUrls } from '../../http/server/http.js'
import type { FoundRecords, RecordQuestion } from '../../http/status/record-question.js'
import type { StatusPart } from '../../http/status/status.js'
import type { Link } from './link.js'

/** A message that is not answered. */
interface OneWay<Body = undefined> {
  readonly body: Body
}

interface CallTypes<Body, Answer> {
  readonly body: Body
  readonly answer: Answer
}

/** The answer of a worker to `start`, sent when the worker serves. */
export interface WorkerGreeting {
  readonly urls: HttpUrls
}

/** The answer of a worker to `stop`, sent when the worker has stopped. */
export interface WorkerFarewell {
  /** Number of records that the worker has accepted into memory since its start and has lost. */
  readonly lostRecords: number
}

/** The status of a worker, which it sends several times a second. */
export interface WorkerReport {
  readonly unreadyReasons: readonly Notice[]
  readonly kafkaReasons: readonly Notice[]
  readonly waitingRecords: number
  /** Number of records that the worker has accepted into memory since its start and has already lost. */
  readonly lostRecords: number
  readonly warnings: readonly Notice[]
}

/** A message of one worker to another. Users of {@link WorkerPeers} choose its name. */
interface PeerMessage {
  readonly name: string
  readonly body: unknown
  readonly timeoutMs?: number | undefined
}

export type WorkerServes = {
  /** Tells the worker to serve. The body is a `WorkerConfig` of `app/`. */
  start: CallTypes<unknown, WorkerGreeting>
  /** Tells the worker to answer open requests and then stop. */
  stop: CallTypes<undefined, WorkerFarewell>
  /** Tells a stopped worker to end its process. */
  exit: OneWay
  /**
   * Read certificates and keys again, and open the log again. The body is the new `Config`; absent: only the log is
   * opened again.
   */
  reload: OneWay<unknown>
  metrics: CallTypes<undefined, MetricsSnapshot>
  statsd: CallTypes<undefined, readonly StatsdValue[]>
  status: CallTypes<undefined, StatusPart>
  /** Looks for a record on behalf of a client who may read its topic. */
  findRecord: CallTypes<{ readonly question: RecordQuestion; readonly principal: string }, FoundRecords>
  /** Tells that the worker with this number has ended. */
  gone: OneWay<number>
  /** Passes on a call from the worker `from`. */
  peer: CallTypes<PeerMessage & { readonly from: number }, unknown>
}

export type ParentServes = {
  /** Tells that the worker handles messages from now on. Earlier messages are lost. */
  hello: OneWay
  /** Reports the status of the worker. A worker that sends no reports counts as stuck. */
  report: OneWay<WorkerReport>
  /**
   * Sends a snapshot of the worker's metrics. It is sent at intervals, so that few counts are lost when the worker
   * dies.
   */
  counted: OneWay<MetricsSnapshot>
  /** Asks for a snapshot of the metrics of all processes. */
  gathered: CallTypes<undefined, MetricsSnapshot>
  /** Asks the parent to pass on a call to the worker `to`. */
  peer: CallTypes<PeerMessage & { readonly to: number }, unknown>
}

export type ParentLink = Link<ParentServes, WorkerServes>
export type WorkerLink = Link<WorkerServes, ParentServes>
