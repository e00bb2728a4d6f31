import { expect } from 'chai'
import { call } from '../../support/access.js'
import type { TestedApi } from '../../support/tested-apis.js'

const EVENT = '{"specversion":"1.0","id":"7","source":"/shop","type":"order","data":{"total":7}}'

export const testedApi: TestedApi = {
  patient: {},
  otherValues: {},
  calls: {
    produce: (url, client) => {
      const headers = { 'content-type': 'application/cloudevents+json', ...client.headers }
      return call(`${url}/orders`, { method: 'POST', body: EVENT, ...client, headers })
    },
    consume: (url, client) => call(`${url}/orders?group=readers`, client)
  },
  isServed: async (url, client) => {
    const answer = await testedApi.calls.produce!(url, client)
    expect([answer.status, answer.headers['x-castellan-persisted'], answer.body]).to.deep.equal([204, 'yes', ''])
  }
}
