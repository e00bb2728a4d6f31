/**
 * A mocha test of code that uses Kafka. It runs against the embedded broker, which starts in milliseconds and needs
 * neither Docker nor a fixed port. Each test file has its own cluster.
 */
import assert from 'node:assert/strict'
import { type Castellan, openCastellan } from 'castellan/client'
import { type EmbeddedCluster, startEmbeddedCluster } from 'castellan/testing'

/** The code under test: counts the orders of a customer. */
async function countOrders(castellan: Castellan, customer: string): Promise<number> {
  let count = 0
  for await (const record of castellan.read('orders')) if (String(record.key) === customer) count++
  return count
}

describe('countOrders', () => {
  let cluster: EmbeddedCluster
  let castellan: Castellan

  before(async () => {
    cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 3 })
    castellan = await openCastellan({ brokers: cluster.bootstrap })
  })

  after(async () => {
    await castellan.close({ timeoutMs: 0 })
    await cluster.close()
  })

  async function order(customer: string): Promise<void> {
    const record = { topic: 'orders', key: customer, value: 'one book' }
    const [outcome] = await castellan.produce(record)
    assert.equal(outcome?.type, 'delivered')
  }

  it('counts the orders of one customer', async () => {
    await order('ann')
    await order('bob')
    await order('ann')
    assert.equal(await countOrders(castellan, 'ann'), 2)
  })

  it('survives a leader that answers that it is none', async () => {
    const NOT_LEADER_OR_FOLLOWER = 6
    const fault = cluster.faults.add(
      { api: 'Fetch', topic: 'orders' },
      { type: 'error', errorCode: NOT_LEADER_OR_FOLLOWER }
    )
    await order('carl')
    assert.equal(await countOrders(castellan, 'carl'), 1)
    assert.equal(fault.fired, 1)
  })
})
