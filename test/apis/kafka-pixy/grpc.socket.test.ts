import { createHash } from 'node:crypto'
import { connect as connectTls } from 'node:tls'
import { type ChannelCredentials, credentials, Metadata } from '@grpc/grpc-js'
import { expect } from 'chai'
import { apis } from '../../../src/apis/apis.js'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { warnings } from '../../../src/server/config/checks.js'
import { loadConfig } from '../../../src/server/config/config.js'
import { TestAuthority, TestFolder } from '../../support/access.js'
import { GrpcStage } from './grpc-stage.js'

const bytes = (text: string): Buffer => Buffer.from(text)

describe("Kafka-Pixy's gRPC service", function () {
  this.timeout(30_000)
  let cluster: EmbeddedCluster
  let grpc: GrpcStage
  before(async () => {
    cluster = await startEmbeddedCluster()
    for (const topic of ['test.4', 'acks', 'empty']) cluster.createTopic(topic, { partitions: 4 })
    cluster.createTopic('compacted', { partitions: 1, config: new Map([['cleanup.policy', 'compact']]) })
    grpc = await GrpcStage.start(cluster.bootstrap, { 'consumer.start': 'earliest' })
  })
  after(async () => {
    await grpc.stop()
    await cluster.close()
  })

  it('pixy G5 pixy G14 an unknown cluster and an unknown topic are refused by name', async () => {
    const cluster = 'nowhere'
    const unknown = '3: proxy `nowhere` does not exist'
    expect(await grpc.refusal(grpc.ask('Produce', { cluster, topic: 'test.4' }))).to.equal(unknown)
    expect(await grpc.refusal(grpc.ask('ConsumeNAck', { cluster, topic: 'test.4', group: 'g' }))).to.equal(unknown)
    const topic = 'no..such/topic'
    expect(await grpc.refusal(grpc.ask('GetOffsets', { topic: 'nothing', group: 'g' }))).to.equal('5: Unknown topic')
    expect(await grpc.refusal(grpc.ask('Produce', { topic }))).to.match(/^13: kafka server: .* invalid topic\.$/)
  })

  it('a client that goes away while it waits takes no message with it', async () => {
    cluster.createTopic('left', { partitions: 1 })
    const asked = { topic: 'left', group: 'g', auto_ack: true }
    // A group begins at the end of the topic, and commits where that was: what comes from then on is for it.
    const place = async () => (await grpc.ask('GetOffsets', { topic: 'left', group: 'g' })).offsets[0]!.offset
    while ((await place()) !== 0) await grpc.refusal(grpc.ask('ConsumeNAck', asked))
    const gone = grpc.ask('ConsumeNAck', asked, { cancelled: new Promise(resolve => setTimeout(resolve, 200)) })
    expect(await grpc.refusal(gone)).to.match(/^1: /)
    await grpc.ask('Produce', { topic: 'left', message: bytes('kept') })
    expect(String((await grpc.ask('ConsumeNAck', asked)).message)).to.equal('kept')
  })

  it('sets offsets, and tells topics and who reads them', async () => {
    const asked = { topic: 'empty', group: 'set' }
    const offsets = [{ partition: 1, offset: 7, metadata: 'note' }]
    expect(await grpc.ask('SetOffsets', { ...asked, offsets })).to.deep.equal({})
    const standing = (await grpc.ask('GetOffsets', asked)).offsets
    expect(standing.map(({ offset }: { offset: number }) => offset)).to.deep.equal([-1, 7, -1, -1])
    expect(standing[1]).to.include({ metadata: 'note', lag: -7 })
    const topics = (await grpc.ask('ListTopics', { with_partitions: true })).topics
    expect(topics['test.4']!.partitions).to.have.length(4)
    const described = await grpc.ask('GetTopicMetadata', { topic: 'test.4' })
    expect(described).to.deep.equal({ version: 1, config: {}, partitions: [] })
    const compacted = { version: 1, config: { 'cleanup.policy': 'compact' } }
    expect(await grpc.ask('GetTopicMetadata', { topic: 'compacted' })).to.deep.include(compacted)
    expect((await grpc.ask('ListTopics', {})).topics.compacted).to.deep.include(compacted)
    expect(await grpc.refusal(grpc.ask('GetTopicMetadata', { topic: 'gone' }))).to.equal('5: Unknown topic')
    await grpc.refusal(grpc.ask('ConsumeNAck', { topic: 'empty', group: 'reading', no_ack: true }))
    const { groups } = await grpc.ask('ListConsumers', { topic: 'empty', group: 'reading' })
    expect(Object.values(groups.reading!.consumers)).to.deep.equal([{ partitions: [0, 1, 2, 3] }])
    expect(await grpc.refusal(grpc.ask('ListConsumers', { topic: 'empty', group: 'nobody' }))).to.equal(
      '5: unknown consumer group nobody'
    )
    expect(await grpc.refusal(grpc.ask('ListConsumers', { topic: 'acks', group: 'reading' }))).to.equal(
      '5: topic acks is not consumed by reading'
    )
  })
})

describe("access to Kafka-Pixy's gRPC service", function () {
  this.timeout(30_000)

  it('asks for credentials, and allows what the rules allow; without rules of its own nobody listens elsewhere', async () => {
    const cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 1 })
    const rules = [{ principals: ['anna'], operations: ['produce'], topics: ['orders'] }]
    const grpc = await GrpcStage.start(cluster.bootstrap, {
      'auth.tokens': JSON.stringify([{ principal: 'anna', sha256: sha256('a-token-of-anna') }]),
      'access.rules': JSON.stringify(rules),
      'apis.kafka-pixy.consumerDisabled': 'true'
    })
    const metadata = new Metadata()
    metadata.set('authorization', 'Bearer a-token-of-anna')
    const produce = { topic: 'orders', message: bytes('m') }
    expect(await grpc.refusal(grpc.ask('Produce', produce))).to.match(/^16: /)
    expect(await grpc.ask('Produce', produce, { metadata })).to.deep.equal({ partition: 0, offset: 0 })
    expect(await grpc.refusal(grpc.ask('Produce', { topic: 'other' }, { metadata }))).to.match(/^7: /)
    expect(await grpc.refusal(grpc.ask('ListTopics', {}, { metadata }))).to.match(/^7: /)
    await grpc.stop()
    await cluster.close()
  })

  it('listens nowhere unless it is told to, and beyond this machine only with authentication', () => {
    const load = (settings: Readonly<Record<string, string>>) => {
      const flags = Object.entries(settings).map(([path, value]) => ({
        flag: `--${path}`,
        path: path.split('.'),
        value
      }))
      return loadConfig({ flags })
    }
    const open = { 'apis.kafka-pixy.grpcPort': '0', 'apis.kafka-pixy.grpcHost': '0.0.0.0' }
    expect(() => load(open)).to.throw(/apis\.kafka-pixy\.grpcHost: 0\.0\.0\.0 can be reached from other machines/)
    expect(() => load({ ...open, 'http.allowAnonymous': 'true' })).not.to.throw()
    expect(() => load({ 'apis.kafka-pixy.grpcHost': '0.0.0.0' })).not.to.throw()
  })

  it('pixy G15 a consumer that is disabled, and a process that stops, are unavailable', async () => {
    const cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 1 })
    const disabled = await GrpcStage.start(cluster.bootstrap, { 'apis.kafka-pixy.consumerDisabled': 'true' })
    const asked = { topic: 'orders', group: 'g', no_ack: true }
    expect(await disabled.refusal(disabled.ask('ConsumeNAck', asked))).to.equal(
      '14: service is disabled by configuration'
    )
    await disabled.stop()
    const stopping = await GrpcStage.start(cluster.bootstrap, { 'consumer.longPollMs': '20000' })
    const waiting = stopping.refusal(stopping.ask('ConsumeNAck', asked))
    while ((await stopping.ask('GetOffsets', asked)).offsets[0]!.offset < 0) {
      await new Promise(resolve => setTimeout(resolve, 10))
    }
    const stopped = stopping.app.stop()
    expect(await waiting).to.equal('14: service is shutting down')
    await stopped
    stopping.client.close()
    await cluster.close()
  })
})

describe("TLS of Kafka-Pixy's gRPC port", function () {
  this.timeout(30_000)
  const authority = new TestAuthority()
  const alternativeNames = ['IP:127.0.0.1']
  let folder: TestFolder
  let cluster: EmbeddedCluster
  beforeEach(async () => {
    folder = new TestFolder()
    cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 1 })
  })
  afterEach(async () => {
    await cluster.close()
    folder.remove()
  })
  const serve = (commonName: string): Record<string, string> => {
    const { cert, key } = authority.issue({ commonName, alternativeNames })
    return {
      'http.tls.certFile': folder.write('cert.pem', cert),
      'http.tls.keyFile': folder.write('key.pem', key),
      'http.tls.caFile': folder.write('ca.pem', authority.cert),
      'advanced.http.tls.reloadIntervalMs': '3600000'
    }
  }
  const ca = Buffer.from(authority.cert)
  /** Whom a new client meets. */
  const server = (address: string, ALPNProtocols = ['h2']): Promise<string | undefined> =>
    new Promise((resolve, reject) => {
      const [host, port] = address.split(':')
      const socket = connectTls({ host, port: Number(port), ca, ALPNProtocols }, () => {
        resolve(String(socket.getPeerCertificate().subject.CN))
        socket.destroy()
      })
      socket.on('error', reject)
    })

  it('is that of the shared port, and client certificates count as there', async () => {
    const settings = {
      ...serve('castellan'),
      'http.tls.clientAuth': 'optional',
      'auth.certificates': JSON.stringify([{ commonName: 'billing' }]),
      'access.rules': JSON.stringify([{ principals: ['billing'], operations: ['produce'], topics: ['orders'] }])
    }
    const { cert, key } = authority.issue({ commonName: 'billing' })
    const certificate = credentials.createSsl(ca, Buffer.from(key), Buffer.from(cert))
    const grpc = await GrpcStage.start(cluster.bootstrap, settings, certificate)
    const produce = { topic: 'orders', message: bytes('m') }
    expect(await grpc.ask('Produce', produce)).to.deep.equal({ partition: 0, offset: 0 })
    expect(await grpc.refusal(grpc.ask('Produce', { ...produce, topic: 'other' }))).to.match(/^7: /)
    const refusedBy = async (channel: ChannelCredentials): Promise<string> => {
      const other = grpc.other(channel)
      const refusal = await other.refusal(other.ask('Produce', produce))
      other.client.close()
      return refusal
    }
    expect(await refusedBy(credentials.createSsl(ca))).to.match(/^16: /)
    expect(await refusedBy(credentials.createInsecure())).to.match(/^14: /)
    await grpc.stop()
  })

  it('is that of new files after a reload, for new connections', async () => {
    const grpc = await GrpcStage.start(cluster.bootstrap, serve('one'), credentials.createSsl(ca))
    const produce = { topic: 'orders', message: bytes('m') }
    await grpc.ask('Produce', produce)
    expect(await server(grpc.address)).to.equal('one')
    serve('two')
    await grpc.app.reload()
    expect(await server(grpc.address)).to.equal('two')
    expect(await grpc.ask('Produce', produce), 'over the connection of before').to.include({ offset: 1 })
    const spoken = await server(grpc.address, ['http/1.1']).catch(error => error.code)
    expect(spoken).to.match(/NO_APPLICATION_PROTOCOL/)
    await grpc.stop()
  })

  it('may be off, which is warned of where other machines can reach the port', () => {
    const settings = {
      ...serve('castellan'),
      'apis.kafka-pixy.grpcPort': '0',
      'apis.kafka-pixy.grpcHost': '0.0.0.0',
      'auth.tokens': JSON.stringify([{ principal: 'anna', sha256: sha256('a-token-of-anna') }])
    }
    const warned = (tls: string): string => {
      const all = Object.entries({ ...settings, 'apis.kafka-pixy.tls': tls })
      const flags = all.map(([path, value]) => ({ flag: `--${path}`, path: path.split('.'), value }))
      return warnings(loadConfig({ flags }), apis).join('\n')
    }
    expect(warned('off')).to.contain('apis.kafka-pixy.grpcHost')
    expect(warned('inherit')).not.to.contain('apis.kafka-pixy.grpcHost')
  })
})

const sha256 = (text: string): string => createHash('sha256').update(text).digest('hex')
