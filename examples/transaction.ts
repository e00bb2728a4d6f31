/**
 * Each order becomes one bill, exactly once: the bills of a batch and the acknowledgement of its orders are committed
 * together. The first attempt fails halfway, and leaves nothing behind.
 *
 * ```text
 * the first attempt was aborted: no paper
 * 20 orders, 20 bills, each once
 * ```
 */
import { openCastellan } from 'castellan/client'
import { startEmbeddedCluster } from 'castellan/testing'

await using broker = await startEmbeddedCluster()
broker.createTopic('orders', { partitions: 2 })
broker.createTopic('bills', { partitions: 2 })

// Whatever reads the bills has to read committed records only.
await using castellan = await openCastellan({ brokers: broker.bootstrap, router: { isolationLevel: 'readCommitted' } })
const orders = Array.from({ length: 20 }, (_, at) => ({ topic: 'orders', key: `order ${at}`, value: `${at} books` }))
await castellan.produceOrThrow(orders)

let paper = 5
let billed = 0
while (billed < orders.length) {
  try {
    for await (const batch of castellan.consume({ group: 'billing', topics: 'orders', start: 'earliest' }).batches()) {
      // A stable id for each process: the next process with this id aborts what a crash has left open.
      await castellan.transaction('billing-1', async tx => {
        for (const { key, value } of batch) {
          if (paper-- === 0) throw new Error('no paper')
          void tx.produce({ topic: 'bills', key, value: `pay for ${value}` })
        }
        tx.ack(batch)
      })
      billed += batch.length
      if (billed === orders.length) break
    }
  } catch (error) {
    console.log(`the first attempt was aborted: ${(error as Error).message}`)
  }
}

const bills: string[] = []
for await (const { key } of castellan.read('bills', { from: 'earliest', follow: false })) bills.push(String(key))
const once = new Set(bills).size === bills.length ? 'each once' : 'some twice'
console.log(`${billed} orders, ${bills.length} bills, ${once}`)
