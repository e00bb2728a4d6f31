import { expect } from 'chai'
import { SharedToken } from '../../src/kafka/shared-token.js'

const LIFETIME_MS = 100_000

describe('the token that connections of a cluster share', () => {
  let now: number
  let asked: number
  let failure: Error | undefined
  let shared: SharedToken
  beforeEach(() => {
    now = 1_000
    asked = 0
    failure = undefined
    shared = new SharedToken(
      async () => {
        asked++
        if (failure) throw failure
        return { token: `token${asked}`, lifetimeMs: LIFETIME_MS }
      },
      () => now
    )
  })
  const errorOf = (promise: Promise<unknown>): Promise<string> =>
    promise.then(
      () => 'none',
      error => error.message
    )

  it('is asked for once, whoever comes at the same time and later', async () => {
    expect(await Promise.all([shared.get(), shared.get(), shared.get()])).to.deep.equal(['token1', 'token1', 'token1'])
    now += 0.79 * LIFETIME_MS
    expect([await shared.get(), asked]).to.deep.equal(['token1', 1])
  })

  it('is renewed before it ends', async () => {
    await shared.get()
    now += 0.8 * LIFETIME_MS
    expect(await Promise.all([shared.get(), shared.get()])).to.deep.equal(['token2', 'token2'])
  })

  it('is used to its end while no new one can be had, and asked for no more often than each second', async () => {
    await shared.get()
    failure = new Error('no token')
    now += 0.9 * LIFETIME_MS
    for (let login = 0; login < 5; login++) expect(await shared.get()).to.equal('token1')
    expect(asked).to.equal(2)
    now += 0.1 * LIFETIME_MS
    expect(await errorOf(shared.get())).to.equal('no token')
    expect(await errorOf(shared.get())).to.equal('no token')
    expect(asked).to.equal(3)
    failure = undefined
    now += 1_000
    expect(await shared.get()).to.equal('token4')
  })

  it('is asked for anew when a broker has refused it', async () => {
    const token = await shared.get()
    shared.refused(token)
    expect(await shared.get()).to.equal('token2')
    shared.refused(token)
    expect(await shared.get()).to.equal('token2')
  })

  it('is none when it had ended before it came, or ends in the moment of the login', async () => {
    const slow = new SharedToken(
      async () => {
        now += LIFETIME_MS
        return { token: 'late', lifetimeMs: LIFETIME_MS }
      },
      () => now
    )
    expect(await errorOf(slow.get())).to.equal('the token had ended when it came')
    await shared.get()
    failure = new Error('no token')
    now += LIFETIME_MS
    expect(await errorOf(shared.get())).to.equal('no token')
  })

  it('is asked for again a second after that failed, and not sooner', async () => {
    failure = new Error('no token')
    await errorOf(shared.get())
    now += 999
    await errorOf(shared.get())
    expect(asked).to.equal(1)
    now += 1
    await errorOf(shared.get())
    expect(asked).to.equal(2)
  })
})
