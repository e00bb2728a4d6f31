import type { History } from '../../../support/history-checker.js'
import type { SeededRandom } from '../../../support/random.js'
import type { AcceptedRecords } from '../accepted-records.js'
import type { Answers } from '../answers.js'
import type { SentReceipt } from '../gateway-disk.js'
import type { SimulatedProcess } from '../process.js'
import type { Host } from '../world/host.js'
import type { Trace } from '../world/trace.js'
import type { ProduceApi } from './produce-api.js'

/** How a client behaves besides pushing. */
export type Manners =
  /** One request at a time, read to the end. */
  | 'polite'
  /** Several requests without waiting for answers. */
  | 'pipelining'
  /** A few bytes at a time. */
  | 'slow'
  /** Leaves in the middle of a request, or before its answer. */
  | 'cutting'
  /** Sends and does not read. */
  | 'deaf'

export interface PusherOptions {
  readonly name: string
  readonly manners: Manners
  readonly api: ProduceApi
  readonly topics: readonly string[]
  readonly keys: number
  readonly pauseMs: readonly [number, number]
  readonly maxRecords: number
  readonly maxValueBytes: number
  /** Of a hundred requests. */
  readonly syncPercent: number
  /** A synchronous request has its answer by then. Absent: when Kafka has the record, whenever that is. */
  readonly answeredWithinMs?: number
  /** An asynchronous request has its answer by then. */
  readonly acceptedWithinMs?: number
  /** A connection that ends without an answer is wrong where the gateway has no reason for it. */
  readonly seesHangUps?: boolean
  /** What is accepted survives the death of the gateway. */
  readonly isDurable?: boolean
}

export interface PusherDeps {
  readonly host: Host
  readonly gateway: SimulatedProcess
  readonly answers: Answers
  readonly history: History
  readonly trace: Trace
  readonly random: SeededRandom
  /** Simulated milliseconds. */
  now(): number
  /** What the gateway has in memory, or had when it ended. */
  readonly accepted: AcceptedRecords
  /** Where the receipts of all clients are gathered. */
  readonly receipts: SentReceipt[]
  isInKafka(id: string): boolean
  /** Whether a request that was sent then may lose its connection now. */
  mayHangUp(sentAt: number): boolean
}
