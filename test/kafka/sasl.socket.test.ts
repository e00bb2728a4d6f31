import { expect } from 'chai'
import { UnavailableError } from '../../src/core/errors.js'
import { type ClientCredentials, requestToken, SharedToken } from '../../src/kafka/sasl.js'
import { testCertificate } from '../support/test-certificate.js'
import { answering, type TokenAnswer, TokenEndpoint } from '../support/token-endpoint.js'

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
    expect(await errorOf(slow.get())).to.equal('the token had expired when it arrived')
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

const SECRET = 'hush: 100% sëcret'
const TIMEOUT_MS = 10_000
const good = answering({ access_token: 'abc.DEF-1', token_type: 'Bearer', expires_in: 60 })

describe('a token by client credentials', () => {
  let endpoint: TokenEndpoint
  afterEach(() => endpoint.close())

  const credentials = (more: Partial<ClientCredentials> = {}): ClientCredentials => ({
    tokenUrl: endpoint.url,
    clientId: 'gate way',
    clientSecret: SECRET,
    ...more
  })
  const errorOf = async (answer: TokenAnswer, more: Partial<ClientCredentials> = {}, timeoutMs = TIMEOUT_MS) => {
    endpoint.answer = answer
    const error = await requestToken(credentials(more), timeoutMs).then(
      () => expect.fail('it got a token'),
      (reason: UnavailableError) => reason
    )
    expect(error).to.be.instanceOf(UnavailableError)
    expect(`${error.message} ${error.brief} ${error.stack}`).to.not.match(/hush|secret|\n.*\n.*hush/)
    expect(error.message.split('\n')).to.have.length(1)
    expect(error.brief).to.not.contain('127.0.0.1')
    return error
  }

  for (const isTls of [false, true]) {
    it(`is had ${isTls ? 'over TLS' : 'in plain text'}, with the login and the scope as the standard has it`, async () => {
      endpoint = await TokenEndpoint.start(good, { isTls })
      const ca = isTls ? testCertificate : undefined
      expect(await requestToken(credentials({ scope: 'kafka.write kafka.read', ca }), TIMEOUT_MS)).to.deep.equal({
        token: 'abc.DEF-1',
        lifetimeMs: 60_000
      })
      const [{ authorization = '', form } = { form: {} }] = endpoint.requests
      expect(form).to.deep.equal({ grant_type: 'client_credentials', scope: 'kafka.write kafka.read' })
      const login = Buffer.from(authorization.replace(/^Basic /, ''), 'base64').toString()
      expect(login.split(':').map(half => new URLSearchParams(`x=${half}`).get('x'))).to.deep.equal([
        'gate way',
        SECRET
      ])
    })
  }

  it('an endpoint that refuses the client is told from one that is in trouble', async () => {
    endpoint = await TokenEndpoint.start(good)
    const refused = await errorOf(answering({ error: 'invalid_client', error_description: 'hush' }, 401))
    expect(refused).to.include({
      code: 'authenticationFailed',
      message: `no token from ${endpoint.url}: it answered 401 (invalid_client)`
    })
    expect(await errorOf(answering({ error: 'hush\nhush' }, 503))).to.include({
      code: 'issuerUnreachable',
      message: `no token from ${endpoint.url}: it answered 503`
    })
  })

  it('only what the client did wrong is a refusal, not that it asked too often', async () => {
    endpoint = await TokenEndpoint.start(good)
    const codes: [number, string][] = []
    for (const status of [399, 400, 404, 428, 429, 430, 499, 500, 503]) {
      codes.push([status, (await errorOf(answering({}, status))).code])
    }
    const refusals = codes.filter(([, code]) => code === 'authenticationFailed').map(([status]) => status)
    expect(refusals).to.deep.equal([400, 404, 428, 430, 499])
    expect(codes.every(([, code]) => code === 'authenticationFailed' || code === 'issuerUnreachable')).to.equal(true)
  })

  it('reads an answer of 64 KiB, and no byte more', async () => {
    endpoint = await TokenEndpoint.start(good)
    const json = JSON.stringify({ access_token: 'a', expires_in: 1, padding: '' })
    const padded = (bytes: number): string => json.replace('""', `"${'x'.repeat(bytes - json.length)}"`)
    endpoint.answer = response => response.end(padded(65_536))
    expect(await requestToken(credentials(), TIMEOUT_MS)).to.deep.equal({ token: 'a', lifetimeMs: 1_000 })
    expect((await errorOf(response => response.end(padded(65_537)))).message).to.contain('larger than 65536 bytes')
  })

  const odd: [string, TokenAnswer, RegExp][] = [
    ['no token', answering({ token_type: 'bearer' }), /has no access_token/],
    [
      'a token that would break the login',
      answering({ access_token: 'a\u0001hush', expires_in: 9 }),
      /has no access_token/
    ],
    ['a time that is none', answering({ access_token: 'a', expires_in: -1 }), /no valid expires_in/],
    ['no JSON', response => response.end('<html>'), /has no access_token/],
    ['an array', answering(['hush']), /has no access_token/],
    ['a redirect', response => response.writeHead(302, { location: 'http://127.0.0.1:1/' }).end(), /answered 302/],
    ['far too much', response => response.end('x'.repeat(100_000)), /larger than 65536 bytes/],
    ['nothing, and hangs up', response => response.destroy(), /socket hang up/]
  ]
  for (const [what, answer, says] of odd) {
    it(`says in a line what is wrong with an answer that is ${what}`, async () => {
      endpoint = await TokenEndpoint.start(good)
      expect((await errorOf(answer)).message).to.match(says)
    })
  }

  it('says so when nobody answers, nobody listens, or the certificate is of nobody it trusts', async () => {
    endpoint = await TokenEndpoint.start(good, { isTls: true })
    expect((await errorOf(good)).message).to.contain(
      'its certificate is self-signed; name the authority with sasl.tokenCaFile'
    )
    expect((await errorOf(() => {}, { ca: testCertificate }, 200)).message).to.contain('no answer within 200 ms')
    expect((await errorOf(good, { tokenUrl: 'http://127.0.0.1:1/token?key=hush' })).message).to.equal(
      'no token from http://127.0.0.1:1/token: connection refused; is it running there? (ECONNREFUSED)'
    )
  })

  it('takes a time in a string, and a short one where none is told', async () => {
    endpoint = await TokenEndpoint.start(answering({ access_token: 'a', expires_in: '90' }))
    expect((await requestToken(credentials(), TIMEOUT_MS)).lifetimeMs).to.equal(90_000)
    endpoint.answer = answering({ access_token: 'a' })
    expect((await requestToken(credentials(), TIMEOUT_MS)).lifetimeMs).to.equal(300_000)
  })
})
