import { expect } from 'chai'
import { ask } from '../../../src/core/actor/actor.js'
import type { BatchAnswer, InitProducerIdResult, ResultOf } from '../../../src/router/messages/operations.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import { type EmbeddedRouter, startEmbeddedRouter } from '../../support/embedded-router.js'
import { testSeed } from '../../support/random.js'

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

  const fetchOf = (topic: string, partition: number, offset: number) =>
    ({ type: 'fetchData', topicPartition: { topic, partition }, offset }) as const
  const valuesOf = (result: ResultOf<'fetchData'>): string[] =>
    result.type === 'success' ? [...result.batch].map(record => String(record.value)) : [result.type]

  it('finds offsets by position and time, keeps consumer offsets', async () => {
    const { cluster, router, write } = await start({ nodes: 3 })
    cluster.createTopic('orders', { partitions: 1 })
    await write('orders', 0, ['a', 'b', 'c'])
    const topicPartition = { topic: 'orders', partition: 0 }
    const offsets = await Promise.all(
      (['earliest', 'latest', { timestampMs: 0 }] as const).map(offsetType =>
        askRouter(router.ref, { type: 'fetchOffset', topicPartition, offsetType })
      )
    )
    expect(offsets.map(result => result.type === 'success' && result.offset)).to.deep.equal([0, 3, 0])
    const position = { groupId: 'keeper', topicPartition }
    expect((await askRouter(router.ref, { type: 'fetchConsumerOffset', ...position })).type).to.equal('notFound')
    const offsetAndMetadata = { offset: 2, metadata: 'so far' }
    const commit = { type: 'commitConsumerOffset', ...position, offsetAndMetadata } as const
    expect((await askRouter(router.ref, commit)).type).to.equal('success')
    expect(await askRouter(router.ref, { type: 'fetchConsumerOffset', ...position })).to.deep.include({
      type: 'success',
      offsetAndMetadata
    })
  })

  it('follows leaders that move, brokers that stop and come back', async () => {
    const { cluster, router, write } = await start({ nodes: 3 }, { brokerBackoffMs: 10 })
    cluster.createTopic('orders', { partitions: 1, replicationFactor: 3 })
    const leader = cluster.leaderOf('orders', 0)
    expect((await write('orders', 0, ['a'])).type).to.equal('appended')
    expect(valuesOf(await askRouter(router.ref, fetchOf('orders', 0, 0)))).to.deep.equal(['a'])
    cluster.moveLeader('orders', 0, (leader % 3) + 1)
    expect(await untilAppended(() => write('orders', 0, ['b']))).to.equal('appended')
    expect(valuesOf(await askRouter(router.ref, fetchOf('orders', 0, 1)))).to.deep.equal(['b'])
    await cluster.stopNode((leader % 3) + 1)
    expect(await untilAppended(() => write('orders', 0, ['c']))).to.equal('appended')
    expect(valuesOf(await askRouter(router.ref, fetchOf('orders', 0, 2)))).to.deep.equal(['c'])
    await cluster.startNode((leader % 3) + 1)
    cluster.moveLeader('orders', 0, (leader % 3) + 1)
    expect(await untilAppended(() => write('orders', 0, ['d']))).to.equal('appended')
    expect(router.stats().open).to.equal(0)
  })

  it('does not serve a topic created anew from the cache of the old one', async () => {
    const { cluster, router, write } = await start(
      { nodes: 1, autoCreateTopics: false },
      { unknownTopicRememberedMs: 50 }
    )
    cluster.createTopic('orders', { partitions: 1 })
    await write('orders', 0, ['old 0', 'old 1'])
    expect(valuesOf(await askRouter(router.ref, fetchOf('orders', 0, 0)))).to.deep.equal(['old 0', 'old 1'])
    cluster.deleteTopic('orders')
    expect((await askRouter(router.ref, fetchOf('orders', 0, 2))).type).to.equal('unknownTopicOrPartition')
    cluster.createTopic('orders', { partitions: 1 })
    expect(await untilAppended(() => write('orders', 0, ['new 0']))).to.equal('appended')
    expect(valuesOf(await askRouter(router.ref, fetchOf('orders', 0, 0)))).to.deep.equal(['new 0'])
  })

  it('finds partitions that were added', async () => {
    const { cluster, router, write } = await start({ nodes: 1 }, { unknownTopicRememberedMs: 20 })
    cluster.createTopic('orders', { partitions: 1 })
    expect((await askRouter(router.ref, fetchOf('orders', 1, 0))).type).to.equal('unknownTopicOrPartition')
    cluster.growTopic('orders', 2)
    expect(await untilAppended(() => write('orders', 1, ['a']))).to.equal('appended')
  })

  it('answers readers while the controller works for long on a change', async () => {
    // The call outlives the reader: one that waits for it is answered that its own time is over.
    const { cluster, router, write } = await start({ nodes: 1 }, { callTimeoutMs: 90_000 })
    cluster.createTopic('orders', { partitions: 1 })
    await write('orders', 0, ['a'])
    const done: string[] = []
    const create = (topic: string): Promise<unknown> =>
      askRouter(router.ref, {
        type: 'createTopic',
        topic,
        partitions: 1,
        replicationFactor: 1,
        assignments: new Map(),
        configs: new Map(),
        validateOnly: false,
        timeoutMs: 90_000
      }).then(({ type }) => done.push(`create ${type}`))
    await create('soon')
    const busy = cluster.faults.add({ api: 'CreateTopics' }, { type: 'dropRequest' })
    void create('late')
    await busy.whenFired()
    const topicPartition = { topic: 'orders', partition: 0 }
    const { type } = await askRouter(router.ref, { type: 'fetchOffset', topicPartition, offsetType: 'latest' })
    done.push(`offset ${type}`)
    expect(done).to.deep.equal(['create success', 'offset success'])
    expect(router.stats().open).to.equal(1)
    await router.stop()
    expect(done.slice(2)).to.deep.equal(['create failed'])
  })

  it('answers as often as it is asked, whatever happens to the brokers', async () => {
    const seed = testSeed()
    const random = seededRandom(seed)
    const { cluster, router, write } = await start(
      { nodes: 3 },
      { brokerBackoffMs: 5, fetchMaxWaitMs: 20, cacheMaxBytes: 50_000 }
    )
    cluster.createTopic('orders', { partitions: 6, replicationFactor: 3 })
    for (let partition = 0; partition < 6; partition++) await write('orders', partition, ['x'.repeat(2_000), 'y'])
    const faults = [
      { type: 'error', errorCode: 6 },
      { type: 'error', errorCode: -1 },
      { type: 'error', errorCode: 3 },
      { type: 'delay', delayMs: 30 },
      { type: 'close', afterWork: true },
      { type: 'truncate', bytes: 20 }
    ] as const
    let answered = 0
    const asks: Promise<unknown>[] = []
    for (let round = 0; round < 60; round++) {
      const action = faults[Math.floor(random() * faults.length)]!
      cluster.faults.add({ api: random() < 0.9 ? 'Fetch' : 'Metadata', count: 1 }, action)
      if (random() < 0.2) cluster.moveLeader('orders', Math.floor(random() * 6), 1 + Math.floor(random() * 3))
      for (let time = 0; time < 20; time++) {
        const request = fetchOf('orders', Math.floor(random() * 6), Math.floor(random() * 4))
        const ask = askRouter(router.ref, { ...request, timeoutMs: 30_000 })
        asks.push(ask.then(() => answered++))
      }
      await new Promise(resolve => setTimeout(resolve, 2))
      expect(router.stats().cacheBytes).to.be.at.most(50_000)
    }
    await Promise.all(asks)
    expect(answered, `seed ${seed}`).to.equal(60 * 20)
    expect(router.stats().open, `seed ${seed}`).to.equal(0)
  })
})

/** Tries again as a partition does. */
async function untilAppended(write: () => Promise<BatchAnswer>): Promise<string> {
  for (let tries = 0; ; tries++) {
    const answer = await write()
    if (answer.type === 'appended' || tries > 50) return answer.type
    await new Promise(resolve => setTimeout(resolve, 10))
  }
}

function seededRandom(seed: number): () => number {
  return () => {
    seed = (Math.imul(seed, 1_664_525) + 1_013_904_223) >>> 0
    return seed / 2 ** 32
  }
}
