import { expect } from 'chai'
import type { EmbeddedCluster } from '../../../src/embedded-broker/embedded-cluster.js'
import { startEmbeddedCluster } from '../../../src/embedded-broker/start-embedded-cluster.js'
import { type Castellan, openCastellan } from '../../../src/index.js'

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

  for (const [how, enlarge] of [
    ['grows', () => cluster.growTopic('orders', 3)],
    [
      'is created anew with more partitions',
      () => {
        cluster.deleteTopic('orders')
        cluster.createTopic('orders', { partitions: 3 })
      }
    ]
  ] as const) {
    it(`reads each record of a topic that ${how} once`, async () => {
      await write(['old'])
      const values: string[] = []
      const ends: string[] = []
      const options = { partitions: undefined, maxPartitions: 3, from: 'earliest', timeoutMs: 10_000 } as const
      const following = await castellan.gateway.follow(
        'orders',
        { ...options, positions: new Map() },
        {
          begins: () => undefined,
          take: (partition, { value }) => void values.push(`${partition} ${value}`),
          flush: () => undefined,
          isFull: false,
          warn: () => undefined,
          ended: ({ message }) => void ends.push(message)
        }
      )
      const come = async (wanted: number): Promise<void> => {
        while (values.length < wanted && ends.length === 0) await new Promise(resolve => setTimeout(resolve, 10))
      }
      await come(1)
      enlarge()
      // By a process of its own: whoever follows has to find the partitions by itself.
      const other = await openCastellan({ brokers: cluster.bootstrap })
      const records = [1, 2, 2].map((partition, at) => ({ topic: 'orders', partition, key: null, value: `new${at}` }))
      const outcomes = await other.gateway.produce(records, { partitioner: 'crc32', deadlineMs: 30_000 }).outcomes()
      await other.close(0)
      expect(outcomes.map(({ type }) => type)).to.deep.equal(['delivered', 'delivered', 'delivered'])
      await come(4)
      following.stop()
      expect(values).to.have.members(['0 old', '1 new0', '2 new1', '2 new2'])
      expect(values.filter(value => value.startsWith('2'))).to.deep.equal(['2 new1', '2 new2'])
      expect(ends).to.deep.equal([])
    })
  }
})
