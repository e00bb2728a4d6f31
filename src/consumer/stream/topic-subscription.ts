import type { ActorRef } from '../../core/actor/actor.js'
import type { CastellanError } from '../../core/errors.js'
import type { KafkaRecord, LogPosition, Offset, RecordBatch } from '../../core/model.js'
import type { TopicMetadata } from '../../kafka/broker-client.js'
import type { RouterMessage } from '../../router/messages/operations.js'
import { leaveLargeBatch } from '../group/held-batches.js'
import { readTopic } from './topic-readers.js'

/**
 * Longest wait of a request at the end of the log. The request of a reader that has gone ends with the current long
 * poll.
 */
const MAX_WAIT_MS = 10_000
const TIMEOUT_MS = 40_000

/** The receiver of the records of a followed topic. */
export interface FollowSink {
  /**
   * Called once, before all other methods, with the first offset of each partition. The map is kept up to date: after a
   * record was taken, it has the offset after this record.
   */
  begins(positions: ReadonlyMap<number, Offset>): void
  /** Called with the bytes of each batch that was read, before its records. */
  batchRead?(bytes: number): void
  /** Takes a record. Its bytes are views of a batch, which must be copied to be used after the call. */
  take(partition: number, record: KafkaRecord): void
  /** Called when all available records have been taken. */
  flush(): void
  /** True: no record is taken until {@link ReadSubscription.resume}. */
  readonly isFull: boolean
  /** Called when records were skipped. */
  warn(text: string): void
  /**
   * Called when reading has ended because of a problem. No record follows. Called at most once, and not after {@link
   * TopicSubscription.stop}.
   */
  ended(problem: CastellanError): void
}

export interface ReadSubscription {
  /** Called when the sink can take records again. */
  resume(): void
  /** Idempotent. */
  stop(): void
}

interface FollowerOptions {
  readonly router: ActorRef<RouterMessage>
  readonly metadata: TopicMetadata
  readonly positions: ReadonlyMap<number, LogPosition>
  /**
   * Limit of the number of partitions. Partitions that are added later are followed from their beginning, within this
   * limit. `undefined`: added partitions are not followed.
   */
  readonly maxPartitions?: number | undefined
  /** Offsets at which reading ends, by partition. Absent: it goes on. */
  readonly ends?: ReadonlyMap<number, Offset> | undefined
  readonly sink: FollowSink
}

/**
 * Follows partitions from given offsets on. It holds no batch. Records that the sink cannot take are requested again
 * later, and usually come from the Router's cache. So a slow sink only delays its own reading, and costs no memory.
 */
export const followTopic = (options: FollowerOptions): ReadSubscription => new FollowedTopic(options)

class FollowedTopic implements ReadSubscription {
  readonly #sink: FollowSink
  /** By partition: the offset after the last record that was taken. */
  readonly #positions: Map<number, Offset>
  readonly #stop = new AbortController()
  /** Partitions that wait until the sink can take records. */
  #paused: (() => void)[] = []

  constructor({ router, metadata, positions: start, maxPartitions, ends, sink }: FollowerOptions) {
    this.#sink = sink
    this.#positions = new Map(Array.from(start, ([partition, { offset }]) => [partition, offset]))
    const partitions = maxPartitions === undefined ? [...start.keys()] : undefined
    sink.begins(this.#positions)
    void readTopic(
      { metadata, partitions, start, follow: ends === undefined, ends, maxPartitions },
      {
        router,
        requestTimeoutMs: TIMEOUT_MS,
        // A reader with an end does not wait for records.
        ...(ends === undefined && { maxWaitMs: MAX_WAIT_MS }),
        stopped: this.#stop.signal,
        write: ({ partition }, batch) => this.#write(partition, batch),
        warn: text => sink.warn(text),
        onMoved: (partition, offset) => this.#positions.set(partition, offset),
        onProblem: problem => {
          if (this.#stop.signal.aborted) return
          this.#stop.abort()
          sink.ended(problem)
        }
      }
    )
  }

  #write(partition: number, batch: RecordBatch): Promise<Offset> {
    this.#sink.batchRead?.(batch.sizeBytes)
    const isTaken = this.#hand(partition, batch)
    this.#sink.flush()
    const next = (): Offset => this.#positions.get(partition)!
    if (isTaken && !this.#sink.isFull) return Promise.resolve(next())
    return new Promise(resolve => this.#paused.push(() => resolve(next())))
  }

  /** Passes records to the sink until it is full. The position is set before, because the sink tells it its client. */
  #hand(partition: number, batch: RecordBatch): boolean {
    const positions = this.#positions
    for (let index = 0; index < batch.recordCount; index++) {
      const record = batch.at(index)
      if (record.offset < positions.get(partition)!) continue
      if (this.#stop.signal.aborted || this.#sink.isFull) return false
      // One whose schema is looked up waits for it.
      leaveLargeBatch(record)
      positions.set(partition, record.offset + 1)
      this.#sink.take(partition, record)
    }
    positions.set(partition, Math.max(positions.get(partition)!, batch.nextOffset))
    return true
  }

  resume(): void {
    for (const resume of this.#paused.splice(0)) resume()
  }

  stop(): void {
    this.#paused = []
    this.#stop.abort()
  }
}
