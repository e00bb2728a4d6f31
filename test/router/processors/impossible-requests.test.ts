import { expect } from 'chai'
import type { RoutedKind } from '../../../src/router/messages/operations.js'
import { descriptorOf } from '../../../src/router/processors/operations.js'

describe('what no broker can be asked', () => {
  const at = { topic: 'orders', partition: 0 }
  const problemOf = (kind: RoutedKind, request: object): string | undefined =>
    (descriptorOf(kind).problemOf(request as never) as { code?: string } | undefined)?.code

  it('is a partition or a group that cannot be, whichever of both is wrong', () => {
    for (const kind of ['fetchConsumerOffset', 'commitConsumerOffset'] as const) {
      const request = { topicPartition: at, groupId: 'billing', offsetAndMetadata: { offset: 0 } }
      expect(problemOf(kind, request)).to.equal(undefined)
      expect(problemOf(kind, { ...request, topicPartition: { topic: '', partition: 0 } })).to.equal('invalidTopic')
      expect(problemOf(kind, { ...request, topicPartition: { topic: 'orders', partition: -1 } })).to.equal(
        'invalidRequest'
      )
      expect(problemOf(kind, { ...request, groupId: 'g'.repeat(8_000) })).to.equal(undefined)
      expect(problemOf(kind, { ...request, groupId: 'g'.repeat(8_001) })).to.equal('invalidRequest')
    }
  })

  it('is an offset or metadata that cannot be stored', () => {
    const commit = (offsetAndMetadata: object, negativeOffset = false): string | undefined =>
      problemOf('commitConsumerOffset', { topicPartition: at, groupId: 'billing', offsetAndMetadata, negativeOffset })
    expect(commit({ offset: -1 })).to.equal('invalidRequest')
    expect(commit({ offset: -1 }, true)).to.equal(undefined)
    expect(commit({ offset: 1.5 }, true)).to.equal('invalidRequest')
    expect(commit({ offset: 0, metadata: 'ä'.repeat(16_000) })).to.equal(undefined)
    expect(commit({ offset: 0, metadata: `${'ä'.repeat(16_000)}a` })).to.equal('invalidRequest')
    expect(commit({ offset: 0, metadata: 7 })).to.equal('invalidRequest')
  })

  it('is a topic with a name that is no name', () => {
    for (const kind of ['fetchTopicMetadata', 'describeTopicConfigs'] as const) {
      expect(problemOf(kind, { topics: ['orders', 'payments'] })).to.equal(undefined)
      expect(problemOf(kind, { topics: ['orders', ''] })).to.equal('invalidTopic')
    }
    expect(problemOf('fetchTopicMetadata', {}), 'all topics').to.equal(undefined)
  })

  it('is a broker without a number, or a group whose name is too long', () => {
    expect(problemOf('listGroups', { nodeId: 0 })).to.equal(undefined)
    expect(problemOf('listGroups', { nodeId: -1 })).to.equal('invalidRequest')
    for (const kind of [
      'describeGroup',
      'findCoordinator',
      'heartbeat',
      'joinGroup',
      'syncGroup',
      'leaveGroup'
    ] as const) {
      expect(problemOf(kind, { groupId: 'billing' })).to.equal(undefined)
      expect(problemOf(kind, { groupId: 'g'.repeat(8_001) })).to.equal('invalidRequest')
    }
  })
})
