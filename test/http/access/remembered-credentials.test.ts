import { expect } from 'chai'
import { Authenticator } from '../../../src/http/access/authenticator.js'
import type { Identity } from '../../../src/http/access/identity.js'
import { JsonWebTokens } from '../../../src/http/access/json-web-tokens.js'
import { RememberedCredentials } from '../../../src/http/access/remembered-credentials.js'
import { authSettings } from '../../../src/http/access/settings.js'
import { cheapHash } from '../../support/access.js'

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
    expect(remembered.find('greedy 0', 0)).to.equal(undefined)
    expect(remembered.size).to.equal(101)
  })

  it('are bounded for all principals together', () => {
    const remembered = new RememberedCredentials()
    for (let n = 0; n < 12_000; n++) remembered.add(`${n}`, { identity: identityOf(`p${n}`) })
    expect(remembered.size).to.equal(10_000)
    expect(remembered.find('1999', 0)).to.equal(undefined)
    expect(remembered.find('2000', 0)?.principal).to.equal('p2000')
  })

  it('are forgotten when they expire, and remembered once however often they are added', () => {
    const remembered = new RememberedCredentials()
    for (let n = 0; n < 200; n++) remembered.add('same', { identity: identityOf('anna', 10) })
    expect(remembered.size).to.equal(1)
    expect(remembered.find('same', 9)?.principal).to.equal('anna')
    expect(remembered.find('same', 10)).to.equal(undefined)
    expect(remembered.size).to.equal(0)
  })

  it('are verified once in whatever spelling of the header they come', async () => {
    let verified = 0
    const tokens = new JsonWebTokens([], 0, Date.now)
    tokens.verify = async () => {
      verified++
      return identityOf('anna', Number.MAX_SAFE_INTEGER)
    }
    const issuers = [{ issuer: 'i', audience: 'a', jwksFile: 'f' }]
    const passwordHash = await cheapHash('caf\u00e9')
    const settings = authSettings.parse({ issuers, users: [{ username: 'bob', passwordHash }] })
    const authenticator = new Authenticator({ settings, tokens, allowAnonymous: false, now: Date.now })
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
