import { expect } from 'chai'
import fc from 'fast-check'
import { charge, type QuotaAccount, Quotas } from '../../../src/http/access/quotas.js'
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
    expect([quotas.ofPrincipal('a'), quotas.ofAddress('10.0.0.1')]).to.deep.equal([undefined, undefined])
  })

  it('let a client overdraw once, and wait until the debt is paid', () => {
    const quotas = quotasOf({ perPrincipal: { recordsPerSecond: 10 } })
    const account = quotas.ofPrincipal('a')!
    expect(charge([account], 100, 0)).to.equal(undefined)
    expect(account.refusal()?.retryAfterSeconds).to.equal(10)
    nowMs += 9_000
    expect(account.refusal()?.retryAfterSeconds).to.equal(1)
    nowMs += 101
    expect(account.refusal()).to.equal(undefined)
    expect(charge([account], 1, 0)).to.equal(undefined)
  })

  it('give a wait no more than a second is worth, before what it has read is charged', () => {
    const account = quotasOf({ perPrincipal: { recordsPerSecond: 10 } }).ofPrincipal('a')!
    expect(charge([account], 0, 0)).to.equal(undefined)
    nowMs += 30_000
    account.spend(200, 0)
    expect(account.refusal()?.retryAfterSeconds).to.equal(20)
  })

  it('hold their rate over time, however the requests come', () => {
    const perSecond = 100
    const request = fc.record({ waitMs: fc.integer({ min: 0, max: 400 }), records: fc.integer({ min: 1, max: 300 }) })
    fc.assert(
      fc.property(fc.array(request, { maxLength: 200 }), requests => {
        const quotas = quotasOf({ perAddress: { recordsPerSecond: perSecond } })
        const account = quotas.ofAddress('10.0.0.1')!
        const startedAt = nowMs
        let taken = 0
        for (const { waitMs, records } of requests) {
          nowMs += waitMs
          if (charge([account], records, 0)) continue
          taken += records
          // A second's worth to begin with, and one request that overdraws.
          expect(taken).to.be.at.most(perSecond * (1 + (nowMs - startedAt) / 1_000) + 300)
        }
      })
    )
  })

  it('charge all accounts or none', () => {
    const quotas = quotasOf({ perPrincipal: { bytesPerSecond: 10 }, perAddress: { bytesPerSecond: 1_000 } })
    const [poor, address] = [quotas.ofPrincipal('a')!, quotas.ofAddress('10.0.0.1')!]
    expect(charge([poor, address], 1, 10)).to.equal(undefined)
    expect(charge([poor, address], 1, 1_000_000)).to.not.equal(undefined)
    expect(charge([address], 1, 1)).to.equal(undefined)
  })

  it('count requests in flight', () => {
    const quotas = quotasOf({ perPrincipal: { maxRequestsInFlight: 2 } })
    const account = quotas.ofPrincipal('a')!
    expect([account.enter(), account.enter()]).to.deep.equal([undefined, undefined])
    expect(account.enter()).to.deep.include({ code: 'quotaExceeded', retryAfterSeconds: 1 })
    account.leave()
    expect(account.enter()).to.equal(undefined)
    for (let times = 0; times < 2; times++) account.leave()
  })

  it('give a principal its own limits instead of those of all', () => {
    const quotas = quotasOf({
      perPrincipal: { recordsPerSecond: 1 },
      principals: [{ principal: '__proto__', recordsPerSecond: 1_000 }]
    })
    expect(charge([quotas.ofPrincipal('__proto__')!], 900, 0)).to.equal(undefined)
    expect(charge([quotas.ofPrincipal('__proto__')!], 900, 0)).to.equal(undefined)
    expect(charge([quotas.ofPrincipal('other')!], 900, 0)).to.equal(undefined)
    expect(charge([quotas.ofPrincipal('other')!], 1, 0)).to.not.equal(undefined)
  })

  it('remember a bounded number of addresses, forget those that are idle, and never one in debt', () => {
    const quotas = quotasOf({ perAddress: { recordsPerSecond: 10 } })
    const debtor = quotas.ofAddress('debtor')!
    charge([debtor], 1_000_000, 0)
    const busy = quotas.ofAddress('busy')!
    busy.enter()
    for (let i = 0; i < 50_000; i++) quotas.ofAddress(`10.${i >> 16}.${(i >> 8) & 255}.${i & 255}`)
    expect(quotas.size).to.be.at.most(10_000)
    expect(quotas.ofAddress('debtor')).to.equal(debtor)
    expect(quotas.ofAddress('busy')).to.equal(busy)
    busy.leave()
  })

  it('make addresses share one account when all that are remembered are busy', () => {
    const quotas = quotasOf({ perAddress: { recordsPerSecond: 1 } })
    for (let i = 0; i < 10_000; i++) charge([quotas.ofAddress(`a${i}`)!], 1_000, 0)
    const [one, other]: QuotaAccount[] = [quotas.ofAddress('one')!, quotas.ofAddress('other')!]
    expect(one).to.equal(other)
    expect(quotas.size).to.equal(10_000)
  })
})
