/**
 * Two consumers in one group. In production, each runs in its own process. They share the partitions of a topic. When one
 * of them leaves, the other continues with all partitions, directly after the last acknowledged messages.
 *
 * ```text
 * together they have billed 60 orders, none of them twice
 * alone the second one has billed 20 more
 * ```
 */
import { type Castellan, openCastellan } from 'castellan/client'
import { startEmbeddedCluster } from 'castellan/testing'

await using broker = await startEmbeddedCluster()
broker.createTopic('orders', { partitions: 4 })

const open = () => openCastellan({ brokers: broker.bootstrap, consumer: { heartbeatIntervalMs: 200 } })
const [first, second] = await Promise.all([open(), open()])

const billed: string[] = []
let enough = () => {}
const haveBilled = (count: number) =>
  new Promise<void>(resolve => {
    enough = () => billed.length >= count && resolve()
    enough()
  })

/** Bills up to four orders at a time, each partition in order. Ends when the castellan is closed. */
const bill = (castellan: Castellan): Promise<void> =>
  // `start` counts only where the group has committed nothing.
  castellan.consume({ group: 'billing', topics: 'orders', start: 'earliest' }).run(
    // A message is acknowledged when this has resolved, so that an order that was not billed is offered again.
    async ({ value }) => {
      billed.push(String(value))
      enough()
    },
    { concurrency: 4 }
  )

async function produce(from: number, count: number): Promise<void> {
  const orders = Array.from({ length: count }, (_, at) => `order ${from + at}`)
  const records = orders.map(order => ({ topic: 'orders', key: order, value: order }))
  await second.produceOrThrow(records)
}

const [firstEnded, secondEnded] = [bill(first), bill(second)]
await produce(0, 60)
await haveBilled(60)
const twice = billed.length - new Set(billed).size
console.log(`together they have billed ${billed.length} orders, ${twice === 0 ? 'none' : twice} of them twice`)

await first.close()
await firstEnded
await produce(60, 20)
await haveBilled(80)
console.log(`alone the second one has billed ${new Set(billed).size - 60} more`)
await second.close()
await secondEnded
