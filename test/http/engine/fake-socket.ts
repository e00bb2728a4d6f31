import { EventEmitter } from 'node:events'

type Written = (error?: Error) => void

/** A socket whose client takes what is written when the test says so. */
export class FakeSocket extends EventEmitter {
  readonly remoteAddress: string
  /** What was done to it: `pause`, `resume`, `end` and so on; writes are not among it. */
  readonly done: string[] = []
  written = ''
  writable = true
  destroyed = false
  bytesRead = 0
  bytesWritten = 0
  writableLength = 0
  writableNeedDrain = false
  /** As much of Node's as is used. */
  _handle: { writeQueueSize?: number; _parent?: { writeQueueSize: number } } | undefined
  /** Corked: what is written leaves later. */
  corked = 0
  #callbacks: Written[] = []

  constructor(remoteAddress = '10.0.0.1') {
    super()
    this.remoteAddress = remoteAddress
  }

  write(data: string | Uint8Array, encoding: BufferEncoding, callback?: Written): boolean {
    const bytes = typeof data === 'string' ? Buffer.from(data, encoding) : data
    this.written += Buffer.from(bytes).toString('latin1')
    this.writableLength += bytes.length
    if (callback) this.#callbacks.push(callback)
    return !this.writableNeedDrain
  }

  /** All that was written has been passed on, or cannot be. */
  flush(error?: Error): void {
    this.writableLength = 0
    for (const callback of this.#callbacks.splice(0)) callback(error)
  }

  cork(): void {
    this.corked++
  }
  uncork(): void {
    this.corked--
  }
  pause(): this {
    this.done.push('pause')
    return this
  }
  resume(): this {
    this.done.push('resume')
    return this
  }
  end(text?: string): void {
    this.done.push(text === undefined ? 'end' : `end ${text.split('\r\n')[0]}`)
    this.writable = false
  }
  destroySoon(): void {
    this.done.push('destroySoon')
  }
  destroy(): void {
    if (this.destroyed) return
    this.destroyed = true
    this.writable = false
    this.done.push('destroy')
    this.emit('close')
  }
  push(bytes: Buffer): boolean {
    this.done.push(`push ${bytes}`)
    return true
  }

  newly(): string[] {
    return this.done.splice(0)
  }
  newlyWritten(): string {
    const { written } = this
    this.written = ''
    return written
  }
}
