import { errorOfFailure } from '../../core/error-of-failure.js'
import { CastellanError } from '../../core/errors.js'
import type { KafkaRecord, Offset } from '../../core/model.js'
import type { PartitionLog } from './partition-log.js'

/** The first step back; the largest records fit into it. Later steps grow as far as the bytes that are left allow. */
const FIRST_STEP = 8
const GROWTH = 10

export interface BackwardScanOptions {
  /** Limits of the records and bytes that are read in all partitions together. */
  readonly maxRecords: number
  readonly maxBytes: number
  readonly timeoutMs: number
  /** A partition is left when so many records were found in it. */
  readonly maxFound: number
  /** Resolves with whether the record is one of those looked for. */
  readonly look: (partition: number, record: KafkaRecord) => Promise<boolean>
}

/** How far one partition was read. `isWhole`: all records from `from` on were. */
export interface Scanned {
  readonly partition: number
  from: Offset
  records: number
  /** Bytes of the batches that were read, with the records around the wanted ones. */
  bytes: number
  isWhole: boolean
}

/** Reads partitions backwards, one after another, in blocks that grow. */
export class BackwardScan {
  readonly #options: BackwardScanOptions
  readonly #endsAt: number
  #recordsLeft: number
  #bytesLeft: number
  #found = 0

  constructor(options: BackwardScanOptions) {
    this.#options = options
    this.#endsAt = performance.now() + options.timeoutMs
    this.#recordsLeft = options.maxRecords
    this.#bytesLeft = options.maxBytes
  }

  /** Records and bytes that were read until now, even if the scan has failed. Bytes are those of batches. */
  get read(): { readonly records: number; readonly bytes: number } {
    const { maxRecords, maxBytes } = this.#options
    return { records: maxRecords - this.#recordsLeft, bytes: maxBytes - this.#bytesLeft }
  }

  get leftMs(): number {
    return Math.max(1, Math.ceil(this.#endsAt - performance.now()))
  }

  get isLate(): boolean {
    return performance.now() >= this.#endsAt
  }

  get isOver(): boolean {
    return this.#recordsLeft <= 0 || this.#bytesLeft <= 0 || this.isLate
  }

  /**
   * Goes back in one partition to its earliest record.
   *
   * @param sharers so many partitions share what is left, this one among them
   * @throws CastellanError when Kafka does not answer
   */
  async readBack(log: PartitionLog, scanned: Scanned, earliest: Offset, sharers: number): Promise<void> {
    const bytesBefore = this.#bytesLeft
    const maxRecords = Math.ceil(this.#recordsLeft / sharers)
    let step = FIRST_STEP
    this.#found = 0
    while (scanned.from > earliest && step > 0 && !this.isOver && this.#found < this.#options.maxFound) {
      const start = Math.max(earliest, scanned.from - step)
      if (!(await this.#readBlock(log, scanned, start))) return
      scanned.from = start
      const bytes = bytesBefore - this.#bytesLeft
      const bytesPerRecord = Math.max(1, bytes / Math.max(1, scanned.records))
      const fitting = Math.floor((bytesBefore / sharers - bytes) / bytesPerRecord)
      step = Math.min(GROWTH * step, maxRecords - scanned.records, fitting)
    }
  }

  /** Reads the records from `start` to those that were read before. @returns false: time or bytes are used up */
  async #readBlock(log: PartitionLog, scanned: Scanned, start: Offset): Promise<boolean> {
    const end = scanned.from
    for (let offset = start; offset < end; ) {
      if (this.#bytesLeft <= 0) return false
      const outcome = await log.readOnce({ offset, told: end, timeoutMs: this.leftMs })
      const isLate = outcome.type === 'retry' && outcome.why === 'timedOut'
      if (outcome.type === 'records') {
        for (const record of outcome.batch) {
          if (record.offset >= end) break
          scanned.records++
          this.#recordsLeft--
          if (await this.#options.look(scanned.partition, record)) this.#found++
        }
        this.#bytesLeft -= outcome.batch.sizeBytes
        scanned.bytes += outcome.batch.sizeBytes
        offset = outcome.batch.nextOffset
      } else if (outcome.type === 'skipped') {
        scanned.isWhole &&= outcome.why === 'empty'
        offset = outcome.next
      } else if (isLate || outcome.type === 'missing') {
        // When the time is over, the records that were already scanned count.
        if (isLate && scanned.records > 0) return false
        throw new CastellanError('timedOut', 'Kafka did not answer in time', true)
      } else if (outcome.type === 'refused' || (outcome.type === 'retry' && outcome.why === 'failed')) {
        throw errorOfFailure(outcome.failure)
      } else {
        // The rest was deleted, or its transaction was, since the ends of the log were read.
        scanned.isWhole = false
        return true
      }
    }
    return true
  }
}
