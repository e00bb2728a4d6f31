import { expect } from 'chai'
import { toDeliverySettings, topicSettingsOf } from '../../../src/producer/memory/settings.js'

describe('delivery: settings', () => {
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
