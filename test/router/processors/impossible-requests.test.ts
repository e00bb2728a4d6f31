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
    expect(problemOf('fetchTopicMetadata', { topics: ['orders', 'payments'] })).to.equal(undefined)
    expect(problemOf('fetchTopicMetadata', { topics: ['orders', ''] })).to.equal('invalidTopic')
    expect(problemOf('fetchTopicMetadata', {}), 'all topics').to.equal(undefined)
  })

  it('is a broker without a number, or a group whose name is too long', () => {
    expect(problemOf('listGroups', { nodeId: 0 })).to.equal(undefined)
    expect(problemOf('listGroups', { nodeId: -1 })).to.equal('invalidRequest')
    for (const kind of [
      'describeGroup',
      'describeConsumerGroup',
      'findCoordinator',
      'heartbeat',
      'joinGroup',
      'syncGroup',
      'leaveGroup',
      'shareHeartbeat',
      'describeShareGroup',
      'fetchShareOffsets',
      'alterShareOffsets',
      'deleteShareOffsets'
    ] as const) {
      expect(problemOf(kind, { groupId: 'billing' })).to.equal(undefined)
      expect(problemOf(kind, { groupId: 'g'.repeat(8_001) })).to.equal('invalidRequest')
    }
  })

  it('is a change with a number that the protocol has no place for', () => {
    const topic = { topic: 'orders', partitions: -1, replicationFactor: -1, assignments: new Map() }
    expect(problemOf('createTopic', topic)).to.equal(undefined)
    expect(problemOf('createTopic', { ...topic, topic: '' })).to.equal('invalidTopic')
    expect(problemOf('createTopic', { ...topic, partitions: 2 ** 31 })).to.equal('invalidRequest')
    expect(problemOf('createTopic', { ...topic, partitions: 1.5 })).to.equal('invalidRequest')
    expect(problemOf('createTopic', { ...topic, replicationFactor: 2 ** 15 })).to.equal('invalidRequest')
    for (const [partition, nodeId] of [
      [2 ** 31, 1],
      [0, -(2 ** 31)]
    ] as const) {
      expect(problemOf('createTopic', { ...topic, assignments: new Map([[partition, [nodeId]]]) })).to.equal(
        'invalidRequest'
      )
    }
    expect(problemOf('createPartitions', { topic: 'orders', total: 3 })).to.equal(undefined)
    expect(problemOf('createPartitions', { topic: 'orders', total: Number.NaN })).to.equal('invalidRequest')
    expect(problemOf('deleteTopic', { topic: '' })).to.equal('invalidTopic')
  })

  it('are the settings of a broker without a number', () => {
    for (const [type, name, problem] of [
      ['topic', 'orders', undefined],
      ['topic', '', 'invalidTopic'],
      ['broker', '', undefined],
      ['broker', '0', undefined],
      ['group', 'billing', undefined],
      ['group', 'g'.repeat(8_001), 'invalidRequest'],
      ['broker', '-1', 'invalidRequest'],
      ['broker', 'one', 'invalidRequest']
    ] as const) {
      expect(problemOf('describeConfigs', { resources: [{ type, name }] })).to.equal(problem)
      expect(problemOf('alterConfigs', { resource: { type, name } })).to.equal(problem)
    }
  })
})
