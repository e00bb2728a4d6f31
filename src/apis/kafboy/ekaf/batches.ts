import type { RecordFailure, RecordHeader } from '../../../core/model.js'
import type { Content } from '../content.js'
import { copied, type TopicOptions } from './strategies.js'

/** All batches together; further records are refused. */
const MAX_BYTES = 16 * 1024 * 1024
/** Memory of a record beside its bytes. */
const RECORD_OVERHEAD_BYTES = 128

interface Batch {
  readonly records: Content[]
  readonly timer: NodeJS.Timeout
  sizeBytes: number
}

/**
 * Records of the batch routes for the hook `massageBuffer`, which gets whole batches: gathered by topic until there are
 * enough of them or their time is over.
 */
export class Batches {
  readonly #optionsOf: (topic: string) => TopicOptions
  readonly #flush: (topic: string, records: readonly Content[]) => void
  readonly #byTopic = new Map<string, Batch>()
  #sizeBytes = 0

  constructor(optionsOf: (topic: string) => TopicOptions, flush: (topic: string, records: readonly Content[]) => void) {
    this.#optionsOf = optionsOf
    this.#flush = flush
  }

  recordsOf(topic: string): number {
    return this.#byTopic.get(topic)?.records.length ?? 0
  }

  /**
   * Takes records and copies their bytes.
   *
   * @param headers of their request, since a batch has records of many
   * @returns why there is no memory for them
   */
  add(topic: string, contents: readonly Content[], headers: readonly RecordHeader[] = []): RecordFailure | undefined {
    const sizeBytes = contents.reduce((sum, { key, value }) => sum + lengthOf(key) + lengthOf(value), 0)
    const neededBytes = sizeBytes + contents.length * RECORD_OVERHEAD_BYTES
    if (this.#sizeBytes + neededBytes > MAX_BYTES) return full
    const { maxBufferRecords, bufferTtlMs } = this.#optionsOf(topic)
    let batch = this.#byTopic.get(topic)
    if (batch === undefined) {
      batch = { records: [], timer: setTimeout(() => this.#handOn(topic), bufferTtlMs), sizeBytes: 0 }
      this.#byTopic.set(topic, batch)
    }
    for (const content of contents) batch.records.push({ ...copied(content), ...(headers.length > 0 && { headers }) })
    batch.sizeBytes += neededBytes
    this.#sizeBytes += neededBytes
    if (batch.records.length >= maxBufferRecords) this.#handOn(topic)
    return undefined
  }

  flushAll(): void {
    for (const topic of [...this.#byTopic.keys()]) this.#handOn(topic)
  }

  #handOn(topic: string): void {
    const { records, timer, sizeBytes } = this.#byTopic.get(topic)!
    clearTimeout(timer)
    this.#byTopic.delete(topic)
    this.#sizeBytes -= sizeBytes
    this.#flush(topic, records)
  }
}

const lengthOf = (bytes: Content['key']): number => (bytes === null ? 0 : Buffer.byteLength(bytes))

const full: RecordFailure = {
  type: 'failed',
  code: 'overloaded',
  errorCode: undefined,
  message: `the memory for records that wait for the hook massageBuffer is full (limit ${MAX_BYTES})`,
  persisted: 'no',
  retriable: true
}
