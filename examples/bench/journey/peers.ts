import { Producer } from '@platformatic/kafka'
import fastify from 'fastify'
import kafkajs from 'kafkajs'
import type { Subject } from './process.js'

type Send = (topic: string, value: Buffer) => Promise<unknown>

/**
 * Starts a minimal gateway for comparison. It takes the body of a synchronous push and answers when Kafka has the
 * record.
 */
export async function startPeer({ client, bootstrap, port }: Subject & { type: 'peer' }): Promise<void> {
  const send = await (client === 'kafkajs' ? openKafkajs(bootstrap) : openPlatformatic(bootstrap))
  const app = fastify()
  app.post<{ Body: { records: { topic: string; data: string }[] } }>('/push', async ({ body }) => {
    await Promise.all(body.records.map(({ topic, data }) => send(topic, Buffer.from(data))))
    return { status: 'ok', errors: [] }
  })
  await app.listen({ host: '127.0.0.1', port })
}

async function openKafkajs(bootstrap: string): Promise<Send> {
  const { Kafka, logLevel } = kafkajs
  const producer = new Kafka({ brokers: bootstrap.split(','), logLevel: logLevel.NOTHING }).producer()
  await producer.connect()
  return (topic, value) => producer.send({ topic, acks: -1, messages: [{ value }] })
}

async function openPlatformatic(bootstrap: string): Promise<Send> {
  const producer = new Producer({ clientId: 'journey', bootstrapBrokers: bootstrap.split(',') })
  return (topic, value) => producer.send({ acks: -1, messages: [{ topic, value }] })
}
