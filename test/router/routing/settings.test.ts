import { expect } from 'chai'
import { ConfigError } from '../../../src/core/errors.js'
import { type RouterSettingsOverrides, toRouterSettings } from '../../../src/router/routing/settings.js'

describe('settings of the Router', () => {
  const refused = (settings: object): string => {
    try {
      toRouterSettings(settings as RouterSettingsOverrides)
    } catch (error) {
      expect(error).to.be.instanceOf(ConfigError)
      return (error as Error).message
    }
    return 'taken'
  }

  it('name one of the choices there are', () => {
    expect(toRouterSettings({ isolationLevel: 'readCommitted', onClusterChange: 'stop' })).to.include({
      isolationLevel: 'readCommitted',
      onClusterChange: 'stop'
    })
    expect(refused({ isolationLevel: 'committed' })).to.contain('isolationLevel')
    expect(refused({ onClusterChange: '' })).to.contain('onClusterChange')
  })

  it('are whole numbers within their bounds', () => {
    const bounds = { fetchMaxWaitMs: 0, maxGroupConnections: 2, produceConnections: 5, callTimeoutMs: 1 }
    expect(toRouterSettings(bounds)).to.include(bounds)
    for (const [name, value] of Object.entries({
      fetchMaxWaitMs: -1,
      maxGroupConnections: 1,
      produceConnections: 6,
      callTimeoutMs: 0,
      maxWaitingRequests: 1.5
    })) {
      expect(refused({ [name]: value }), name).to.contain(name)
    }
  })

  it('are named one by one where several are wrong or unknown', () => {
    const told = refused({ callTimeoutMs: 0, metadataMaxAgeMs: 'x', brokrBackoffMs: 5 })
    for (const name of ['callTimeoutMs', 'metadataMaxAgeMs', 'brokrBackoffMs']) expect(told).to.contain(name)
    expect(told).to.contain('startRouter')
  })
})
