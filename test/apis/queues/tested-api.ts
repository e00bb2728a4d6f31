import { expect } from 'chai'
import { call } from '../../support/access.js'
import type { TestedApi } from '../../support/tested-apis.js'

const BODY = '{"waitMs":0}'

export const testedApi: TestedApi = {
  patient: {},
  otherValues: {},
  calls: {
    consume: (url, client) => {
      const headers = { 'content-length': String(BODY.length), ...client.headers }
      return call(`${url}/orders/readers/acquire`, { method: 'POST', body: BODY, ...client, headers })
    },
    offsets: (url, client) => call(`${url}/orders/readers`, client)
  },
  isServed: async (url, client) => {
    const { status, body } = await call(`${url}/orders/readers`, client)
    expect([status, JSON.parse(body)]).to.deep.include.members([200])
  }
}
