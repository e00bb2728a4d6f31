import { Consumer } from '@platformatic/kafka'
import kafkajs from 'kafkajs'
import { answerParent } from './child.js'
import { RawFetcher } from './raw-fetch.js'
import { measureWindow, type Window, type WindowLengths } from './window.js'

export interface FetchRun extends WindowLengths {
  readonly client: 'kafkajs' | 'platformatic' | 'socket'
  readonly bootstrap: string
  readonly topic: string
  readonly partitions: number
  /** Number of records in each partition. A reader that reaches the end starts again at the beginning. */
  readonly recordsPerPartition: number
  readonly partitionMaxBytes: number
}
/**
 * `counted` is the number of bytes in record values. For the bare socket, which does not decode records, it is the
 * number of bytes in record sets.
 */
export type FetchReport = Window & { readonly rssBytes: number }

/** Reads until it is stopped, adding to `bytesRead`. */
interface Reader {
  readonly bytesRead: number
  close(): Promise<void>
}

async function run(options: FetchRun): Promise<FetchReport> {
  const readers = { kafkajs: readByKafkajs, platformatic: readByPlatformatic, socket: readBySocket }
  const reader = await readers[options.client](options)
  while (reader.bytesRead === 0) await new Promise(resolve => setTimeout(resolve, 5))
  const window = await measureWindow(options, () => reader.bytesRead)
  const rssBytes = process.memoryUsage.rss()
  await reader.close()
  return { ...window, rssBytes }
}

/** kafkajs at its defaults, except for two settings that make it fastest: no commits, and all partitions at once. */
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

/** Commits are left to a timer that does not fire, because a stream without one makes a function for each message. */
const NO_COMMIT_MS = 3_600_000
const SHORT_WAIT_MS = 100

/** @platformatic/kafka, by the events of its stream, with responses as large as all partitions of the others together. */
async function readByPlatformatic({ bootstrap, topic, partitions, recordsPerPartition, partitionMaxBytes }: FetchRun) {
  const consumer = new Consumer({
    clientId: 'bench',
    groupId: `bench-${process.pid}`,
    bootstrapBrokers: bootstrap.split(','),
    autocommit: NO_COMMIT_MS,
    maxBytes: partitionMaxBytes * partitions,
    maxWaitTime: SHORT_WAIT_MS
  })
  const stream = await consumer.consume({ topics: [topic], mode: 'earliest' })
  startOverAt(BigInt(recordsPerPartition), stream.offsetsToFetch)
  const progress = { bytesRead: 0, touched: 0 }
  stream.on('data', ({ value }: { value: Buffer }) => {
    progress.touched ^= value[0]! ^ value[value.length - 1]!
    progress.bytesRead += value.length
  })
  return {
    get bytesRead() {
      return progress.bytesRead
    },
    // The process ends next. Leaving the group would wait for a call that is under way.
    close: async () => void stream.pause()
  } satisfies Reader
}

/** A stream cannot seek, so the next offsets that it notes are changed as it notes them. */
function startOverAt(end: bigint, offsets: Map<string, bigint>): void {
  const set = offsets.set.bind(offsets)
  offsets.set = (key, offset) => set(key, offset >= end ? 0n : offset)
}

/** Reads one partition after another over one connection, and looks only for the ends of the batches. */
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
