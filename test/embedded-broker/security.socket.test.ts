import { expect } from 'chai'
import { Kafka, logLevel, type SASLOptions } from 'kafkajs'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/embedded-broker/start-embedded-cluster.js'
import { RawKafka } from '../support/raw-kafka.js'
import { testCertificate, testKey } from '../support/test-certificate.js'

describe('broker: TLS', () => {
  it('speaks it on its ports, and cuts who does not finish shaking hands', async () => {
    const cluster = await startEmbeddedCluster({ tls: { key: testKey, cert: testCertificate } })
    try {
      const ssl = { ca: [testCertificate], checkServerIdentity: () => undefined }
      const kafka = new Kafka({ brokers: [cluster.bootstrap], logLevel: logLevel.NOTHING, ssl })
      const admin = kafka.admin()
      await admin.connect()
      expect(await admin.listTopics()).to.deep.equal([])
      await admin.disconnect()
      const silent = await RawKafka.connect(cluster.nodes[0]!)
      await cluster.stopNode(1)
      await silent.closed()
    } finally {
      await cluster.close()
    }
  })
})

const USER = { username: 'anna,=', password: 'sésame' }

describe('broker: who may come in', () => {
  let cluster: EmbeddedCluster

  beforeEach(async () => {
    cluster = await startEmbeddedCluster({
      sasl: { users: new Map([[USER.username, USER.password]]), tokens: new Set(['t0ken']) }
    })
  })
  afterEach(() => cluster.close())

  async function login(sasl: SASLOptions): Promise<string[]> {
    const kafka = new Kafka({ brokers: [cluster.bootstrap], logLevel: logLevel.NOTHING, sasl, retry: { retries: 0 } })
    const admin = kafka.admin()
    try {
      await admin.connect()
      return await admin.listTopics()
    } finally {
      await admin.disconnect()
    }
  }
  const codeOf = (attempt: Promise<unknown>) =>
    attempt.then(
      () => 'let in',
      (error: Error) => error.message
    )

  for (const mechanism of ['plain', 'scram-sha-256', 'scram-sha-512'] as const) {
    it(`lets in by ${mechanism}, and not with another password`, async () => {
      expect(await login({ mechanism, ...USER })).to.deep.equal([])
      expect(await codeOf(login({ mechanism, ...USER, password: 'x' }))).to.include('invalid user or password')
      expect(await codeOf(login({ mechanism, username: 'nobody', password: 'x' }))).to.include(
        'invalid user or password'
      )
    })
  }

  it('lets in by oauthbearer, and not with another token', async () => {
    const provider = (value: string) => ({
      mechanism: 'oauthbearer' as const,
      oauthBearerProvider: async () => ({ value })
    })
    expect(await login(provider('t0ken'))).to.deep.equal([])
    expect(await codeOf(login(provider('other')))).to.include('invalid token')
  })

  it('answers 33 with what it knows to another mechanism, 34 to a token before a handshake', async () => {
    const client = await RawKafka.connect(cluster.nodes[0]!)
    const handshake = await client.call(17, 1, body => body.string('GSSAPI'))
    expect(handshake.int16()).to.equal(33)
    const known = handshake.array(() => handshake.string())
    expect(known).to.deep.equal(['PLAIN', 'SCRAM-SHA-256', 'SCRAM-SHA-512', 'OAUTHBEARER'])
    expect((await client.call(36, 1, body => body.bytes(Buffer.from('x')))).int16()).to.equal(34)
    client.close()
  })

  it('hangs up on a stranger who asks for more than versions', async () => {
    const client = await RawKafka.connect(cluster.nodes[0]!)
    expect((await client.call(18, 2, () => {})).int16()).to.equal(0)
    client.send(3, 7, body => body.int32(-1).boolean(false))
    await client.closed()
  })

  it('hangs up after a wrong password, once it has said so', async () => {
    const client = await RawKafka.connect(cluster.nodes[0]!)
    await client.call(17, 1, body => body.string('PLAIN'))
    expect((await client.call(36, 1, body => body.bytes(Buffer.from('\0anna\0no')))).int16()).to.equal(58)
    await client.closed()
  })
})
