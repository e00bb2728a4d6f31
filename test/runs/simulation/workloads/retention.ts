import type { Workload } from '../workload.js'
import { Client } from './client.js'
import type { ServiceDeps } from './producer.js'
import type { RememberedLogs } from './webhook-facts.js'

export interface RetentionOptions {
  readonly name: string
  readonly topics: readonly { readonly name: string; readonly partitions: number }[]
  readonly logs: RememberedLogs
  logStart(topic: string, partition: number): number
  logEnd(topic: string, partition: number): number
}

const PAUSE_MS = [6_000, 20_000] as const
/** So many records are left at most. */
const MOST_LEFT = 8
const TIMEOUT_MS = 5_000

/** Kafka's retention, which deletes the starts of logs, whether they have been read or not. */
export class Retention extends Client<RetentionOptions, ServiceDeps> implements Workload {
  readonly counts = { passes: 0, records: 0 }
  readonly isFinished = true

  start(): void {
    setTimeout(() => this.#pass(), this.deps.random.between(...PAUSE_MS))
  }

  tryOnceMore(succeeded: () => void): void {
    succeeded()
  }

  #pass(): void {
    if (this.isStopped) return
    const { random, service, now } = this.deps
    const { topics, logs, logStart, logEnd } = this.options
    const { name, partitions } = random.pick(topics)
    const partition = random.between(0, partitions - 1)
    const before = logStart(name, partition)
    const offset = Math.max(before, logEnd(name, partition) - random.between(0, MOST_LEFT))
    if (offset > before) {
      this.counts.passes++
      this.counts.records += offset - before
      this.deps.trace.say(this.name, `deletes ${before} to ${offset} of ${name}/${partition}`)
      logs.deletes(name, partition, offset, now())
      service.verbs.admin.deleteRecords({ topic: name, partition }, offset, TIMEOUT_MS).catch(() => undefined)
    }
    this.start()
  }
}
