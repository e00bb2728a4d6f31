import { once } from 'node:events'
import { expect } from 'chai'
import type { ClusterChange, Logger } from '../../../src/core/model.js'
import { silentLogger } from '../../../src/core/model.js'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import type { BatchAnswer, ResultOf } from '../../../src/router/messages/operations.js'
import { askRouter } from '../../../src/router/routing/ask-router.js'
import type { RouterSettingsOverrides } from '../../../src/router/routing/settings.js'
import { type EmbeddedRouter, sealedBatch, startEmbeddedRouter } from '../../support/embedded-router.js'

describe('router: another cluster at the same addresses', () => {
  let embedded: EmbeddedRouter
  let successor: EmbeddedCluster
  let changes: ClusterChange[]
  let fatal: Error[]
  let errors: string[]
  const news = new EventTarget()

  const start = async (settings: RouterSettingsOverrides = {}): Promise<void> => {
    changes = []
    fatal = []
    errors = []
    const log: Logger = { ...silentLogger, error: (fields, message) => errors.push(message + JSON.stringify(fields)) }
    embedded = await startEmbeddedRouter(
      { nodes: 1 },
      { brokerBackoffMs: 10, brokerBackoffMaxMs: 20, ...settings },
      {
        log,
        onFatal: error => {
          fatal.push(error)
          news.dispatchEvent(new Event('fatal'))
        },
        onClusterChanged: change => changes.push(change)
      }
    )
    embedded.cluster.createTopic('orders', { partitions: 1 })
  }
  /** The old cluster is wiped; a new one comes up in its place. */
  const wipe = async (): Promise<void> => {
    const { port } = embedded.cluster.nodes[0]!
    await embedded.cluster.close()
    successor = await startEmbeddedCluster({ nodes: 1, port })
    successor.createTopic('orders', { partitions: 1 })
  }
  const write = (values: readonly string[], clusterId?: string): Promise<BatchAnswer> =>
    new Promise(resolve => {
      const batch = { topic: 'orders', partition: 0, bytes: sealedBatch(values), clusterId, answer: resolve }
      embedded.router.ref.tell({ type: 'produceBatches', batches: [batch] })
    })
  const read = (offset: number): Promise<ResultOf<'fetchData'>> =>
    askRouter(embedded.router.ref, { type: 'fetchData', topicPartition: { topic: 'orders', partition: 0 }, offset })
  const valuesOf = (result: ResultOf<'fetchData'>): string[] =>
    result.type === 'success' ? [...result.batch].map(record => String(record.value)) : [result.type]

  afterEach(async () => {
    await embedded.stop()
    await successor.close()
  })

  it('is followed: nothing of the cluster before is served, and whoever listens is told', async () => {
    await start()
    await write(['old-0', 'old-1', 'old-2'])
    expect(valuesOf(await read(0))).to.deep.equal(['old-0', 'old-1', 'old-2'])
    expect(changes.map(({ before }) => before)).to.deep.equal([undefined])
    const before = changes[0]!.now
    await wipe()
    successor.appendRaw('orders', 0, sealedBatch(['new-0']))
    const at = await askRouter(embedded.router.ref, {
      type: 'fetchOffset',
      topicPartition: { topic: 'orders', partition: 0 },
      offsetType: 'latest'
    })
    expect(at).to.deep.include({ type: 'success', offset: 1 })
    expect(valuesOf(await read(0))).to.deep.equal(['new-0'])
    expect(changes).to.have.length(2)
    expect(changes[1]!.before).to.equal(before)
    expect(errors.join()).to.include('another Kafka cluster answers').and.include(before)
    expect(embedded.metrics.of('cluster_changes')).to.equal(1)
  })

  it('a batch with a producer id of the cluster before is never written to the one after', async () => {
    await start()
    expect(await write(['old-0'])).to.include({ type: 'appended' })
    const { now: before } = changes[0]!
    await wipe()
    const answers = await Promise.all([1, 2, 3].map(at => write([`old-${at}`], before)))
    for (const answer of answers) expect(answer.type).to.be.oneOf(['notSent', 'unanswered'])
    expect(await write(['later'], before)).to.include({ type: 'notSent', reason: 'clusterChanged' })
    expect(await write(['new'], changes[1]!.now)).to.include({ type: 'appended', baseOffset: 0 })
    expect(successor.records('orders', 0).map(({ value }) => String(value))).to.deep.equal(['new'])
  })

  it('a commit that waits while the cluster changes is not stored in the new one: it names offsets of another log', async () => {
    await start()
    await write(['old-0', 'old-1'])
    const groupId = 'billing'
    const topicPartition = { topic: 'orders', partition: 0 }
    const commit = (offset: number): Promise<ResultOf<'commitConsumerOffset'>> =>
      askRouter(embedded.router.ref, {
        type: 'commitConsumerOffset',
        groupId,
        topicPartition,
        offsetAndMetadata: { offset }
      })
    expect(await commit(1)).to.include({ type: 'success' })
    const { port } = embedded.cluster.nodes[0]!
    await embedded.cluster.close()
    const waiting = [commit(2), commit(3)]
    successor = await startEmbeddedCluster({ nodes: 1, port })
    successor.createTopic('orders', { partitions: 1 })
    const answers = await Promise.all(waiting)
    expect(answers[1]).to.include({ type: 'failed', code: 'clusterChanged', retriable: false })
    expect(answers[0]!.type).to.be.oneOf(['failed', 'superseded'])
    const stored = await askRouter(embedded.router.ref, { type: 'fetchConsumerOffset', groupId, topicPartition })
    expect(stored).to.include({ type: 'notFound' })
    expect(await commit(0), 'what is asked from then on is meant for it').to.include({ type: 'success' })
  })

  it('ends the Router with a reason where the setting says stop', async () => {
    await start({ onClusterChange: 'stop' })
    await write(['old-0'])
    const ended = once(news, 'fatal')
    await wipe()
    const result = await read(1)
    await ended
    expect(result).to.include({ type: 'failed', code: 'shuttingDown' })
    expect(fatal.map(({ message }) => message).join())
      .to.include('another Kafka cluster')
      .and.include('onClusterChange')
    expect(await read(0)).to.include({ type: 'failed', code: 'shuttingDown' })
    expect(changes).to.have.length(1)
    expect(successor.records('orders', 0)).to.deep.equal([])
  })
})
