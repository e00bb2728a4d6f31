import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { type Castellan, openCastellan } from '../../../src/index.js'
import { GroupInstance } from '../../support/group-instance.js'

const PLACES = 40

describe('a group with more partitions of one broker than requests may wait there', function () {
  this.timeout(120_000)
  let cluster: EmbeddedCluster
  let writer: GroupInstance
  let reader: Castellan
  before(async () => {
    cluster = await startEmbeddedCluster()
    writer = await GroupInstance.start(cluster.bootstrap)
    reader = await openCastellan({
      brokers: cluster.bootstrap,
      router: { maxWaitingRequests: PLACES },
      consumer: { start: 'earliest', retryBackoffMs: 50, subscriptionTimeoutMs: 120_000 }
    })
  })
  after(async () => {
    await reader.close({ timeoutMs: 2_000 })
    await writer.stop()
    await cluster.close()
  })

  it('reads all of them, also those that it finds empty at first, and lets others read', async () => {
    const partitions = 3 * PLACES
    cluster.createTopic('many', { partitions })
    cluster.createTopic('small', { partitions: 1 })
    const all = Array.from({ length: partitions }, (_, partition) => partition)
    // All of them wait at the end of their logs, as many as may.
    expect((await reader.groups.consume('billing', 'many', 2_000)).type).to.equal('timedOut')
    for (const partition of all) await writer.produce('many', partition, [`m${partition}`])
    await writer.produce('small', 0, ['beside'])
    const next = async (group: string, topic: string): Promise<string> => {
      for (;;) {
        const result = await reader.groups.consume(group, topic, 10_000)
        if (result.type !== 'message') continue
        result.message.ack()
        return String(result.message.value)
      }
    }
    const beside = next('audit', 'small')
    const seen: string[] = []
    while (seen.length < partitions) seen.push(await next('billing', 'many'))
    expect(await beside).to.equal('beside')
    expect(new Set(seen)).to.deep.equal(new Set(all.map(partition => `m${partition}`)))
  })
})
