import { expect } from 'chai'
import { requestOf } from '../../src/webhooks/record-request.js'

const definition = { topic: 'orders', format: 'value', contentType: 'text/plain' } as const
const settings = { maxBodyBytes: 1_000, recordHeaders: ['x-a', 'x-b'], eventOf: () => undefined }

/** Headers of the request that come from headers of the record, and how many were left out. */
function sent(...headers: readonly (readonly [key: string, value: string | null])[]) {
  const record = {
    offset: 1,
    timestampMs: 0,
    key: null,
    value: Buffer.from('v'),
    headers: headers.map(([key, value]) => ({ key, value: value === null ? null : Buffer.from(value, 'latin1') }))
  }
  const request = requestOf(definition, 'id', 0, record as never, 1, settings)
  if ('unsendable' in request) throw new Error(request.unsendable)
  const own = request.attempt.headers.filter(([name]) => /^(?:x-[ab]|traceparent)$/.test(name))
  return { own: own.map(([name, value]) => [name, value.length]), leftOut: request.leftOut }
}

describe('the request of a record', () => {
  it('has headers of the record that are named, and that HTTP allows', () => {
    const given = [
      ['X-A', 'h\xe9'],
      ['x-a', ''],
      ['x-c', 'x'],
      ['x-b', 'a\r\nx: y'],
      ['x-b', null],
      ['traceparent', '00']
    ] as const
    expect(sent(...given)).to.deep.equal({
      own: [
        ['x-a', 2],
        ['x-a', 0],
        ['traceparent', 2]
      ],
      leftOut: 2
    })
  })

  it('has none of more than 8 KiB, and of all of them 16 KiB', () => {
    const [most, more] = ['x'.repeat(8_192), 'x'.repeat(8_193)]
    expect(sent(['x-a', more], ['x-b', most])).to.deep.equal({ own: [['x-b', 8_192]], leftOut: 1 })
    // 7 bytes are those of the name and the line.
    const rest = 'x'.repeat(8_192 - 14)
    expect(sent(['x-a', most], ['x-b', rest]).leftOut).to.equal(0)
    expect(sent(['x-a', most], ['x-b', `${rest}x`], ['x-b', 'x'])).to.deep.equal({
      own: [
        ['x-a', 8_192],
        ['x-b', 1]
      ],
      leftOut: 1
    })
  })

  it('has no more lines than 16 KiB hold, however short they are', () => {
    const many = Array.from({ length: 5_000 }, () => ['traceparent', ''] as const)
    expect(sent(...many).leftOut).to.equal(5_000 - Math.floor(16_384 / 15))
  })
})
