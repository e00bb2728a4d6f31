import { expect } from 'chai'
import type { Identity } from '../../../src/http/access/access.js'
import { Authenticator } from '../../../src/http/access/authenticator.js'
import { JsonWebTokens } from '../../../src/http/access/json-web-tokens.js'
import { authSettings } from '../../../src/http/access/settings.js'
import { RememberedCredentials, VerificationTurns } from '../../../src/http/access/verification.js'
import { cheapHash } from '../../support/access.js'

describe('password verifications', () => {
  /** A queue whose verifications end when the test says so. */
  const stage = () => {
    const queue = new VerificationTurns()
    const running: { name: string; end: () => void }[] = []
    const begun: string[] = []
    const run = (address: string, name: string): Promise<string> | undefined =>
      queue.run(address, () => {
        begun.push(name)
        return new Promise(resolve => running.push({ name, end: () => resolve(name) }))
      })
    const endOne = async (): Promise<void> => {
      running.shift()!.end()
      await new Promise(resolve => setImmediate(resolve))
    }
    const endAll = async (): Promise<void> => {
      while (running.length > 0) await endOne()
    }
    return { begun, run, endAll }
  }

  it('run two at a time, and serve the addresses that wait in rotation', async () => {
    const { run, begun, endAll } = stage()
    for (const name of ['a1', 'a2', 'a3', 'a4', 'a5']) void run('a', name)
    void run('b', 'b1')
    void run('c', 'c1')
    expect(begun).to.deep.equal(['a1', 'a2'])
    await endAll()
    expect(begun).to.deep.equal(['a1', 'a2', 'a3', 'b1', 'c1', 'a4', 'a5'])
  })

  it('refuse at once what one address has too many of, and others go on', async () => {
    const { run, endAll } = stage()
    const results = Array.from({ length: 8 }, (_, i) => run('flood', `f${i}`))
    expect(results.map(result => typeof result)).to.deep.equal([...Array(6).fill('object'), 'undefined', 'undefined'])
    expect(run('polite', 'p')).to.not.equal(undefined)
    await endAll()
  })

  it('hold a bounded number however many addresses there are', async () => {
    const { run, endAll } = stage()
    const taken = Array.from({ length: 10_000 }, (_, i) => run(`10.0.${i >> 8}.${i & 255}`, 'x')).filter(Boolean)
    expect(taken).to.have.length(2 + 256)
    await endAll()
  })

  it('go on after one that failed', async () => {
    const queue = new VerificationTurns()
    const failed = queue
      .run('a', () => Promise.reject(new Error('out of memory')))!
      .catch((error: Error) => error.message)
    expect(await failed).to.equal('out of memory')
    expect(await queue.run('a', () => Promise.resolve('fine'))).to.equal('fine')
  })
})

const identityOf = (principal: string, validUntil = Number.POSITIVE_INFINITY): Identity => ({
  principal,
  method: 'jwt',
  validUntil
})

describe('credentials that were verified', () => {
  it('of one principal do not drive out those of others, however many there are', () => {
    const remembered = new RememberedCredentials()
    remembered.add('polite', { identity: identityOf('polite') })
    for (let n = 0; n < 20_000; n++) remembered.add(`greedy ${n}`, { identity: identityOf('greedy') })
    expect(remembered.find('polite', 0)?.principal).to.equal('polite')
    expect(remembered.find('greedy 19999', 0)?.principal).to.equal('greedy')
    expect(remembered.find('greedy 19900', 0)?.principal).to.equal('greedy')
    expect(remembered.find('greedy 19899', 0)).to.equal(undefined)
  })

  it('are bounded for all principals together', () => {
    const remembered = new RememberedCredentials()
    for (let n = 0; n < 12_000; n++) remembered.add(`${n}`, { identity: identityOf(`p${n}`) })
    expect(remembered.find('1999', 0)).to.equal(undefined)
    expect(remembered.find('2000', 0)?.principal).to.equal('p2000')
  })

  it('are forgotten when they expire, and remembered once however often they are added', () => {
    const remembered = new RememberedCredentials()
    for (let n = 0; n < 200; n++) remembered.add('same', { identity: identityOf('anna', 10) })
    for (let n = 0; n < 99; n++) remembered.add(`other ${n}`, { identity: identityOf('anna') })
    expect(remembered.find('same', 9)?.principal).to.equal('anna')
    expect(remembered.find('same', 10)).to.equal(undefined)
  })

  it('are verified once in whatever spelling of the header they come', async () => {
    let verified = 0
    const tokens = new JsonWebTokens([], () => 0)
    tokens.verify = async () => {
      verified++
      return identityOf('anna', Number.MAX_SAFE_INTEGER)
    }
    const issuers = [{ issuer: 'i', audience: 'a', jwksFile: 'f' }]
    const passwordHash = await cheapHash('caf\u00e9')
    const settings = authSettings.parse({ issuers, users: [{ username: 'bob', passwordHash }] })
    const authenticator = new Authenticator({ settings, tokens, allowAnonymous: false, now: () => 0 })
    const asks = async (authorization: string): Promise<string | undefined> => {
      const arrival = { authorization, socket: {} as never, address: 'here', isUnixSocket: false }
      const found = await authenticator.authenticate(arrival)
      return 'principal' in found ? found.principal : undefined
    }
    const spaces = Array.from({ length: 500 }, (_, n) => ' '.repeat(n + 1))
    for (const scheme of ['Bearer', 'bearer', 'BEARER', 'bEARER']) {
      for (const space of spaces) expect(await asks(`${scheme}${space}a.b.c`)).to.equal('anna')
    }
    expect(verified).to.equal(1)

    // At this cost a verification takes a turn of a thread; what is remembered is answered in the same turn.
    const spelt = (password: string, change: (base64: string) => string = text => text): string =>
      `Basic ${change(Buffer.from(`bob:${password}`).toString('base64'))}`
    expect(await asks(spelt('caf\u00e9'))).to.equal('bob')
    for (const authorization of [
      spelt('caf\u00e9'),
      spelt('cafe\u0301'),
      spelt('caf\u00e9', base64 => base64.replace(/=+$/, '')),
      spelt('caf\u00e9').replace('Basic ', 'bASIC    ')
    ]) {
      const arrival = { authorization, socket: {} as never, address: 'here', isUnixSocket: false }
      expect(authenticator.authenticate(arrival), authorization).to.include({ principal: 'bob' })
    }
  })
})
