import { openCastellan } from '../../../src/client.js'

/** Reads orders and writes a bill for each, in transactions, until it is killed. Its first line on stdout says that it has written. */
const [brokers, orders, bills, group, id] = process.argv.slice(2) as [string, string, string, string, string]

const castellan = await openCastellan({
  brokers,
  router: { isolationLevel: 'readCommitted' },
  consumer: { instanceId: id, sessionTimeoutMs: 6_000, heartbeatIntervalMs: 200 }
})
let isFirst = true
while (true) {
  try {
    const batches = castellan.consume({ group, topics: orders, start: 'earliest' }).batches({ maxMessages: 20 })
    for await (const batch of batches) {
      await castellan.transaction(
        id,
        async tx => {
          for (const { value } of batch) void tx.produce({ topic: bills, key: value, value })
          tx.ack(batch)
        },
        { timeoutMs: 20_000 }
      )
      if (isFirst) console.log('written')
      isFirst = false
    }
  } catch (error) {
    const { code, message } = error as { readonly code?: string; readonly message: string }
    console.error(code, message)
    if (code === 'fenced') process.exit(3)
  }
}
