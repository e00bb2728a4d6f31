import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { onTargetCluster, startCastellan } from '../../support/castellan.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

describe('writing to topics that come and go', () => {
  inWorld()
  const on = onTargetCluster()

  it('creates a topic with its first record although readers ask for it all the time', async () => {
    const topics = Array.from({ length: 8 }, () => freshTopic('wanted'))
    let isOver = false
    const readers = topics.map(async topic => {
      while (!isOver) {
        const { type } = await on.castellan.fetchData(topic, 0, 0)
        if (type !== 'noMessages') await sleep(20)
      }
    })
    try {
      await sleep(1_000)
      const outcomes = await Promise.all(
        topics.map(topic =>
          on.castellan.verbs
            .produce([{ topic, key: null, value: 'first' }], { partitioner: 'crc32', deadlineMs: 4_000 })
            .outcomes()
        )
      )
      expect(outcomes.flat().map(({ type }) => type)).to.deep.equal(topics.map(() => 'delivered'))
    } finally {
      isOver = true
      await Promise.all(readers)
    }
  })

  it('writes every record that it acknowledges to a topic that was deleted and created anew', async () => {
    const topic = freshTopic('recreated')
    const produced: string[] = []
    const produce = async (value: string): Promise<void> => {
      const [outcome] = await on.castellan.produce([{ topic, partition: 0, key: null, value }])
      if (outcome?.type === 'delivered') produced.push(`${outcome.offset}: ${value}`)
    }
    await on.cluster.createTopic(topic, 1)
    for (let at = 0; at < 5; at++) await produce(`old ${at}`)
    for (let incarnation = 1; incarnation < 3; incarnation++) {
      await on.cluster.deleteTopic(topic)
      await on.cluster.createTopic(topic, 1)
      produced.length = 0
      for (let at = 0; at < 7; at++) await produce(`life ${incarnation}, ${at}`)
      expect(produced).to.have.length(7)
      // One who has not met the former lives.
      const reader = await startCastellan(on.cluster.bootstrap)
      try {
        const records = await reader.readAll(topic, 0)
        expect(records.map(({ offset, value }) => `${offset}: ${value}`)).to.deep.equal(produced)
      } finally {
        await reader.close()
      }
    }
  })
})
