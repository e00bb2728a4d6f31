/**
 * An actor that reads a partition from its beginning. It uses the request manager, which keeps track of open requests.
 * The request manager assigns answers to requests, repeats a request that is not answered in time, and drops answers
 * that come too late.
 *
 * Every result of FetchData needs a handler; this file does not compile when one is missing.
 *
 * ```text
 * offset 0: first
 * offset 1: second
 * offset 2: third
 * at the end after 3 records
 * ```
 */
import {
  type ActorRef,
  type Castellan,
  type FetchDataResult,
  type FromRouter,
  openCastellan,
  RequestManager
} from 'castellan/client'
import { startEmbeddedCluster } from 'castellan/testing'

/** The only message that others send to this actor; answers of the Router come as `fromRouter`. */
type ReaderMessage = { readonly type: 'start' } | FromRouter

/** Reads to the end of the log, then calls `done`. */
function spawnReader({ system, router }: Castellan, topic: string, done: () => void): ActorRef<ReaderMessage> {
  const topicPartition = { topic, partition: 0 }
  let recordCount = 0
  const manager = new RequestManager<'fetchData'>({ router: router.ref, tellSelf: message => reader.tell(message) })
  const readFrom = (offset: number) => manager.sendRequestToRouter({ type: 'fetchData', topicPartition, offset })
  const giveUp = (result: FetchDataResult) => {
    throw new Error(`cannot read ${topic} at ${result.offset}: ${result.type}`)
  }
  const reader = system.spawnOwner<ReaderMessage>('reader', {
    receive: message => {
      if (message.type === 'start') {
        readFrom(0)
        return
      }
      manager.checkResult(message, {
        fetchData: {
          success: ({ batch }) => {
            for (const { offset, value } of batch) console.log(`offset ${offset}: ${value}`)
            recordCount += batch.recordCount
            readFrom(batch.nextOffset)
          },
          // A reader that follows the log would ask for the same offset again.
          noMessages: () => {
            console.log(`at the end after ${recordCount} records`)
            done()
          },
          corruptMessage: ({ nextOffset }) => readFrom(nextOffset),
          offsetOutOfRange: giveUp,
          unknownTopicOrPartition: giveUp,
          failed: giveUp
        }
      })
    },
    onCrash: error => {
      manager.close()
      throw error
    }
  })
  return reader
}

const broker = await startEmbeddedCluster()
broker.createTopic('orders', { partitions: 1 })
const castellan = await openCastellan({ brokers: broker.bootstrap })
await castellan.produceOrThrow(['first', 'second', 'third'].map(value => ({ topic: 'orders', value })))

await new Promise<void>(done => {
  spawnReader(castellan, 'orders', done).tell({ type: 'start' })
})
await castellan.close()
await broker.close()
