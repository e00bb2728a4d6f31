/**
 * Producing from an actor. Records of one partition keep the order of the requests, whether these are awaited or
 * not; every record gets an outcome, and a failure says whether the record can still appear in Kafka.
 *
 * ```text
 * order 1: written to sales/0 at 0
 * order 2: written to sales/0 at 1
 * order 3: written to sales/0 at 2
 * order 4: failed with unknownPartition, in the log: no
 * ```
 */
import { type Castellan, openCastellan, type ProduceResult } from 'castellan/client'
import { startEmbeddedCluster } from 'castellan/testing'

type SellerMessage =
  | { readonly type: 'sold'; readonly order: number; readonly partition: number }
  | { readonly type: 'written'; readonly order: number; readonly result: ProduceResult }

/** Writes one record per sale. Calls `done` with the outcomes when all `expected` records have an outcome. */
function spawnSeller({ system, router }: Castellan, expected: number, done: (fates: Map<number, string>) => void) {
  const fates = new Map<number, string>()
  return system.spawnOwner<SellerMessage>('seller', {
    receive: (message, self) => {
      if (message.type === 'sold') {
        const { order, partition } = message
        router.ref.tell({
          type: 'produce',
          records: [{ topic: 'sales', partition, key: `order-${order}`, value: JSON.stringify({ order }) }],
          timeoutMs: 5_000,
          requester: { reply: result => self.tell({ type: 'written', order, result }) }
        })
        return
      }
      const [outcome] = message.result.outcomes
      if (outcome?.type === 'delivered') {
        fates.set(message.order, `written to sales/${outcome.partition} at ${outcome.offset}`)
      } else if (outcome) {
        fates.set(message.order, `failed with ${outcome.code}, in the log: ${outcome.persisted}`)
      }
      if (fates.size === expected) done(fates)
    },
    onCrash: error => {
      throw error
    }
  })
}

const broker = await startEmbeddedCluster()
broker.createTopic('sales', { partitions: 1 })
const castellan = await openCastellan({ brokers: broker.bootstrap })
const fates = await new Promise<Map<number, string>>(done => {
  const seller = spawnSeller(castellan, 4, done)
  for (const order of [1, 2, 3]) seller.tell({ type: 'sold', order, partition: 0 })
  seller.tell({ type: 'sold', order: 4, partition: 7 })
})
// The orders are sorted, because the failure for an unknown partition comes before the acknowledgements.
for (const order of [...fates.keys()].sort()) console.log(`order ${order}: ${fates.get(order)}`)
await castellan.close()
await broker.close()
