import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import type { App } from '../../../src/server/app/app.js'
import { freshTopic } from '../../support/target-cluster.js'
import { startTestApp } from '../../support/test-app.js'
import { joinBy } from './group-heartbeat.js'
import { kafkaVersion } from './jars.js'
import { runningKafka } from './shared-cluster.js'

/** Another broker has to be asked, or the same one a moment later. */
const NOT_COORDINATOR = [14, 15, 16]
const GROUP_ID_NOT_FOUND = 69

describe('groups of kinds that a gateway cannot be a member of, on real Kafka', function () {
  this.timeout(60_000)
  const topic = freshTopic('kinds')
  let app: App
  before(async function () {
    if (kafkaVersion.startsWith('3.')) this.skip()
    await runningKafka().createTopic(topic, 1)
    app = await startTestApp(runningKafka().bootstrap, { 'consumer.subscriptionTimeoutMs': '60000' })
  })
  after(() => app?.stop())

  const ask = async (method: string, path: string, body?: object, accept = '*/*') => {
    const headers = { accept, ...(body && { 'content-type': 'application/vnd.kafka.v2+json' }) }
    const answer = await fetch(app.urls.shared + path, { method, headers, ...(body && { body: JSON.stringify(body) }) })
    return { status: answer.status, text: await answer.text() }
  }
  /** What the coordinator of the group says to a new member. */
  const join = async (kind: 'consumer' | 'share', groupId: string) => {
    for (;;) {
      for (const { plaintext } of runningKafka().ports) {
        const answer = await joinBy(kind, plaintext, { groupId, topic, memberId: 'AAAAAAAAQACAAAAAAAAAAQ' })
        if (!NOT_COORDINATOR.includes(answer.errorCode)) return answer
      }
      await pass(100)
    }
  }

  it('a read of a share group is 409, over each API', async () => {
    const group = freshTopic('share')
    // Kafka makes the topic of its groups when it is asked for a coordinator.
    await ask('GET', `/pixy/topics/${topic}/messages?group=${freshTopic('first')}`)
    expect(await join('share', group)).to.deep.equal({ errorCode: 0, message: '' })
    const pixy = await ask('GET', `/pixy/topics/${topic}/messages?group=${group}`)
    const answers = new Map([['Kafka-Pixy', pixy]])
    for (const api of ['confluent', 'strimzi']) {
      const instance = `/${api}/consumers/${group}/instances/${api}`
      const created = await ask('POST', `/${api}/consumers/${group}`, { name: api, format: 'binary' })
      expect(created.status, created.text).to.equal(200)
      const subscribed = await ask('POST', `${instance}/subscription`, { topics: [topic] })
      expect(subscribed.status, subscribed.text).to.equal(204)
      const read = `${instance}/records?timeout=5000`
      answers.set(api, await ask('GET', read, undefined, 'application/vnd.kafka.binary.v2+json'))
    }
    for (const [api, { text }] of answers) console.log(`      ${api}: ${text}`)
    expect([...answers].map(([api, { status }]) => `${api}: ${status}`)).to.deep.equal([
      'Kafka-Pixy: 409',
      'confluent: 409',
      'strimzi: 409'
    ])
  })

  it('a member of KIP-848 cannot join a group that a gateway leads, for the reason in the docs', async () => {
    const group = freshTopic('led')
    expect((await ask('GET', `/pixy/topics/${topic}/messages?group=${group}`)).status).to.equal(408)
    const { errorCode, message } = await join('consumer', group)
    console.log(`      ${errorCode}: ${message}`)
    expect(errorCode).to.equal(GROUP_ID_NOT_FOUND)
    expect(message).to.match(/Cannot upgrade classic group .* because an unsupported custom assignor is in use/)
  })
})
