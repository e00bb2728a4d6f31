import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { Kafka, logLevel } from 'kafkajs'
import { silentLogger } from '../../../src/core/model.js'
import { RecordBatchWriter } from '../../../src/kafka/record-batch-writer.js'
import { encodeBatchNote, noteKeyOf } from '../../../src/producer/disk/batch-notes.js'
import { openDurableLog } from '../../../src/producer/log/open-durable-log.js'
import { walSettings } from '../../../src/producer/log/settings.js'
import type { Numbering } from '../../../src/producer/memory/numbering.js'
import type { Gateway } from '../../cli/child.js'
import { logWorker } from '../../support/built.js'
import { onCluster } from '../../support/stage.js'
import { metricOf } from '../../support/test-app.js'
import { WireSession } from '../real-kafka/wire-session.js'

const PATIENCE_MS = 60_000
/** Kafka forgets a producer a day after the time of its newest record, whenever it was written. */
const TWO_DAYS_AGO = Date.now() - 2 * 24 * 3_600_000
const VALUES = ['0', '1', '2', '3', '4']
/** The records of the batch that was on its way when the gateway ended. */
const SENT = VALUES.slice(0, 3)
const CONTROL = 'control'

describe('a batch whose answer was lost, by a producer that Kafka has forgotten', function () {
  this.timeout(180_000)
  const stage = onCluster()
  let folder: string
  let topic: string
  let session: WireSession
  beforeEach(async () => {
    folder = stage.folder()
    topic = await stage.topic('forgotten')
    session = stage.keep(await WireSession.open(stage.bootstrap, topic), ({ client }) => client.close())
  })

  async function newProducer(): Promise<Numbering> {
    for (;;) {
      const { errorCode, producerId, producerEpoch } = await session.client.initProducerId({})
      if (errorCode === 0) return { producerId, epoch: producerEpoch, nextSequence: 7 }
      await sleep(50)
    }
  }

  /** Writes a batch of records of two days ago. Returns where it is. */
  async function write(values: readonly string[], { producerId, epoch, nextSequence }: Numbering): Promise<number> {
    const writer = new RecordBatchWriter(10_000)
    for (const value of values) writer.append(null, value, undefined, TWO_DAYS_AGO)
    const batch = writer.seal({ producerId, producerEpoch: epoch, baseSequence: nextSequence, codec: 'none' })
    const { rows } = await session.client.produce({
      acks: -1,
      brokerTimeoutMs: 5_000,
      partitions: [{ topic, partition: 0, bytes: batch }]
    })
    expect(rows.errorCode(0)).to.equal(0)
    return rows.baseOffset(0)
  }

  /** Until Kafka appends the batch of another producer again, which it would recognise if it knew the producer. */
  async function producersForgotten(): Promise<void> {
    const control = await newProducer()
    const first = await write([CONTROL], control)
    const giveUpAt = performance.now() + PATIENCE_MS
    while ((await write([CONTROL], control)) === first && performance.now() < giveUpAt) await sleep(200)
    expect(await write([CONTROL], control)).to.be.above(first)
  }

  /** What a gateway has left that has accepted all records two days ago, and sent the first ones. */
  async function leave(numbering: Numbering): Promise<void> {
    const { clusterId } = await session.client.metadata({ topics: [], allowAutoTopicCreation: false })
    const { log, close } = await openDurableLog(walSettings.parse({ directory: folder }), {
      log: silentLogger,
      now: () => TWO_DAYS_AGO,
      onBroken: error => expect.fail(String(error)),
      worker: logWorker
    })
    const destination = `default/${topic}`
    const entries = VALUES.map(value => ({
      destination,
      record: { partition: 0, key: null, value: Buffer.from(value), headers: [], timestampMs: TWO_DAYS_AGO }
    }))
    const { firstSequence } = await new Promise<{ firstSequence: number }>(resolve => log.append(entries, resolve))
    const value = encodeBatchNote({
      clusterId: clusterId ?? '',
      topicId: '',
      numbering,
      partitionCount: 1,
      sequences: SENT.map((_, at) => firstSequence + at)
    })
    await log.note([{ key: noteKeyOf(destination, 0), value }])
    await close()
  }

  const startGateway = (more: Readonly<Record<string, string>> = {}): Promise<Gateway> =>
    stage.gateway({ 'apis.arion.durability': 'disk', 'wal.directory': folder, ...more })

  /** Values of the topic, once the last one is there and nothing comes behind it. */
  async function delivered(): Promise<string[]> {
    const giveUpAt = performance.now() + PATIENCE_MS
    for (let before = -1; ; ) {
      const all = (await stage.reader.readAll(topic, 0)).map(({ value }) => String(value))
      const values = all.filter(value => value !== CONTROL)
      if ((values.includes(VALUES.at(-1)!) && all.length === before) || performance.now() > giveUpAt) return values
      before = all.length
      await sleep(500)
    }
  }

  it('is found in the log, and not written again', async () => {
    const numbering = await newProducer()
    await write(SENT, numbering)
    await producersForgotten()
    await leave(numbering)
    const gateway = await startGateway()
    expect(await delivered()).to.deep.equal(VALUES)
    await gateway.child.line(/a batch whose answer did not arrive is in the log/)
    expect(await metricOf(gateway.management, 'castellan_delivery_found_batches_total')).to.equal(1)
  })

  it('is found behind the open transaction of another producer, also by a gateway that reads what is committed', async () => {
    const kafka = new Kafka({ brokers: stage.bootstrap.split(','), logLevel: logLevel.NOTHING })
    const other = kafka.producer({ transactionalId: topic, idempotent: true, maxInFlightRequests: 1 })
    await other.connect()
    try {
      const transaction = await other.transaction()
      await transaction.send({ topic, messages: [{ value: CONTROL }] })
      const numbering = await newProducer()
      await write(SENT, numbering)
      await producersForgotten()
      await leave(numbering)
      const gateway = await startGateway({ 'router.isolationLevel': 'readCommitted' })
      const seen = await delivered()
      await transaction.abort()
      expect(seen).to.deep.equal(VALUES)
      expect(await metricOf(gateway.management, 'castellan_delivery_found_batches_total')).to.equal(1)
    } finally {
      await other.disconnect()
    }
  })

  it('is written when it is not in the log', async () => {
    const numbering = await newProducer()
    await producersForgotten()
    await leave(numbering)
    const gateway = await startGateway()
    expect(await delivered()).to.deep.equal(VALUES)
    expect(await metricOf(gateway.management, 'castellan_delivery_found_batches_total')).to.equal(0)
  })
})
