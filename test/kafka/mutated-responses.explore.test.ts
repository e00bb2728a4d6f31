import { expect } from 'chai'
import { CastellanError, ProtocolError } from '../../src/core/errors.js'
import { silentLogger } from '../../src/core/model.js'
import type { BrokerClient, FetchResponse } from '../../src/kafka/broker-client.js'
import { createBrokerClientFactory, decode } from '../../src/kafka/broker-client-factory.js'
import { type CompressionCodec, prepareCompression } from '../../src/kafka/compression.js'
import { crc32c } from '../../src/kafka/crc32c.js'
import { decodeFetchedRecords } from '../../src/kafka/fetched-records.js'
import { heldBytes } from '../support/held-bytes.js'
import { frame, ScriptedBroker } from '../support/scripted-broker.js'
import { allowance } from './allowance.js'
import { mutate, randomFrom } from './mutate.js'
import { batchAt, fetchCall, type Sample, samples } from './sample-responses.js'

const SEED = 20260707

/** How many attempts share a tick. */
const TURN = 500
const nextTurn = () => new Promise(resolve => setImmediate(resolve))

/** Reads every record, as a reader would. */
function readAll(response: object): void {
  for (const partition of (response as FetchResponse).partitions ?? []) {
    for (const batch of partition.records?.batches ?? []) {
      for (const record of batch) expect(record.offset).to.be.within(batch.offset, batch.maxOffset)
    }
  }
}

/** Fails unless the bytes are read, or refused as a ProtocolError. */
function decodeOrRefuse({ api, call }: Sample, payload: Buffer, what: string): 'read' | 'refused' {
  try {
    readAll(decode(api, payload, call))
    return 'read'
  } catch (error) {
    if (error instanceof ProtocolError) return 'refused'
    throw new Error(`${api.name}, ${what}: ${payload.toString('hex')}`, { cause: error })
  }
}

describe('100,000 mutated responses', () => {
  before(prepareCompression)

  it('are read or refused by the codecs, and leave no memory behind', async () => {
    const random = randomFrom(SEED)
    const outcomes = { read: 0, refused: 0 }
    const round = async (count: number) => {
      for (let index = 0; index < count; index++) {
        if (index % TURN === 0) await nextTurn()
        const sample = samples[index % samples.length]!
        outcomes[decodeOrRefuse(sample, mutate(sample.payload, random), `seed ${SEED}, ${index}`)]++
      }
    }
    await round(6_000)
    const before = await heldBytes()
    await round(60_000)
    expect(await heldBytes()).to.be.lessThan(before * 1.1)
    // Both happen often, else this tests nothing.
    expect(Math.min(outcomes.read, outcomes.refused)).to.be.greaterThan(5_000)
  }).timeout(180_000)

  it('whose batches have the right CRC nevertheless are delivered, or damage with a way on', async () => {
    const random = randomFrom(SEED + 1)
    const codecs: CompressionCodec[] = ['none', 'none', 'gzip', 'snappy', 'lz4', 'zstd']
    const text = 'some text that can be compressed since it says some text again and again '
    const batches = codecs.map(codec => batchAt(10, [text, text, 'c', text, text], { codec }))
    const outcomes = { read: 0, damaged: 0 }
    const round = async (count: number) => {
      for (let index = 0; index < count; index++) {
        if (index % TURN === 0) await nextTurn()
        const batch = batches[index % batches.length]!
        const damaged = Buffer.concat([batch.subarray(0, 21), mutate(batch.subarray(21), random)])
        if (damaged.length < 61) continue
        damaged.writeInt32BE(damaged.length - 12, 8)
        damaged.writeUInt32BE(crc32c(damaged.subarray(21)), 17)
        const fetched = decodeFetchedRecords(damaged, {
          fetchOffset: 11,
          abortedTransactions: [],
          allowance: allowance()
        })
        for (const delivered of fetched.batches) {
          for (const record of delivered) expect(record.offset).to.be.at.least(11)
        }
        if (fetched.corruption) expect(fetched.corruption.nextOffset).to.be.greaterThan(fetched.corruption.offset)
        outcomes[fetched.corruption ? 'damaged' : 'read']++
      }
    }
    await round(3_000)
    const before = await heldBytes()
    await round(30_000)
    expect(await heldBytes()).to.be.lessThan(before * 1.1)
    expect(Math.min(outcomes.read, outcomes.damaged)).to.be.greaterThan(2_000)
  }).timeout(180_000)

  let broker: ScriptedBroker | undefined
  afterEach(() => broker?.close())

  it('over TCP, lengths and correlation ids included, fail that call alone', async () => {
    const random = randomFrom(SEED + 2)
    const server = await ScriptedBroker.start(({ apiKey, correlationId }, reply) => {
      const { payload } = samples.find(sample => sample.api.key === apiKey)!
      reply.raw(mutate(frame(correlationId, payload), random))
      reply.close()
    })
    broker = server
    const settings = { clientId: 'test', requestTimeoutMs: 10_000, connectTimeoutMs: 10_000, log: silentLogger }
    const clients = Array.from({ length: 10 }, () => createBrokerClientFactory(settings)(server.address, 'test'))
    const calls: ((client: BrokerClient) => Promise<object>)[] = [
      client => client.metadata({ topics: null, allowAutoTopicCreation: false }),
      client => client.produce({ acks: -1, brokerTimeoutMs: 1, partitions: [] }),
      client => client.fetch(fetchCall),
      client => client.offsetFetch({ groupId: 'g', partitions: null })
    ]
    const outcomes = { read: 0, failed: 0 }
    const attempt = async (client: BrokerClient, index: number) => {
      try {
        readAll(await calls[index % calls.length]!(client))
        outcomes.read++
      } catch (error) {
        if (!(error instanceof CastellanError)) throw error
        outcomes.failed++
      }
      await client.close()
    }
    const round = async (count: number) => {
      for (let index = 0; index < count; index++) await Promise.all(clients.map(client => attempt(client, index)))
      await server.whenAllClosed()
      server.requests.length = 0
    }
    await round(20)
    const before = await heldBytes()
    await round(180)
    expect(await heldBytes()).to.be.lessThan(before * 1.1)
    expect(Math.min(outcomes.read, outcomes.failed)).to.be.greaterThan(200)
  }).timeout(180_000)
})
