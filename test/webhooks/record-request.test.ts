import { expect } from 'chai'
import { requestOf } from '../../src/webhooks/record-request.js'

const definition = { topic: 'orders', format: 'value', contentType: 'text/plain' } as const
const settings = { maxBodyBytes: 1_000, recordHeaders: ['x-a', 'x-b'], eventOf: () => undefined }

type Header = readonly [key: string, value: string | null]

/** The headers of the request, and how many of the record were left out. */
function attemptOf(key: Buffer | null, ...headers: readonly Header[]) {
  const record = {
    offset: 1,
    timestampMs: 0,
    key,
    value: Buffer.from('v'),
    headers: headers.map(([key, value]) => ({ key, value: value === null ? null : Buffer.from(value, 'latin1') }))
  }
  const request = requestOf(definition, 'id', 0, record as never, 1, settings)
  if ('unsendable' in request) throw new Error(request.unsendable)
  return { headers: request.attempt.headers, leftOut: request.leftOut }
}

/** Headers of the request that come from headers of the record, and how many were left out. */
function sent(...given: readonly Header[]) {
  const { headers, leftOut } = attemptOf(null, ...given)
  const own = headers.filter(([name]) => /^(?:x-[ab]|traceparent)$/.test(name))
  return { own: own.map(([name, value]) => [name, value.length]), leftOut }
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

  it('has none of more than 8,000 bytes with its name, and no more than fit into 10 KiB with all others', () => {
    const [most, more] = ['x'.repeat(7_993), 'x'.repeat(7_994)]
    expect(sent(['x-a', more], ['x-b', most])).to.deep.equal({ own: [['x-b', 7_993]], leftOut: 1 })
    expect(sent(['x-a', most], ['x-b', 'x'.repeat(2_200)], ['x-b', 'x'])).to.deep.equal({
      own: [
        ['x-a', 7_993],
        ['x-b', 1]
      ],
      leftOut: 1
    })
  })

  it('has a head that servers of Node and Python take: below 16 KiB, in at most 100 lines', () => {
    const many = Array.from({ length: 5_000 }, (_, at) => ['traceparent', 'x'.repeat(at % 300)] as const)
    const key = Buffer.alloc(3 * 1_024)
    const { headers } = attemptOf(key, ...many)
    const bytes = headers.reduce((sum, [name, value]) => sum + name.length + value.length + 4, 0)
    expect(bytes).to.be.below(10 * 1_024)
    expect(headers.length).to.equal(80)
    expect(attemptOf(key, ['x-a', 'x'.repeat(5_000)], ['x-b', 'x'.repeat(2_000)]).leftOut).to.equal(1)
  })

  it('tells only the length of a key for which the attributes of an event leave no capacity', () => {
    const eventOf = () => ({ headers: [['ce-a', 'x'.repeat(9_000)] as const], body: Buffer.alloc(0) })
    const record = { offset: 1, timestampMs: 0, key: Buffer.alloc(2_000), value: null, headers: [] }
    const given = { ...definition, format: 'cloudevents' } as const
    const request = requestOf(given, 'id', 0, record, 1, { ...settings, eventOf })
    const { headers } = (request as { readonly attempt: { readonly headers: readonly (readonly string[])[] } }).attempt
    expect(headers.slice(-1)).to.deep.equal([['x-castellan-key-bytes', '2000']])
  })
})
