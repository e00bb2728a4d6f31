import { expect } from 'chai'
import type { FastifyInstance } from 'fastify'
import { type Access, openAccess } from '../../../src/http/access/access.js'
import { delivered, FakeGateway } from '../../support/fake-gateway.js'
import { serve } from './stage.js'

const URL = '/v3/clusters/c/topics/t/records'
const MANY = 200

interface AnswerLine {
  readonly error_code: number
  readonly offset?: number
}

describe('confluent: bodies of many records that are read as a whole', () => {
  let app: FastifyInstance
  let gateway: FakeGateway
  /** Records and bytes that quotas were asked for. */
  let charged: [number, number][]

  beforeEach(async () => {
    charged = []
    gateway = new FakeGateway({ outcome: (_, at) => delivered(0, at) })
    const access: Access = {
      ...openAccess,
      callerOf: request => ({
        ...openAccess.callerOf(request),
        charge: (records, bytes) => void charged.push([records, bytes])
      })
    }
    app = await serve(gateway, { maxRecordsPerRequest: MANY }, { access })
  })
  afterEach(() => app.close())

  const post = (payload: string) =>
    app.inject({ method: 'POST', url: URL, headers: { 'content-type': 'application/json' }, payload })
  const linesOf = (text: string): AnswerLine[] =>
    text
      .split('\r\n')
      .filter(line => line !== '')
      .map(line => JSON.parse(line) as AnswerLine)

  it('have one answer with a line for each record, in their order', async () => {
    const bad = '{"value":{"type":"BINARY","data":"%"}}'
    const half = '{"value":{"type":"JSON","data":1}}'.repeat(MANY / 2 - 1)
    const body = half + bad + half
    const { body: text, headers } = await post(body)
    const lines = linesOf(text)
    expect(lines).to.have.lengthOf(MANY - 1)
    const failed = lines.flatMap(({ error_code: code }, at) => (code === 200 ? [] : [at]))
    expect(failed).to.deep.equal([MANY / 2 - 1])
    const offsets = lines.flatMap(({ offset }) => (offset === undefined ? [] : [offset]))
    expect(offsets).to.deep.equal(Array.from({ length: MANY - 2 }, (_, at) => at))
    expect(headers['x-castellan-persisted']).to.be.a('string')
    expect(charged).to.deep.equal([[MANY - 2, body.length]])
  })

  it('are refused as a whole when they have too many records', async () => {
    const { statusCode } = await post('{}'.repeat(MANY + 1))
    expect([statusCode, gateway.calls.length]).to.deep.equal([413, 0])
  })

  it('are taken up to a record that does not end, or is not JSON', async () => {
    for (const [rest, code] of [
      ['{"value":', 400],
      ['{"value":x}', 400],
      ['x', 400]
    ] as const) {
      const lines = linesOf((await post('{}'.repeat(MANY - 1) + rest)).body)
      expect(lines).to.have.lengthOf(MANY)
      expect(lines.at(-1)!.error_code).to.equal(code)
      expect(gateway.calls.at(-1)!.records).to.have.lengthOf(MANY - 1)
    }
  })
})
