import { type Bytes, type KafkaRecord, silentLogger } from '../../../src/core/model.js'
import type { BrokerClient, ConnectionSettings } from '../../../src/kafka/broker-client.js'
import { createBrokerClientFactory } from '../../../src/kafka/broker-client-factory.js'
import type { CompressionCodec } from '../../../src/kafka/compression.js'
import { noProducer, RecordBatchWriter } from '../../../src/kafka/record-batch-writer.js'

/** The wire alone, without a Router: one connection to the leader of one partition. */
export class WireSession {
  private constructor(
    readonly client: BrokerClient,
    readonly topic: string,
    readonly partition: number
  ) {}

  /** Asks the first bootstrap broker who leads, and connects there. */
  static async open(
    bootstrap: string,
    topic: string,
    partition = 0,
    settings: Partial<ConnectionSettings> = {}
  ): Promise<WireSession> {
    const defaults = { clientId: 'wire-test', requestTimeoutMs: 30_000, connectTimeoutMs: 30_000, log: silentLogger }
    const factory = createBrokerClientFactory({ ...defaults, ...settings })
    const [host = '', port] = bootstrap.split(',')[0]!.split(':')
    const seed = factory({ host, port: Number(port) }, 'seed')
    try {
      const { topics, brokers } = await seed.metadata({ topics: [topic], allowAutoTopicCreation: false })
      const leaderId = topics[0]?.partitions[partition]?.leaderId
      const leader = brokers.find(broker => broker.nodeId === leaderId)
      if (!leader) throw new Error(`${topic}/${partition} has no leader`)
      return new WireSession(factory(leader, 'leader'), topic, partition)
    } finally {
      await seed.close()
    }
  }

  /** Writes one batch and gives back the code and offset the broker answered. */
  async produce(
    records: readonly { readonly key: Bytes; readonly value: Bytes }[],
    codec: CompressionCodec
  ): Promise<{ errorCode: number; baseOffset: number | undefined }> {
    const writer = new RecordBatchWriter(1_000_000)
    for (const { key, value } of records) writer.append(key, value, [], Date.now())
    const { topic, partition } = this
    const batch = writer.seal({ ...noProducer, codec })
    const { rows } = await this.client.produce({
      acks: -1,
      brokerTimeoutMs: 5000,
      partitions: [{ topic, partition, bytes: batch }]
    })
    return { errorCode: rows.errorCode(0), baseOffset: rows.baseOffset(0) }
  }

  /** Everything from `offset` to the high watermark. */
  async fetchAll(offset = 0): Promise<KafkaRecord[]> {
    const { topic, partition } = this
    const records: KafkaRecord[] = []
    for (let fetchOffset = offset; ; ) {
      const limits = { maxWaitMs: 100, minBytes: 1, maxBytes: 1_000_000, isolationLevel: 'readUncommitted' } as const
      const wanted = { topic, partition, fetchOffset, maxBytes: 1_000_000, currentLeaderEpoch: -1 }
      const [found] = (await this.client.fetch({ ...limits, partitions: [wanted] })).partitions
      if (found?.errorCode !== 0) throw new Error(`fetch was answered ${found?.errorCode}`)
      for (const batch of found.records.batches) records.push(...batch)
      fetchOffset = found.records.nextOffset
      if (fetchOffset >= found.highWatermark!) return records
    }
  }

  close(): Promise<void> {
    return this.client.close()
  }
}
