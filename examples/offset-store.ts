/**
 * An actor that stores the position of a consumer. It commits an offset, and asks for it after a restart. When commits
 * come faster than Kafka accepts them, only the highest offset is sent. The result of each other commit names the
 * commit that superseded it.
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
import { askRouter, type Castellan, openCastellan } from 'castellan/client'
import { startEmbeddedCluster } from 'castellan/testing'

const topicPartition = { topic: 'invoices', partition: 0 }

/** The offset from which the group continues, and the metadata it has stored there. */
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
 * Resolves with the outcome of this commit. A coordinator that has just started may not know the partition yet, so the
 * commit is tried again.
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
