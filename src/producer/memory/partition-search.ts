import type { MonotonicClock, Offset } from '../../core/model.js'
import type { Numbering } from './numbering.js'
import type { Finding, SoughtBatch, WrittenBatches } from './partition-producer-deps.js'

/** After so long without knowing, the batch is sent again all the same: its partition has waited for long enough. */
const PATIENCE_MS = 60_000

type SoughtPlace = Pick<SoughtBatch, 'topic' | 'partition' | 'recordCount'>

/** What a partition knows of the batch that it is sending, for finding it in the log. */
export class PartitionSearch {
  readonly #written: WrittenBatches | undefined
  readonly #clock: MonotonicClock
  /** Under which number it was sent last. */
  #sentAs: Numbering | undefined
  /** Epoch milliseconds: it was not sent before. */
  #sentSinceMs = 0
  /** It is not before this offset. */
  #from: Offset = 0
  #isForgotten = false
  /** It was looked for since it was sent last. */
  #isLooked = false
  /** When it was looked for first. */
  #lookingSince: number | undefined
  /** Why it is sent without knowing. */
  #givenUpBecause: string | undefined
  #isTold = false

  constructor(written: WrittenBatches | undefined, clock: MonotonicClock) {
    this.#written = written
    this.#clock = clock
  }

  /** Another batch is tried from now on; `sentSinceMs` and `sentAs`: by another process, or before it was set aside. */
  begin(sentSinceMs = this.#written?.now() ?? 0, sentAs?: Numbering): void {
    this.#sentAs = sentAs
    this.#sentSinceMs = sentSinceMs
    this.#isForgotten = false
    this.#isLooked = false
    this.#lookingSince = undefined
    this.#givenUpBecause = undefined
    this.#isTold = false
  }

  /** It is sent. */
  sent(numbering: Numbering): void {
    this.#sentAs = numbering
    this.#isForgotten = false
    this.#isLooked = false
  }

  /** Under which number it was sent last. */
  get sentAs(): Numbering | undefined {
    return this.#sentAs
  }

  /** A broker has got it, or may have. */
  arrived(batch: SoughtPlace): void {
    if (this.#givenUpBecause !== undefined && !this.#isTold) {
      this.#isTold = true
      this.#written!.sentUnknown(batch, this.#givenUpBecause)
    }
    this.#givenUpBecause = undefined
    this.#lookingSince = undefined
  }

  /** Not one byte has left: it is looked for again first. */
  notSent(): void {
    this.#isLooked = false
    this.#givenUpBecause = undefined
    this.#lookingSince = undefined
  }

  /** A broker does not know the producer any more. */
  forgotten(): void {
    this.#isForgotten = true
  }

  /** The next batch is not before this offset. */
  acknowledged(nextOffset: Offset): void {
    this.#from = nextOffset
  }

  /** In the log of another cluster offsets and numbers mean nothing. */
  clusterChanged(): void {
    this.#from = 0
    this.begin()
  }

  /** A broker did not know the producer, and it was not looked for since. */
  get mustLook(): boolean {
    return this.#written !== undefined && this.#isForgotten && !this.#isLooked
  }

  /** Whether to look before it is sent again. */
  isDue(newestMs: number): boolean {
    if (this.#written === undefined || this.#sentAs === undefined || this.#isLooked) return false
    return this.#isForgotten || this.#written.mayBeForgotten(Math.min(newestMs, this.#sentSinceMs))
  }

  /**
   * Only when it {@link isDue}. Counts as looked for when it is known where it is, or cannot be.
   *
   * @param newestMs the time of its newest record
   */
  async look({ topic, partition, recordCount }: SoughtPlace, newestMs: number): Promise<Finding> {
    const numbering = this.#sentAs!
    this.#lookingSince ??= this.#clock()
    const finding = await this.#written!.find({
      topic,
      partition,
      recordCount,
      numbering,
      sinceMs: Math.min(newestMs, this.#sentSinceMs),
      from: this.#from,
      isForgotten: this.#isForgotten
    })
    // Another batch is tried by now.
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
