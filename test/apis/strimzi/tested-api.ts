import { expect } from 'chai'
import { call } from '../../support/access.js'
import type { TestedApi } from '../../support/tested-apis.js'

const BODY = '{"records":[{"value":{"total":7}}]}'

export const testedApi: TestedApi = {
  patient: {},
  otherValues: { bridgeId: 'bridge-1', instanceIdleMs: 60_000, corsMethods: ['GET', 'POST'] },
  calls: {
    produce: (url, client) => {
      const headers = { 'content-type': 'application/vnd.kafka.json.v2+json', ...client.headers }
      return call(`${url}/topics/orders`, { method: 'POST', body: BODY, ...client, headers })
    },
    admin: (url, client) => call(`${url}/topics`, client)
  },
  isServed: async (url, client) => {
    const answer = await testedApi.calls.produce!(url, client)
    expect([answer.status, answer.headers['x-castellan-persisted']]).to.deep.equal([200, 'yes'])
    expect(JSON.parse(answer.body)).to.have.property('offsets').with.length(1)
  }
}
