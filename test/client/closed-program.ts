import { type Castellan, openCastellan } from '../../src/client.js'

/** A program that closes its castellan while each verb is at work, and then has nothing left to do: it has to end. */

const [brokers = '', directory = ''] = process.argv.slice(2)
const never = new Promise<never>(() => undefined)
const ignore = (work: Promise<unknown>): void => void work.catch(() => undefined)

/** Resolves when the handler has been called, which does not resolve. */
const handled = (run: (handler: () => Promise<never>) => Promise<unknown>): Promise<void> =>
  new Promise(resolve => {
    ignore(
      run(() => {
        resolve()
        return never
      })
    )
  })

const record = { topic: 'orders', value: 'x' }
const verbs: Readonly<Record<string, (castellan: Castellan) => Promise<unknown>>> = {
  produce: castellan => castellan.produce(record),
  'produce to a topic that cannot be created': async castellan => {
    ignore(castellan.produce({ topic: 'refused', value: 'x' }, { deadlineMs: 600_000 }))
    await new Promise(setImmediate)
  },
  'produce to disk': castellan => castellan.produce(record, { durability: 'disk' }),
  receipt: async castellan => {
    const { receipt } = castellan.produce(record)
    ignore(castellan.receipt(receipt ?? 'none', { waitMs: 60_000 }))
  },
  read: async castellan => {
    const reader = castellan.read('orders', { from: 'earliest' })[Symbol.asyncIterator]()
    await reader.next()
    ignore(Promise.resolve(reader.next()))
  },
  'read at the end': async castellan => {
    ignore(Promise.resolve(castellan.read('orders')[Symbol.asyncIterator]().next()))
    await castellan.produce(record)
  },
  consume: async castellan => {
    const messages = castellan.consume({ group: 'loop', topics: ['orders'], start: 'earliest' })[Symbol.asyncIterator]()
    await messages.next()
  },
  'consume run': castellan =>
    handled(handler => castellan.consume({ group: 'run', topics: ['orders'], start: 'earliest' }).run(handler)),
  'consume batches': async castellan => {
    const consumer = castellan.consume({ group: 'batches', topics: ['orders'], start: 'earliest' })
    await consumer.batches()[Symbol.asyncIterator]().next()
  },
  'queue acquire': castellan =>
    castellan.queue({ topic: 'orders', group: 'acquire' }).acquire({ start: 'earliest', waitMs: 20_000 }),
  'queue acquire that waits': async castellan => {
    ignore(castellan.queue({ topic: 'empty', group: 'wait' }).acquire({ waitMs: 60_000 }))
    await castellan.produce(record)
  },
  'queue run': castellan =>
    handled(handler => castellan.queue({ topic: 'orders', group: 'queue-run' }).run(handler, { start: 'earliest' })),
  transaction: castellan => handled(handler => castellan.transaction('tx', handler)),
  'transaction with records': castellan =>
    handled(handler =>
      castellan.transaction('tx-records', async tx => {
        await tx.produce(record)
        return handler()
      })
    ),
  admin: castellan => castellan.admin.topics(),
  ...inFlight({
    'admin.createTopic': ({ admin }) => admin.createTopic({ name: 'new' }),
    'admin.deleteTopic': ({ admin }) => admin.deleteTopic('empty'),
    'admin.createPartitions': ({ admin }) => admin.createPartitions('empty', 9),
    'admin.topics': ({ admin }) => admin.topics(),
    'admin.logEnds': ({ admin }) => admin.logEnds([{ topic: 'orders', partition: 0 }]),
    'admin.deleteRecords': ({ admin }) => admin.deleteRecords({ topic: 'orders', partition: 0, offset: 1 }),
    'admin.describeConfigs': ({ admin }) => admin.describeConfigs({ topic: 'orders' }),
    'admin.alterConfigs': ({ admin }) => admin.alterConfigs({ topic: 'orders' }, { 'retention.ms': '1000000' }),
    'admin.deleteGroups': ({ admin }) => admin.deleteGroups('none')
  })
}

/** Each is closed at different moments: while its first call, or a later one, is not answered. */
function inFlight(calls: Readonly<Record<string, (castellan: Castellan) => Promise<unknown>>>) {
  const all = Object.entries(calls).flatMap(([name, call]) =>
    [0, 64].map(afterMs => [
      `${name} after ${afterMs} ms`,
      async (castellan: Castellan) => {
        ignore(call(castellan))
        await new Promise(resolve => setTimeout(resolve, afterMs))
      }
    ])
  )
  return Object.fromEntries(all) as Readonly<Record<string, (castellan: Castellan) => Promise<unknown>>>
}

const resources = (): string => process.getActiveResourcesInfo().sort().join()
/** What is left when nothing more changes for a moment. */
const settled = async (): Promise<string> => {
  const endsAt = performance.now() + 3_000
  while (resources() !== before && performance.now() < endsAt) await new Promise(resolve => setTimeout(resolve, 10))
  return resources()
}

const before = resources()
for (const [name, work] of Object.entries(verbs)) {
  const castellan = await openCastellan({ brokers: [brokers], wal: { directory } })
  await work(castellan)
  await castellan.close({ timeoutMs: 300 })
  const after = await settled()
  console.log(JSON.stringify({ name, left: after === before ? '' : after }))
}
