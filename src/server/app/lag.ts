import { type AcrossWorkers, MAX_SERIES } from '../../core/metrics/family.js'
import { type PrometheusMetrics, type Reading, registerScrapedGauge } from '../../core/metrics/prometheus.js'
import type { Logger } from '../../core/model.js'
import { type LagRow, readLag } from '../../gateway/lag.js'
import type { LagSettings } from '../config/process-settings.js'
import type { Peers } from '../peers/peers.js'
import type { KafkaCluster } from './kafka.js'
import { SharedTurns } from './lag-turns.js'
import { type GroupReading, type LagCluster, LagWatch } from './lag-watch.js'
import type { Shutdown } from './shutdown.js'

export interface LagDeps {
  readonly settings: LagSettings
  readonly clusters: readonly KafkaCluster[]
  readonly metrics: PrometheusMetrics
  /** The workers or gateways with which this process shares the groups. Absent: it is the only one. */
  readonly peers?: Peers<number> | Peers<string> | undefined
  readonly log: Logger
  readonly shutdown: Pick<Shutdown, 'add'>
}

/** Asks for the lag of consumer groups from now on, and exports it, if the settings say so. */
export function watchLag({ settings, clusters, metrics, peers, log, shutdown }: LagDeps): LagWatch {
  const watch = new LagWatch({ settings, clusters: clusters.map(toLagCluster), log })
  if (settings.everyMs === undefined) return watch
  registerLag(metrics, watch)
  watch.start(peers && new SharedTurns(peers, () => watch.served()))
  shutdown.add('watching the lag', async () => watch.stop())
  return watch
}

const toLagCluster = ({ name, router, groups, instances }: KafkaCluster): LagCluster => ({
  name,
  readLag: (group, timeoutMs) => readLag(router.ref, group, timeoutMs),
  servedGroups: () => [...groups.groupIds, ...instances.groupIds]
})

/**
 * Exports the lag of consumer groups as it was last read. Each group is read by one process, so the values of several
 * processes are of different groups.
 */
function registerLag({ registry }: PrometheusMetrics, watch: Pick<LagWatch, 'lagOf' | 'groups'>): void {
  const gauge = (name: string, help: string, across: AcrossWorkers, values: () => Reading[]): void =>
    registerScrapedGauge(registry, `castellan_lag_${name}`, help, across, values)
  const perTopic = (read: (row: LagRow) => number | undefined) => (): Reading[] =>
    bounded(
      watch.lagOf().flatMap(row => {
        const { cluster, group, topic } = row
        const value = read(row)
        return topic === undefined || value === undefined ? [] : { labels: { cluster, group, topic }, value }
      })
    )
  const perGroup = (read: (reading: GroupReading) => number | undefined) => (): Reading[] =>
    watch.groups().flatMap(reading => {
      const { cluster, group } = reading
      const value = read(reading)
      return value === undefined ? [] : { labels: { cluster, group }, value }
    })
  const records =
    'Records of a topic after the committed offsets of a group, in the partitions in which it has committed one'
  gauge(
    'records',
    records,
    'max',
    perTopic(({ lag }) => lag)
  )
  const uncommitted = 'Partitions of a topic in which a group has committed no offset although it has in others'
  gauge(
    'uncommitted_partitions',
    uncommitted,
    'max',
    perTopic(({ uncommitted }) => uncommitted)
  )
  const readable = '1 when Kafka has answered the last question about the lag of a group, else 0'
  gauge(
    'group_readable',
    readable,
    'min',
    perGroup(({ isReadable }) => (isReadable ? 1 : 0))
  )
  const age = 'Age of what is known about the lag of a group'
  gauge(
    'age_seconds',
    age,
    'max',
    perGroup(({ asOf }) => (asOf === undefined ? undefined : ageOf(asOf)))
  )
}

const ageOf = (asOf: number): number => Math.max(0, (Date.now() - asOf) / 1_000)

/** The highest values, and the sum of the others under the labels `other`. */
function bounded(readings: Reading[]): Reading[] {
  if (readings.length <= MAX_SERIES) return readings
  readings.sort((one, other) => other.value - one.value)
  const rest = readings.splice(MAX_SERIES - 1)
  const labels = { cluster: 'other', group: 'other', topic: 'other' }
  return [...readings, { labels, value: rest.reduce((sum, { value }) => sum + value, 0) }]
}
