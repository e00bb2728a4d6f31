/**
 * Tests code that writes to Kafka with Node's own test runner. The tests make the broker close connections or refuse
 * records. The outcome of each record says whether it is in the log. It runs with `node --import tsx --test FILE`.
 */
import assert from 'node:assert/strict'
import { after, before, describe, it } from 'node:test'
import { type Castellan, openCastellan, type Persisted } from 'castellan/client'
import { type EmbeddedCluster, startEmbeddedCluster } from 'castellan/testing'

/** The code under test: writes an order, and says whether it is in the log. */
async function placeOrder(castellan: Castellan, customer: string): Promise<'yes' | Persisted> {
  const record = { topic: 'orders', key: customer, value: 'one book' }
  const [outcome] = await castellan.produce(record)
  return outcome!.type === 'delivered' ? 'yes' : outcome!.persisted
}

describe('placeOrder', () => {
  let cluster: EmbeddedCluster
  let castellan: Castellan

  before(async () => {
    cluster = await startEmbeddedCluster()
    cluster.createTopic('orders', { partitions: 1 })
    castellan = await openCastellan({ brokers: cluster.bootstrap })
  })

  after(async () => {
    await castellan.close({ timeoutMs: 0 })
    await cluster.close()
  })

  const customers = (): string[] => cluster.records('orders', 0).map(({ key }) => String(key))

  it('writes an order once, although the connection breaks before the answer', async () => {
    const fault = cluster.faults.add({ api: 'Produce' }, { type: 'close', afterWork: true })
    assert.equal(await placeOrder(castellan, 'ann'), 'yes')
    assert.equal(fault.fired, 1)
    assert.deepEqual(customers(), ['ann'])
  })

  it('says that an order is not written, where the broker refuses it', async () => {
    const TOPIC_AUTHORIZATION_FAILED = 29
    cluster.faults.add({ api: 'Produce' }, { type: 'error', errorCode: TOPIC_AUTHORIZATION_FAILED })
    assert.equal(await placeOrder(castellan, 'bob'), 'no')
    assert.deepEqual(customers(), ['ann'])
  })
})
