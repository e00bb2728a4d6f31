import { expect } from 'chai'
import { DurabilityCheck } from '../../src/app/durability-check.js'
import { startEmbeddedCluster } from '../../src/broker/start-embedded-cluster.js'
import { silentLogger } from '../../src/model.js'
import { createBrokerClientFactory } from '../../src/wire/create-broker-client-factory.js'
import { type LogLine, recordingLogger } from '../http/fixtures.js'

describe('DurabilityCheck', () => {
  const createClient = createBrokerClientFactory({
    clientId: 'test',
    connectTimeoutMs: 5_000,
    requestTimeoutMs: 5_000,
    log: silentLogger
  })
  const withMinimum = (minimum: string) => ({ partitions: 1, config: new Map([['min.insync.replicas', minimum]]) })

  it('names topics with a single certain copy, each once, asking the first broker that answers', async () => {
    const cluster = await startEmbeddedCluster()
    cluster.createTopic('thin', withMinimum('1'))
    cluster.createTopic('safe', withMinimum('2'))
    const lines: LogLine[] = []
    const nobody = { host: '127.0.0.1', port: 1 }
    const check = new DurabilityCheck(createClient, [nobody, ...cluster.nodes], recordingLogger(lines))
    const warned = () => lines.filter(({ level }) => level === 'warn')
    try {
      await check.look()
      expect(warned().map(({ fields }) => fields)).to.deep.equal([{ topics: ['thin'], count: 1 }])
      expect(warned()[0]!.message).to.match(/^min\.insync\.replicas is below 2 for thin: /)
      for (let i = 0; i < 7; i++) cluster.createTopic(`more-${i}`, withMinimum('1'))
      await Promise.all([check.look(), check.look()])
      expect(warned()).to.have.length(2)
      expect(warned()[1]!.fields).to.have.property('count', 7)
      expect(warned()[1]!.message).to.contain('and 2 more')
    } finally {
      check.stop()
      await cluster.close()
    }
  })

  it('logs nothing when no broker answers', async () => {
    const lines: LogLine[] = []
    const check = new DurabilityCheck(createClient, [{ host: '127.0.0.1', port: 1 }], recordingLogger(lines))
    await check.look()
    check.stop()
    expect(lines.map(({ level }) => level)).to.deep.equal(['debug'])
  })
})
