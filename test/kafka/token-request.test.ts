import { expect } from 'chai'
import { UnavailableError } from '../../src/core/errors.js'
import { type ClientCredentials, requestToken } from '../../src/kafka/token-request.js'
import { testCertificate } from '../support/tls-fixture.js'
import { answering, type TokenAnswer, TokenEndpoint } from '../support/token-endpoint.js'

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
    ['a time that is none', answering({ access_token: 'a', expires_in: -1 }), /expires_in that is no time/],
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
