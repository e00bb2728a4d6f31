import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { createBrokerClientFactory } from '../../../src/kafka/broker-client-factory.js'
import { DurabilityCheck } from '../../../src/server/app/durability-check.js'
import { type LogLine, recordingLogger } from '../../http/server/stage.js'

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

  it('says why brokers do not show their settings, until they do', async () => {
    const cluster = await startEmbeddedCluster()
    const check = new DurabilityCheck(createClient, cluster.nodes, silentLogger)
    const told: (string | undefined)[] = []
    for (const errorCode of [31, 29, 35, undefined]) {
      const fault = errorCode && cluster.faults.add({ api: 'DescribeConfigs' }, { type: 'error', errorCode })
      await check.look()
      told.push(check.refusal)
      if (fault) fault.remove()
    }
    check.stop()
    await cluster.close()
    expect(told).to.deep.equal([
      'CLUSTER_AUTHORIZATION_FAILED (31): not authorized for the cluster',
      'TOPIC_AUTHORIZATION_FAILED (29): not authorized for the topic',
      undefined,
      undefined
    ])
  })

  it('logs nothing when no broker answers', async () => {
    const lines: LogLine[] = []
    const check = new DurabilityCheck(createClient, [{ host: '127.0.0.1', port: 1 }], recordingLogger(lines))
    await check.look()
    check.stop()
    expect(lines.map(({ level }) => level)).to.deep.equal(['debug'])
  })

  it('ends with a check that no broker answers: nothing of it is left, and no other broker is asked', async () => {
    const cluster = await startEmbeddedCluster()
    cluster.createTopic('thin', withMinimum('1'))
    const silence = cluster.faults.add({ api: 'DescribeConfigs' }, { type: 'dropResponse' })
    const patient = createBrokerClientFactory({
      clientId: 'test',
      connectTimeoutMs: 60_000,
      requestTimeoutMs: 60_000,
      log: silentLogger
    })
    const lines: LogLine[] = []
    const check = new DurabilityCheck(patient, [...cluster.nodes, ...cluster.nodes], recordingLogger(lines))
    const looked = check.look()
    await silence.whenFired(1)
    check.stop()
    await looked
    expect([cluster.requestCount('DescribeConfigs'), lines]).to.deep.equal([1, []])
    await check.look()
    expect(cluster.requestCount('DescribeConfigs')).to.equal(1)
    await cluster.close()
  })
})
