import type { MetricsSnapshot } from '../../core/metrics/aggregate.js'
import type { StatsdValue } from '../../core/metrics/statsd/statsd-line.js'
import type { HttpUrls } from '../../http/server/http.js'
import type { Link } from './link.js'

/** A message that is not answered. */
interface Told<Body = undefined> {
  readonly body: Body
}

/** A message that is answered. */
interface Asked<Body, Answer> {
  readonly body: Body
  readonly answer: Answer
}

/** What a worker says when it serves. */
export interface WorkerGreeting {
  readonly urls: HttpUrls
}

/** What it says when it has stopped. */
export interface WorkerFarewell {
  /** Records that it had accepted into memory since its start and that are lost. */
  readonly lostRecords: number
}

/** What it says of itself several times a second. */
export interface WorkerReport {
  readonly unreadyReasons: readonly string[]
  /** Records that wait in its memory for Kafka. */
  readonly waitingRecords: number
  /** Records that it had accepted into memory since its start and that are lost. */
  readonly lostRecords: number
  readonly warnings: readonly string[]
}

/** A message of one worker to another, or to all others. Their names belong to those who use {@link Peers}. */
export interface PeerMessage {
  readonly name: string
  readonly body: unknown
}

/** May one more request of a principal begin? */
export interface Entering {
  readonly principal: string
  readonly maxRequests: number
  /** Of the request, unique at its worker. */
  readonly id: number
}

/** A request of a principal has ended, or its worker has not waited for the answer whether it may begin. */
export type Leaving = Pick<Entering, 'principal' | 'id'>

/** A question of an API to what it has once for all workers. */
export interface SharedQuestion {
  readonly api: string
  readonly question: unknown
}

/** All messages that a worker takes from its parent, the process that has started it. */
export type WorkerServes = {
  /** Begin to serve. The body is a `WorkerOrder` of `app/`. */
  start: Asked<unknown, WorkerGreeting>
  /** Finish what is under way. */
  stop: Asked<undefined, WorkerFarewell>
  /** It has stopped, and may end. */
  exit: Told
  /** Read certificates and keys anew, and open the log anew. The body is the `Config` that counts from now on; absent: the log only. */
  reload: Told<unknown>
  /** What it has counted, now. */
  metrics: Asked<undefined, MetricsSnapshot>
  /** What its APIs report by StatsD. */
  statsd: Asked<undefined, readonly StatsdValue[]>
  /** The worker of this number has ended. */
  gone: Told<number>
  /** The worker `from` asks. */
  peer: Asked<PeerMessage & { readonly from: number }, unknown>
  /** The worker `from` tells all others. */
  others: Told<PeerMessage & { readonly from: number }>
}

/** All messages that the parent takes from a worker. */
export type ParentServes = {
  /** It listens; what is sent before is lost. */
  hello: Told
  /** It is there, and whether it is ready. */
  report: Told<WorkerReport>
  /** What it has counted, told from time to time, so that little is lost with it. */
  counted: Told<MetricsSnapshot>
  /** What all processes have counted. */
  gathered: Asked<undefined, MetricsSnapshot>
  shared: Asked<SharedQuestion, unknown>
  enter: Asked<Entering, boolean>
  leave: Told<Leaving>
  /** Ask the worker `to`. */
  peer: Asked<PeerMessage & { readonly to: number; readonly timeoutMs?: number | undefined }, unknown>
  /** Tell all others. */
  others: Told<PeerMessage>
}

/** The parent's end of the link to a worker. */
export type ParentLink = Link<ParentServes, WorkerServes>
/** The worker's end of it. */
export type WorkerLink = Link<WorkerServes, ParentServes>
