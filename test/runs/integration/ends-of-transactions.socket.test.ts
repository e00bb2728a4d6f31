import { expect } from 'chai'
import { Kafka, logLevel } from 'kafkajs'
import type { Castellan } from '../../../src/index.js'
import { onCluster } from '../../support/stage.js'
import { withAdmin } from '../../support/target-cluster.js'

describe('a topic that ends with the marker of a transaction', function () {
  this.timeout(120_000)
  const stage = onCluster()

  /** Writes the transactions, each of which ends with a marker. */
  async function written(...transactions: readonly (readonly [end: 'commit' | 'abort', values: string[]])[]) {
    const topic = await stage.topic('transactions')
    const kafka = new Kafka({ brokers: stage.bootstrap.split(','), logLevel: logLevel.NOTHING })
    const producer = kafka.producer({ transactionalId: topic, maxInFlightRequests: 1, idempotent: true })
    await producer.connect()
    try {
      for (const [end, values] of transactions) {
        const transaction = await producer.transaction()
        await transaction.send({ topic, messages: values.map(value => ({ value })) })
        await transaction[end]()
      }
    } finally {
      await producer.disconnect()
    }
    await markersAreWritten(topic, transactions.flat(2).length)
    return topic
  }

  /** Kafka answers the end of a transaction before the marker is in the log. @param end the offset behind the last marker */
  const markersAreWritten = (topic: string, end: number): Promise<void> =>
    withAdmin(stage.bootstrap, async admin => {
      let high: string | undefined
      while (Number(high) !== end) high = (await admin.fetchTopicOffsets(topic))[0]?.high
    })

  async function read(
    topic: string,
    from: Parameters<Castellan['read']>[1],
    isolationLevel: 'readCommitted' | 'readUncommitted' = 'readUncommitted'
  ): Promise<string[]> {
    const castellan = await stage.library({ router: { isolationLevel } })
    const values: string[] = []
    for await (const { value } of castellan.read(topic, from)) values.push(String(value))
    return values
  }

  it('is read to its end from anywhere near it, and from its beginning', async () => {
    const topic = await written(['commit', ['a', 'b', 'c']])
    expect(await read(topic, { from: { last: 1 } })).to.deep.equal([])
    expect(await read(topic, { from: { last: 2 } })).to.deep.equal(['c'])
    expect(await read(topic, { from: 'earliest' })).to.deep.equal(['a', 'b', 'c'])
  })

  it('is not read from beyond its end, which a reader is told with the end', async () => {
    const topic = await written(['commit', ['a', 'b', 'c']])
    expect(await read(topic, { from: { offset: 4 } })).to.deep.equal([])
    const failed = await read(topic, { from: { offset: 99 } }).catch((error: unknown) => error)
    expect(failed).to.have.property('code', 'invalidRequest')
    expect(failed).to.have.property('message').that.includes('the end is 4')
  })

  it('is read to its end by a reader of committed records behind an aborted transaction', async () => {
    const topic = await written(['commit', ['a']], ['abort', ['b', 'c']])
    expect(await read(topic, { from: 'earliest' }, 'readCommitted')).to.deep.equal(['a'])
    expect(await read(topic, { from: { last: 3 } }, 'readCommitted')).to.deep.equal([])
  })
})
