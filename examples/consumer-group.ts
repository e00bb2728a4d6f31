/**
 * Two consumer actors in one group. In production, each runs in its own process. They share the partitions of a topic.
 * When one actor leaves, the other continues with all partitions, directly after the last acknowledged messages.
 *
 * ```text
 * together they have billed 60 orders, none of them twice
 * alone the second one has billed 20 more
 * ```
 */
import { type ActorRef, type Castellan, type ConsumeResult, openCastellan } from 'castellan/client'
import { type EmbeddedCluster, startEmbeddedCluster } from 'castellan/testing'

/** How long one request waits for a message. */
const POLL_MS = 5_000

type BillerMessage = { readonly type: 'ask' } | { readonly type: 'answered'; readonly result: ConsumeResult }

/** An actor that asks for one order after another, and bills each. */
function spawnBiller(castellan: Castellan, bill: (order: string) => void): ActorRef<BillerMessage> {
  const reply = (result: ConsumeResult) => biller.tell({ type: 'answered', result })
  const biller = castellan.system.spawnOwner<BillerMessage>('biller', {
    receive: message => {
      if (message.type === 'answered') {
        const { result } = message
        if (result.type === 'failed') return
        if (result.type === 'message') {
          bill(String(result.message.value))
          // The message is acknowledged after billing, so that an order that was not billed is offered again.
          result.message.ack()
        }
      }
      castellan.groups.request('billing', 'orders', POLL_MS, { reply })
    },
    onCrash: error => {
      throw error
    }
  })
  biller.tell({ type: 'ask' })
  return biller
}

async function produce({ gateway }: Castellan, orders: readonly string[]): Promise<void> {
  const records = orders.map(order => ({ topic: 'orders', key: order, value: order }))
  await gateway.produce(records, { partitioner: 'murmur2', deadlineMs: 5_000 }).outcomes()
}

const open = ({ bootstrap }: EmbeddedCluster) =>
  openCastellan({ brokers: bootstrap, consumer: { start: 'earliest', heartbeatIntervalMs: 200 } })
const orders = (from: number, count: number) => Array.from({ length: count }, (_, at) => `order ${from + at}`)

const broker = await startEmbeddedCluster()
broker.createTopic('orders', { partitions: 4 })
const [first, second] = await Promise.all([open(broker), open(broker)])
const billed: string[] = []
let enough = () => {}
const haveBilled = (count: number) =>
  new Promise<void>(resolve => {
    enough = () => billed.length >= count && resolve()
    enough()
  })
for (const castellan of [first, second]) {
  spawnBiller(castellan, order => {
    billed.push(order)
    enough()
  })
}
await produce(first, orders(0, 60))
await haveBilled(60)
const twice = billed.length - new Set(billed).size
console.log(`together they have billed ${billed.length} orders, ${twice === 0 ? 'none' : twice} of them twice`)

await first.close()
await produce(second, orders(60, 20))
await haveBilled(80)
console.log(`alone the second one has billed ${new Set(billed).size - 60} more`)
await second.close()
await broker.close()
