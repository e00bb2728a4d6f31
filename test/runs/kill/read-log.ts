import { spawnSync } from 'node:child_process'
import { Kafka, logLevel } from 'kafkajs'
import type { Logged } from '../../support/history-checker.js'
import { withAdmin } from '../../support/target-cluster.js'
import { kcatConsume } from '../real-kafka/kcat.js'

const hasKcat = (): boolean => spawnSync('kcat', ['-V'], { stdio: 'ignore' }).error === undefined

/** Everything in some topics, read by a client that nobody here wrote: kcat where it is installed, else kafkajs. */
export async function* readLog(
  bootstrap: string,
  topics: readonly string[],
  partitions: number
): AsyncGenerator<Logged> {
  if (!hasKcat()) {
    yield* await readWithKafkajs(bootstrap, topics)
    return
  }
  for (const topic of topics) {
    for (let partition = 0; partition < partitions; partition++) {
      const records = await kcatConsume(bootstrap, topic, '-p', String(partition))
      for (const record of records) yield { ...record, key: String(record.key), value: String(record.value) }
    }
  }
}

async function readWithKafkajs(bootstrap: string, topics: readonly string[]): Promise<Logged[]> {
  const kafka = new Kafka({ brokers: bootstrap.split(','), logLevel: logLevel.NOTHING })
  const ends = await endsOf(bootstrap, topics)
  const consumer = kafka.consumer({ groupId: `checker-${process.pid}-${performance.now()}` })
  const records: Logged[] = []
  await consumer.connect()
  await consumer.subscribe({ topics: [...topics], fromBeginning: true })
  try {
    await new Promise<void>((resolve, reject) => {
      if (ends.size === 0) resolve()
      const eachMessage = async ({ topic, partition, message }: EachMessage): Promise<void> => {
        const { key, value, offset } = message
        records.push({ topic, partition, offset: Number(offset), key: String(key), value: String(value) })
        if (ends.get(`${topic}/${partition}`) === Number(offset) + 1) ends.delete(`${topic}/${partition}`)
        if (ends.size === 0) resolve()
      }
      consumer.run({ eachMessage }).catch(reject)
    })
  } finally {
    await consumer.disconnect()
  }
  return records
}

interface EachMessage {
  readonly topic: string
  readonly partition: number
  readonly message: { readonly key: Buffer | null; readonly value: Buffer | null; readonly offset: string }
}

/** `orders/0` -> the offset behind its last record, without empty partitions. */
const endsOf = (bootstrap: string, topics: readonly string[]): Promise<Map<string, number>> =>
  withAdmin(bootstrap, async admin => {
    const ends = new Map<string, number>()
    for (const topic of topics) {
      for (const { partition, high } of await admin.fetchTopicOffsets(topic)) {
        if (Number(high) > 0) ends.set(`${topic}/${partition}`, Number(high))
      }
    }
    return ends
  })
