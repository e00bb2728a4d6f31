import type { MetricsLogger } from '../core/metrics/metrics-logger.js'
import { DurableBacklog, type DurableBacklogOptions } from '../producer/disk/durable-backlog.js'
import { DurableDelivery } from '../producer/disk/durable-delivery.js'
import { askForRetention } from '../producer/disk/retention-watch.js'
import type { DeliveryDeps } from '../producer/memory/delivery.js'
import type { MemoryReceipts } from '../producer/memory/memory-receipts.js'

/** A durable log that a worker of an earlier build has left, and the delivery of each cluster that has records in it. */
export interface OrphanedLog {
  readonly backlog: DurableBacklog
  readonly metrics: (of: MetricsLogger) => MetricsLogger
  readonly deliveries: DurableDelivery[]
}

/** The durable log that the clusters of the process share, and the name of this cluster in the log. */
export interface PlaceInLog {
  readonly backlog: DurableBacklog
  readonly cluster: string
  /** Durable logs of processes that no longer exist. Their records are delivered, too. */
  readonly orphaned?: readonly OrphanedLog[] | undefined
  /** Gives receipts for records in memory. Absent: none are given. */
  readonly receipts?: MemoryReceipts | undefined
}

export const createBacklog = (options: DurableBacklogOptions): DurableBacklog => new DurableBacklog(options)

/**
 * Delivers the records of a cluster from its durable log, and from each orphaned log.
 *
 * @returns the delivery of the cluster's own log first
 */
export function deliverFromLogs(
  { backlog, cluster, orphaned = [] }: PlaceInLog,
  deps: DeliveryDeps
): [DurableDelivery, ...DurableDelivery[]] {
  const all = { ...deps, cluster, retentionOf: askForRetention(deps.router) }
  const own = new DurableDelivery({ ...all, backlog })
  const others = orphaned.map(({ backlog, metrics, deliveries }) => {
    const delivery = new DurableDelivery({ ...all, metrics: metrics(deps.metrics), backlog })
    deliveries.push(delivery)
    return delivery
  })
  return [own, ...others]
}
