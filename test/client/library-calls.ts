import type { LibraryPath } from '../../src/client/library-facts.js'
import type { Castellan } from '../../src/client.js'

const record = { topic: 'orders', value: 'x' }
const place = { topic: 'orders', partition: 0 }
const group = { group: 'calls', topics: ['orders'] }
const queue = { topic: 'orders', group: 'calls of queue' }

/** A call of each function of the library that is right. */
export const libraryCalls: Readonly<Record<LibraryPath, (castellan: Castellan) => unknown>> = {
  read: castellan => castellan.read('orders').next(),
  produce: castellan => castellan.produce(record),
  produceOrThrow: castellan => castellan.produceOrThrow(record),
  receipt: castellan => castellan.receipt('a', { waitMs: 60_000 }),
  consume: castellan => castellan.consume(group).next(),
  'consume.batches': castellan => castellan.consume(group).batches().next(),
  'consume.run': castellan => castellan.consume(group).run(() => undefined),
  transaction: castellan => castellan.transaction('calls', async () => undefined),
  'transaction.produce': castellan => castellan.transaction('calls', tx => tx.produce(record)),
  'transaction.ack': castellan =>
    castellan.transaction('calls', async tx => {
      for await (const batch of castellan.consume(group).batches()) {
        tx.ack(batch)
        break
      }
    }),
  'transaction.commitOffsets': castellan =>
    castellan.transaction('calls', tx => tx.commitOffsets('positions', [{ ...place, offset: 0 }])),
  queue: castellan => castellan.queue(queue),
  'queue.acquire': castellan => castellan.queue(queue).acquire({ waitMs: 20_000 }),
  'queue.run': castellan => castellan.queue(queue).run(() => undefined),
  'admin.createTopic': castellan => castellan.admin.createTopic({ name: 'made', partitions: 1 }),
  'admin.deleteTopic': castellan => castellan.admin.deleteTopic('gone'),
  'admin.createPartitions': castellan => castellan.admin.createPartitions('orders', 2),
  'admin.topics': castellan => castellan.admin.topics(['orders']),
  'admin.logEnds': castellan => castellan.admin.logEnds([place]),
  'admin.deleteRecords': castellan => castellan.admin.deleteRecords({ ...place, offset: 0 }),
  'admin.describeConfigs': castellan => castellan.admin.describeConfigs({ topic: 'orders' }),
  'admin.alterConfigs': castellan => castellan.admin.alterConfigs({ topic: 'orders' }, { 'retention.ms': null }),
  'admin.describeAcls': castellan => castellan.admin.describeAcls(),
  'admin.describeGroups': castellan => castellan.admin.describeGroups(['calls']),
  'admin.deleteGroups': castellan => castellan.admin.deleteGroups('gone'),
  'admin.offsets': castellan => castellan.admin.offsets('calls'),
  'admin.setOffsets': castellan => castellan.admin.setOffsets('positions', [{ ...place, offset: 0 }]),
  'admin.describeCluster': castellan => castellan.admin.describeCluster(),
  close: castellan => castellan.close()
}
