import { expect } from 'chai'
import type { EmbeddedCluster } from '../../src/broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../src/broker/start-embedded-cluster.js'
import { type Castellan, openCastellan } from '../../src/index.js'

const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name}${at}`)

describe('following a topic that is deleted and created anew', function () {
  this.timeout(60_000)
  let cluster: EmbeddedCluster
  let castellan: Castellan
  beforeEach(async () => {
    cluster = await startEmbeddedCluster({ nodes: 1 })
    cluster.createTopic('orders', { partitions: 1 })
    castellan = await openCastellan({ brokers: cluster.bootstrap })
  })
  afterEach(async () => {
    await castellan.close()
    await cluster.close()
  })

  const write = async (values: readonly string[]): Promise<void> => {
    const records = values.map(value => ({ topic: 'orders', key: null, value }))
    await castellan.gateway.produce(records, { partitioner: 'crc32', deadlineMs: 30_000 }).outcomes()
  }

  // The new log is shorter than what was read, as long, or longer.
  for (const [old, count] of [
    [5, 3],
    [5, 5],
    [5, 12],
    [0, 3]
  ] as const) {
    it(`reads each of ${count} new records once after ${old} old ones, and says what happened`, async () => {
      const values: string[] = []
      const warnings: string[] = []
      const options = { partitions: undefined, maxPartitions: 1, from: 'earliest', timeoutMs: 10_000 } as const
      const following = await castellan.gateway.follow(
        'orders',
        { ...options, positions: new Map() },
        {
          begins: () => undefined,
          take: (_, { value }) => void values.push(String(value)),
          flush: () => undefined,
          isFull: false,
          warn: text => void warnings.push(text),
          ended: ({ message }) => void warnings.push(message)
        }
      )
      const come = async (wanted: number): Promise<void> => {
        while (values.length < wanted && warnings.length < 2) await new Promise(resolve => setTimeout(resolve, 10))
      }
      await write(numbered('old', old))
      await (old > 0 ? come(old) : new Promise(resolve => setTimeout(resolve, 500)))
      cluster.deleteTopic('orders')
      cluster.createTopic('orders', { partitions: 1 })
      await write([...numbered('new', count), 'last'])
      while (!values.includes('last') && warnings.length < 2) await new Promise(resolve => setTimeout(resolve, 10))
      following.stop()
      expect(values).to.deep.equal([...numbered('old', old), ...numbered('new', count), 'last'])
      expect(warnings).to.deep.equal(['orders/0 was created anew, and is read from its beginning'])
    })
  }
})
