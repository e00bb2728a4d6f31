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
  // What a queue has is not known; a wrong request is told so whatever Kafka does.
  isServed: async (url, client) => {
    const headers = { 'content-length': '11', ...client.headers }
    const asked = { method: 'POST', body: '{"count":0}', ...client, headers }
    const { status, body } = await call(`${url}/orders/readers/acquire`, asked)
    expect(status).to.equal(400)
    expect(JSON.parse(body))
      .to.include({ code: 'invalidRequest' })
      .and.have.property('detail')
      .that.matches(/^count: /)
  }
}
