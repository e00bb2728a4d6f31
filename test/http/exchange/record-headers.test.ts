import { expect } from 'chai'
import { isTraceparent, RecordHeaders, recordHeaderProblem } from '../../../src/http/exchange/record-headers.js'
import { checkRows } from '../../support/rows.js'

const PARENT = '00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01'

describe('headers of requests that become headers of records', () => {
  const headers = new RecordHeaders(['X-Tenant', 'color'])
  const of = (...raw: string[]): [string, string][] =>
    headers.ofRequest(raw).map(({ key, value }) => [key, value!.toString('latin1')])

  it('are those that are named, whatever their letters, in the order sent, and with the name of the setting', () => {
    expect(of('X-TENANT', 'a', 'host', 'h', 'Color', 'red', 'x-tenant', 'b', 'baggage', 'c=d')).to.deep.equal([
      ['X-Tenant', 'a'],
      ['color', 'red'],
      ['X-Tenant', 'b']
    ])
    expect(of('host', 'h')).to.deep.equal([])
  })

  it('keep their bytes', () => {
    const [header] = headers.ofRequest(['color', 'caf\u00c3\u00a9\u00ff'])
    expect(header!.value).to.deep.equal(Buffer.from('caf\u00c3\u00a9\u00ff', 'latin1'))
    expect(headers.ofRequest(['color', ''])[0]!.value).to.have.length(0)
  })

  it('have a trace context that is valid, and no other', () => {
    const whole = [
      ['traceparent', PARENT],
      ['tracestate', 'a=1'],
      ['tracestate', 'b=2']
    ]
    expect(of('Traceparent', PARENT, 'tracestate', 'a=1', 'Tracestate', 'b=2')).to.deep.equal(whole)
    expect(of('tracestate', 'a=1', 'color', 'red')).to.deep.equal([['color', 'red']])
    expect(of('traceparent', 'x', 'tracestate', 'a=1', 'color', 'red')).to.deep.equal([['color', 'red']])
    expect(of('traceparent', PARENT, 'traceparent', PARENT)).to.deep.equal([])
  })

  it('have the trace context of the span of the request where spans are recorded, whatever was sent', () => {
    const span = { traceparent: PARENT.replace('b7ad', 'c8be'), tracestate: 'v=2' }
    const raw = ['traceparent', PARENT, 'color', 'red', 'tracestate', 'a=1']
    const sent = headers.ofRequest(raw, span).map(({ key, value }) => [key, value!.toString()])
    expect(sent).to.deep.equal([
      ['color', 'red'],
      ['traceparent', span.traceparent],
      ['tracestate', 'v=2']
    ])
    const fresh = headers.ofRequest([], { traceparent: PARENT }).map(({ key, value }) => [key, value!.toString()])
    expect(fresh).to.deep.equal([['traceparent', PARENT]])
    expect(headers.ofRequest(raw, {}).map(({ key }) => key)).to.deep.equal(['traceparent', 'color', 'tracestate'])
  })

  const valid = [
    PARENT,
    PARENT.replace(/01$/, 'ff'),
    PARENT.replace(/^00/, 'cc'),
    `${PARENT.replace(/^00/, '01')}-more`
  ]
  for (const text of valid) it(`${text} is a traceparent`, () => expect(isTraceparent(text)).to.equal(true))
  const invalid = [
    '',
    PARENT.toUpperCase(),
    PARENT.slice(1),
    `${PARENT}-more`,
    `${PARENT} `,
    PARENT.replace(/^00/, 'ff'),
    PARENT.replace('0af7651916cd43dd8448eb211c80319c', '0'.repeat(32)),
    PARENT.replace('b7ad6b7169203331', '0'.repeat(16))
  ]
  it('a malformed text is no traceparent', () =>
    checkRows(invalid, text => expect(isTraceparent(text)).to.equal(false)))

  it('are too large beyond 10 KiB together; others do not count', () => {
    const value = 'x'.repeat(10 * 1024 - 'color'.length)
    expect(headers.areTooLarge(['color', value, 'other', value])).to.equal(false)
    expect(headers.areTooLarge(['color', `${value}y`])).to.equal(true)
    expect(headers.areTooLarge(['color', value, 'x-tenant', ''])).to.equal(true)
  })

  it('come back as headers of an answer, where HTTP allows their value', () => {
    const header = (key: string, value: string | null) => ({
      key,
      value: value === null ? null : Buffer.from(value, 'latin1')
    })
    const returned = headers.ofRecord([
      header('COLOR', 'red'),
      header('color', 'caf\u00e9 au\tlait'),
      header('x-tenant', 'a\r\nset-cookie: b'),
      header('X-Tenant', ' padded'),
      header('X-Tenant', null),
      header('X-Tenant', ''),
      header('content-length', '5'),
      header('traceparent', PARENT)
    ])
    expect(returned).to.deep.equal({
      color: ['red', 'caf\u00e9 au\tlait'],
      'x-tenant': [''],
      traceparent: [PARENT]
    })
    const large = headers.ofRecord([header('color', 'x'.repeat(11_000)), header('color', 'y')])
    expect(large).to.deep.equal({})
    expect(headers.ofRecord([header('other', 'x')])).to.deep.equal({})
  })

  const refused = [
    'Authorization',
    'cookie',
    'Set-Cookie',
    'proxy-authorization',
    'Proxy-Anything',
    'connection',
    'Keep-Alive',
    'TE',
    'trailer',
    'transfer-encoding',
    'upgrade',
    'http2-settings',
    'host',
    'content-type',
    'content-length',
    'x-castellan-persisted',
    'access-control-allow-origin',
    ':path',
    'a b',
    ''
  ]
  it('a setting cannot name a header of a connection, of credentials or of Castellan itself', () =>
    checkRows(refused, name => expect(recordHeaderProblem(name)).to.match(/cannot pass between|is not the name/)))
  for (const name of ['traceparent', 'baggage', 'x-request-id', 'X-Tenant', 'x-cookie', 'user-agent']) {
    it(`can be named ${name}`, () => expect(recordHeaderProblem(name)).to.equal(undefined))
  }
})
