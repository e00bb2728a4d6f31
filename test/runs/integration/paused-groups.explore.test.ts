import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import type { Gateway } from '../../cli/child.js'
import { onBroker } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'

/** As long as a group keeps a topic without a request; with the time before, each request lasts longer. */
const PAUSE_MS = 15_000
const BEFORE_MS = 1_500
const PATIENCE_MS = 60_000
const NONE = 408

describe('a group of a gateway that stands still while a client waits', function () {
  this.timeout(180_000)
  const stage = onBroker()

  const ask = async ({ url }: Gateway, topic: string): Promise<number> => {
    const answer = await fetch(`${url}/pixy/topics/${topic}/messages?group=${topic}`, {
      signal: AbortSignal.timeout(PATIENCE_MS)
    })
    await answer.arrayBuffer()
    return answer.status
  }

  it('is offered a record that was acknowledged after the answer that there is none', async () => {
    const gateway = await stage.gateway()
    stage.keep(gateway, ({ child }) => child.process.kill('SIGCONT'))
    const library = await stage.library()
    const topics = { known: freshTopic('known'), unknown: freshTopic('unknown') }
    await stage.cluster.createTopic(topics.known, { partitions: 1, replicationFactor: 1 })
    const names = Object.values(topics)
    const askAll = (): Promise<number[]> => Promise.all(names.map(topic => ask(gateway, topic)))
    expect(await askAll()).to.deep.equal([NONE, NONE])
    const waiting = askAll()
    await pass(BEFORE_MS)
    gateway.child.process.kill('SIGSTOP')
    await pass(PAUSE_MS)
    gateway.child.process.kill('SIGCONT')
    expect(await waiting).to.deep.equal([NONE, NONE])
    // A client that reads what it got takes a moment.
    await pass(500)
    await stage.cluster.createTopic(topics.unknown, { partitions: 1, replicationFactor: 1 })
    const records = names.map(topic => ({ topic, partition: 0, key: null, value: 'x' }))
    const outcomes = await library.verbs
      .produce(records, { partitioner: 'murmur2', deadlineMs: PATIENCE_MS })
      .outcomes()
    expect(outcomes.map(({ type }) => type)).to.deep.equal(['delivered', 'delivered'])
    for (const topic of names) {
      const giveUpAt = performance.now() + PATIENCE_MS
      let status = NONE
      while (status === NONE && performance.now() < giveUpAt) status = await ask(gateway, topic)
      expect(status, topic).to.equal(200)
    }
  })
})
