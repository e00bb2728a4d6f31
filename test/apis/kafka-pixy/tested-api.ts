import { expect } from 'chai'
import { call } from '../../support/access.js'
import type { TestedApi } from '../../support/tested-apis.js'

const TEXT = { 'content-type': 'text/plain' }

export const testedApi: TestedApi = {
  patient: {},
  otherValues: {
    unixSocketMode: '600',
    grpcPort: 0,
    grpcHost: '127.0.0.2',
    defaultCluster: 'main',
    partitioner: 'roundrobin'
  },
  scenes: { socket: folder => ({ unixSocket: `${folder.path}/pixy.sock` }) },
  calls: {
    produce: (url, client) =>
      call(`${url}/topics/orders/messages?sync`, {
        method: 'POST',
        body: 'hello',
        ...client,
        headers: { ...TEXT, 'content-length': '5', ...client.headers }
      }),
    // That there is no message is said to those only who may ask for one.
    consume: async (url, client) => {
      const answer = await call(`${url}/topics/orders/messages?group=readers`, client)
      return answer.status === 408 ? { ...answer, status: 200 } : answer
    },
    offsets: (url, client) =>
      call(`${url}/topics/orders/offsets?group=readers`, { method: 'POST', body: '[]', ...client }),
    admin: (url, client) => call(`${url}/topics`, client)
  },
  isServed: async (url, client) => {
    const headers = { ...TEXT, 'content-length': '5', ...client.headers }
    for (const [query, persisted] of [
      ['?sync', 'yes'],
      ['', 'pending']
    ]) {
      const asked = { ...client, method: 'POST', headers, body: 'hello' }
      const answer = await call(`${url}/topics/orders/messages${query}`, asked)
      expect([query, answer.status, answer.headers['x-castellan-persisted']]).to.deep.equal([query, 200, persisted])
    }
  }
}
