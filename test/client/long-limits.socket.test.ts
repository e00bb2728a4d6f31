import { expect } from 'chai'
import type { Castellan } from '../../src/client.js'
import { onBroker } from '../support/stage.js'

describe('a time limit of the library that is longer than a timer of Node', () => {
  const stage = onBroker(undefined, true)
  let castellan: Castellan
  beforeEach(async () => {
    stage.cluster.createTopic('orders', { partitions: 1 })
    castellan = await stage.library()
    await castellan.produceOrThrow({ topic: 'orders', value: 'first' })
  })

  for (const timeoutMs of [2 ** 31, Number.POSITIVE_INFINITY]) {
    it(`gives close({timeoutMs: ${timeoutMs}}) time to commit and to write what is left`, async () => {
      const closing = await stage.library({ consumer: { commitIntervalMs: 60_000 } })
      for await (const message of closing.consume({ group: 'g', topics: 'orders', start: 'earliest' })) {
        message.ack()
        break
      }
      for (const api of ['OffsetCommit', 'Produce'] as const) {
        stage.cluster.faults.add({ api }, { type: 'delay', delayMs: 150 })
      }
      const produced = closing.produce({ topic: 'orders', value: 'second' })
      expect(await closing.close({ timeoutMs })).to.equal(0)
      expect((await produced)[0]).to.include({ type: 'delivered', offset: 1 })
      expect((await castellan.admin.offsets('g'))[0]).to.include({ committed: 1 })
    })

    it(`gives calls of admin time to be answered: ${timeoutMs}`, async () => {
      for (const api of ['Metadata', 'ListGroups'] as const) {
        stage.cluster.faults.add({ api }, { type: 'delay', delayMs: 150 })
      }
      expect([...(await castellan.admin.topics(undefined, { timeoutMs })).keys()]).to.deep.equal(['orders'])
      await castellan.admin.setOffsets('billing', [{ topic: 'orders', partition: 0, offset: 1 }], { timeoutMs })
      expect([...(await castellan.admin.describeGroups(undefined, { timeoutMs })).keys()]).to.deep.equal(['billing'])
    })
  }

  const wrong: readonly unknown[] = [
    5_000,
    null,
    'soon',
    { timeoutMs: '5' },
    { timeoutMs: -1 },
    { timeoutMs: Number.NaN },
    { timeout: 5_000 }
  ]
  for (const options of wrong) {
    it(`is told apart from what is no time limit: close(${JSON.stringify(options)})`, async () => {
      const error: unknown = await castellan.close(options as never).catch((thrown: unknown) => thrown)
      expect(error).to.include({ code: 'invalidRequest', name: 'InvalidRequestError' })
      expect((await castellan.produce({ topic: 'orders', value: 'still open' }))[0]).to.include({ type: 'delivered' })
    })
  }
})
