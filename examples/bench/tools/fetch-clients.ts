import kafkajs from 'kafkajs'
import { answerParent } from './child.js'
import { RawFetcher } from './raw-fetch.js'
import { measureWindow, type Window, type WindowLengths } from './window.js'

export interface FetchRun extends WindowLengths {
  readonly client: 'kafkajs' | 'socket'
  readonly bootstrap: string
  readonly topic: string
  readonly partitions: number
  /** Records in each partition; at the end reading starts over. */
  readonly recordsPerPartition: number
  readonly partitionMaxBytes: number
}
/** `counted`: bytes of record values (of whole record sets for the socket, which knows no records). */
export type FetchReport = Window & { readonly rssBytes: number }

/** Reads until told to stop, adding to `bytesRead`. */
interface Reader {
  readonly bytesRead: number
  close(): Promise<void>
}

async function run(options: FetchRun): Promise<FetchReport> {
  const reader = await (options.client === 'kafkajs' ? readByKafkajs(options) : readBySocket(options))
  while (reader.bytesRead === 0) await new Promise(resolve => setTimeout(resolve, 5))
  const window = await measureWindow(options, () => reader.bytesRead)
  const rssBytes = process.memoryUsage.rss()
  await reader.close()
  return { ...window, rssBytes }
}

/** kafkajs at its own defaults, but nothing committed and all partitions at once, which are its quickest settings. */
async function readByKafkajs({ bootstrap, topic, partitions, recordsPerPartition, partitionMaxBytes }: FetchRun) {
  const kafka = new kafkajs.Kafka({ brokers: bootstrap.split(','), logLevel: kafkajs.logLevel.NOTHING })
  const consumer = kafka.consumer({ groupId: `bench-${process.pid}`, maxBytesPerPartition: partitionMaxBytes })
  const progress = { bytesRead: 0, touched: 0 }
  await consumer.connect()
  await consumer.subscribe({ topic, fromBeginning: true })
  await consumer.run({
    autoCommit: false,
    partitionsConsumedConcurrently: partitions,
    eachBatch: async ({ batch }) => {
      for (const { value } of batch.messages) {
        progress.touched ^= value![0]! ^ value![value!.length - 1]!
        progress.bytesRead += value!.length
      }
      if (Number(batch.lastOffset()) >= recordsPerPartition - 1) {
        consumer.seek({ topic, partition: batch.partition, offset: '0' })
      }
    }
  })
  return {
    get bytesRead() {
      return progress.bytesRead
    },
    close: () => consumer.disconnect()
  } satisfies Reader
}

/** One connection, one partition after another, nothing looked at but where the batches end. */
async function readBySocket(options: FetchRun) {
  const { bootstrap, topic, partitions, recordsPerPartition, partitionMaxBytes: maxBytes } = options
  const [host, port] = bootstrap.split(':')
  const fetcher = await RawFetcher.open(host!, Number(port))
  const offsets = Array.from({ length: partitions }, () => 0)
  let bytesRead = 0
  let reading = true
  const read = async () => {
    for (let partition = 0; reading; partition = (partition + 1) % partitions) {
      const offset = offsets[partition]!
      const { errorCode, bytes, nextOffset } = await fetcher.fetch({
        topic,
        partition,
        offset,
        maxBytes,
        maxWaitMs: 100
      })
      if (errorCode !== 0 || nextOffset === offset)
        throw new Error(`offset ${offset}: code ${errorCode}, ${bytes} bytes`)
      bytesRead += bytes
      offsets[partition] = nextOffset >= recordsPerPartition ? 0 : nextOffset
    }
  }
  const done = read()
  return {
    get bytesRead() {
      return bytesRead
    },
    close: async () => {
      reading = false
      await done
      fetcher.close()
    }
  } satisfies Reader
}

answerParent({ start: () => ({}), run })
