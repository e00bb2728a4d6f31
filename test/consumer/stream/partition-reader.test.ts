import { expect } from 'chai'
import { initialState, type ReaderPlan, transition } from '../../../src/consumer/stream/partition-reader.js'
import type { RecordBatch } from '../../../src/core/model.js'
import type {
  FetchDataResult,
  FetchOffsetResult,
  FetchTopicMetadataResult,
  OffsetType
} from '../../../src/router/messages/operations.js'

const topicPartition = { topic: 'orders', partition: 0 }
type State = ReturnType<typeof initialState>
type Effects = ReturnType<typeof transition>[1]

const plan = (start: ReaderPlan['start'], follow = false): ReaderPlan => ({
  topicPartition,
  topicId: 'first',
  start,
  follow
})
const offsetIs = (offsetType: OffsetType, offset: number): { type: 'offset'; result: FetchOffsetResult } => ({
  type: 'offset',
  result: { operation: 'fetchOffset', topicPartition, offsetType, type: 'success', offset }
})
const batch = (from: number, to: number): RecordBatch =>
  ({ offset: from, maxOffset: to, nextOffset: to + 1 }) as RecordBatch
const data = (offset: number, rest: object): { type: 'data'; result: FetchDataResult } => ({
  type: 'data',
  result: { operation: 'fetchData', topicPartition, offset, ...rest } as FetchDataResult
})

/** Runs messages through, giving back the state and the effects of the last one. */
function having(
  reader: ReaderPlan,
  ...messages: Parameters<typeof transition>[1][]
): { state: State; effects: Effects } {
  let state = initialState(reader)
  let effects: Effects = []
  for (const message of [{ type: 'begin' } as const, ...messages]) [state, effects] = transition(state, message)
  return { state, effects }
}

describe('partition reader', () => {
  it('asks for the end first, then for the start, then for records', () => {
    expect(having(plan('earliest')).effects).to.deep.equal([{ type: 'askOffset', offsetType: 'latest' }])
    expect(having(plan('earliest'), offsetIs('latest', 9)).effects).to.deep.equal([
      { type: 'askOffset', offsetType: 'earliest' }
    ])
    expect(having(plan('earliest'), offsetIs('latest', 9), offsetIs('earliest', 3)).effects).to.deep.equal([
      { type: 'askData', offset: 3, topicId: 'first' }
    ])
  })

  it('starts at an offset, at a time, or some records before the end', () => {
    const end = offsetIs('latest', 100)
    expect(having(plan({ offset: 7 }), end).effects).to.deep.equal([{ type: 'askData', offset: 7, topicId: 'first' }])
    const time = { timestampMs: 5 }
    expect(having(plan(time), end).effects).to.deep.equal([{ type: 'askOffset', offsetType: time }])
    expect(having(plan(time), end, offsetIs(time, 40)).effects).to.deep.equal([
      { type: 'askData', offset: 40, topicId: 'first' }
    ])
    expect(having(plan({ last: 10 }), end, offsetIs('earliest', 0)).effects).to.deep.equal([
      { type: 'askData', offset: 90, topicId: 'first' }
    ])
    expect(having(plan({ last: 10 }), end, offsetIs('earliest', 95)).effects).to.deep.equal([
      { type: 'askData', offset: 95, topicId: 'first' }
    ])
  })

  it('stops at the end as it was at the beginning', () => {
    const { state, effects } = having(
      plan({ offset: 0 }),
      offsetIs('latest', 5),
      data(0, { type: 'success', batch: batch(0, 6) })
    )
    expect(effects).to.deep.equal([{ type: 'write', batch: batch(0, 6), end: 5 }])
    expect(transition(state, { type: 'written', more: true })[1]).to.deep.equal([
      { type: 'finish', problem: undefined }
    ])
  })

  it('has nothing to do for an empty partition, or from latest', () => {
    const done = [{ type: 'finish', problem: undefined }]
    expect(having(plan({ offset: 0 }), offsetIs('latest', 0)).effects).to.deep.equal(done)
    expect(having(plan('latest'), offsetIs('latest', 8)).effects).to.deep.equal(done)
  })

  it('tells a caller that begins beyond the end so, with the end', () => {
    const { effects } = having(plan({ offset: 99 }), offsetIs('latest', 6))
    expect(effects).to.have.length(1)
    expect(effects[0]).to.have.nested.property('problem.code', 'invalidRequest')
    expect(effects[0])
      .to.have.nested.property('problem.message')
      .that.matches(/^offset 99 of orders\/0 is out of range \(the end is 6\)/)
    expect(having(plan({ offset: 6 }), offsetIs('latest', 6)).effects).to.deep.equal([
      { type: 'finish', problem: undefined }
    ])
  })

  it('waits at the end when it follows', () => {
    const { effects } = having(plan('latest', true), offsetIs('latest', 8), data(8, { type: 'noMessages' }))
    expect(effects).to.deep.equal([{ type: 'askData', offset: 8, topicId: 'first' }])
  })

  it('stops when the output has enough', () => {
    const { state } = having(
      plan({ offset: 0 }, true),
      offsetIs('latest', 5),
      data(0, { type: 'success', batch: batch(0, 1) })
    )
    expect(transition(state, { type: 'written', more: false })[1]).to.deep.equal([
      { type: 'finish', problem: undefined }
    ])
  })

  it('says so when it skips damage', () => {
    const { effects } = having(
      plan({ offset: 2 }),
      offsetIs('latest', 9),
      data(2, { type: 'corruptMessage', nextOffset: 5 })
    )
    expect(effects).to.deep.equal([
      { type: 'warn', message: 'offsets 2 to 4 of orders/0 are damaged and were skipped' },
      { type: 'askData', offset: 5, topicId: 'first' }
    ])
  })

  const outOfRange = data(2, { type: 'offsetOutOfRange' })
  const topicIs = (topicId: string | undefined): { type: 'topic'; result: FetchTopicMetadataResult } => ({
    type: 'topic',
    result: {
      operation: 'fetchTopicMetadata',
      requestId: 0,
      type: 'success',
      topics: new Map([['orders', { topicId }]])
    } as unknown as FetchTopicMetadataResult
  })

  it('tells a wrong offset from records that retention took away', () => {
    const wrong = having(plan({ offset: 2 }), offsetIs('latest', 9), outOfRange, topicIs('first'))
    expect(wrong.effects[0])
      .to.have.nested.property('problem.message')
      .that.matches(/^offset 2 of orders\/0 is out of range \(the end is 9\)/)
    const begun = [offsetIs('latest', 9), offsetIs('earliest', 2)] as const
    const gone = having(plan('earliest', true), ...begun, outOfRange, topicIs('first'))
    expect(gone.effects[0]).to.have.property('type', 'warn')
    expect(gone.effects[1]).to.deep.equal({ type: 'askOffset', offsetType: 'earliest' })
  })

  it('asks which topic it is when an offset is out of range, and follows a new one from its beginning', () => {
    const begun = [offsetIs('latest', 9), offsetIs('earliest', 2), outOfRange] as const
    expect(having(plan('earliest', true), ...begun).effects).to.deep.equal([{ type: 'askTopic' }])
    const anew = [...begun, topicIs('second')] as const
    expect(having(plan('earliest', true), ...anew).effects).to.deep.equal([
      { type: 'warn', message: 'orders/0 was created anew, and is read from its beginning' },
      { type: 'askOffset', offsetType: 'earliest' }
    ])
    expect(having(plan('earliest', true), ...anew, offsetIs('earliest', 0)).effects).to.deep.equal([
      { type: 'askData', offset: 0, topicId: 'second' }
    ])
  })

  it('fails when the topic is created anew and the end of the former one was to be reached', () => {
    const begun = [offsetIs('latest', 9), offsetIs('earliest', 2), outOfRange, topicIs('second')] as const
    expect(having(plan('earliest'), ...begun).effects).to.deep.equal([
      {
        type: 'finish',
        problem: {
          code: 'kafka',
          message: 'orders/0 was deleted and created anew while it was read',
          retriable: true
        }
      }
    ])
  })

  it('asks again while brokers do not tell which topic it is', () => {
    const begun = [offsetIs('latest', 9), offsetIs('earliest', 2), outOfRange, topicIs(undefined)] as const
    expect(having(plan('earliest', true), ...begun).effects.map(({ type }) => type)).to.deep.equal([
      'warn',
      'waitThenAgain'
    ])
  })

  it('waits for a high watermark that is behind the end of the start, and fails when it stays there', () => {
    const behind = data(3, { type: 'noMessages' })
    const read3 = [offsetIs('latest', 9), data(0, { type: 'success', batch: batch(0, 2) })] as const
    let { state, effects } = having(plan({ offset: 0 }), ...read3, { type: 'written', more: true }, behind)
    expect(effects).to.deep.equal([
      { type: 'warn', message: 'orders/0 ends at offset 3 now, and ended at 9 when reading began; trying again' },
      { type: 'waitThenAgain' }
    ])
    const again = transition(state, { type: 'again' })
    expect(again[1]).to.deep.equal([{ type: 'askData', offset: 3, topicId: 'first' }])
    const come = transition(again[0], data(3, { type: 'success', batch: batch(3, 8) }))
    expect(transition(come[0], { type: 'written', more: true })[1]).to.deep.equal([
      { type: 'finish', problem: undefined }
    ])
    for (let i = 0; i < 19; i++) [state, effects] = transition(state, behind)
    const message = 'orders/0 ends at offset 3 now, and ended at 9 when reading began'
    expect(effects).to.deep.equal([{ type: 'finish', problem: { code: 'kafka', message, retriable: true } }])
  })

  it('tries again what may pass, says so once, and gives up in the end unless it follows', () => {
    const failed = data(0, { type: 'failed', code: 'noLeader', message: 'no leader', retriable: true })
    for (const follow of [false, true]) {
      let { state, effects } = having(plan({ offset: 0 }, follow), offsetIs('latest', 5), failed)
      expect(effects.map(({ type }) => type)).to.deep.equal(['warn', 'waitThenAgain'])
      for (let i = 0; i < 18; i++) {
        ;[state, effects] = transition(state, failed)
        expect(effects).to.deep.equal([{ type: 'waitThenAgain' }])
      }
      effects = transition(state, failed)[1]
      expect(effects[0]!.type).to.equal(follow ? 'waitThenAgain' : 'finish')
    }
  })

  it('gives up at once what cannot pass', () => {
    const denied = data(0, { type: 'failed', code: 'notAuthorized', message: 'not authorized', retriable: false })
    expect(having(plan({ offset: 0 }, true), offsetIs('latest', 5), denied).effects).to.deep.equal([
      { type: 'finish', problem: { code: 'notAuthorized', message: 'orders/0: not authorized', retriable: false } }
    ])
    const unknown = data(0, { type: 'unknownTopicOrPartition' })
    expect(having(plan({ offset: 0 }), offsetIs('latest', 5), unknown).effects).to.deep.equal([
      { type: 'finish', problem: { code: 'unknownTopic', message: 'orders/0 does not exist', retriable: false } }
    ])
  })

  it('gives a topic that it follows ten seconds to be created anew', () => {
    const unknown = data(0, { type: 'unknownTopicOrPartition' })
    let { state, effects } = having(plan({ offset: 0 }, true), offsetIs('latest', 5), unknown)
    expect(effects.map(({ type }) => type)).to.deep.equal(['warn', 'waitThenAgain'])
    for (let i = 0; i < 19; i++) [state, effects] = transition(state, unknown)
    expect(effects).to.deep.equal([
      { type: 'finish', problem: { code: 'unknownTopic', message: 'orders/0 does not exist', retriable: false } }
    ])
  })
})
