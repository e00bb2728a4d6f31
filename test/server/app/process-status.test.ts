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
    idRefusal: () => undefined
  }
  const stats = {
    deadDestinations: [
      ['default/__proto__', 3],
      ['default/orders', 2]
    ]
  }
  const log = { state: 'ok', why: undefined, limitBytes: 1, oldestAgeMs: 0, stats, backlog: new Map() }
  const nothing = { all: () => [], answers: () => [] }
  const read = processStatusReader({
    number: 1,
    clusters: [cluster],
    viewLog: async () => log,
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

  it('names a partition once of which records in memory and records of the durable log wait, in order', async () => {
    const [row] = (await read()).topics.rows
    expect(row!.troubled.map(({ partition }) => partition)).to.deep.equal([0, 1, 2])
    expect(row!.troubledPartitions).to.equal(3)
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
