import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { RecordOutcome } from '../../../src/core/model.js'
import { onTargetCluster } from '../../support/castellan.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

describe('one unknown topic among many', () => {
  inWorld()
  const on = onTargetCluster({
    createTopics: false,
    router: { unknownTopicTimeoutMs: 1000, unknownTopicRememberedMs: 500 }
  })

  const codeOf = (outcome: RecordOutcome): string => (outcome.type === 'delivered' ? outcome.type : outcome.code)

  it('fails its own records only', async () => {
    const known = Array.from({ length: 10 }, () => freshTopic('known'))
    for (const topic of known) await on.cluster.createTopic(topic, 1)
    const unknown = freshTopic('unknown')
    const topics = [...known.slice(0, 5), unknown, ...known.slice(5)]
    const outcomes = await on.castellan.produce(topics.map(topic => ({ topic, key: 'k', value: topic })))
    expect(outcomes.map(codeOf)).to.deep.equal(topics.map(topic => (topic === unknown ? 'unknownTopic' : 'delivered')))
    const failed = outcomes[5]!
    expect(failed).to.include({ type: 'failed', persisted: 'no' })
  })

  it('is answered unknown to a reader, while others read on', async () => {
    const known = freshTopic('known')
    await on.cluster.createTopic(known, 1)
    await on.castellan.produce([{ topic: known, key: null, value: 'here' }])
    const [unknown, read] = await Promise.all([
      on.castellan.fetchData(freshTopic('unknown'), 0, 0),
      on.castellan.fetchData(known, 0, 0)
    ])
    expect(unknown.type).to.equal('unknownTopicOrPartition')
    expect(read.type).to.equal('success')
  })

  it('is not created by asking for it', async () => {
    const unknown = freshTopic('asked-for')
    expect((await on.castellan.fetchData(unknown, 0, 0)).type).to.equal('unknownTopicOrPartition')
    expect((await on.castellan.fetchData(unknown, 0, 0)).type).to.equal('unknownTopicOrPartition')
    const [outcome] = await on.castellan.produce([{ topic: unknown, key: null, value: 'x' }])
    expect(codeOf(outcome!)).to.equal('unknownTopic')
  })

  it('is found once it was created', async () => {
    const topic = freshTopic('late')
    const [before] = await on.castellan.produce([{ topic, key: null, value: 'too early' }])
    expect(codeOf(before!)).to.equal('unknownTopic')
    await on.cluster.createTopic(topic, 1)
    // The negative answer is remembered for a while.
    for (let attempt = 0; ; attempt++) {
      const [outcome] = await on.castellan.produce([{ topic, key: null, value: 'now' }])
      if (outcome?.type === 'delivered') break
      expect(codeOf(outcome!)).to.equal('unknownTopic')
      expect(attempt, 'attempts').to.be.lessThan(100)
      await sleep(100)
    }
    expect([...(await on.castellan.read(topic, 0, 1)).values()].map(record => String(record.value))).to.deep.equal([
      'now'
    ])
  })

  it('tells a partition that does not exist', async () => {
    const topic = freshTopic('narrow')
    await on.cluster.createTopic(topic, 1)
    const outcomes = await on.castellan.produce([
      { topic, partition: 7, key: null, value: 'nowhere' },
      { topic, partition: 0, key: null, value: 'here' }
    ])
    expect(outcomes.map(codeOf)).to.deep.equal(['unknownPartition', 'delivered'])
    expect((await on.castellan.fetchData(topic, 7, 0)).type).to.equal('unknownTopicOrPartition')
  })
})
