import { expect } from 'chai'
import type { JWTPayload } from 'jose'
import { UnavailableError } from '../../../src/core/errors.js'
import { silentLogger } from '../../../src/core/model.js'
import {
  COOLDOWN_MS,
  IssuerKeys,
  JsonWebTokens,
  type JwtResult,
  MAX_AGE_MS
} from '../../../src/http/access/json-web-tokens.js'
import { AUDIENCE, ISSUER, makeIssuer, type TestIssuer } from '../../support/access.js'

const SECOND = 1_000

/** Tokens of one issuer whose keys a test serves, with a clock the test moves. */
class Stage {
  nowMs = 1_700_000_000_000
  fetches = 0
  serve: () => Promise<unknown>
  readonly tokens: JsonWebTokens

  constructor(serve: () => Promise<unknown>, more: { algorithms?: 'RS256'[]; principalClaim?: string } = {}) {
    this.serve = serve
    const fetchKeys = (): Promise<unknown> => {
      this.fetches++
      return this.serve()
    }
    const keys = new IssuerKeys(ISSUER, fetchKeys, { clock: () => this.nowMs, log: silentLogger })
    const issuer = {
      issuer: ISSUER,
      audience: AUDIENCE,
      algorithms: ['ES256' as const],
      principalClaim: 'sub',
      principalPrefix: '',
      ...more
    }
    this.tokens = new JsonWebTokens([{ settings: issuer, keys }], () => this.nowMs)
  }

  inSeconds(seconds: number): number {
    return this.nowMs / SECOND + seconds
  }

  async verify(issuer: TestIssuer, claims: JWTPayload = {}): Promise<string> {
    return describeResult(
      await this.tokens.verify(await issuer.sign({ sub: 'anna', exp: this.inSeconds(60), ...claims }))
    )
  }
}

function describeResult(result: JwtResult): string {
  if (typeof result === 'string') return result
  return result instanceof UnavailableError ? result.code : result.principal
}

const down = (): Promise<never> => Promise.reject(new Error('connect ECONNREFUSED'))

describe('JSON Web Tokens', () => {
  let issuer: TestIssuer
  before(async () => {
    issuer = await makeIssuer()
  })
  const serving = (): Stage => new Stage(() => Promise.resolve(issuer.jwks))

  it('are accepted with the issuer, audience, time and claim that are expected', async () => {
    expect(await serving().verify(issuer)).to.equal('anna')
  })

  it('are refused when any of it is different', async () => {
    const stage = serving()
    const wrong: [JWTPayload, string][] = [
      [{ iss: 'https://evil.example.com/' }, 'invalid'],
      [{ iss: '__proto__' }, 'invalid'],
      [{ aud: 'somebody-else' }, 'invalid'],
      [{ exp: stage.inSeconds(-31) }, 'expired'],
      [{ nbf: stage.inSeconds(31) }, 'invalid'],
      [{ exp: undefined as never }, 'invalid'],
      [{ sub: '' }, 'invalid'],
      [{ sub: 'anonymous' }, 'invalid'],
      [{ sub: 'two\nlines' }, 'invalid'],
      [{ sub: 'x'.repeat(257) }, 'invalid'],
      [{ sub: 7 as never }, 'invalid']
    ]
    for (const [claims, result] of wrong)
      expect([claims, await stage.verify(issuer, claims)]).to.deep.equal([claims, result])
  })

  it('may be late or early by the tolerance', async () => {
    const stage = serving()
    expect(await stage.verify(issuer, { exp: stage.inSeconds(-29) })).to.equal('anna')
    expect(await stage.verify(issuer, { nbf: stage.inSeconds(29) })).to.equal('anna')
  })

  it('cannot choose how they are verified', async () => {
    const stage = serving()
    const encode = (part: object): string => Buffer.from(JSON.stringify(part)).toString('base64url')
    const claims = encode({ iss: ISSUER, aud: AUDIENCE, sub: 'anna', exp: stage.inSeconds(60) })
    const { createHmac } = await import('node:crypto')
    for (const header of [
      { alg: 'none' },
      { alg: 'HS256', kid: 'k1' },
      { alg: 'ES256', kid: 'k1', crit: ['x'], x: 1 }
    ]) {
      const signed = `${encode(header)}.${claims}`
      for (const signature of [
        '',
        createHmac('sha256', JSON.stringify(issuer.jwks)).update(signed).digest('base64url')
      ]) {
        expect(describeResult(await stage.tokens.verify(`${signed}.${signature}`))).to.equal('invalid')
      }
    }
    const [head, body, signature] = (await issuer.sign({ sub: 'anna' })).split('.')
    const forged = `${head}.${encode({ iss: ISSUER, aud: AUDIENCE, sub: 'root', exp: stage.inSeconds(60) })}.${signature}`
    expect(describeResult(await stage.tokens.verify(forged))).to.equal('invalid')
    expect(describeResult(await stage.tokens.verify(`${head}.${body}.AAAA`))).to.equal('invalid')
  })

  it('are refused when their algorithm is not among those of the issuer', async () => {
    const stage = new Stage(() => Promise.resolve(issuer.jwks), { algorithms: ['RS256'] as never })
    expect(await stage.verify(issuer)).to.equal('invalid')
  })

  it('do not take a principal from what every object has', async () => {
    const stage = new Stage(() => Promise.resolve(issuer.jwks), { principalClaim: 'constructor' })
    expect(await stage.verify(issuer)).to.equal('invalid')
  })
})

describe('the keys of an issuer', () => {
  it('are fetched once for many tokens', async () => {
    const issuer = await makeIssuer()
    const stage = new Stage(() => Promise.resolve(issuer.jwks))
    await Promise.all(Array.from({ length: 20 }, () => stage.verify(issuer)))
    expect(stage.fetches).to.equal(1)
  })

  it('that cannot be fetched make tokens unverifiable, not wrong; they are tried again after the cooldown', async () => {
    const issuer = await makeIssuer()
    const stage = new Stage(down)
    for (let i = 0; i < 5; i++) expect(await stage.verify(issuer)).to.equal('issuerUnreachable')
    expect(stage.fetches).to.equal(1)
    stage.serve = () => Promise.resolve(issuer.jwks)
    expect(await stage.verify(issuer)).to.equal('issuerUnreachable')
    stage.nowMs += COOLDOWN_MS
    expect(await stage.verify(issuer)).to.equal('anna')
    expect(stage.fetches).to.equal(2)
  })

  it('that are no key set are like none', async () => {
    const issuer = await makeIssuer()
    for (const answer of [null, 'text', {}, { keys: 7 }, { keys: [null] }]) {
      const stage = new Stage(() => Promise.resolve(answer))
      expect([answer, await stage.verify(issuer)]).to.deep.equal([answer, 'issuerUnreachable'])
    }
  })

  it('are looked for again when a token names another one, but not at the pace of tokens', async () => {
    const [old, young, invented] = [await makeIssuer('k1'), await makeIssuer('k2'), await makeIssuer('k3')]
    const stage = new Stage(() => Promise.resolve(old.jwks))
    expect(await stage.verify(old)).to.equal('anna')
    stage.serve = () => Promise.resolve(young.jwks)
    stage.nowMs += COOLDOWN_MS
    expect(await stage.verify(young)).to.equal('anna')
    for (let i = 0; i < 10; i++) expect(await stage.verify(invented)).to.equal('invalid')
    expect(stage.fetches).to.equal(2)
    expect(await stage.verify(old)).to.equal('invalid')
  })

  it('go on being used while the issuer is away, up to their greatest age', async () => {
    const issuer = await makeIssuer()
    const stage = new Stage(() => Promise.resolve(issuer.jwks))
    expect(await stage.verify(issuer)).to.equal('anna')
    stage.serve = down
    stage.nowMs += MAX_AGE_MS - 1
    expect(await stage.verify(issuer)).to.equal('anna')
    stage.nowMs += COOLDOWN_MS
    expect(await stage.verify(issuer)).to.equal('issuerUnreachable')
  })

  it('leave it open what a token with another key is while they cannot be fetched', async () => {
    const [issuer, other] = [await makeIssuer('k1'), await makeIssuer('k2')]
    const stage = new Stage(() => Promise.resolve(issuer.jwks))
    expect(await stage.verify(issuer)).to.equal('anna')
    stage.serve = down
    stage.nowMs += COOLDOWN_MS
    expect(await stage.verify(other)).to.equal('issuerUnreachable')
    expect(await stage.verify(issuer)).to.equal('anna')
  })

  it('are fetched again at once when the operator says so', async () => {
    const [old, young] = [await makeIssuer('k1'), await makeIssuer('k2')]
    const stage = new Stage(() => Promise.resolve(old.jwks))
    expect(await stage.verify(old)).to.equal('anna')
    stage.serve = () => Promise.resolve(young.jwks)
    stage.tokens.expireKeys()
    expect(await stage.verify(young)).to.equal('anna')
  })

  it('that were being fetched when the operator says so are not used', async () => {
    const [old, young] = [await makeIssuer('k1'), await makeIssuer('k2')]
    let answer = (_: unknown): void => undefined
    const stage = new Stage(() => new Promise(resolve => (answer = resolve)))
    const asked = stage.verify(old)
    while (stage.fetches === 0) await new Promise(setImmediate)
    stage.serve = () => Promise.resolve(young.jwks)
    stage.tokens.expireKeys()
    answer(old.jwks)
    expect(await asked, 'a token that waits for them').to.equal('invalid')
    expect([await stage.verify(old), await stage.verify(young)]).to.deep.equal(['invalid', 'anna'])
  })
})
