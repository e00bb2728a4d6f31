import { ProduceAcks, Producer } from '@platformatic/kafka'
import kafkajs from 'kafkajs'
import { answerParent } from './child.js'
import { startInProcess } from './in-process.js'
import { measureWindow, type Window, type WindowLengths } from './window.js'

export interface WriteRun extends WindowLengths {
  readonly way: keyof typeof ways
  readonly bootstrap: string
  /** A call writes one record to each of them. */
  readonly topics: readonly string[]
}

/** Counts records. */
export interface WriteReport extends Window {
  /** All of the process, before the window and after it as well. */
  readonly acknowledgedInAll: number
}

const value = Buffer.alloc(1024, 'x')

/** Writes the records of one call. Resolves with how many are in Kafka. */
type Send = () => Promise<number>

/** All wait for all replicas. Records have neither key nor partition. */
const ways = {
  castellan: async (bootstrap: string, topics: readonly string[]): Promise<Send> => {
    const castellan = await startInProcess({ brokers: bootstrap })
    return async () => (await castellan.produceOrThrow(topics.map(topic => ({ topic, value })))).length
  },
  platformatic: async (bootstrap: string, topics: readonly string[]): Promise<Send> => {
    const producer = new Producer({ clientId: 'bench', bootstrapBrokers: bootstrap.split(',') })
    return async () => {
      const messages = topics.map(topic => ({ topic, value }))
      const { offsets = [] } = await producer.send({ messages, acks: ProduceAcks.ALL })
      return offsets.length
    }
  },
  kafkajs: async (bootstrap: string, topics: readonly string[]): Promise<Send> => {
    const kafka = new kafkajs.Kafka({ brokers: bootstrap.split(','), logLevel: kafkajs.logLevel.NOTHING })
    const producer = kafka.producer({ createPartitioner: kafkajs.Partitioners.DefaultPartitioner })
    await producer.connect()
    return async () => {
      const topicMessages = topics.map(topic => ({ topic, messages: [{ value }] }))
      const written = await producer.sendBatch({ acks: -1, topicMessages })
      return written.filter(({ errorCode }) => errorCode === 0).length
    }
  }
}

/** Makes one call after another. The process is to be ended then. */
async function run(options: WriteRun): Promise<WriteReport> {
  const send = await ways[options.way](options.bootstrap, options.topics)
  let acknowledged = await send()
  let isOver = false
  const sending = (async () => {
    while (!isOver) acknowledged += await send()
  })()
  const window = await measureWindow(options, () => acknowledged)
  isOver = true
  await sending
  return { ...window, acknowledgedInAll: acknowledged }
}

answerParent({ start: () => ({}), run })
