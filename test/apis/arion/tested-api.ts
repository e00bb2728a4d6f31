import { expect } from 'chai'
import { call } from '../../support/access.js'
import type { TestedApi } from '../../support/tested-apis.js'

export const testedApi: TestedApi = {
  patient: {},
  otherValues: { syncTimeoutMs: 29_000, durability: 'memory' },
  calls: {
    produce: (url, client) => call(`${url}/sync/orders`, { method: 'POST', body: 'hello', ...client })
  },
  isServed: async (url, client) => {
    const sync = await call(`${url}/sync/orders/k`, { ...client, method: 'POST', body: 'hello' })
    expect([sync.status, sync.headers['x-castellan-persisted']]).to.deep.equal([201, 'yes'])
    expect((await call(`${url}/health-check`, client)).status).to.equal(200)
  }
}
