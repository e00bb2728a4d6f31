import { Writable } from 'node:stream'
import { expect } from 'chai'
import { writeTopics } from '../../../src/cli/commands/topics.js'
import type { TopicMetadata } from '../../../src/kafka/broker-client.js'

describe('castellan topics', () => {
  const topicOf = (topic: string, partitions: TopicMetadata['partitions'] = []): TopicMetadata => ({
    errorCode: 0,
    topic,
    topicId: undefined,
    isInternal: false,
    partitions
  })
  const partition = {
    errorCode: 0,
    partition: 0,
    leaderId: 1,
    leaderEpoch: 0,
    replicas: [1, 2],
    isr: [1],
    offlineReplicas: []
  }

  it('lists 300,000 topics, and one of 300,000 partitions', () => {
    const topics = Array.from({ length: 300_000 }, (_, at) => topicOf(`topic-${300_000 - at}`))
    const wide = topicOf(
      'wide',
      Array.from({ length: 300_000 }, () => partition)
    )
    for (const format of ['table', 'json'] as const) {
      const lines: string[] = []
      const stdout = new Writable({ decodeStrings: false, write: (line, _, done) => done(void lines.push(line)) })
      writeTopics(stdout, format, [...topics, wide])
      expect(lines).to.have.length(format === 'table' ? 300_002 : 300_001)
      expect(lines.at(-1)).to.match(format === 'table' ? /^wide +300000 +2\n$/ : /"partitions":300000,"replicas":2/)
    }
  })
})
