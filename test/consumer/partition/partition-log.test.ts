import { expect } from 'chai'
import { type LogRead, PartitionLog } from '../../../src/consumer/partition/partition-log.js'
import {
  errorOf,
  type ReadOutcome,
  type ReadTrouble,
  sentenceOf
} from '../../../src/consumer/partition/read-outcome.js'
import type { AskedKind } from '../../../src/router/messages/operations.js'
import { fakeBatch } from '../../support/fake-batch.js'
import { FakeRuntime, run } from '../group/fake-runtime.js'

const TOPIC_PARTITION = { topic: 'orders', partition: 0 }

describe('one read of a partition', () => {
  let runtime: FakeRuntime
  let log: PartitionLog
  beforeEach(() => {
    runtime = new FakeRuntime(run(0, 10))
    log = new PartitionLog(runtime.ask, TOPIC_PARTITION)
  })

  const answer = (kind: AskedKind, result: object): unknown => runtime.answers.push({ kind, result })

  /** What a read is answered: its outcome, and an error if it is answered twice or not at all. */
  const read = (request: LogRead): ReadOutcome => {
    const outcomes: ReadOutcome[] = []
    log.read(request, outcome => outcomes.push(outcome))
    runtime.settle()
    expect(outcomes).to.have.length(1)
    return outcomes[0]!
  }

  it('ends the log only where its leader shows all that the reader was told of', () => {
    const outcomes = [10, 12, undefined].map(told => {
      answer('fetchData', { type: 'noMessages' })
      return read({ offset: 10, told })
    })
    expect(outcomes.map(({ type }) => type)).to.deep.equal(['end', 'retry', 'end'])
    expect(errorOf(outcomes[1] as ReadTrouble, log.name)).to.include({
      message: 'orders/0 ends at offset 10 now, and ended at 12 when reading began',
      retriable: true
    })
  })

  it('asks for 64 KiB first, and for four times as much each time it is read on, until it begins elsewhere', () => {
    const sizes = (): number[] => {
      const asked = runtime.asked.filter(({ kind }) => kind === 'fetchData')
      runtime.asked.length = 0
      return asked.map(({ request }) => (request.maxBytes as number) / 1024)
    }
    for (const offset of [0, 0, 3, 6]) read({ offset })
    expect(sizes(), 'the same records again count once').to.deep.equal([64, 256, 256, 1024])
    for (let offset = 0; offset < 20; offset++) read({ offset: offset % 10 })
    expect(sizes().at(-1)).to.equal(2 ** 20)
    log.begin({})
    answer('fetchData', { type: 'noMessages' })
    for (const offset of [10, 9]) read({ offset })
    expect(sizes(), 'an answer without records changes nothing').to.deep.equal([64, 64])
  })

  it('passes offsets without a record up to the end that the reader was told', () => {
    answer('fetchData', { type: 'noMessages', nextOffset: 11 })
    expect(read({ offset: 10, told: 12 })).to.deep.equal({ type: 'skipped', next: 11, why: 'empty' })
    answer('fetchData', { type: 'noMessages', nextOffset: 11 })
    expect(read({ offset: 10 }), 'a reader that waits for the next record').to.deep.equal({ type: 'end' })
  })

  it('finds out why an offset is not in the log', () => {
    runtime.logStart = 4
    expect(read({ offset: 2 })).to.deep.equal({ type: 'skipped', next: 4, why: 'deleted' })
    expect(read({ offset: 12 })).to.deep.equal({ type: 'beyond', earliest: { offset: 4 }, end: { offset: 10 } })
    answer('fetchData', { type: 'offsetOutOfRange' })
    expect(read({ offset: 6 })).to.deep.include({ type: 'retry', why: 'notShown' })
  })

  it('tells a topic that was created anew from one that brokers do not show, and keeps its id until the reader begins anew', () => {
    runtime.topicId = 'first'
    expect(read({ offset: 12 }).type).to.equal('beyond')
    expect(log.topicId, 'learned').to.equal('first')
    runtime.recreateTopic('second')
    for (let reads = 0; reads < 2; reads++)
      expect(read({ offset: 12 })).to.deep.equal({ type: 'recreated', earliest: { offset: 0 }, topicId: 'second' })
    runtime.topicId = undefined
    expect(read({ offset: 12 })).to.deep.include({ type: 'retry', why: 'notShown' })
  })

  for (const [what, result, outcome] of [
    ['a partition that does not exist', { type: 'unknownTopicOrPartition' }, { type: 'missing' }],
    ['an answer that does not come', { type: 'timedOut' }, { type: 'retry', why: 'timedOut' }],
    ['a failure that may pass', { type: 'failed', retriable: true }, { type: 'retry', why: 'failed' }],
    ['a failure that does not pass', { type: 'failed', retriable: false }, { type: 'refused' }]
  ] as const)
    it(`tells ${what} in the same way of records, of the topic and of the bounds of its log`, () => {
      answer('fetchData', result)
      const outcomes: object[] = [read({ offset: 1 })]
      if (result.type !== 'unknownTopicOrPartition') {
        answer('fetchTopicMetadata', result)
        outcomes.push(read({ offset: 12 }))
      }
      answer('fetchOffset', result)
      outcomes.push(read({ offset: 12 }))
      for (const one of outcomes) expect(one).to.deep.include(outcome)
    })

  it('finds where another leader has cut the log, for each of two reads that are open', () => {
    runtime.epochs = [{ leaderEpoch: 0, from: 0 }]
    expect(read({ offset: 0 }).type).to.equal('records')
    const outcomes: ReadOutcome[] = []
    for (const offset of [10, 5]) log.read({ offset, knownEnd: () => 10 }, outcome => outcomes.push(outcome))
    runtime.held.add('fetchEpochEnd')
    runtime.cut(7)
    runtime.write(...run(7, 6))
    runtime.settle()
    expect(outcomes).to.deep.equal([])
    runtime.held.clear()
    runtime.settle()
    const cut = { type: 'cut', at: 7, epochs: { leaderEpoch: 0, currentLeaderEpoch: 1 } }
    expect(outcomes).to.deep.equal([cut, cut])
    expect(log.epochBefore(7)).to.equal(0)
    expect(read({ offset: 7 }).type).to.equal('records')
  })

  /** Reads ten records of epoch 0. @returns answers the first question of the kind that is asked then */
  const answeringLate = (late: AskedKind): ((result: object) => void) => {
    let [hasBegun, reply]: [boolean, ((result: never) => void)?] = [false]
    log = new PartitionLog((kind, request, onResult) => {
      if (hasBegun && kind === late && !reply) reply = onResult as never
      else runtime.ask(kind, request, onResult)
    }, TOPIC_PARTITION)
    runtime.epochs = [{ leaderEpoch: 0, from: 0 }]
    expect(read({ offset: 0 }).type).to.equal('records')
    hasBegun = true
    return result => {
      reply!(result as never)
      runtime.settle()
    }
  }

  it('takes no records of a former leader that come after the answer of its successor to another read', () => {
    const reply = answeringLate('fetchData')
    const outcomes: ReadOutcome[] = []
    log.read({ offset: 10 }, outcome => outcomes.push(outcome))
    runtime.electLeader()
    runtime.write(10, 11, 12, 13)
    expect(read({ offset: 5 }).type).to.equal('records')
    reply({ type: 'success', batch: fakeBatch(10, [1, 1, 1]), leaderEpoch: 0 })
    expect(outcomes).to.have.length(1)
    expect(outcomes[0]).to.deep.include({ type: 'retry', why: 'notShown' })
    expect(read({ offset: 10 }).type).to.equal('records')
  })

  it('takes no records of a former leader that were checked late, after the answer of its successor', () => {
    const reply = answeringLate('fetchEpochEnd')
    const outcomes: ReadOutcome[] = []
    runtime.electLeader()
    runtime.write(10, 11, 12)
    log.read({ offset: 10 }, outcome => outcomes.push(outcome))
    runtime.settle()
    runtime.cut(10)
    runtime.electLeader(2)
    runtime.write(10, 11, 12, 13)
    expect(read({ offset: 5 }).type).to.equal('records')
    reply({ type: 'success', leaderEpoch: 0, endOffset: 10, currentLeaderEpoch: 1 })
    expect(outcomes.map(({ type }) => type)).to.deep.equal(['retry'])
  })

  it('does not count as checked what another read has taken meanwhile', () => {
    const reply = answeringLate('fetchEpochEnd')
    const outcomes: ReadOutcome[] = []
    let end = 10
    const knownEnd = (): number => end
    runtime.electLeader()
    runtime.write(...run(10, 5))
    log.read({ offset: 5, knownEnd }, outcome => outcomes.push(outcome))
    runtime.settle()
    answer('fetchData', { type: 'success', batch: fakeBatch(10, [1, 1, 1]), leaderEpoch: 0 })
    expect(read({ offset: 10, knownEnd }).type).to.equal('records')
    end = 13
    reply({ type: 'success', leaderEpoch: 0, endOffset: 10, currentLeaderEpoch: 1 })
    expect(outcomes.map(({ type }) => type)).to.deep.equal(['retry'])
    expect(read({ offset: 13, knownEnd })).to.deep.include({ type: 'cut', at: 10 })
  })

  it('does not cut records that were read after another read has found the cut', () => {
    const reply = answeringLate('fetchEpochEnd')
    const outcomes: ReadOutcome[] = []
    runtime.cut(7)
    runtime.write(...run(7, 6))
    const knownEnd = (): number => 10
    log.read({ offset: 5, knownEnd }, outcome => outcomes.push(outcome))
    expect(read({ offset: 10, knownEnd })).to.deep.include({ type: 'cut', at: 7 })
    expect(read({ offset: 7 }).type).to.equal('records')
    reply({ type: 'success', leaderEpoch: 0, endOffset: 7, currentLeaderEpoch: 1 })
    expect(outcomes.map(({ type }) => type)).to.deep.equal(['retry'])
    expect(log.epochBefore(13)).to.equal(1)
  })

  it('says in a sentence what has happened to the log', () => {
    const earliest = { offset: 4 }
    expect(
      [
        sentenceOf({ type: 'skipped', next: 9, why: 'damaged' }, 'orders/0', 7),
        sentenceOf({ type: 'skipped', next: 9, why: 'deleted' }, 'orders/0', 7),
        sentenceOf({ type: 'cut', at: 5, epochs: { leaderEpoch: 0, currentLeaderEpoch: 1 } }, 'orders/0', 7),
        sentenceOf({ type: 'beyond', earliest, end: { offset: 6 } }, 'orders/0', 7),
        sentenceOf({ type: 'recreated', earliest, topicId: 'second' }, 'orders/0', 7)
      ].join('\n')
    ).to.equal(
      [
        'records 7 to 8 of orders/0 are damaged and were skipped',
        'records 7 to 8 of orders/0 were deleted before they were read',
        'the end of orders/0 was lost from 5 on, and is read from there',
        'the log of orders/0 ends at 6, before 7, and is read from its end',
        'orders/0 was created anew, and is read from its beginning'
      ].join('\n')
    )
  })
})
