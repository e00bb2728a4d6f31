import { expect } from 'chai'
import { defaultDeliverySettings, toDeliverySettings, topicSettingsOf } from '../../../src/producer/memory/settings.js'

const MIB = 1_048_576

describe('delivery: settings', () => {
  it('are these unless others are given', () => {
    const defaults = {
      maxBytes: 64 * MIB,
      maxPartitionBytes: 16 * MIB,
      batchMaxBytes: 1_000_000,
      maxRecordBytes: MIB,
      timeoutMs: 120_000,
      unknownTopicMaxBytes: MIB,
      maxUnknownTopics: 1_000,
      maxPendingTopics: 10_000,
      createTopics: true,
      retryBackoffMs: 100,
      retryBackoffMaxMs: 1_000,
      answerTimeoutMs: 60_000,
      compression: 'none',
      metadataMaxAgeMs: 10_000
    }
    expect(defaultDeliverySettings).to.deep.equal(defaults)
    expect(toDeliverySettings()).to.deep.equal(defaults)
    expect(toDeliverySettings({ createTopics: false, compression: 'zstd' })).to.deep.equal({
      ...defaults,
      createTopics: false,
      compression: 'zstd'
    })
  })

  it('that there are not are refused, and so are values that cannot be', () => {
    expect(() => toDeliverySettings({ maxByte: 5 } as never)).to.throw('maxByte')
    expect(() => toDeliverySettings({ compression: 'brotli' } as never)).to.throw('compression')
  })

  it('about topics are the business of the Router, where they are given', () => {
    expect(topicSettingsOf()).to.deep.equal({})
    expect(topicSettingsOf({ maxBytes: 5 })).to.deep.equal({})
    expect(topicSettingsOf({ createTopics: false })).to.deep.equal({ allowAutoTopicCreation: false })
  })
})
