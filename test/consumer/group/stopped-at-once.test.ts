import { expect } from 'chai'
import { turns } from '../../support/ticks.js'
import { SilentGroups } from './groups-stage.js'

describe('groups that are stopped at once, without time to leave', () => {
  let stage: SilentGroups
  let groups: SilentGroups['groups']
  beforeEach(async () => {
    stage = new SilentGroups()
    groups = stage.groups
    await turns(1)
  })
  afterEach(() => stage.restore())

  /** Stops them in this tick, and lets the time for leaving run out before an actor has had a turn. */
  async function stopAtOnce(): Promise<void> {
    const stopped = groups.stop(0, 0)
    stage.clock.tick(1)
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
