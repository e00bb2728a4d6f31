import { expect } from 'chai'
import sinon from 'sinon'
import { UnavailableError } from '../../src/core/errors.js'
import { silentLogger } from '../../src/core/model.js'
import type { BrokerClient, SaslOptions } from '../../src/kafka/broker-client.js'
import { createBrokerClientFactory } from '../../src/kafka/broker-client-factory.js'
import { ResponseBuilder } from '../support/response-builder.js'
import { ScriptedBroker } from '../support/scripted-broker.js'
import { testCertificate, testKey } from '../support/test-certificate.js'
import { batchAt, fetchCall, fetchPayload } from './sample-responses.js'
import { answerSasl, plainServer, type SaslServer, scramServer } from './sasl-server.js'

const settings = { clientId: 'test', requestTimeoutMs: 10_000, connectTimeoutMs: 10_000, log: silentLogger }
const noTopics = { topics: [], allowAutoTopicCreation: false }
const metadataPayload = new ResponseBuilder().int32(0).int32(0).string('cluster').int32(1).int32(0).payload
const [HANDSHAKE, AUTHENTICATE, API_VERSIONS, METADATA] = [17, 36, 18, 3]

describe('a login to a broker', () => {
  let broker: ScriptedBroker
  let client: BrokerClient
  let sessionLifetimeMs: number
  let aheadMs = 0
  /** The monotonic clock goes this much on. */
  const pass = (ms: number): void => {
    aheadMs += ms
  }
  beforeEach(async () => {
    sessionLifetimeMs = 0
    const now = performance.now.bind(performance)
    aheadMs = 0
    sinon.replace(performance, 'now', () => now() + aheadMs)
    broker = await ScriptedBroker.start()
  })
  afterEach(async () => {
    sinon.restore()
    await client.close()
    await broker.close()
  })

  const serve = (mechanism: string, login: () => SaslServer) => {
    const answer = answerSasl(mechanism, login, () => sessionLifetimeMs)
    broker.script = (request, reply) => {
      if (!answer(request, reply)) reply.payload(metadataPayload)
    }
  }
  const use = (sasl: SaslOptions) => {
    client = createBrokerClientFactory({ ...settings, sasl })(broker.address, 'test')
  }
  const apiKeys = () => broker.requests.map(request => request.apiKey)
  const refusalOf = async (promise: Promise<unknown>) => {
    const error = await promise.then(
      () => expect.fail('it got in'),
      reason => reason
    )
    expect(error).to.be.instanceOf(UnavailableError).and.to.deep.include({ code: 'authenticationFailed' })
    expect(client.isConnected).to.equal(false)
    await broker.whenAllClosed()
    return error as Error
  }

  const mechanisms = [
    { mechanism: 'plain', name: 'PLAIN', login: () => plainServer('ann', 'pässword'), messages: 1 },
    {
      mechanism: 'scram-sha-256',
      name: 'SCRAM-SHA-256',
      login: () => scramServer('sha256', 'ann', 'pässword'),
      messages: 2
    },
    {
      mechanism: 'scram-sha-512',
      name: 'SCRAM-SHA-512',
      login: () => scramServer('sha512', 'ann', 'pässword'),
      messages: 2
    }
  ] as const

  for (const { mechanism, name, login, messages } of mechanisms) {
    it(`${name} lets in who knows the password, before anything else is asked`, async () => {
      serve(name, login)
      use({ mechanism, username: 'ann', password: 'pässword' })
      expect(await client.metadata(noTopics)).to.deep.include({ clusterId: 'cluster' })
      await client.metadata(noTopics)
      const logins = Array.from({ length: messages }, () => AUTHENTICATE)
      expect(apiKeys()).to.deep.equal([API_VERSIONS, HANDSHAKE, ...logins, METADATA, METADATA])
    })

    it(`${name} keeps out who does not, closes the connection and may be tried again`, async () => {
      serve(name, login)
      use({ mechanism, username: 'ann', password: 'guessed' })
      expect((await refusalOf(client.metadata(noTopics))).message).to.contain(mechanism)
      expect((await refusalOf(client.connect())).message).to.contain('who are you?')
      expect(apiKeys()).to.not.include(METADATA)
    })
  }

  it('does not trust a server that does not prove to know the password', async () => {
    serve('SCRAM-SHA-256', () => {
      const honest = scramServer('sha256', 'ann', 'secret')
      return message => {
        const answer = honest(message)
        return answer?.toString().startsWith('v=') ? Buffer.from(`v=${Buffer.alloc(32).toString('base64')}`) : answer
      }
    })
    use({ mechanism: 'scram-sha-256', username: 'ann', password: 'secret' })
    expect((await refusalOf(client.connect())).message).to.contain('Invalid server signature')
  })

  it('names a mechanism that the broker does not offer', async () => {
    serve('GSSAPI', () => () => null)
    use({ mechanism: 'plain', username: 'ann', password: 'secret' })
    expect((await refusalOf(client.connect())).message).to.contain('plain')
  })

  it('OAUTHBEARER sends the token, fetched anew for every login', async () => {
    const seen: string[] = []
    serve('OAUTHBEARER', () => message => {
      seen.push(message.toString())
      return Buffer.alloc(0)
    })
    let tokens = 0
    use({ mechanism: 'oauthbearer', token: async () => `token${++tokens}` })
    await client.connect()
    await client.close()
    await client.connect()
    expect(seen).to.deep.equal(['n,,\u0001auth=Bearer token1\u0001\u0001', 'n,,\u0001auth=Bearer token2\u0001\u0001'])
  })

  it('OAUTHBEARER takes a challenge for the refusal it is', async () => {
    serve('OAUTHBEARER', () => () => Buffer.from('{"status":"invalid_token"}'))
    use({ mechanism: 'oauthbearer', token: 'stale' })
    expect((await refusalOf(client.connect())).message).to.contain('invalid_token')
  })

  it('takes a token that cannot be had for a failed login', async () => {
    serve('OAUTHBEARER', () => () => Buffer.alloc(0))
    use({ mechanism: 'oauthbearer', token: () => Promise.reject(new Error('no token today')) })
    expect((await refusalOf(client.connect())).message).to.contain('no token today')
  })

  it('logs in again on the same connection before its session ends, once for concurrent callers', async () => {
    serve('PLAIN', () => plainServer('ann', 'secret'))
    use({ mechanism: 'plain', username: 'ann', password: 'secret' })
    // Brokers take no further login within a second.
    sessionLifetimeMs = 500
    await client.connect()
    sessionLifetimeMs = 3_600_000
    await client.metadata(noTopics)
    expect(apiKeys().filter(key => key === HANDSHAKE)).to.have.length(1)
    pass(1_050)
    await Promise.all([client.metadata(noTopics), client.metadata(noTopics)])
    await client.metadata(noTopics)
    expect(apiKeys().filter(key => key === HANDSHAKE)).to.have.length(2)
    expect(apiKeys().filter(key => key === METADATA)).to.have.length(4)
    expect(broker.connectionCount).to.equal(1)
  })

  it('logs in once in a session of eight seconds, whatever is asked in it', async () => {
    serve('OAUTHBEARER', () => () => Buffer.alloc(0))
    use({ mechanism: 'oauthbearer', token: 'valid' })
    sessionLifetimeMs = 8_000
    for (let asked = 0; asked < 6; asked++) await client.metadata(noTopics)
    expect(apiKeys().filter(key => key !== API_VERSIONS)).to.deep.equal([
      HANDSHAKE,
      AUTHENTICATE,
      ...Array(6).fill(METADATA)
    ])
  })

  it('counts a session from the login on, not from its answer, which may come late', async () => {
    const answerLogin = answerSasl(
      'PLAIN',
      () => plainServer('ann', 'secret'),
      () => sessionLifetimeMs
    )
    broker.script = (request, reply) => {
      if (request.apiKey === AUTHENTICATE) pass(3_000)
      if (!answerLogin(request, reply)) reply.payload(metadataPayload)
    }
    use({ mechanism: 'plain', username: 'ann', password: 'secret' })
    sessionLifetimeMs = 12_000
    await client.connect()
    pass(9_000)
    // The broker has ended the session by now.
    await client.metadata(noTopics)
    expect(apiKeys().filter(key => key === HANDSHAKE)).to.have.length(2)
  })

  it('sends nothing between the two requests of a login', async () => {
    let isLoggingIn = false
    const answerLogin = answerSasl(
      'PLAIN',
      () => plainServer('ann', 'secret'),
      () => sessionLifetimeMs
    )
    broker.script = (request, reply) => {
      expect(isLoggingIn && request.apiKey !== AUTHENTICATE).to.equal(false)
      isLoggingIn = request.apiKey === HANDSHAKE
      // Other requests are asked for before the answer to the first one has come.
      if (isLoggingIn) for (let more = 0; more < 5; more++) asked.push(client.metadata(noTopics))
      if (!answerLogin(request, reply)) reply.payload(metadataPayload)
    }
    const asked: Promise<unknown>[] = []
    use({ mechanism: 'plain', username: 'ann', password: 'secret' })
    sessionLifetimeMs = 1_200
    await client.connect()
    pass(1_050)
    await client.metadata(noTopics)
    await Promise.all(asked)
    expect(apiKeys().filter(key => key === HANDSHAKE || key === AUTHENTICATE)).to.deep.equal([
      HANDSHAKE,
      AUTHENTICATE,
      HANDSHAKE,
      AUTHENTICATE
    ])
    expect(asked).to.have.length(10)
  })

  it('logs in again by OAUTHBEARER with a new token while a request is in flight, which is answered', async () => {
    const seen: string[] = []
    const login = () => (message: Buffer) => {
      seen.push(/Bearer (\w+)/.exec(message.toString())![1]!)
      return Buffer.alloc(0)
    }
    const answerLogin = answerSasl('OAUTHBEARER', login, () => sessionLifetimeMs)
    const held: (() => void)[] = []
    let tellHeld: () => void
    const isHeld = new Promise<void>(resolve => (tellHeld = resolve))
    broker.script = (request, reply) => {
      // A broker answers in the order of the requests.
      if (request.apiKey === HANDSHAKE) for (const answer of held.splice(0)) answer()
      if (answerLogin(request, reply)) return
      if (request.apiKey === METADATA && seen.length === 1) {
        held.push(() => reply.payload(metadataPayload))
        tellHeld()
      } else reply.payload(metadataPayload)
    }
    let tokens = 0
    use({ mechanism: 'oauthbearer', token: async () => `token${++tokens}` })
    sessionLifetimeMs = 1_200
    await client.connect()
    const inFlight = client.metadata(noTopics)
    await isHeld
    pass(1_050)
    sessionLifetimeMs = 3_600_000
    expect(await client.metadata(noTopics)).to.deep.include({ clusterId: 'cluster' })
    expect(await inFlight).to.deep.include({ clusterId: 'cluster' })
    expect(seen).to.deep.equal(['token1', 'token2'])
    expect(broker.connectionCount).to.equal(1)
  })

  describe('TLS', () => {
    const startTls = async () => {
      await broker.close()
      broker = await ScriptedBroker.start((_request, reply) => reply.payload(metadataPayload), {
        key: testKey,
        cert: testCertificate
      })
    }
    const useTls = (tls: object) => {
      client = createBrokerClientFactory({ ...settings, tls })({ ...broker.address, host: 'localhost' }, 'test')
    }

    it('carries calls and large answers', async () => {
      await startTls()
      useTls({ ca: testCertificate })
      expect(await client.metadata(noTopics)).to.deep.include({ clusterId: 'cluster' })
      const value = 'v'.repeat(2_000_000)
      broker.script = (_request, reply) => reply.payload(fetchPayload(batchAt(10, [value])))
      for (let round = 0; round < 3; round++) {
        const [partition] = (await client.fetch(fetchCall)).partitions
        expect(partition!.records.batches[0]!.at(0).value!.toString()).to.equal(value)
      }
    })

    it('refuses a certificate it cannot verify', async () => {
      await startTls()
      useTls({})
      const error = await client.connect().catch(reason => reason)
      expect(error).to.be.instanceOf(UnavailableError).and.to.deep.include({ code: 'brokerUnreachable' })
      expect(error.message).to.contain('self-signed')
    })

    it('reports certificates of our own that cannot be read, and plain servers', async () => {
      await startTls()
      useTls({ cert: 'nonsense' })
      expect(await client.connect().catch(reason => reason)).to.deep.include({ code: 'brokerUnreachable' })
      await broker.close()
      broker = await ScriptedBroker.start((_request, reply) => reply.close())
      useTls({ ca: testCertificate })
      broker.answersApiVersions = false
      const connecting = client.connect().catch(reason => reason)
      // A plain server makes nothing of a TLS greeting; here it gives up.
      while (broker.openSockets === 0) await new Promise(resolve => setImmediate(resolve))
      await broker.close()
      expect(await connecting).to.deep.include({ code: 'brokerUnreachable' })
      broker = await ScriptedBroker.start()
    })
  })
})
