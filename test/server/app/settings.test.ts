import { expect } from 'chai'
import { toBrokerAddress } from '../../../src/client/open-options.js'
import { ConfigError } from '../../../src/core/errors.js'
import { defaultDeliverySettings } from '../../../src/producer/memory/settings.js'
import { defaultRouterSettings } from '../../../src/router/routing/settings.js'
import { loadConfig } from '../../../src/server/config/config.js'

describe('settings of the rooms', () => {
  const { router, delivery, cache } = loadConfig({})

  it('have the same defaults in the configuration as in the Router', () => {
    const { cacheMaxBytes, decompressedMaxBytes, allowAutoTopicCreation, connectAtStart, ...rest } =
      defaultRouterSettings
    expect(rest).to.deep.include(router)
    expect([cache.maxBytes, cache.decompressedMaxBytes, delivery.createTopics, true]).to.deep.equal([
      cacheMaxBytes,
      decompressedMaxBytes,
      allowAutoTopicCreation,
      connectAtStart
    ])
  })

  it('have the same defaults in the configuration as in delivery', () => {
    expect(defaultDeliverySettings).to.deep.include({ ...delivery, metadataMaxAgeMs: router.metadataMaxAgeMs })
  })
})

describe('broker addresses', () => {
  it('are HOST:PORT, IPv6 in brackets', () => {
    expect(toBrokerAddress('kafka-1:9092')).to.deep.equal({ host: 'kafka-1', port: 9092 })
    expect(toBrokerAddress(' [::1]:9092')).to.deep.equal({ host: '::1', port: 9092 })
    for (const text of ['', 'kafka', 'kafka:', ':9', 'kafka:99999', 'kafka:x']) {
      expect(() => toBrokerAddress(text), text).to.throw(ConfigError, 'HOST:PORT')
    }
  })
})
