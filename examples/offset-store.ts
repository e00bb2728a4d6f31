/**
 * An actor that keeps a consumer's position: it commits how far it has come, and asks for that offset after a restart.
 * When commits come faster than Kafka accepts them, only the highest one is sent, and the others are told by which
 * commit they were superseded.
 *
 * ```text
 * billing has no place yet: starting at 0
 * committed 10: superseded by 20
 * committed 20: superseded by 30
 * committed 30: success
 * after a restart billing goes on at 30 (invoice run of May)
 * ```
 */
import { setTimeout as sleep } from 'node:timers/promises'
import { askRouter, type Castellan, openCastellan, startEmbeddedCluster } from 'castellan'

const topicPartition = { topic: 'invoices', partition: 0 }

/** Where the group goes on, and what it noted there. */
async function placeOf({ router }: Castellan, groupId: string) {
  const result = await askRouter(router.ref, { type: 'fetchConsumerOffset', groupId, topicPartition })
  switch (result.type) {
    case 'success':
      return result.offsetAndMetadata
    case 'notFound':
      return undefined
    case 'timedOut':
    case 'failed':
      throw new Error(`where ${groupId} stopped is not known: ${result.type}`)
  }
}

const ATTEMPTS = 10

/**
 * Resolves with what became of this commit. A coordinator that was just started may not know the partition yet: that passes,
 * where the topic was not deleted.
 */
async function commit({ router }: Castellan, groupId: string, offset: number, metadata: string): Promise<string> {
  const offsetAndMetadata = { offset, metadata }
  const request = { type: 'commitConsumerOffset', groupId, topicPartition, offsetAndMetadata } as const
  let result = await askRouter(router.ref, request)
  for (let attempt = 1; result.type === 'unknownTopicOrPartition' && attempt < ATTEMPTS; attempt++) {
    await sleep(100 * attempt)
    result = await askRouter(router.ref, request)
  }
  return result.type === 'superseded' ? `superseded by ${result.supersededBy.offset}` : result.type
}

const broker = await startEmbeddedCluster()
broker.createTopic('invoices', { partitions: 1 })

const firstRun = await openCastellan({ brokers: broker.bootstrap })
const place = await placeOf(firstRun, 'billing')
console.log(place ? `billing goes on at ${place.offset}` : 'billing has no place yet: starting at 0')
const offsets = [10, 20, 30]
const answers = await Promise.all(offsets.map(offset => commit(firstRun, 'billing', offset, 'invoice run of May')))
for (const [at, answer] of answers.entries()) console.log(`committed ${offsets[at]}: ${answer}`)
await firstRun.close()

const secondRun = await openCastellan({ brokers: broker.bootstrap })
const found = await placeOf(secondRun, 'billing')
console.log(`after a restart billing goes on at ${found?.offset} (${found?.metadata})`)
await secondRun.close()
await broker.close()
