import type { IncomingMessage } from 'node:http'
import { expect } from 'chai'
import { createPrometheusMetrics } from '../../../src/core/metrics/prometheus.js'
import { AccessMetrics, type AuditLine } from '../../../src/http/access/audit.js'
import { Authenticator } from '../../../src/http/access/authenticator.js'
import type { JsonWebTokens } from '../../../src/http/access/json-web-tokens.js'
import { RequestAccess } from '../../../src/http/access/request-access.js'
import { accessSettings, authSettings, quotaSettings } from '../../../src/http/access/settings.js'

const rulesFor = (principal: string) =>
  accessSettings.parse({
    audit: 'all',
    rules: [{ principals: [principal], operations: ['produce'], topics: ['orders'] }]
  })

describe('a request that another process has admitted and passed on', () => {
  let access: RequestAccess
  let lines: AuditLine[]
  beforeEach(() => {
    lines = []
    const tokens = { expireKeys: () => undefined } as unknown as JsonWebTokens
    const auth = authSettings.parse({ tokens: [{ principal: 'shop', sha256: 'a'.repeat(64) }] })
    access = RequestAccess.of(
      { access: rulesFor('shop'), quotas: quotaSettings.parse({ perPrincipal: { recordsPerSecond: 1 } }) },
      {
        authenticator: new Authenticator({ settings: auth, tokens, allowAnonymous: false, now: () => 0 }),
        isAuthenticated: true,
        metrics: new AccessMetrics(createPrometheusMetrics()),
        auditSink: line => lines.push(line),
        clock: () => 0,
        now: () => 0
      }
    )!
  })

  const from = { principal: 'shop', address: '10.0.0.7', requestId: 'r-1' }
  const request = (): IncomingMessage => ({}) as IncomingMessage

  it('is told the topic that no rule allows, escaped and cut', () => {
    const caller = access.admitForwarded(request(), from)
    const told = (topic: string): string =>
      [caller.refusalOf('produce', { topic }), caller.refusalOfTopics('produce', [{ topic: 'orders' }, { topic }])]
        .map(refusal => refusal!.message)
        .reduce((one, other) => (one === other ? one : `${one} | ${other}`))
    const start = 'shop may not do this: no rule allows produce here, for the topic'
    expect(told('others')).to.equal(`${start} "others" (access.rules)`)
    expect(told('a\r\n\u202eb"')).to.equal(`${start} "a\\r\\n\\u202eb\\"" (access.rules)`)
    expect(told('x'.repeat(1_000))).to.equal(`${start} "${'x'.repeat(256)}… (1000 characters)" (access.rules)`)
  })

  it('may do here what the rules allow its client', () => {
    const asked = request()
    const caller = access.admitForwarded(asked, from)
    expect(access.callerOf(asked)).to.equal(caller)
    expect(caller.refusalOf('produce', { topic: 'orders' })).to.equal(undefined)
    expect(caller.refusalOf('produce', { topic: 'others' })).to.include({ code: 'forbidden' })
    expect(access.admitForwarded(request(), { ...from, principal: 'other' }).isRuled).to.equal(true)
    expect(access.admitForwarded(request(), { ...from, principal: 'other' }).allows('produce')).to.equal(false)
    expect(lines.map(({ allowed, method, address, requestId }) => [allowed, method, address, requestId])).to.deep.equal(
      [
        [true, 'forwarded', '10.0.0.7', 'r-1'],
        [false, 'forwarded', '10.0.0.7', 'r-1']
      ]
    )
  })

  it('is charged to no quota here, and counts what it costs', () => {
    const callers = [1, 2].map(() => access.admitForwarded(request(), from))
    for (const caller of callers) for (const records of [2, 3]) expect(caller.charge(records, 10)).to.equal(undefined)
    expect(callers.map(({ charged }) => charged)).to.deep.equal([
      { records: 5, bytes: 20 },
      { records: 5, bytes: 20 }
    ])
  })

  it('does not go on when its rules are taken away, whatever credentials it has', () => {
    const caller = access.admitForwarded(request(), from)
    expect(caller.refusalOf('produce', { topic: 'orders' })).to.equal(undefined)
    access.checkAll()
    expect(caller.charge(1, 1)).to.equal(undefined)
    access.replaceRules(rulesFor('other'), true)
    access.checkAll()
    expect(caller.charge(1, 1)).to.include({ code: 'forbidden' })
  })
})
