import { expect } from 'chai'
import { ask } from '../../../src/core/actor/actor.js'
import type { FetchDataResult } from '../../../src/router/messages/operations.js'
import { type EmbeddedRouter, startEmbeddedRouter } from '../../support/embedded-router.js'

const PLACES = 20
const IDLE = 60
const PATIENCE_MS = 60_000

describe('readers at the end of more logs than a dispatcher has places', function () {
  this.timeout(120_000)
  let embedded: EmbeddedRouter
  let isStopped: boolean
  let answers: { noMessages: number; overloaded: number }
  let idle: Promise<unknown>
  before(async () => {
    embedded = await startEmbeddedRouter({ nodes: 1 }, { maxQueuedPerDispatcher: PLACES })
    embedded.cluster.createTopic('idle', { partitions: IDLE })
    embedded.cluster.createTopic('innocent', { partitions: 1 })
    await embedded.write('innocent', 0, ['a'])
    isStopped = false
    answers = { noMessages: 0, overloaded: 0 }
    idle = Promise.all(Array.from({ length: IDLE }, (_, partition) => wait(partition)))
  })
  after(async () => {
    isStopped = true
    await embedded.stop()
    await idle
  })

  const read = (topic: string, partition: number): Promise<FetchDataResult> =>
    ask('a read', PATIENCE_MS + 10_000, requester =>
      embedded.router.ref.tell({
        type: 'fetchData',
        topicPartition: { topic, partition },
        offset: 0,
        maxWaitMs: PATIENCE_MS,
        timeoutMs: PATIENCE_MS + 5_000,
        requester
      })
    )

  /** A reader that asks again at once, or after a pause where it was refused. */
  async function wait(partition: number): Promise<void> {
    while (!isStopped) {
      const result = await read('idle', partition)
      if (result.type === 'noMessages') answers.noMessages++
      else if (result.type === 'failed') answers.overloaded++
      if (result.type === 'failed') await new Promise(resolve => setTimeout(resolve, 50))
    }
  }

  it('give way to a reader of another topic, and to each other', async () => {
    while (answers.overloaded < IDLE) await new Promise(resolve => setTimeout(resolve, 10))
    const askedAt = performance.now()
    let result = await read('innocent', 0)
    while (result.type === 'failed' && performance.now() - askedAt < PATIENCE_MS / 2) {
      await new Promise(resolve => setTimeout(resolve, 50))
      result = await read('innocent', 0)
    }
    expect(result.type).to.equal('success')
    // Nobody had waited for as long as it would have.
    while (answers.noMessages < IDLE) await new Promise(resolve => setTimeout(resolve, 10))
    expect(performance.now() - askedAt, 'given way before their time').to.be.lessThan(PATIENCE_MS)
  })
})
