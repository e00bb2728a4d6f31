import { expect } from 'chai'
import { type Answer, type Call, call } from '../../support/access.js'
import type { TestedApi } from '../../support/tested-apis.js'

const HEADERS = { 'content-type': 'application/json', accept: 'application/json, text/event-stream' }

/** A message to the gateway. */
const send = (url: string, client: Call, method: string, params: object = {}): Promise<Answer> => {
  const body = JSON.stringify({ jsonrpc: '2.0', id: 1, method, params })
  const headers = { ...HEADERS, 'content-length': String(body.length), ...client.headers }
  return call(url, { method: 'POST', body, ...client, headers })
}

/** A call of a tool, whose refusal by a rule is answered as routes of HTTP answer it. */
const callTool =
  (name: string, given: object) =>
  async (url: string, client: Call): Promise<Answer> => {
    const answer = await send(url, client, 'tools/call', { name, arguments: given })
    const isForbidden =
      answer.status === 200 && JSON.parse(answer.body).result?.structuredContent?.error === 'forbidden'
    return isForbidden ? { ...answer, status: 403 } : answer
  }

export const testedApi: TestedApi = {
  patient: {},
  otherValues: { url: 'https://gateway.example/mcp', values: [{ topics: ['*'], show: 'keys' }] },
  calls: {
    consume: callTool('read_messages', { topic: 'orders' }),
    admin: callTool('list_topics', {})
  },
  isServed: async (url, client) => {
    const { status, body } = await send(url, client, 'tools/list')
    expect(status).to.equal(200)
    expect(JSON.parse(body).result.tools).to.be.an('array').that.is.not.empty
  }
}
