import { expect } from 'chai'
import { ask } from '../../src/actor/requester.js'
import type { InitProducerIdResult } from '../../src/operations.js'
import { askRouter } from '../../src/router/ask-router.js'
import { type EmbeddedRouter, startEmbeddedRouter } from '../support/embedded-router.js'

describe('router on the embedded broker', () => {
  let embedded: EmbeddedRouter
  const start = async (...args: Parameters<typeof startEmbeddedRouter>): Promise<EmbeddedRouter> =>
    (embedded = await startEmbeddedRouter(...args))
  afterEach(() => embedded.stop())

  it('writes batches and reads them back', async () => {
    const { cluster, router, write } = await start({ nodes: 3 })
    cluster.createTopic('orders', { partitions: 3 })
    expect(await write('orders', 1, ['a', 'b'])).to.deep.include({ type: 'appended', baseOffset: 0 })
    expect(await write('orders', 1, ['c'])).to.deep.include({ type: 'appended', baseOffset: 2 })
    const topicPartition = { topic: 'orders', partition: 1 }
    const result = await askRouter(router.ref, { type: 'fetchData', topicPartition, offset: 1 })
    expect(result.type).to.equal('success')
    const values = result.type === 'success' ? [...result.batch].map(record => record.value?.toString()) : []
    expect(values).to.deep.equal(['b', 'c'])
  })

  it('tells who leads what', async () => {
    const { cluster, router } = await start({ nodes: 3 })
    cluster.createTopic('orders', { partitions: 3 })
    const result = await askRouter(router.ref, { type: 'fetchTopicMetadata', requestId: 7, topics: ['orders', 'none'] })
    expect(result).to.include({ operation: 'fetchTopicMetadata', requestId: 7, type: 'success' })
    if (result.type !== 'success') return
    expect(result.topics.get('orders')?.partitions).to.have.length(3)
    expect(result.topics.get('none')?.errorCode).to.equal(3)
    expect(result.brokers).to.have.length(3)
  })

  it('gives each that asks a producer id of its own', async () => {
    const { router } = await start({ nodes: 1 })
    const results = await Promise.all(
      [1, 2].map(() =>
        ask<InitProducerIdResult>('initProducerId', 5_000, requester =>
          router.ref.tell({ type: 'initProducerId', requester })
        )
      )
    )
    const ids = results.map(result => (result.type === 'success' ? result.producerId : -1n))
    expect(ids[0]).to.not.equal(ids[1])
    expect(ids.every(id => id >= 0n)).to.equal(true)
  })
})
