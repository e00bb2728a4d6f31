import type { ConsumerGroups } from '../../consumer/group/consumer-groups.js'
import { performanceClock } from '../../core/clocks.js'
import { inTime } from '../../core/in-time.js'
import { type MetricsLogger, TaggedMetricsLogger } from '../../core/metrics/metrics-logger.js'
import type { Notice } from '../../core/notice.js'
import type { LendingTime } from '../calls/lending-calls.js'
import { Lending, type LendingDeps } from './lending.js'

/** The time of this process. */
const TIME: LendingTime = {
  clock: performanceClock,
  after: (delayMs, run) => {
    const timer = setTimeout(run, delayMs).unref()
    return { cancel: () => clearTimeout(timer) }
  },
  tick: run => void setImmediate(run)
}

export interface ClustersLendingDeps extends Omit<LendingDeps<string>, 'cluster' | 'groups' | 'time'> {
  readonly clusters: readonly { readonly name: string; readonly groups: ConsumerGroups }[]
  readonly metrics: MetricsLogger
}

/** The messages of all clusters that go to clients of other gateways. */
export class ClustersLending {
  readonly #byCluster: ReadonlyMap<string, Lending<string>>

  constructor({ clusters, metrics, ...deps }: ClustersLendingDeps) {
    this.#byCluster = new Map(
      clusters.map(({ name, groups }) => {
        const own = clusters.length === 1 ? metrics : new TaggedMetricsLogger(metrics, { cluster: name })
        return [name, new Lending({ ...deps, cluster: name, groups, time: TIME, metrics: own })]
      })
    )
  }

  of(cluster: string): Lending<string> | undefined {
    return this.#byCluster.get(cluster)
  }

  get warnings(): readonly Notice[] {
    let stuck = 0
    for (const lending of this.#byCluster.values()) stuck += lending.stuck
    if (stuck === 0) return []
    const whose = stuck === 1 ? 'a gateway does' : `${stuck} gateways do`
    const text = `${whose} not answer what became of messages that it has lent; they may be given out again`
    return [{ kind: 'lendingStuck', text }]
  }

  /** Stops lending and borrowing. */
  stop(): void {
    for (const lending of this.#byCluster.values()) lending.stop()
  }

  /** Called when no other gateway can call this one any more. */
  close(): void {
    for (const lending of this.#byCluster.values()) lending.close()
  }

  /** Waits until all gateways know what became of the messages that they have lent. */
  async settle(timeoutMs: number): Promise<void> {
    const settled = Promise.all(Array.from(this.#byCluster.values(), lending => lending.settled()))
    await inTime(settled, timeoutMs, () => undefined)
  }
}
