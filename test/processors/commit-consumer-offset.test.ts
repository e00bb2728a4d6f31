import { expect } from 'chai'
import type { CommitConsumerOffsetResult } from '../../src/operations.js'
import {
  type CommitConsumerOffsetCall,
  CommitConsumerOffsetProcessor
} from '../../src/processors/commit-consumer-offset.js'
import { ProcessorHarness } from './harness.js'

const A = { topic: 'perf', partition: 1 }
const B = { topic: 'api', partition: 17 }

class CommitHarness extends ProcessorHarness {
  readonly processor = new CommitConsumerOffsetProcessor({
    callTimeoutMs: 5_000,
    metrics: this.metrics,
    tags: this.tags
  })
  readonly told: string[] = []

  commit(who: string, groupId: string, topicPartition: typeof A, offset: number): void {
    const results: CommitConsumerOffsetResult[] = []
    results.push = result => this.told.push(`${who}: ${summaryOf(result)}`)
    const request = { groupId, topicPartition, offsetAndMetadata: { offset } }
    this.processor.addToQueue(this.accept('commitConsumerOffset', request, results))
  }

  newly(): string[] {
    return this.told.splice(0)
  }

  queued(): string[] {
    const calls: string[] = []
    for (let call = this.processor.nextCall(); call; call = this.processor.nextCall()) {
      calls.push(
        ...[...call.partitions].map(
          ([key, { request }]) => `${call?.groupId} ${key} ${request.offsetAndMetadata.offset}`
        )
      )
    }
    return calls
  }

  answer(call: CommitConsumerOffsetCall, errorCode: number) {
    const partitions = [...call.partitions.values()].map(({ request }) => ({ ...request.topicPartition, errorCode }))
    return this.processor.processResponse(call, { throttleTimeMs: 0, partitions })
  }
}

const summaryOf = (result: CommitConsumerOffsetResult): string =>
  result.type === 'superseded'
    ? `superseded ${result.offsetAndMetadata.offset} by ${result.supersededBy.offset}`
    : result.type

describe('commit processor', () => {
  let harness: CommitHarness
  beforeEach(() => (harness = new CommitHarness()))

  it('castle 14 the highest offset of a group and partition waits, the others are told what took their place', () => {
    harness.commit('one', 'c1', A, 100)
    expect(harness.newly()).to.deep.equal([])
    harness.commit('one', 'c1', A, 200)
    expect(harness.newly()).to.deep.equal(['one: superseded 100 by 200'])
    harness.commit('one', 'c1', A, 17)
    expect(harness.newly()).to.deep.equal(['one: superseded 17 by 200'])
    harness.commit('two', 'c1', A, 23)
    expect(harness.newly()).to.deep.equal(['two: superseded 23 by 200'])
    harness.commit('two', 'c1', A, 309)
    expect(harness.newly()).to.deep.equal(['one: superseded 200 by 309'])
    harness.commit('two', 'c1', B, 11)
    expect(harness.newly()).to.deep.equal([])
    harness.commit('two', 'c1', B, 43)
    expect(harness.newly()).to.deep.equal(['two: superseded 11 by 43'])
    harness.commit('one', 'c1', B, 43)
    expect(harness.newly()).to.deep.equal(['one: superseded 43 by 43'])
    harness.commit('one', 'c2', A, 10)
    harness.commit('one', 'c2', A, 55)
    expect(harness.newly()).to.deep.equal(['one: superseded 10 by 55'])
    expect(harness.queued()).to.deep.equal(['c1 perf/1 309', 'c1 api/17 43', 'c2 perf/1 55'])
  })

  it('castle 16 code 3 is answered, and told once to whoever keeps the tables', () => {
    harness.commit('one', 'c1', A, 100)
    const returned = harness.answer(harness.processor.nextCall()!, 3)
    expect(harness.newly()).to.deep.equal(['one: unknownTopicOrPartition'])
    expect(returned).to.deep.equal([{ reason: 'unknownTopicOrPartition', requests: [], ...A }])
  })

  it('a commit on its way is not superseded, nor is it when it comes back', () => {
    harness.commit('one', 'c1', A, 100)
    const call = harness.processor.nextCall()!
    harness.commit('one', 'c1', A, 200)
    const [returned] = harness.answer(call, -1)
    for (const request of returned!.requests) harness.processor.addToQueue(request as never)
    expect(harness.newly()).to.deep.equal([])
    harness.answer(harness.processor.nextCall()!, 0)
    harness.answer(harness.processor.nextCall()!, 0)
    expect(harness.newly()).to.deep.equal(['one: success', 'one: success'])
  })

  it('a lower offset asked for while a higher one is on its way is sent after it: readers may go back', () => {
    harness.commit('one', 'c1', A, 100)
    harness.processor.nextCall()
    harness.commit('one', 'c1', A, 50)
    expect(harness.queued()).to.deep.equal(['c1 perf/1 50'])
  })

  it('metadata that is too large fails that commit only', () => {
    harness.commit('one', 'c1', A, 100)
    harness.commit('two', 'c1', B, 100)
    const call = harness.processor.nextCall()!
    harness.processor.processResponse(call, {
      throttleTimeMs: 0,
      partitions: [
        { ...A, errorCode: 12 },
        { ...B, errorCode: 0 }
      ]
    })
    expect(harness.newly()).to.deep.equal(['one: failed', 'two: success'])
  })

  it('gives every code there is exactly one fate', () => {
    for (let errorCode = -2; errorCode <= 255; errorCode++) {
      const each = new CommitHarness()
      each.commit('one', 'c1', A, 1)
      const returned = each.answer(each.processor.nextCall()!, errorCode)
      expect(each.told.length + returned.flatMap(({ requests }) => requests).length, `code ${errorCode}`).to.equal(1)
    }
  })
})
