import { Consumer } from '@platformatic/kafka'
import kafkajs from 'kafkajs'
import { answerParent } from './child.js'
import { startInProcess } from './in-process.js'

export interface ConsumeRun {
  readonly way: keyof typeof ways
  readonly bootstrap: string
  readonly topic: string
  readonly group: string
  /** How many are read, and how many of them come before the figures begin. */
  readonly messages: number
  readonly warmUp: number
}
export interface ConsumeReport {
  readonly cpuMicros: number
  readonly counted: number
}

const MAX_WAIT_MS = 100
const COMMIT_EVERY_MS = 1_000

/** @param onMessages called with how many have come; true: these were the last ones */
type Way = (run: ConsumeRun, onMessages: (count: number) => boolean) => Promise<void>

const loopOf = async ({ bootstrap, group, topic }: ConsumeRun) => {
  const castellan = await startInProcess({ brokers: bootstrap, consumer: { start: 'earliest' } })
  return castellan.consume({ group, topics: topic })
}

const byKafkajs =
  (how: 'eachMessage' | 'eachBatch'): Way =>
  async ({ bootstrap, group, topic }, onMessages) => {
    const kafka = new kafkajs.Kafka({ brokers: bootstrap.split(','), logLevel: kafkajs.logLevel.NOTHING })
    const consumer = kafka.consumer({ groupId: group, maxWaitTimeInMs: MAX_WAIT_MS })
    await consumer.connect()
    await consumer.subscribe({ topic, fromBeginning: true })
    await new Promise<void>((resolve, reject) => {
      const came = (count: number): void => {
        if (onMessages(count)) resolve()
      }
      const handlers: kafkajs.ConsumerRunConfig =
        how === 'eachMessage'
          ? { eachMessage: async () => came(1) }
          : { eachBatch: async ({ batch }) => came(batch.messages.length) }
      consumer.run({ autoCommitInterval: COMMIT_EVERY_MS, ...handlers }).catch(reject)
    })
  }

/** All read every message, and acknowledge or commit what they have read. */
const ways = {
  run: async (run, onMessages) => {
    const loop = await loopOf(run)
    await loop.run(async () => {
      if (onMessages(1)) void loop.return?.()
    })
  },
  'for-await': async (run, onMessages) => {
    for await (const message of await loopOf(run)) {
      message.ack()
      if (onMessages(1)) return
    }
  },
  batches: async (run, onMessages) => {
    for await (const batch of (await loopOf(run)).batches()) {
      batch.ack()
      if (onMessages(batch.length)) return
    }
  },
  eachMessage: byKafkajs('eachMessage'),
  eachBatch: byKafkajs('eachBatch'),
  stream: async ({ bootstrap, group: groupId, topic }, onMessages) => {
    const bootstrapBrokers = bootstrap.split(',')
    const timing = { autocommit: COMMIT_EVERY_MS, maxWaitTime: MAX_WAIT_MS }
    const consumer = new Consumer({ clientId: 'bench', groupId, bootstrapBrokers, ...timing })
    const stream = await consumer.consume({ topics: [topic], mode: 'earliest' })
    for await (const _ of stream) if (onMessages(1)) return
  }
} satisfies Record<string, Way>

/** The CPU of this process from the end of the warm-up to the last message. The process is to be ended then. */
function run(options: ConsumeRun): Promise<ConsumeReport> {
  return new Promise((resolve, reject) => {
    let count = 0
    let beganAt = 0
    let before = process.cpuUsage()
    const onMessages = (messages: number): boolean => {
      count += messages
      if (beganAt === 0 && count >= options.warmUp) {
        beganAt = count
        before = process.cpuUsage()
      }
      if (count < options.messages) return false
      const { user, system } = process.cpuUsage(before)
      resolve({ cpuMicros: user + system, counted: count - beganAt })
      return true
    }
    ways[options.way](options, onMessages).catch(reject)
  })
}

answerParent({ start: () => ({}), run })
