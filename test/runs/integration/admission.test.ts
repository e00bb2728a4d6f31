import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { onCluster } from '../../support/stage.js'
import { pauseAll, resumeAll } from '../../support/target-cluster.js'
import { metricOf } from '../../support/test-app.js'
import { inWorld } from './in-world.js'

const RECORD_BYTES = 55_000
/** Holds about five of the records above the share from which requests wait. */
const BUFFER_BYTES = '1048576'

describe('requests that find the buffer of records full', () => {
  inWorld()
  const stage = onCluster()
  let app: App
  let topic: string

  const start = async (settings: Readonly<Record<string, string>>): Promise<void> => {
    app = await stage.app({
      'delivery.maxBytes': BUFFER_BYTES,
      'advanced.delivery.maxPartitionBytes': BUFFER_BYTES,
      ...settings
    })
    topic = await stage.topic('admission')
    expect((await push('first', true)).status).to.equal(200)
  }

  const push = async (data: string, waitForSend = false) => {
    const answer = await fetch(`${app.urls.shared}/kprf/push`, {
      method: 'POST',
      headers: { 'content-type': 'application/json' },
      body: JSON.stringify({ records: [{ topic, data }], wait_for_send: waitForSend })
    })
    const { status, headers } = answer
    await answer.text()
    return { status, persisted: headers.get('x-castellan-persisted'), retryAfter: headers.get('retry-after') }
  }

  /** Sends more than is let in at once; returns the answers to come. */
  const fill = (requests: number) => Array.from({ length: requests }, () => push('x'.repeat(RECORD_BYTES)))

  it('are let in when Kafka has taken what was before them', async () => {
    await start({ 'http.admissionWaitMs': '60000' })
    await pauseAll(stage.cluster)
    // A partition that is stuck takes no more, but some records may wait for it in memory, and the rest unread.
    const answers = fill(16)
    await Promise.race(answers)
    expect(await metricOf(app.urls.management, 'castellan_delivery_buffered_bytes')).to.be.lessThan(
      Number(BUFFER_BYTES)
    )
    await resumeAll(stage.cluster)
    const all = await Promise.all(answers)
    expect(all.map(({ status, persisted }) => `${status} ${persisted}`)).to.deep.equal(all.map(() => '200 pending'))
  })

  it('are refused when no capacity was found in time, are told when to come again, and hold up no probe', async () => {
    await start({ 'http.admissionWaitMs': '300', 'delivery.timeoutMs': '60000' })
    await pauseAll(stage.cluster)
    const answers = fill(40)
    expect((await fetch(`${app.urls.management}/health-check`)).status).to.equal(200)
    const all = await Promise.all(answers)
    const refused = all.filter(({ status }) => status !== 200)
    expect(refused.length).to.be.greaterThan(0)
    for (const { status, persisted, retryAfter } of refused) {
      // Unread, or after it was read because the partition got stuck meanwhile, in the words of kprf.
      expect(`${status} ${persisted} ${retryAfter}`).to.be.oneOf(['503 no 1', '500 no null'])
    }
    await resumeAll(stage.cluster)
    while ((await push('after', true)).status !== 200) await push('until the partition moves again', true)
  })
})
