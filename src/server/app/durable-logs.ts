import { basename } from 'node:path'
import type { OrphanedLog } from '../../client/deliver-from-logs.js'
import { type MetricsLogger, TaggedMetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Logger } from '../../core/model.js'
import { DurableBacklog, type DurableBacklogOptions } from '../../producer/disk/durable-backlog.js'

const CHECK_EVERY_MS = 1_000
/** Pause between two checks whether an orphaned log is empty, or can be opened. */
const LOOK_EVERY_MS = 2_000

export interface DurableLogWatch {
  /** The problem that the last check found, for `/ready`. `undefined`: the log can be used. */
  readonly problem: string | undefined
  stop(): void
}

/**
 * Checks once a second whether the durable log can be used. If an API needs the log and the log cannot be used, the
 * gateway is not ready and gets no requests. Therefore this check, and not a request, has to notice that the log can be
 * used again.
 *
 * @param whyUnusable why no record can be stored now; `undefined`: records can be stored
 * @returns resolves after the first check
 */
export async function watchDurableLog(
  whyUnusable: () => Promise<string | undefined>,
  log: Logger
): Promise<DurableLogWatch> {
  let problem = await whyUnusable()
  let isLooking = false
  const look = async (): Promise<void> => {
    if (isLooking) return
    isLooking = true
    const found = await whyUnusable()
    isLooking = false
    if (found === undefined && problem !== undefined) log.info({}, 'the durable log can be used now')
    problem = found
  }
  const timer = setInterval(() => void look(), CHECK_EVERY_MS)
  return {
    get problem() {
      return problem
    },
    stop: () => clearInterval(timer)
  }
}

export type OrphanedLogOptions = Pick<
  DurableBacklogOptions,
  'settings' | 'log' | 'metrics' | 'now' | 'clock' | 'worker' | 'receipts'
>

/**
 * Delivers the records of orphaned logs. No records are appended to an orphaned log. It is closed when it is empty and the
 * receipts of its records have expired.
 * Its metrics have the name of its directory as the label `log`.
 */
export class OrphanedLogs {
  readonly all: readonly OrphanedLog[]
  readonly #log: DurableBacklogOptions['log']
  readonly #open = new Set<OrphanedLog>()
  readonly #logged = new Set<string>()
  #timer: NodeJS.Timeout | undefined

  constructor(directories: readonly string[], options: OrphanedLogOptions) {
    const { log } = options
    this.#log = log
    this.all = directories.map(directory => {
      const tagged = (of: MetricsLogger): MetricsLogger => new TaggedMetricsLogger(of, { log: basename(directory) })
      // When the thread of the log fails, its records wait for the next start.
      const onBroken = (error: Error): void => log.error({ directory, err: error }, 'an orphaned durable log failed')
      const own = { settings: { ...options.settings, directory }, metrics: tagged(options.metrics), onBroken }
      return { backlog: new DurableBacklog({ ...options, ...own }), metrics: tagged, deliveries: [] }
    })
  }

  /** Starts delivering the records of all orphaned logs. */
  drain(): void {
    if (this.all.length === 0) return
    for (const orphaned of this.all) this.#open.add(orphaned)
    this.#timer = setInterval(() => void this.#look(), LOOK_EVERY_MS)
    void this.#look()
  }

  async #look(): Promise<void> {
    await Promise.all([...this.#open].map(orphaned => this.#lookAt(orphaned)))
    if (this.#open.size === 0) clearInterval(this.#timer)
  }

  async #lookAt(orphaned: OrphanedLog): Promise<void> {
    const { backlog } = orphaned
    try {
      if (backlog.log === undefined) {
        await backlog.open()
        const records = [...backlog.leftRecords.values()].reduce((sum, count) => sum + count, 0)
        const { path: directory } = backlog
        this.#log.info({ directory, records }, `${records} records wait in an orphaned durable log: ${directory}`)
      }
      const stats = await backlog.log?.look()
      if (stats !== undefined && stats.openEntries + stats.setAsideEntries === 0 && !stats.hasOutcomes)
        await this.#close(orphaned, 0)
    } catch (error) {
      const { message } = error as Error
      if (!this.#logged.has(message)) this.#log.error({}, `an orphaned durable log cannot be delivered: ${message}`)
      this.#logged.add(message)
    }
  }

  async #close(orphaned: OrphanedLog, timeoutMs: number): Promise<void> {
    this.#open.delete(orphaned)
    await Promise.all(orphaned.deliveries.map(delivery => delivery.close(timeoutMs)))
    await orphaned.backlog.close()
  }

  /** Waits for the answers to records that were already sent. The other records stay in the logs. */
  async close(timeoutMs: number): Promise<void> {
    clearInterval(this.#timer)
    await Promise.all([...this.#open].map(orphaned => this.#close(orphaned, timeoutMs)))
  }
}
