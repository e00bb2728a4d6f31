import { expect } from 'chai'
import type { CommitConsumerOffsetResult } from '../../../src/router/messages/operations.js'
import {
  type CommitConsumerOffsetCall,
  CommitConsumerOffsetProcessor
} from '../../../src/router/processors/commit-consumer-offset.js'
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
    results.push = result => this.told.push(`${who}: ${result.type}`)
    const request = { groupId, topicPartition, offsetAndMetadata: { offset } }
    this.processor.addToQueue(this.accept('commitConsumerOffset', request, results))
  }

  newly(): string[] {
    return this.told.splice(0)
  }

  answer(call: CommitConsumerOffsetCall, errorCode: number) {
    const partitions = [...call.partitions.values()].map(({ request }) => ({ ...request.topicPartition, errorCode }))
    return this.processor.processResponse(call, { throttleTimeMs: 0, partitions })
  }
}

describe('commit processor', () => {
  let harness: CommitHarness
  beforeEach(() => (harness = new CommitHarness()))

  it('castle 16 code 3 is answered, and told once to whoever keeps the tables', () => {
    harness.commit('one', 'c1', A, 100)
    const returned = harness.answer(harness.processor.nextCall()!, 3)
    expect(harness.newly()).to.deep.equal(['one: unknownTopicOrPartition'])
    expect(returned).to.deep.equal([{ reason: 'unknownTopicOrPartition', requests: [], ...A }])
  })

  it('codes 2 and 9 are no success: the coordinator has not stored the offset', () => {
    for (const errorCode of [2, 9]) {
      harness.commit('one', 'c1', A, 100)
      const [returned] = harness.answer(harness.processor.nextCall()!, errorCode)
      expect(harness.newly()).to.deep.equal([])
      expect(returned).to.include({ reason: 'retryLater' })
    }
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
