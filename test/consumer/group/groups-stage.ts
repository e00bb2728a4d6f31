import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { ConsumerGroups } from '../../../src/consumer/group/consumer-groups.js'
import { type ConsumerSettingsOverrides, defaultConsumerSettings } from '../../../src/consumer/group/settings.js'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import { performanceClock } from '../../../src/core/clocks.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { silentLogger } from '../../../src/core/model.js'
import { defaultRecordBytes, RecordBudget } from '../../../src/core/record-budget.js'
import type { RouterMessage } from '../../../src/router/messages/operations.js'
import { turns } from '../../support/ticks.js'

/** All groups of a process. @param tell what they ask their Router. Default: nobody answers */
export function consumerGroups(
  system: ActorSystem,
  tell: (message: RouterMessage) => void = () => undefined,
  settings: ConsumerSettingsOverrides = {}
): ConsumerGroups {
  return new ConsumerGroups({
    system,
    router: { path: 'router', tell, stop: () => undefined },
    settings: { ...defaultConsumerSettings, ...settings },
    clock: () => performance.now(),
    records: new RecordBudget(defaultRecordBytes(), performanceClock),
    log: silentLogger,
    metrics: defaultLogger
  })
}

/** Groups whose Router is silent, under a clock that stands still. Call `restore` afterwards. */
export class SilentGroups {
  readonly clock: SinonFakeTimers = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
  readonly #system = new ActorSystem()
  readonly groups = consumerGroups(this.#system)

  /** All that is under way has had its turn, and so many milliseconds pass. */
  async pass(ms: number): Promise<void> {
    await turns(3)
    await this.clock.tickAsync(ms)
    await turns(3)
  }

  /** They end where they have not ended. */
  async restore(): Promise<void> {
    const stopped = this.groups.stop(0, 1)
    await this.clock.tickAsync(10)
    await stopped
    this.#system.stop()
    this.clock.restore()
  }
}
