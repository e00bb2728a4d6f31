import { expect } from 'chai'
import { configOfWorker } from '../../../src/server/app/worker-config.js'
import { configOf, TestFolder } from '../../support/access.js'

describe('the configuration of a worker', () => {
  it('has the share of one worker of each limit of clients, rounded up, and all other limits whole', () => {
    const folder = new TestFolder()
    const limits = { recordsPerSecond: 100, bytesPerSecond: 7, maxRequestsInFlight: 1 }
    const whole = configOf(folder, {
      http: { perAddress: { maxConnections: 10 } },
      advanced: { http: { answersMaxBytes: 100_000_000 } },
      apis: { kprf: { ratelimit: { rules: [10, 0].map(maxPerMinute => ({ topic: 'orders', maxPerMinute })) } } },
      quotas: {
        perPrincipal: limits,
        perAddress: { recordsPerSecond: 9 },
        principals: [{ principal: '7', ...limits }]
      }
    })
    folder.remove()
    const share = { recordsPerSecond: 34, bytesPerSecond: 3, maxRequestsInFlight: 1 }
    const { http, quotas, apis } = configOfWorker(whole, 2, 3)
    expect(quotas).to.deep.equal({
      perPrincipal: share,
      perAddress: { recordsPerSecond: 3 },
      principals: [{ principal: '7', ...share }]
    })
    expect(apis.kprf.ratelimit.rules.map(({ maxPerMinute }) => maxPerMinute)).to.deep.equal([4, 0])
    expect({ ...apis, kprf: undefined }).to.deep.equal({ ...whole.apis, kprf: undefined })
    const perAddress = { ...whole.http.perAddress, maxConnections: 4 }
    expect(http).to.deep.equal({ ...whole.http, perAddress, answersMaxBytes: 33_333_334 })
  })
})
