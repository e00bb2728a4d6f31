import type { MonotonicClock, Offset, TopicPartition } from '../../core/model.js'
import type { Numbering } from './numbering.js'

/** A batch that a broker may have written, described as in its header. */
export interface SoughtBatch {
  readonly topic: string
  readonly partition: number
  /** Its number: `nextSequence` is the sequence of its first record. */
  readonly numbering: Numbering
  readonly recordCount: number
  /** Epoch milliseconds. Its newest record has this timestamp or a later one. */
  readonly sinceMs: number
  /** The batch is at this offset or later. */
  readonly from: Offset
  /** A broker no longer knows the producer. Without this, brokers are asked how long they remember producers. */
  readonly isForgotten: boolean
}
export type Finding =
  | { readonly type: 'found'; readonly baseOffset: Offset }
  /** The batch is not in the log, whose end is `end`; or brokers still know the producer and will recognise it. */
  | { readonly type: 'absent'; readonly end: Offset }
  /** Not known yet. The batch is at `from` or later. `queuedMs`: how long the search waited for others. */
  | { readonly type: 'later'; readonly from: Offset; readonly reason: string; readonly queuedMs?: number }
  /** It cannot be found out. */
  | { readonly type: 'unknown'; readonly reason: string }

/** Searches the log of a partition for a batch whose answer was lost. */
export interface WrittenBatches {
  /** Epoch milliseconds. */
  now(): number
  /** Whether brokers may have forgotten a producer whose newest record has this time, so that a search makes sense. */
  mayBeForgotten(sinceMs: number): boolean
  /** A search takes less than a minute once it has begun, and never rejects. */
  find(batch: SoughtBatch): Promise<Finding>
  /** Reports that the batch is sent again although it may be in the log. */
  sentUnknown(batch: Pick<SoughtBatch, 'topic' | 'partition' | 'recordCount'>, reason: string): void
}

/** Longest time that a partition waits for the result of searches before it sends the batch again. */
const PATIENCE_MS = 60_000

/** Facts about a partition's present batch that help to find it in the log. */
export class PartitionSearch {
  readonly #place: TopicPartition
  readonly #written: WrittenBatches | undefined
  readonly #clock: MonotonicClock
  /** The number under which the batch was sent last. */
  #sentAs: Numbering | undefined
  /** Epoch milliseconds: the first attempt was not earlier. */
  #sentSinceMs = 0
  /** The batch is at this offset or later. */
  #from: Offset = 0
  #isForgotten = false
  /** The batch was searched for after it was last sent. */
  #isLooked = false
  /** Time of the first search. */
  #lookingSince: number | undefined
  /** Why the batch is sent again without a result. */
  #givenUpBecause: string | undefined
  #isTold = false

  constructor({ topic, partition }: TopicPartition, written: WrittenBatches | undefined, clock: MonotonicClock) {
    this.#place = { topic, partition }
    this.#written = written
    this.#clock = clock
  }

  /** Begins with another batch. `sentSinceMs`, `sentAs`: if it was sent before, by another process or before it was set aside. */
  begin(sentSinceMs = this.#written?.now() ?? 0, sentAs?: Numbering): void {
    this.#sentAs = sentAs
    this.#sentSinceMs = sentSinceMs
    this.#isForgotten = false
    this.#isLooked = false
    this.#lookingSince = undefined
    this.#givenUpBecause = undefined
    this.#isTold = false
  }

  sent(numbering: Numbering): void {
    this.#sentAs = numbering
    this.#isForgotten = false
    this.#isLooked = false
  }

  get sentAs(): Numbering | undefined {
    return this.#sentAs
  }

  /** A broker has, or may have, received the batch. */
  arrived({ recordCount }: { readonly recordCount: number }): void {
    if (this.#givenUpBecause !== undefined && !this.#isTold) {
      this.#isTold = true
      this.#written!.sentUnknown({ ...this.#place, recordCount }, this.#givenUpBecause)
    }
    this.#givenUpBecause = undefined
    this.#lookingSince = undefined
  }

  /** No byte of the batch was sent, so it is searched for again first. */
  notSent(): void {
    this.#isLooked = false
    this.#givenUpBecause = undefined
    this.#lookingSince = undefined
  }

  /** A broker has forgotten the producer. */
  forgotten(): void {
    this.#isForgotten = true
  }

  /** The next batch is at this offset or later. */
  acknowledged(nextOffset: Offset): void {
    this.#from = nextOffset
  }

  /** Offsets and numbers are void in another cluster. */
  clusterChanged(): void {
    this.#from = 0
    this.begin()
  }

  /** A broker has forgotten the producer, and the batch was not searched for since. */
  get mustLook(): boolean {
    return this.#written !== undefined && this.#isForgotten && !this.#isLooked
  }

  /** Whether to search before the batch is sent again. */
  isDue(newestMs: number): boolean {
    if (this.#written === undefined || this.#sentAs === undefined || this.#isLooked) return false
    return this.#isForgotten || this.#written.mayBeForgotten(Math.min(newestMs, this.#sentSinceMs))
  }

  /** Searches, only when it {@link isDue}. The search ends with a result, or when none can be found. */
  async look({ recordCount, newestMs }: { readonly recordCount: number; readonly newestMs: number }): Promise<Finding> {
    const numbering = this.#sentAs!
    this.#lookingSince ??= this.#clock()
    const finding = await this.#written!.find({
      ...this.#place,
      recordCount,
      numbering,
      sinceMs: Math.min(newestMs, this.#sentSinceMs),
      from: this.#from,
      isForgotten: this.#isForgotten
    })
    // Another batch is being sent by now.
    if (this.#sentAs !== numbering) return finding
    if (finding.type === 'later') {
      this.#from = finding.from
      this.#lookingSince += finding.queuedMs ?? 0
    }
    if (finding.type === 'absent') this.#from = finding.end
    const isPatient = this.#clock() - (this.#lookingSince ?? 0) < PATIENCE_MS
    if (finding.type === 'later' && isPatient) return finding
    this.#isLooked = true
    if (finding.type === 'found' || finding.type === 'absent') return finding
    this.#givenUpBecause = finding.reason
    return { type: 'unknown', reason: finding.reason }
  }
}
