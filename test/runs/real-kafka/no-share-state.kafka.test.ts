import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { Status } from '../../../src/http/status/status.js'
import type { App } from '../../../src/server/app/app.js'
import { freshTopic } from '../../support/target-cluster.js'
import { startTestApp } from '../../support/test-app.js'
import { KafkaCluster } from './cluster.js'
import { kafkaVersion } from './jars.js'

const SHOWN_WITHIN_MS = 60_000

/** A cluster of its own, whose three nodes are too few for the replicas that its settings ask for. */
describe('queues of a Kafka that cannot make __share_group_state', function () {
  this.timeout(120_000)
  let kafka: KafkaCluster
  let app: App | undefined
  const topic = freshTopic('jobs')
  before(async function () {
    if (kafkaVersion.startsWith('3.')) this.skip()
    kafka = await KafkaCluster.start({ 'share.coordinator.state.topic.replication.factor': 4 })
    await kafka.createTopic(topic, 2)
    app = await startTestApp(kafka.bootstrap)
    await fetch(`${app.urls.shared}/arion/sync/${topic}`, { method: 'POST', body: 'a job' })
  })
  after(async () => {
    await app?.stop({ isBroken: true })
    await kafka?.stop()
  })

  const acquire = async (group: string, body: object): Promise<[number, string, number]> => {
    const from = performance.now()
    const url = `${app!.urls.shared}/queues/${topic}/${group}/acquire`
    const answer = await fetch(url, { method: 'POST', body: JSON.stringify(body) })
    return [answer.status, await answer.text(), performance.now() - from]
  }

  it('refuse acquires with the reason, wherever a group begins', async () => {
    const starts = [{}, { start: 'earliest' }, { start: 'latest' }, { start: 'PT1H' }]
    const answers = await Promise.all(starts.map(start => acquire(freshTopic('workers'), { waitMs: 1_000, ...start })))
    for (const [status, text, tookMs] of answers) {
      expect(status, text).to.equal(503)
      expect(text)
        .to.match(/"code":"noLeader"/)
        .and.match(/__share_group_state/)
      expect(tookMs).to.be.within(11_000, 20_000)
    }
  })

  it('are a trouble', async () => {
    const group = freshTopic('workers')
    const until = performance.now() + SHOWN_WITHIN_MS
    for (;;) {
      await acquire(group, { waitMs: 1_000 })
      const status = (await (await fetch(`${app!.urls.management}/status.json`)).json()) as Status
      const found = status.trouble.find(({ kind, subject }) => kind === 'queueNotServed' && subject.includes(group))
      if (found !== undefined) {
        expect(found.cause).to.include('__share_group_state')
        return
      }
      if (performance.now() > until) throw new Error(`no trouble: ${JSON.stringify(status.trouble)}`)
      await sleep(200)
    }
  })
})
