import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { ResultOf } from '../../../src/router/messages/operations.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import { onTargetCluster } from '../../support/castellan.js'
import { freshTopic } from '../../support/target-cluster.js'

const MAX_AGE_MS = 2_000
/** What a busy machine and brokers that hear of things one after another add. */
const SLACK_MS = 3_000

describe('names of topics and groups that do not exist', () => {
  const on = onTargetCluster({
    createTopics: true,
    router: { metadataMaxAgeMs: MAX_AGE_MS }
  })

  const latestOf = (topic: string, timeoutMs: number): Promise<ResultOf<'fetchOffset'>> =>
    askRouter(on.castellan.router.ref, {
      type: 'fetchOffset',
      topicPartition: { topic, partition: 0 },
      offsetType: 'latest',
      timeoutMs
    })

  it('two thousand of them do not hold up the first request of a topic that exists', async () => {
    const topic = freshTopic('orders')
    await on.cluster.createTopic(topic, 1)
    const invented = Array.from({ length: 2_000 }, (_, at) => latestOf(`${topic}-invented-${at}`, 30_000))
    await sleep(50)
    expect(await latestOf(topic, 5_000), 'while they wait').to.include({ type: 'success', offset: 0 })
    const types = new Set((await Promise.all(invented)).map(({ type }) => type))
    expect([...types]).to.deep.equal(['unknownTopicOrPartition'])
    const another = freshTopic('orders')
    await on.cluster.createTopic(another, 1)
    expect(await latestOf(another, 5_000), 'when they are answered').to.include({ type: 'success', offset: 0 })
  })

  it('a topic that is read before it exists is created for its first writer', async () => {
    const topic = freshTopic('read-first')
    let isReading = true
    const reader = (async () => {
      while (isReading) {
        await on.castellan.fetchData(topic, 0, 0)
        await sleep(20)
      }
    })()
    await sleep(500)
    const [outcome] = await on.castellan.produce([{ topic, partition: 0, key: null, value: 'first' }])
    isReading = false
    await reader
    expect(outcome).to.include({ type: 'delivered', offset: 0 })
  })

  it('a deleted topic is not read from the cache for longer than the setting allows', async () => {
    const topic = freshTopic('deleted')
    await on.cluster.createTopic(topic, 1)
    await on.castellan.produce([{ topic, key: null, value: 'old' }])
    const read = () => on.castellan.fetchData(topic, 0, 0)
    expect((await read()).type).to.equal('success')
    await on.cluster.deleteTopic(topic)
    const deletedAt = performance.now()
    let readAt = deletedAt
    while ((await read()).type === 'success') {
      readAt = performance.now()
      expect(readAt - deletedAt).to.be.lessThan(MAX_AGE_MS + SLACK_MS)
      await sleep(50)
    }
    expect((await read()).type).to.equal('unknownTopicOrPartition')
  })
})
