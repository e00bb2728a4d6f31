import { expect } from 'chai'
import { NO_RECORD_HEADERS, type ProduceOrigin, withOriginHeaders } from '../../src/verbs/produce-origin.js'

const header = (key: string, text: string) => ({ key, value: Buffer.from(text) })
const originWith = (...recordHeaders: ProduceOrigin['recordHeaders']): ProduceOrigin => ({
  principal: 'anonymous',
  recordHeaders,
  receipt: undefined
})

describe('the request that records came with', () => {
  const plain = { topic: 'orders', key: null, value: 'a' }
  const ownHeader = { topic: 'orders', key: null, value: 'b', headers: [header('color', 'red')] }

  it('adds its headers behind those of each record, which win over one of the same name', () => {
    const sent = withOriginHeaders([plain, ownHeader], originWith(header('trace', '1'), header('Color', 'blue')))
    expect(sent.map(({ headers }) => headers)).to.deep.equal([
      [header('trace', '1'), header('Color', 'blue')],
      [header('color', 'red'), header('trace', '1')]
    ])
  })

  it('leaves the records as they are, also the list, when it adds nothing', () => {
    const records = [plain, ownHeader]
    expect(withOriginHeaders(records, originWith(...NO_RECORD_HEADERS))).to.equal(records)
  })
})
