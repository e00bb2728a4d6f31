import { expect } from 'chai'
import fc from 'fast-check'
import { type QuotaAccount, Quotas } from '../../../src/http/access/quotas.js'
import type { QuotaSettings } from '../../../src/http/access/settings.js'

const none: QuotaSettings = { perPrincipal: {}, perAddress: {}, principals: [] }

describe('quotas', () => {
  let nowMs = 0
  const quotasOf = (settings: Partial<QuotaSettings>): Quotas => new Quotas({ ...none, ...settings }, () => nowMs)
  beforeEach(() => {
    nowMs = 1_000_000
  })

  it('do nothing when no limit is set', () => {
    const quotas = quotasOf({})
    expect(quotas.isActive).to.equal(false)
    expect([quotas.ofPrincipal('a', nowMs), quotas.ofAddress('10.0.0.1', nowMs)]).to.deep.equal([undefined, undefined])
  })

  it('let a client overdraw once, and wait until the debt is paid', () => {
    const quotas = quotasOf({ perPrincipal: { recordsPerSecond: 10 } })
    const account = quotas.ofPrincipal('a', nowMs)!
    expect(quotas.charge(account, undefined, 100, 0)).to.equal(undefined)
    expect(quotas.refusalOf(account, nowMs)?.retryAfterSeconds).to.equal(10)
    nowMs += 9_000
    expect(quotas.refusalOf(account, nowMs)?.retryAfterSeconds).to.equal(1)
    nowMs += 101
    expect(quotas.refusalOf(account, nowMs)).to.equal(undefined)
    expect(quotas.charge(account, undefined, 1, 0)).to.equal(undefined)
  })

  it('hold their rate over time, however the requests come', () => {
    const perSecond = 100
    const request = fc.record({ waitMs: fc.integer({ min: 0, max: 400 }), records: fc.integer({ min: 1, max: 300 }) })
    fc.assert(
      fc.property(fc.array(request, { maxLength: 200 }), requests => {
        const quotas = quotasOf({ perAddress: { recordsPerSecond: perSecond } })
        const account = quotas.ofAddress('10.0.0.1', nowMs)!
        const startedAt = nowMs
        let taken = 0
        for (const { waitMs, records } of requests) {
          nowMs += waitMs
          if (quotas.charge(account, undefined, records, 0)) continue
          taken += records
          // A second's worth to begin with, and one request that overdraws.
          expect(taken).to.be.at.most(perSecond * (1 + (nowMs - startedAt) / 1_000) + 300)
        }
      })
    )
  })

  it('charge all accounts or none', () => {
    const quotas = quotasOf({ perPrincipal: { bytesPerSecond: 10 }, perAddress: { bytesPerSecond: 1_000 } })
    const [poor, address] = [quotas.ofPrincipal('a', nowMs)!, quotas.ofAddress('10.0.0.1', nowMs)!]
    expect(quotas.charge(poor, address, 1, 10)).to.equal(undefined)
    expect(quotas.charge(poor, address, 1, 1_000_000)).to.not.equal(undefined)
    expect(quotas.charge(address, undefined, 1, 1)).to.equal(undefined)
  })

  it('count requests in flight', () => {
    const quotas = quotasOf({ perPrincipal: { maxRequestsInFlight: 2 } })
    const account = quotas.ofPrincipal('a', nowMs)!
    expect([quotas.enter(account), quotas.enter(account)]).to.deep.equal([undefined, undefined])
    expect(quotas.enter(account)).to.deep.include({ code: 'quotaExceeded', retryAfterSeconds: 1 })
    account.leave()
    expect(quotas.enter(account)).to.equal(undefined)
  })

  it('give a principal its own limits instead of those of all', () => {
    const quotas = quotasOf({
      perPrincipal: { recordsPerSecond: 1 },
      principals: [{ principal: '__proto__', recordsPerSecond: 1_000 }]
    })
    expect(quotas.charge(quotas.ofPrincipal('__proto__', nowMs)!, undefined, 900, 0)).to.equal(undefined)
    expect(quotas.charge(quotas.ofPrincipal('__proto__', nowMs)!, undefined, 900, 0)).to.equal(undefined)
    expect(quotas.charge(quotas.ofPrincipal('other', nowMs)!, undefined, 900, 0)).to.equal(undefined)
    expect(quotas.charge(quotas.ofPrincipal('other', nowMs)!, undefined, 1, 0)).to.not.equal(undefined)
  })

  it('remember a bounded number of addresses, forget those that are idle, and never one in debt', () => {
    const quotas = quotasOf({ perAddress: { recordsPerSecond: 10 } })
    const debtor = quotas.ofAddress('debtor', nowMs)!
    quotas.charge(debtor, undefined, 1_000_000, 0)
    const busy = quotas.ofAddress('busy', nowMs)!
    busy.enter()
    for (let i = 0; i < 50_000; i++) quotas.ofAddress(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`, nowMs)
    expect(quotas.size).to.be.at.most(10_000)
    expect(quotas.ofAddress('debtor', nowMs)).to.equal(debtor)
    expect(quotas.ofAddress('busy', nowMs)).to.equal(busy)
  })

  it('make addresses share one account when all that are remembered are busy', () => {
    const quotas = quotasOf({ perAddress: { recordsPerSecond: 1 } })
    for (let i = 0; i < 10_000; i++) quotas.charge(quotas.ofAddress(`a${i}`, nowMs)!, undefined, 1_000, 0)
    const [one, other]: QuotaAccount[] = [quotas.ofAddress('one', nowMs)!, quotas.ofAddress('other', nowMs)!]
    expect(one).to.equal(other)
    expect(quotas.size).to.equal(10_000)
  })
})
