import type { QueueHistory } from '../../../support/queue-history/queue-history.js'
import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import { Client } from './client.js'
import { HttpConnection, requestText } from './http-connection.js'
import type { LogEnd } from './reader.js'

export interface QueueAuditorOptions {
  readonly name: string
  readonly topic: string
  readonly partitions: number
  /** `/queues/TOPIC/GROUP`. */
  readonly path: string
  readonly port: number
  readonly deliveryLimit: number
}

export interface QueueAuditorDeps {
  readonly host: Host
  readonly history: QueueHistory
  readonly log: LogEnd
  /** When Kafka has ended all locks before their time. */
  locksEndedAt(): readonly number[]
  onHost(action: () => void): void
}

const LOOK_EVERY_MS = 300
const OK = 200
/** What goes between a gateway and its client has arrived by then. */
const TRANSIT_MS = 100

/** Asks what is left in a queue, when nobody does harm any more. */
export class QueueAuditor extends Client<QueueAuditorOptions, QueueAuditorDeps> implements Workload {
  readonly counts: Record<string, number> = { looks: 0 }
  /** How many records had been written to the topic when all of them were settled. */
  #settled = -1
  #isLooking = false

  start(): void {}

  /** No fault comes any more, and everybody does as he should. */
  get isAtRest(): boolean {
    return this.isStopped
  }

  /** Whether all that is written is settled. */
  get isEmpty(): boolean {
    return this.isStopped && this.#settled === this.#written
  }

  get isFinished(): boolean {
    if (!this.isEmpty && !this.#isLooking) this.deps.onHost(() => this.#look())
    return this.isEmpty && !this.#isLooking
  }

  override check(): readonly Violation[] {
    const { history, log } = this.deps
    const { topic, partitions, deliveryLimit } = this.options
    for (let partition = 0; partition < partitions; partition++)
      for (const [offset, text] of log.livesOf(topic, partition)[0]!.values)
        history.written(`${partition}@${offset}`, text)
    for (const at of this.deps.locksEndedAt()) history.disturbed({ from: at, to: at, unseen: 0, ends: 'locks' })
    const { problems } = history.verdict({ deliveryLimit, transitMs: TRANSIT_MS, locksEndUnheard: true })
    return [...this.violations, ...problems]
  }

  get #ends(): readonly number[] {
    const { topic, partitions } = this.options
    return Array.from({ length: partitions }, (_, partition) => this.deps.log.endOf(topic, partition))
  }

  get #written(): number {
    return this.#ends.reduce((sum, end) => sum + end, 0)
  }

  #look(): void {
    this.#isLooking = true
    this.counts.looks!++
    const [written, ends] = [this.#written, this.#ends]
    const connection = new HttpConnection('127.0.0.1', this.options.port, {
      onResponse: ({ status, body }) => {
        connection.end()
        if (status === OK && isSettled(JSON.parse(body) as Described, ends)) this.#settled = written
      },
      onClose: () => {
        setTimeout(() => {
          this.#isLooking = false
        }, LOOK_EVERY_MS)
      }
    })
    connection.send(requestText('GET', this.options.path))
  }
}

interface Described {
  readonly partitions: readonly { readonly partition: number; readonly lag: number | null }[]
}

/** @param ends of the logs, by partition */
function isSettled({ partitions }: Described, ends: readonly number[]): boolean {
  const lags = new Map(partitions.map(({ partition, lag }) => [partition, lag]))
  return ends.every((end, partition) => end === 0 || lags.get(partition) === 0)
}
