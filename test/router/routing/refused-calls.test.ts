import { expect } from 'chai'
import { InvalidRequestError, KafkaError } from '../../../src/core/errors.js'
import { A, B, CastleRouter, metaGood } from '../../support/castle-router.js'
import { fakeBatch } from '../../support/fake-batch.js'
import { coordinatorReply, fetchReply, listOffsetsReply, ScriptedCluster } from '../../support/scripted-client.js'

const refuse = (): never => {
  throw new KafkaError(35, 'the broker speaks another version', false)
}

describe('a call that a broker does not take', () => {
  let cluster: ScriptedCluster
  let castle: CastleRouter
  beforeEach(() => {
    cluster = metaGood(new ScriptedCluster([1]))
    cluster.always(1, 'findCoordinator', coordinatorReply(cluster, 1))
    castle = new CastleRouter(cluster)
  })
  afterEach(() => castle.stop())

  const commit = { groupId: 'g', topicPartition: A, offsetAndMetadata: { offset: 1 } }
  const requests = [
    ['listOffsets', { type: 'fetchOffset', topicPartition: A, offsetType: 'latest' }],
    ['offsetFetch', { type: 'fetchConsumerOffset', groupId: 'g', topicPartition: A }],
    ['offsetCommit', { type: 'commitConsumerOffset', ...commit }],
    ['fetch', { type: 'fetchData', topicPartition: A, offset: 1000 }],
    ['metadata', { type: 'fetchTopicMetadata', requestId: 1, topics: ['perf'] }]
  ] as const
  for (const [api, request] of requests) {
    it(`${api}: UNSUPPORTED_VERSION (35) is the answer, at once, and the broker is not blamed for it`, async () => {
      await castle.ask({ type: 'fetchTopicMetadata', requestId: 1, topics: ['perf'] })
      if (api === 'metadata') cluster.always(0, api, refuse)
      else cluster.always(1, api, refuse)
      const warm = cluster.connections.length
      if (api !== 'metadata' && api !== 'listOffsets') {
        cluster.always(1, 'listOffsets', listOffsetsReply(cluster, -1, 0, 7))
      }
      const result = await castle.ask(request)
      expect(result).to.deep.include({ type: 'failed', errorCode: 35, code: 'kafka', retriable: false })
      expect(castle.metrics.of('retries')).to.equal(0)
      expect(castle.router.stats().brokersUp).to.equal(1)
      expect(cluster.connections.length).to.be.at.most(warm + 3)
    })
  }

  it('has not written any batch of it', async () => {
    cluster.always(1, 'produce', refuse)
    const answer = await new Promise(resolve => {
      const batch = { ...A, bytes: Buffer.alloc(70), answer: resolve }
      castle.router.ref.tell({ type: 'produceBatches', batches: [batch] })
    })
    expect(answer).to.deep.equal({ type: 'rejected', errorCode: 35 })
  })

  it('fails its own requests where it cannot be expressed, and others of the broker go on', async () => {
    cluster.on(1, 'listOffsets', 1, () => {
      throw new InvalidRequestError('too long for Kafka')
    })
    cluster.always(1, 'fetch', fetchReply(cluster, { 'api/17@5': { batches: [fakeBatch(5, [1])] } }))
    const [refused, read] = await Promise.all([
      castle.ask({ type: 'fetchOffset', topicPartition: A, offsetType: 'latest' }),
      castle.ask({ type: 'fetchData', topicPartition: B, offset: 5 })
    ])
    expect(refused).to.deep.include({ type: 'failed', code: 'invalidRequest', retriable: false })
    expect(read).to.include({ type: 'success' })
  })
})
