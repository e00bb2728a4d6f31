import kafkajs from 'kafkajs'
import { answerParent } from './child.js'
import { startInProcess } from './in-process.js'
import { measureWindow, type Window, type WindowLengths } from './window.js'

export interface ProduceRun extends WindowLengths {
  readonly client: 'castellan' | 'kafkajs'
  readonly bootstrap: string
  readonly topic: string
  readonly partitions: number
  readonly recordBytes: number
  readonly recordsPerCall: number
  readonly callsInFlight: number
}
export interface ProduceReport extends Window {
  /** Warm-up and the last calls included: what must be in the log. */
  readonly acknowledgedInAll: number
  readonly rssBytes: number
}

/** Something that writes a call's worth of records and says how many were acknowledged. */
interface Producer {
  send(): Promise<number>
  close(): Promise<void>
}

/** Keeps `callsInFlight` calls going; the same loop for both clients. */
async function run(options: ProduceRun): Promise<ProduceReport> {
  const producer = await (options.client === 'kafkajs' ? openKafkajs(options) : openCastellan(options))
  let acknowledged: number
  let sending = true
  const keepSending = async () => {
    while (sending) {
      const records = await producer.send()
      acknowledged += records
    }
  }
  // kafkajs opens a socket per caller when its first calls come together.
  acknowledged = await producer.send()
  const senders = Array.from({ length: options.callsInFlight }, keepSending)
  const window = await measureWindow(options, () => acknowledged)
  sending = false
  await Promise.all(senders)
  await producer.close()
  return { ...window, acknowledgedInAll: acknowledged, rssBytes: process.memoryUsage.rss() }
}

async function openKafkajs({
  bootstrap,
  topic,
  partitions,
  recordBytes,
  recordsPerCall
}: ProduceRun): Promise<Producer> {
  const kafka = new kafkajs.Kafka({ brokers: bootstrap.split(','), logLevel: kafkajs.logLevel.NOTHING })
  const producer = kafka.producer()
  await producer.connect()
  const value = Buffer.alloc(recordBytes, 'x')
  const messages = Array.from({ length: recordsPerCall }, (_, at) => ({ value, partition: at % partitions }))
  return {
    send: async () => {
      const written = await producer.sendBatch({ acks: -1, topicMessages: [{ topic, messages }] })
      return written.every(({ errorCode }) => errorCode === 0) ? recordsPerCall : 0
    },
    close: () => producer.disconnect()
  }
}

/** Through the Router's Produce operation, as an actor would ask; the records are the same objects every time. */
async function openCastellan({
  bootstrap,
  topic,
  partitions,
  recordBytes,
  recordsPerCall
}: ProduceRun): Promise<Producer> {
  const { router, close, askRouter } = await startInProcess({ brokers: bootstrap })
  const value = Buffer.alloc(recordBytes, 'x')
  const records = Array.from({ length: recordsPerCall }, (_, at) => ({
    topic,
    partition: at % partitions,
    key: null,
    value
  }))
  return {
    send: async () => {
      const { outcomes } = await askRouter(router.ref, { type: 'produce', records })
      let delivered = 0
      for (const { type } of outcomes) if (type === 'delivered') delivered++
      return delivered
    },
    close: async () => {
      await close()
    }
  }
}

/** Writes so many records and no more, for others to read. */
async function fill({ records, ...options }: ProduceRun & { readonly records: number }): Promise<number> {
  const producer = await openKafkajs(options)
  for (let written = 0; written < records; written += options.recordsPerCall) await producer.send()
  await producer.close()
  return records
}

answerParent({ start: () => ({}), run, fill })
