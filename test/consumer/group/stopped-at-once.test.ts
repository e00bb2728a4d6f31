import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { ConsumerGroups } from '../../../src/consumer/group/consumer-groups.js'
import { defaultConsumerSettings } from '../../../src/consumer/group/settings.js'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import { performanceClock } from '../../../src/core/clocks.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { silentLogger } from '../../../src/core/model.js'
import { defaultRecordBytes, RecordBudget } from '../../../src/core/record-budget.js'
import { turns } from '../../support/ticks.js'

/** Longer than the shortest timer. */
describe('groups that are stopped at once, without time to leave', () => {
  let system: ActorSystem
  let groups: ConsumerGroups
  let clock: SinonFakeTimers
  beforeEach(async () => {
    clock = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    system = new ActorSystem()
    groups = new ConsumerGroups({
      system,
      router: { path: 'silent', tell: () => undefined, stop: () => undefined },
      settings: defaultConsumerSettings,
      clock: () => performance.now(),
      records: new RecordBudget(defaultRecordBytes(), performanceClock),
      log: silentLogger,
      metrics: defaultLogger
    })
    await turns(1)
  })
  afterEach(() => {
    system.stop()
    clock.restore()
  })

  /** Stops them in this tick, and lets the time for leaving run out before an actor has had a turn. */
  async function stopAtOnce(): Promise<void> {
    const stopped = groups.stop(0, 0)
    clock.tick(1)
    await stopped
  }

  it('answer a request that the group has not looked at yet', async () => {
    const answer = groups.consume('g', 'orders', 60_000)
    await stopAtOnce()
    expect(await answer).to.deep.include({ type: 'failed', code: 'shuttingDown' })
  })

  it('answer an acknowledgement, and a request for other offsets, that the group has not looked at yet', async () => {
    void groups.consume('g', 'orders', 60_000)
    const acknowledged = groups.ack('g', { topic: 'orders', partition: 0, offset: 0 })
    const changed = groups.setOffsets('g', 'orders', new Map([[0, { offset: 1 }]]), 60_000)
    await stopAtOnce()
    expect(await acknowledged).to.deep.include({ type: 'failed', code: 'shuttingDown' })
    expect(await changed).to.deep.include({ type: 'failed', code: 'shuttingDown' })
  })

  it('fail nobody when a client asks for a topic whose name is too long for Kafka', async () => {
    const tooLong = groups.consume('g', 'x'.repeat(40_000), 60_000)
    const innocent = groups.consume('g', 'orders', 60_000)
    expect(await tooLong).to.deep.include({ type: 'failed', code: 'invalidTopic', retriable: false })
    await turns(5)
    expect(groups.size).to.equal(1)
    await stopAtOnce()
    expect(await innocent).to.deep.include({ type: 'failed', code: 'shuttingDown' })
  })
})
