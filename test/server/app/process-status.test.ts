import { expect } from 'chai'
import { createPrometheusMetrics, PrometheusMetricsLogger } from '../../../src/core/metrics/prometheus.js'
import { statusSchema } from '../../../src/http/status/status.js'
import { type ProcessStatusDeps, processStatusReader } from '../../../src/server/app/process-status.js'

describe('the status of a process', () => {
  const view = {
    topic: 'minisr',
    state: 'stuck',
    records: 1,
    bytes: 1,
    oldestAgeMs: 1,
    partitions: 3,
    troubledCount: 2,
    refusal: undefined
  }
  const obstacle = { error: 'NOT_ENOUGH_REPLICAS', message: 'too few' }
  const troubled = (...partitions: readonly number[]) =>
    partitions.map(partition => ({ partition, state: 'backingOff', attempts: 2, obstacle }))
  const deliveryOf = (...partitions: readonly number[]) => ({
    counts: () => ({ bufferedRecords: 0, bufferedBytes: 0, stuckBytes: 0, delivered: 0, failed: 0 }),
    topicViews: () => [view],
    troubledIn: () => troubled(...partitions)
  })
  const queue = (topic: string, oldestHeldMs: number) => ({
    topic,
    group: 'workers',
    held: 3,
    lastDeliveries: 2,
    archived: 1,
    waiting: 4,
    oldestHeldMs,
    failure: undefined
  })
  const open = [61_000.4, 60_000].map((openMs, partition) => ({
    ...{ topic: 'orders', partition, lastStableOffset: 5, records: 9, holdsReads: true },
    openMs
  }))
  const metrics = createPrometheusMetrics()
  new PrometheusMetricsLogger(metrics.registry).count('queues', 'archived_messages', {}, 7)
  const cluster = {
    name: 'default',
    delivery: deliveryOf(1, 0),
    durable: deliveryOf(2, 1),
    losses: { records: 0, views: () => [] },
    groups: { views: () => [] },
    instances: { refused: [] },
    queues: { views: () => [queue('orders', 1_500.4), queue('invoices', 9_000)] },
    router: { isReady: true, brokers: () => [], leaderOf: () => 1, openTransactions: () => open },
    connection: { current: {} },
    idRefusal: undefined
  }
  const stats = {
    deadDestinations: [
      ['default/__proto__', 3],
      ['default/orders', 2]
    ]
  }
  const log = { state: 'ok', why: undefined, limitBytes: 1, oldestAgeMs: 0, stats, backlog: new Map() }
  const nothing = { all: () => [], answers: () => [] }
  const readerOf = (clusters: readonly object[], viewed: object) =>
    processStatusReader({
      number: 1,
      clusters,
      webhooks: () => [],
      viewLog: async () => viewed,
      memoryLimitBytes: 1,
      memoryTimeoutMs: 1,
      metrics,
      shedder: () => undefined,
      refusals: nothing,
      lines: nothing,
      lag: () => undefined,
      certificates: () => [],
      clocks: () => [],
      clock: () => 0,
      now: () => 0
    } as unknown as ProcessStatusDeps)
  const read = readerOf([cluster], log)

  it('names a partition once of which records in memory and records of the durable log wait, in order', async () => {
    const [row] = (await read()).topics.rows
    expect(row!.troubled.map(({ partition }) => partition)).to.deep.equal([0, 1, 2])
    expect(row!.troubledPartitions).to.equal(3)
  })

  describe('of topics with records of the durable log', () => {
    const calm = { ...view, state: 'flowing', records: 0, troubledCount: 0 }
    const delivery = (state?: string) => ({
      ...deliveryOf(),
      topicViews: () => (state === undefined ? [] : [{ ...calm, state }])
    })
    const rowOf = async (oldestAgeMs: number | undefined, ofLog: string | undefined, ofMemory?: string) => {
      const backlog = new Map([['default/minisr', { firstSequence: 1, openEntries: 9, oldestAgeMs }]])
      const waiting = { ...cluster, delivery: delivery(ofMemory), durable: delivery(ofLog) }
      const { topics } = await readerOf([waiting], { ...log, backlog })()
      return statusSchema.shape.topics.parse(topics).rows[0]!
    }

    it('that have waited for more than 5 s does not flow, and their age is told', async () => {
      for (const ofLog of ['flowing', 'idle'])
        expect(await rowOf(5_000.6, ofLog, 'flowing')).to.deep.include({
          state: 'waiting',
          log: { records: 9, bytesInMemory: 1, oldestAgeMs: 5_001 }
        })
    })

    it('flows where they have waited for less, or for how long is not known', async () => {
      for (const oldestAgeMs of [0, 5_000, undefined])
        expect((await rowOf(oldestAgeMs, 'flowing')).state).to.equal('flowing')
    })

    it('has the worse state that is known', async () => {
      for (const state of ['stuck', 'missing', 'refused', 'lookingUp']) {
        expect((await rowOf(60_000, state)).state).to.equal(state)
        expect((await rowOf(60_000, 'flowing', state)).state).to.equal(state)
      }
    })
  })

  it('has a row for each queue, the one whose message is held longest first, and all that was archived', async () => {
    const { queues } = await read()
    expect(statusSchema.shape.queues.parse(queues)).to.deep.equal({
      total: 2,
      rows: [
        { cluster: 'default', ...queue('invoices', 9_000) },
        { cluster: 'default', ...queue('orders', 1_500) }
      ],
      archived: 7
    })
  })

  it('has the open transactions that reads have seen', async () => {
    const { openTransactions } = await read()
    expect(statusSchema.shape.openTransactions.parse(openTransactions)).to.deep.equal({
      total: 2,
      rows: open.map(row => ({ cluster: 'default', ...row, openMs: Math.round(row.openMs) }))
    })
  })

  it('has the topics of dead letters in its documented form', async () => {
    const part = await read()
    expect(statusSchema.shape.log.parse(part.log).deadLetterTopics).to.deep.equal([
      { cluster: 'default', topic: '__proto__', count: 3 },
      { cluster: 'default', topic: 'orders', count: 2 }
    ])
  })
})
