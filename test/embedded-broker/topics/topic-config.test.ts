import { expect } from 'chai'
import { TopicConfig } from '../../../src/embedded-broker/topics/topic-config.js'

describe('the settings of a topic of the embedded broker', () => {
  it('make it a compacted topic where its policy has compact, alone or beside delete', () => {
    const isCompacted = (policy: string): boolean => new TopicConfig(new Map([['cleanup.policy', policy]])).isCompacted
    expect(['compact', 'compact,delete', 'delete, compact'].map(isCompacted)).to.deep.equal([true, true, true])
    expect([isCompacted('delete'), new TopicConfig().isCompacted]).to.deep.equal([false, false])
  })
})
