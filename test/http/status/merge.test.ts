import { expect } from 'chai'
import { mergeParts } from '../../../src/http/status/merge.js'
import { MAX_ROWS, type StatusPart } from '../../../src/http/status/status.js'
import { calmPart, calmTopic } from './calm.js'

const second: StatusPart = { ...calmPart, workers: [{ ...calmPart.workers[0]!, number: 2 }] }

describe('the status of several processes', () => {
  it('sums what each has for itself', () => {
    const merged = mergeParts([
      { ...calmPart, memory: { ...calmPart.memory, records: 2, bytes: 20, oldestAgeMs: 5 } },
      { ...second, memory: { ...calmPart.memory, records: 3, bytes: 30, oldestAgeMs: 9 } }
    ])
    expect(merged.memory).to.include({ records: 5, bytes: 50, limitBytes: 2_000, oldestAgeMs: 9 })
    expect(merged.workers.map(({ number }) => number)).to.deep.equal([1, 2])
    expect(merged.way.request).to.deep.equal({ count: 0, seconds: 0 })
  })

  it('has one row for a topic, in the worst of its states', () => {
    const troubled = [{ partition: 1, state: 'backingOff', attempts: 2, error: 'noLeader' }]
    const stuck = { ...calmTopic, state: 'stuck', troubled, troubledPartitions: 1 } as const
    const merged = mergeParts([
      { ...calmPart, topics: { total: 1, rows: [calmTopic] } },
      { ...second, topics: { total: 3, rows: [stuck] } }
    ])
    expect(merged.topics.total).to.equal(3)
    expect(merged.topics.rows).to.have.length(1)
    expect(merged.topics.rows[0]).to.deep.include({
      state: 'stuck',
      troubled,
      memory: { records: 4, bytes: 4_096, oldestAgeMs: 1_500 }
    })
  })

  it('has one row for a queue, and at most so many: those that fail, then those whose messages are held longest', () => {
    const queue = {
      cluster: 'default',
      group: 'workers',
      held: 1,
      lastDeliveries: 1,
      oldestHeldMs: 5,
      waiting: 1,
      archived: 2
    }
    const rows = Array.from({ length: MAX_ROWS }, (_, number) => ({ ...queue, topic: `t${number}`, oldestHeldMs: 9 }))
    const failing = { ...queue, topic: 'failing', oldestHeldMs: 0, failure: 'the leader is away' }
    const { queues } = mergeParts([
      { ...calmPart, queues: { total: 51, rows: [...rows, { ...queue, topic: 'orders' }], archived: 3 } },
      { ...second, queues: { total: 2, rows: [{ ...queue, topic: 'orders', oldestHeldMs: 70 }, failing], archived: 4 } }
    ])
    expect(queues).to.include({ total: 52, archived: 7 })
    expect(queues.rows).to.have.length(MAX_ROWS)
    expect(queues.rows[0]).to.deep.equal(failing)
    expect(queues.rows[1]).to.deep.equal({
      ...{ ...queue, topic: 'orders', held: 2, lastDeliveries: 2 },
      ...{ oldestHeldMs: 70, waiting: 2, archived: 4 }
    })
  })

  it('has one row for an open transaction, as old as the process that has seen it longest says', () => {
    const open = { cluster: 'default', topic: 'orders', lastStableOffset: 1, records: 2, holdsReads: true }
    const { openTransactions } = mergeParts([
      { ...calmPart, openTransactions: { total: 1, rows: [{ ...open, partition: 0, openMs: 60_000 }] } },
      {
        ...second,
        openTransactions: {
          total: 2,
          rows: [
            { ...open, partition: 1, openMs: 80_000 },
            { ...open, partition: 0, openMs: 90_000, records: 3 }
          ]
        }
      }
    ])
    expect(openTransactions).to.deep.equal({
      total: 2,
      rows: [
        { ...open, partition: 0, openMs: 90_000, records: 3 },
        { ...open, partition: 1, openMs: 80_000 }
      ]
    })
  })

  it('names a partition once that several processes find in trouble, in order, and counts those of all', () => {
    const at = (partition: number, error?: string) => ({ partition, state: 'backingOff', attempts: 2, error })
    const stuck = { ...calmTopic, state: 'stuck' } as const
    const merged = mergeParts([
      { ...calmPart, topics: { total: 1, rows: [{ ...stuck, troubled: [at(2), at(1)], troubledPartitions: 2 }] } },
      { ...second, topics: { total: 1, rows: [{ ...stuck, troubled: [at(0), at(1, 'X')], troubledPartitions: 2 }] } }
    ])
    expect(merged.topics.rows[0]).to.deep.include({ troubled: [at(0), at(1, 'X'), at(2)], troubledPartitions: 3 })
  })

  it('adds up the topics of dead letters, whatever they are called', () => {
    const withDead = (...rows: readonly [topic: string, count: number][]) => ({
      ...calmPart.log,
      deadLetters: rows.reduce((sum, [, count]) => sum + count, 0),
      deadLetterTopics: rows.map(([topic, count]) => ({ cluster: 'default', topic, count }))
    })
    const { log } = mergeParts([
      { ...calmPart, log: withDead(['__proto__', 1]) },
      { ...second, log: withDead(['orders', 4], ['__proto__', 2]) },
      { ...second, log: { ...calmPart.log, state: 'failed' } }
    ])
    expect(log).to.include({ state: 'failed', deadLetters: 7 })
    expect(log.deadLetterTopics).to.deep.equal([
      { cluster: 'default', topic: 'orders', count: 4 },
      { cluster: 'default', topic: '__proto__', count: 3 }
    ])
  })

  it('believes the process that finds a broker down, and the one that reaches no broker', () => {
    const [cluster] = calmPart.clusters
    const down = { nodeId: 1, address: 'kafka-1:9092', state: 'down', forMs: 10, lastError: 'refused' } as const
    const merged = mergeParts([
      calmPart,
      { ...second, clusters: [{ ...cluster!, isReady: false, away: 'refused', brokers: [down] }] }
    ])
    expect(merged.clusters).to.deep.equal([{ name: 'default', isReady: false, away: 'refused', brokers: [down] }])
  })

  it('believes the process that is refused a producer id: others may have written nothing', () => {
    const [cluster] = calmPart.clusters
    const idRefused = { error: 'CLUSTER_AUTHORIZATION_FAILED', message: 'no' }
    const refused = { ...second, clusters: [{ ...cluster!, idRefused }] }
    for (const parts of [
      [calmPart, refused],
      [refused, calmPart]
    ])
      expect(mergeParts(parts).clusters).to.deep.equal([{ ...cluster!, idRefused }])
  })

  it('believes the process whose clock differs most', () => {
    const at = (aheadMs: number) => ({ ...calmPart, clocks: [{ comparedWith: 'gateways' as const, aheadMs }] })
    expect(mergeParts([at(1), at(-9), at(5)]).clocks).to.deep.equal(at(-9).clocks)
  })

  it('takes the worst state of the logs, and sums what is in them', () => {
    const full = { ...calmPart.log, state: 'full', why: 'the disk is full', records: 3 } as const
    const merged = mergeParts([
      { ...calmPart, log: full },
      { ...second, log: { ...calmPart.log, records: 4 } }
    ])
    expect(merged.log).to.include({ state: 'full', why: 'the disk is full', records: 7, limitBytes: 2_000 })
  })

  it('adds up equal refusals and lines, the latest first', () => {
    const refusal = {
      reason: 'overloaded',
      setting: 'delivery.maxBytes',
      what: 'records',
      count: 1,
      perSecond: 0.5,
      lastAgoMs: 50,
      message: 'full'
    } as const
    const failure = { api: 'kprf', status: 500, reason: 'overloaded', count: 1, perSecond: 0.5, lastAgoMs: 50 }
    const loss = {
      cluster: 'default',
      api: 'kprf',
      topic: '__proto__',
      reason: 'timedOut',
      message: 'too late',
      records: 3,
      perSecond: 1,
      firstAgoMs: 90,
      lastAgoMs: 9
    }
    const line = { level: 'warn', message: 'a broker failed', count: 2, lastAgoMs: 9 } as const
    const merged = mergeParts([
      { ...calmPart, refusals: [refusal], failures: [failure], losses: [loss], lines: [line] },
      {
        ...second,
        failures: [{ ...failure, lastAgoMs: 5 }],
        losses: [{ ...loss, firstAgoMs: 70, lastAgoMs: 7, message: 'later' }],
        refusals: [
          { ...refusal, lastAgoMs: 10 },
          { ...refusal, reason: 'forbidden', lastAgoMs: 1 }
        ],
        lines: [line]
      }
    ])
    expect(merged.refusals.map(({ reason, count, lastAgoMs }) => [reason, count, lastAgoMs])).to.deep.equal([
      ['forbidden', 1, 1],
      ['overloaded', 2, 10]
    ])
    expect(merged.failures).to.deep.equal([{ ...failure, count: 2, perSecond: 1, lastAgoMs: 5 }])
    expect(merged.losses).to.deep.equal([
      { ...loss, message: 'later', records: 6, perSecond: 2, firstAgoMs: 90, lastAgoMs: 7 }
    ])
    expect(merged.lines).to.deep.equal([{ ...line, count: 4 }])
  })

  it('is bounded, with the worst rows', () => {
    const rows = Array.from({ length: 3 * MAX_ROWS }, (_, index) => ({ ...calmTopic, topic: `t${index}` }))
    const worst = { ...calmTopic, topic: '__proto__', state: 'refused' } as const
    const merged = mergeParts([{ ...calmPart, topics: { total: 151, rows: [...rows, worst] } }, second])
    expect(merged.topics.total).to.equal(151)
    expect(merged.topics.rows).to.have.length(MAX_ROWS)
    expect(merged.topics.rows[0]!.topic).to.equal('__proto__')
  })
})
