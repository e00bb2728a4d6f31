import { expect } from 'chai'
import { httpSettings, managementSettings } from '../../../src/http/server/settings.js'
import { checkRows } from '../../support/rows.js'

/** Where the value is not as it should be: `port`, `tls.minVersion`. */
const problemsOf = (
  value: object,
  settings: typeof httpSettings | typeof managementSettings = httpSettings
): string[] => settings.safeParse(value).error?.issues.map(({ path }) => path.join('.')) ?? []

describe('http: settings', () => {
  it('take origins only as browsers send them, and say how to write others', () => {
    const problemOf = (origin: string | null): string | undefined =>
      httpSettings.safeParse({ allowedOrigins: [origin] }).error?.issues[0]?.message
    const fine = ['https://app.example', 'HTTP://App.example:8080', 'http://[::1]:3000', '*']
    for (const origin of [...fine, 'chrome-extension://abcdef', 'capacitor://localhost'])
      expect(problemOf(origin), origin).to.equal(undefined)
    for (const [origin, instead] of [
      ['https://app.example/', '"https://app.example"'],
      ['https://app.example/page?a=b#c', '"https://app.example"'],
      ['https://app.example:443', '"https://app.example"'],
      ['http://app.example:80', '"http://app.example"'],
      ['https://bücher.example', '"https://xn--bcher-kva.example"'],
      ['https://ann:secret@app.example', '"https://app.example"'],
      ['app.example', 'an origin such as "https://app.example", or "*"'],
      ['app.example:8080', 'an origin such as "https://app.example", or "*"'],
      ['https://*.example', 'an origin such as "https://app.example", or "*"'],
      ['https://', 'an origin such as "https://app.example", or "*"'],
      ['https://app.example:99999', 'an origin such as "https://app.example", or "*"'],
      ['https://a.example,https://b.example', 'an origin such as "https://app.example", or "*"'],
      ['', 'an origin such as "https://app.example", or "*"']
    ] as const)
      expect(problemOf(origin), origin).to.equal(`no browser sends an origin like this: write ${instead}`)
    for (const origin of ['null', 'NULL', null])
      expect(problemOf(origin)).to.match(/^pages of any site can send "null"/)
  })

  const bounds: readonly [name: string, least: unknown, less: unknown, most?: unknown, more?: unknown][] = [
    ['port', 0, -1, 65_535, 65_536],
    ['unixSocket', 'x', '', 'x'.repeat(100), 'x'.repeat(101)],
    ['maxConnections', 1, 0],
    ['maxHeaderBytes', 1_024, 1_023],
    ['maxHeaders', 1, 0],
    ['maxBodyBytes', 1, 0],
    ['maxEventLoopDelayMs', 0, -1],
    ['maxHeapShare', 0.1, 0.09, 1, 1.01],
    ['accessLog.share', 0, -0.01, 1, 1.01],
    ['accessLog.target', 'x', ''],
    ['perAddress.maxConnections', 1, 0],
    ['perAddress.maxBodiesInFlightBytes', 1, 0],
    ['perAddress.maxRequestsInFlight', 1, 0],
    ['tls.certFile', 'x', ''],
    ['tls.reloadIntervalMs', 1, 0]
  ]
  const nested = (name: string, value: unknown): object =>
    name.split('.').reduceRight<unknown>((inner, key) => ({ [key]: inner }), value) as object
  it('each setting takes its bounds, and nothing beyond them', () =>
    checkRows(bounds, ([name, least, less, most = least, more = less]) => {
      for (const good of [least, most]) expect(problemsOf(nested(name, good)), String(good)).to.deep.equal([])
      for (const bad of [less, more]) expect(problemsOf(nested(name, bad)), String(bad)).to.deep.equal([name])
    }))

  it('unixSocketMode is three octal digits, also with the 0 of C', () => {
    for (const mode of ['660', '0660', '777', '000']) expect(problemsOf({ unixSocketMode: mode })).to.deep.equal([])
    for (const mode of ['66', '6600', '00660', '668', 'rw-', '660 ', 'a660', '']) {
      expect(problemsOf({ unixSocketMode: mode }), mode).to.deep.equal(['unixSocketMode'])
    }
  })

  it('lists hold no empty names', () => {
    for (const [name, one] of [
      ['allowedHosts', 'a'],
      ['allowedOrigins', 'http://a']
    ] as const) {
      expect(problemsOf({ [name]: [one] })).to.deep.equal([])
      expect(problemsOf({ [name]: [one, ''] })).to.deep.equal([`${name}.1`])
    }
  })

  it('the management port may be off, and nothing else that is no port', () => {
    for (const port of ['off', 0, 8081]) expect(problemsOf({ port }, managementSettings)).to.deep.equal([])
    for (const port of ['on', '', -1, 65_536]) expect(problemsOf({ port }, managementSettings)).to.deep.equal(['port'])
  })

  it('TLS has the kinds of client certificates and the versions that there are', () => {
    for (const clientAuth of ['none', 'optional', 'required']) {
      expect(problemsOf({ tls: { clientAuth } })).to.deep.equal([])
      expect(problemsOf({ tls: { clientAuth } }, managementSettings)).to.deep.equal([])
    }
    for (const minVersion of ['TLSv1.2', 'TLSv1.3']) expect(problemsOf({ tls: { minVersion } })).to.deep.equal([])
    for (const tls of [{ clientAuth: '' }, { clientAuth: 'yes' }]) {
      expect(problemsOf({ tls })).to.deep.equal(['tls.clientAuth'])
    }
    for (const minVersion of ['', 'TLSv1.1'])
      expect(problemsOf({ tls: { minVersion } })).to.deep.equal(['tls.minVersion'])
  })

  it('are refused with names that there are not', () => {
    for (const name of ['', 'perAddress.', 'accessLog.', 'tls.']) {
      expect(problemsOf(nested(`${name}nonsense`, 1))).to.deep.equal([name.replace('.', '')])
    }
    expect(problemsOf({ nonsense: 1 }, managementSettings)).to.deep.equal([''])
  })
})
