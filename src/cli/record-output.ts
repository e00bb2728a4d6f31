import { once } from 'node:events'
import type { Offset, RecordBatch, TopicPartition } from '../core/model.js'
import { formatRecord, type RecordLook } from './record-format.js'

/** Writes records to a stream, waits when it is full, and stops after a number of records. */
export class RecordOutput {
  readonly #stream: NodeJS.WriteStream
  readonly #look: RecordLook
  readonly #stopped: AbortSignal
  #remaining: number
  /** Called once, when the wanted number of records is written. */
  onFull: () => void = () => undefined

  constructor(stream: NodeJS.WriteStream, look: RecordLook, count: number | undefined, stopped: AbortSignal) {
    this.#stream = stream
    this.#look = look
    this.#stopped = stopped
    this.#remaining = count ?? Number.POSITIVE_INFINITY
  }

  get isFull(): boolean {
    return this.#remaining <= 0 || this.#stopped.aborted
  }

  /** @returns whether more are wanted, once the stream has taken these */
  async write(topicPartition: TopicPartition, batch: RecordBatch, end: Offset): Promise<boolean> {
    const lines: Buffer[] = []
    for (const record of batch) {
      if (record.offset >= end || this.isFull) break
      this.#remaining--
      lines.push(formatRecord(this.#look, topicPartition, record))
    }
    if (lines.length > 0 && !this.#stream.write(Buffer.concat(lines))) {
      await once(this.#stream, 'drain', { signal: this.#stopped }).catch(() => undefined)
    }
    if (this.#remaining <= 0) this.onFull()
    return !this.isFull
  }
}
