import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import type { ConsumeManyResult } from '../../../src/consumer/group/consume-result.js'
import { onBroker } from '../../support/stage.js'
import { inWorld } from './in-world.js'

const GROUP = 'billing'

describe('a request whose time is over while a message may come from another gateway', () => {
  inWorld()
  const stage = onBroker()

  async function begun() {
    const topic = await stage.topic('orders')
    const library = await stage.library()
    const { verbs } = library
    const { groups } = library
    const ask = (timeoutMs: number): Promise<ConsumeManyResult> =>
      new Promise(resolve =>
        groups.requestMany(GROUP, topic, { maxMessages: 1, maxBytes: 1 }, timeoutMs, { reply: resolve })
      )
    expect((await ask(5_000)).type, 'it has begun').to.equal('timedOut')
    const answer = ask(600)
    await sleep(450)
    const [request] = groups.waitingFor(GROUP, topic)
    groups.holdForTake(request!)
    const records = [{ topic, partition: 0, key: null, value: 'own' }]
    const produce = () => verbs.produce(records, { partitioner: 'murmur2', deadlineMs: 5_000 }).outcomes()
    return { groups, topic, answer, request: request!, produce }
  }

  it('gets one of its own gateway when the other one brings nothing', async () => {
    const { groups, topic, answer, request, produce } = await begun()
    await produce()
    await sleep(300)
    expect(request.settled).to.equal(false)
    groups.endTake(GROUP, topic, request)
    expect((await answer).type).to.equal('messages')
  })

  it('gets one of its own gateway while a third one is asked', async () => {
    const { groups, topic, answer, request, produce } = await begun()
    await sleep(300)
    groups.allowOwn(GROUP, topic, request)
    groups.holdForTake(request)
    await produce()
    expect((await answer).type).to.equal('messages')
  })
})
