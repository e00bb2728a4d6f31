import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { ProduceOptions } from '../../../src/producer/memory/delivery.js'
import { onTargetCluster } from '../../support/castellan.js'
import { freshTopic } from '../../support/target-cluster.js'
import { inWorld } from './in-world.js'

const INVENTED_PER_SECOND = 300
// Behind the first calls of invented topics, which wait for their replicas, some records of real brokers' topics missed it.
const options: ProduceOptions = { partitioner: 'crc32', deadlineMs: 2_000 }

describe('writing while a client invents topics', () => {
  inWorld()
  const on = onTargetCluster()

  it('takes the first record of every topic that exists, and delivers it', async () => {
    const existing = Array.from({ length: 10 }, () => freshTopic('existing'))
    const before = freshTopic('before')
    for (const topic of [before, ...existing]) await on.cluster.createTopic(topic, 1)
    // The first record of a process waits for its producer id as well, which a busy controller gives when it gets to it.
    await on.castellan.produce([{ topic: before, key: null, value: 'x' }])
    const prefix = freshTopic('invented')
    const send = (topic: string) => on.castellan.verbs.produce([{ topic, key: null, value: 'x' }], options)
    let invented = 0
    const inventor = setInterval(() => {
      for (let at = 0; at < INVENTED_PER_SECOND / 20; at++) send(`${prefix}-${invented++}`)
    }, 50)
    try {
      await sleep(1_000)
      const outcomes: string[] = []
      for (const topic of existing) {
        const [outcome] = await send(topic).outcomes()
        outcomes.push(outcome?.type === 'failed' ? outcome.message : 'delivered')
        await sleep(200)
      }
      expect(outcomes).to.deep.equal(existing.map(() => 'delivered'))
    } finally {
      clearInterval(inventor)
    }
  })
})
