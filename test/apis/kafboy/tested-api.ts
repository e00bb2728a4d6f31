import { expect } from 'chai'
import { call } from '../../support/access.js'
import type { TestedApi } from '../../support/tested-apis.js'

const HOOKS = `
export default {
  editJson: () => ({ produce: {} }),
  onError() {},
  onEvent() {},
  massageBuffer: ({ records }) => records,
  pickPartition: () => 0
}
`

export const testedApi: TestedApi = {
  patient: { syncTimeoutMs: 30_000 },
  otherValues: {
    syncUrl: '/sync/:topic[/:anything]',
    asyncUrl: '/async/:topic[/:anything]',
    routesSync: ['/1/sync/:topic'],
    routesAsync: ['/1/async/:topic'],
    routesAsyncBatch: ['/1/batch/:topic'],
    syncTimeoutMs: 29_000,
    topics: [{ topic: 'orders', partitionStrategy: 'strict_round_robin' }]
  },
  scenes: { hooks: folder => ({ callbackEditJson: folder.write('hooks.mjs', HOOKS) }) },
  calls: {
    produce: (url, client) => call(`${url}/sync/orders`, { method: 'POST', body: 'hello=world', ...client })
  },
  isServed: async (url, client) => {
    const headers = { 'content-type': 'application/x-www-form-urlencoded', ...client.headers }
    const form = { ...client, method: 'POST', headers, body: 'hello=world' }
    for (const [mode, persisted] of [
      ['sync', 'yes'],
      ['async', 'pending'],
      ['batch/async', 'pending']
    ]) {
      const answer = await call(`${url}/${mode}/orders`, form)
      expect([mode, answer.status, answer.headers['x-castellan-persisted']]).to.deep.equal([mode, 200, persisted])
    }
  }
}
