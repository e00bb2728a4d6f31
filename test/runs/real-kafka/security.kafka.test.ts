import { expect } from 'chai'
import type { CastellanError } from '../../../src/core/errors.js'
import type { ConnectionSettings, SaslOptions } from '../../../src/kafka/broker-client.js'
import { tokenOfCommand } from '../../../src/server/config/tokens.js'
import { freshTopic } from '../../support/target-cluster.js'
import { makeCertificate } from './certificate.js'
import { kcat } from './kcat.js'
import { saslUser } from './server-properties.js'
import { runningKafka } from './shared-cluster.js'
import { WireSession } from './wire-session.js'

const base64 = (value: unknown): string => Buffer.from(JSON.stringify(value)).toString('base64url')
const nowSeconds = (): number => Math.floor(Date.now() / 1000)
const unsecuredToken = (expiresInSeconds: number): string =>
  `${base64({ alg: 'none' })}.${base64({ sub: 'alice', iat: nowSeconds(), exp: nowSeconds() + expiresInSeconds })}.`

/** Opens a connection over the SASL_SSL listener; what fails, fails here. */
async function open(sasl: SaslOptions | undefined, tls?: ConnectionSettings['tls']): Promise<WireSession> {
  const cluster = runningKafka()
  const topic = freshTopic('secure')
  await cluster.createTopic(topic, 1)
  const trusted = { ca: cluster.certificate.pem }
  return await WireSession.open(cluster.saslSslBootstrap, topic, 0, { sasl, tls: tls ?? trusted })
}

async function failureOf(opening: Promise<WireSession>): Promise<CastellanError> {
  try {
    await (await opening).close()
  } catch (error) {
    return error as CastellanError
  }
  throw new Error('was let in')
}

describe('SASL_SSL on real Kafka', () => {
  const { username, password } = saslUser
  const logins: SaslOptions[] = [
    { mechanism: 'plain', username, password },
    { mechanism: 'scram-sha-256', username, password },
    { mechanism: 'scram-sha-512', username, password },
    { mechanism: 'oauthbearer', token: unsecuredToken(6 * 3600) },
    { mechanism: 'oauthbearer', token: async () => unsecuredToken(600) }
  ]
  for (const sasl of logins) {
    const how = sasl.mechanism === 'oauthbearer' ? ` with a ${typeof sasl.token} for its token` : ''
    it(`writes and reads as ${sasl.mechanism}${how}`, async () => {
      const session = await open(sasl)
      const sent = [{ key: 'k', value: sasl.mechanism }]
      expect(await session.produce(sent, 'none')).to.include({ errorCode: 0, baseOffset: 0 })
      const back = await session.fetchAll()
      await session.close()
      expect(back.map(({ key, value }) => ({ key: String(key), value: String(value) }))).to.deep.equal(sent)
    })
  }

  it('writes as oauthbearer with a token of a command', async () => {
    const command = ['printf', '%s', unsecuredToken(600)]
    const session = await open({ mechanism: 'oauthbearer', token: async () => (await tokenOfCommand(command)).token })
    expect(await session.produce([{ key: 'k', value: 'command' }], 'none')).to.include({ errorCode: 0 })
    await session.close()
  })

  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512'] as const) {
    it(`tells a wrong password of ${mechanism}, without repeating it`, async () => {
      const error = await failureOf(open({ mechanism, username, password: 'not-the-password' }))
      expect(error).to.include({ name: 'UnavailableError', code: 'authenticationFailed' })
      expect(`${error.message} ${error.stack}`).to.not.contain('not-the-password')
    })
  }

  it('tells an unknown user and an expired token', async () => {
    for (const sasl of [
      { mechanism: 'scram-sha-256', username: 'nobody', password },
      { mechanism: 'oauthbearer', token: unsecuredToken(-600) }
    ] as const) {
      expect((await failureOf(open(sasl))).code).to.equal('authenticationFailed')
    }
  })

  it('does not talk to a broker whose certificate it cannot trust', async () => {
    const sasl = { mechanism: 'plain', username, password } as const
    const other = await makeCertificate(runningKafka().workspace.directory, freshTopic('other'))
    for (const tls of [{}, { ca: other.pem }]) {
      const error = await failureOf(open(sasl, tls))
      expect(error).to.include({ name: 'UnavailableError' })
      expect(error.message).to.match(/certificate/i)
    }
  })

  it('says so when a login or TLS is missing', async () => {
    const withoutLogin = await failureOf(open(undefined))
    expect(withoutLogin.name).to.be.oneOf(['UnavailableError', 'TimedOutError'])
    const cluster = runningKafka()
    const withoutTls = await failureOf(WireSession.open(cluster.saslSslBootstrap, 'any', 0, { connectTimeoutMs: 3000 }))
    expect(withoutTls.name).to.be.oneOf(['UnavailableError', 'TimedOutError', 'ProtocolError'])
    const tlsOnPlain = await failureOf(
      WireSession.open(cluster.bootstrap, 'any', 0, { tls: { ca: cluster.certificate.pem }, connectTimeoutMs: 3000 })
    )
    expect(tlsOnPlain.name).to.be.oneOf(['UnavailableError', 'TimedOutError'])
  })

  // Not SCRAM: librdkafka before 2.6.1 repeats its nonce, which brokers refuse since 3.9.
  const kcatLogins = new Map([
    ['PLAIN', ['-X', `sasl.username=${username}`, '-X', `sasl.password=${password}`]],
    [
      'OAUTHBEARER',
      ['-X', 'enable.sasl.oauthbearer.unsecure.jwt=true', '-X', 'sasl.oauthbearer.config=principal=alice']
    ]
  ])
  for (const [mechanism, credentials] of kcatLogins) {
    it(`lets kcat in with ${mechanism}, so the listener is what it says`, async () => {
      const cluster = runningKafka()
      const secured = [
        '-b',
        cluster.saslSslBootstrap,
        '-X',
        'security.protocol=SASL_SSL',
        '-X',
        `sasl.mechanism=${mechanism}`
      ]
      const trusted = ['-X', `ssl.ca.location=${cluster.certificate.certificatePath}`]
      const listing = JSON.parse((await kcat([...secured, ...trusted, ...credentials, '-L', '-J'])).toString())
      expect(listing.brokers).to.have.length(3)
    })
  }
})
