import { expect } from 'chai'
import { type Answer, type Call, call, seenBy } from '../../support/access.js'
import { confluentContract } from '../../support/confluent-contract.js'
import type { TestedApi } from '../../support/tested-apis.js'

const JSON_RECORDS = { 'content-type': 'application/vnd.kafka.json.v2+json' }
const BODY = '{"records":[{"value":{"total":7}}]}'

/** An answer that is compared with its description. */
async function asked(url: string, path: string, client: Call): Promise<Answer> {
  const answer = await call(url + path, client)
  confluentContract.check(seenBy(client.method ?? 'GET', path, answer))
  return answer
}

export const testedApi: TestedApi = {
  patient: {},
  otherValues: {
    recordMembers: 'headersAndTimestamp',
    administration: 'everywhere',
    'consumers.advertisedUrl': 'https://kafka.example.com'
  },
  calls: {
    produce: (url, client) => {
      const headers = { ...JSON_RECORDS, ...client.headers }
      return asked(url, '/topics/orders', { method: 'POST', body: BODY, ...client, headers })
    },
    admin: (url, client) => asked(url, '/topics', client)
  },
  isServed: async (url, client) => {
    const answer = await testedApi.calls.produce!(url, client)
    expect([answer.status, answer.headers['x-castellan-persisted']]).to.deep.equal([200, 'yes'])
    expect(JSON.parse(answer.body)).to.have.property('offsets').with.length(1)
  }
}
