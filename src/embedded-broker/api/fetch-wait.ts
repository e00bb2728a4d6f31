import type { FetchPartition } from '../fetch-sessions.js'
import type { Call } from './api.js'
import type { FetchRequest } from './fetch-request.js'

type ErrorOf = (call: Call, topic: string, asked: FetchPartition) => number

/**
 * The long poll: resolves when `minBytes` can be read, the time is over, the connection has ended, or a partition has
 * an error to report. Undefined: no reason to wait.
 */
export function waitForBytes(request: FetchRequest, call: Call, errorOf: ErrorOf): Promise<void> | undefined {
  if (request.maxWaitMs <= 0 || request.topics.length === 0) return undefined
  let readable = 0
  const asked: Watched[] = []
  for (const { topic, partitions } of request.topics) {
    for (const partition of partitions) {
      if (errorOf(call, topic, partition) || call.faults.after(topic, partition.partition)) return undefined
      const watched = new Watched(request, call, topic, partition)
      readable += watched.readableBytes
      asked.push(watched)
    }
  }
  if (readable >= request.minBytes) return undefined
  return new Promise(resolve => {
    const settle = () => {
      clearTimeout(timer)
      forget()
      for (const watched of asked) watched.forget()
      resolve()
    }
    const timer = setTimeout(settle, request.maxWaitMs)
    const forget = call.peer.onClose(settle)
    for (const watched of asked) {
      watched.watch(grown => {
        readable += grown
        if (readable >= request.minBytes || watched.hasError(errorOf)) settle()
      })
    }
  })
}

/** One partition of a waiting fetch. */
class Watched {
  readonly #request: FetchRequest
  readonly #call: Call
  readonly #topic: string
  readonly #asked: FetchPartition
  readonly #log
  #forget = () => {}
  readableBytes: number

  constructor(request: FetchRequest, call: Call, topic: string, asked: FetchPartition) {
    this.#request = request
    this.#call = call
    this.#topic = topic
    this.#asked = asked
    this.#log = call.cluster.topics.partition(topic, asked.partition)!.log
    this.readableBytes = this.#count()
  }

  watch(grew: (bytes: number) => void): void {
    this.#forget = this.#log.watch(() => {
      const before = this.readableBytes
      this.readableBytes = this.#count()
      grew(this.readableBytes - before)
    })
  }

  hasError(errorOf: ErrorOf): boolean {
    return errorOf(this.#call, this.#topic, this.#asked) !== 0
  }

  forget(): void {
    this.#forget()
  }

  #count(): number {
    const { isReadCommitted, minBytes } = this.#request
    const end = isReadCommitted ? this.#log.lastStableOffset : this.#log.highWatermark
    return Math.min(this.#asked.maxBytes, this.#log.readableBytes(this.#asked.fetchOffset, end, minBytes))
  }
}
