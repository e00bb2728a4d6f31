import { basename } from 'node:path'
import type { MetricsLogger } from '../../core/metrics/metrics-logger.js'
import { TaggedMetricsLogger } from '../../core/metrics/tagged-metrics-logger.js'
import { DurableDelivery, type DurableDeliveryDeps } from '../../producer/disk/durable-delivery.js'
import { DurableQueue, type DurableQueueOptions } from '../../producer/disk/durable-queue.js'

/** How often a log is looked at: whether it is empty, and whether one that could not be opened can be opened now. */
const LOOK_EVERY_MS = 2_000

export type LeftLogOptions = Pick<DurableQueueOptions, 'settings' | 'log' | 'metrics' | 'now' | 'clock' | 'worker'>

/** What the deliveries of all clusters need to take part in a log that was left. */
export interface LeftLog {
  readonly queue: DurableQueue
  readonly metrics: (of: MetricsLogger) => MetricsLogger
  readonly deliveries: DurableDelivery[]
}

/** Lets a cluster deliver its records in a log that was left. */
export function joinLeft(
  { queue, metrics, deliveries }: LeftLog,
  cluster: string,
  deps: Omit<DurableDeliveryDeps, 'cluster' | 'queue'>
): DurableDelivery {
  const delivery = new DurableDelivery({ ...deps, metrics: metrics(deps.metrics), queue, cluster })
  deliveries.push(delivery)
  return delivery
}

/**
 * Delivers what workers have left that there are no more: nothing is appended to their logs, and each is closed when it
 * is empty. Its metrics have the name of its directory as the label `log`.
 */
export class LeftLogs {
  readonly all: readonly LeftLog[]
  readonly #log: DurableQueueOptions['log']
  readonly #open = new Set<LeftLog>()
  readonly #told = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(directories: readonly string[], { settings, log, metrics, now, clock, worker }: LeftLogOptions) {
    this.#log = log
    this.all = directories.map(directory => {
      const tagged = (of: MetricsLogger): MetricsLogger => new TaggedMetricsLogger(of, { log: basename(directory) })
      // When its thread ends, what is left waits for the next start.
      const onBroken = (error: Error): void => log.error({ directory, err: error }, 'a log that was left has failed')
      const own = { ...settings, directory }
      const queue = new DurableQueue({ settings: own, log, metrics: tagged(metrics), now, clock, worker, onBroken })
      return { queue, metrics: tagged, deliveries: [] }
    })
  }

  /** Begins to deliver. */
  drain(): void {
    if (this.all.length === 0) return
    for (const left of this.all) this.#open.add(left)
    this.#timer = setInterval(() => void this.#look(), LOOK_EVERY_MS)
    void this.#look()
  }

  async #look(): Promise<void> {
    await Promise.all([...this.#open].map(left => this.#lookAt(left)))
    if (this.#open.size === 0) clearInterval(this.#timer)
  }

  async #lookAt(left: LeftLog): Promise<void> {
    const { queue } = left
    try {
      if (queue.log === undefined) {
        await queue.open()
        const records = [...queue.leftRecords.values()].reduce((sum, count) => sum + count, 0)
        const { path: directory } = queue
        this.#log.info({ directory, records }, `${records} records wait in a log that was left: ${directory}`)
      }
      const stats = await queue.log?.look()
      if (stats?.openEntries === 0) await this.#close(left, 0)
    } catch (error) {
      const { message } = error as Error
      if (!this.#told.has(message)) this.#log.error({}, `a log that was left cannot be delivered: ${message}`)
      this.#told.add(message)
    }
  }

  async #close(left: LeftLog, timeoutMs: number): Promise<void> {
    this.#open.delete(left)
    await Promise.all(left.deliveries.map(delivery => delivery.close(timeoutMs)))
    await left.queue.close()
  }

  /** Waits for what was sent; the rest stays in the logs. */
  async close(timeoutMs: number): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all([...this.#open].map(left => this.#close(left, timeoutMs)))
  }
}
