import { expect } from 'chai'
import type { BrokerAddress } from '../../src/core/model.js'
import { BatchView } from '../../src/embedded-broker/protocol/record-batch.js'
import { batchOf, RawKafka } from './raw-kafka.js'
import { listOffset, metadata, produce } from './raw-kafka-calls.js'
import { checkRows } from './rows.js'

const LONG_MAX = '9223372036854775807'
const BEYOND_LONG = '9223372036854775808'
const BEYOND_INT = '2147483648'
const flags = { taken: ['true', 'FALSE'], refused: ['', 'x', '1', null] }

/** Values of topic settings that Kafka 4.3.1 takes, and that it refuses with code 40. */
const settings: Readonly<Record<string, { taken: readonly string[]; refused: readonly (string | null)[] }>> = {
  'cleanup.policy': { taken: ['', 'compact, delete', 'delete,delete'], refused: ['x', 'DELETE', 'delete,', null] },
  'compression.gzip.level': { taken: ['-1', '1', '9'], refused: ['0', '10', 'x'] },
  'compression.lz4.level': { taken: ['1', '17'], refused: ['0', '18'] },
  'compression.type': { taken: ['producer', 'uncompressed', 'zstd'], refused: ['', 'none', 'GZIP', null] },
  'compression.zstd.level': { taken: ['-131072', '0', '22'], refused: ['-131073', '23'] },
  'delete.retention.ms': { taken: ['0', ' 5 ', '+5', LONG_MAX], refused: ['-1', BEYOND_LONG, '5e6', '5.5', '', null] },
  'file.delete.delay.ms': { taken: ['0'], refused: ['-1'] },
  'flush.messages': { taken: ['1'], refused: ['0'] },
  'flush.ms': { taken: ['0'], refused: ['-1'] },
  'follower.replication.throttled.replicas': { taken: ['', '*', '0:1'], refused: ['x', 'none'] },
  'index.interval.bytes': { taken: ['0', '2147483647'], refused: ['-1', BEYOND_INT] },
  'leader.replication.throttled.replicas': { taken: ['', '*', '0:1,1:2'], refused: ['x'] },
  'local.retention.bytes': { taken: ['-2'], refused: ['-3'] },
  'local.retention.ms': { taken: ['-2'], refused: ['-3'] },
  'max.compaction.lag.ms': { taken: ['1'], refused: ['0'] },
  'max.message.bytes': { taken: ['0'], refused: ['-1', BEYOND_INT] },
  'message.downconversion.enable': { taken: [], refused: ['true'] },
  'message.format.version': { taken: [], refused: ['2.8'] },
  'message.timestamp.after.max.ms': { taken: ['0', LONG_MAX], refused: ['-1'] },
  'message.timestamp.before.max.ms': { taken: ['0', LONG_MAX], refused: ['-1'] },
  'message.timestamp.difference.max.ms': { taken: [], refused: ['5'] },
  'message.timestamp.type': { taken: ['CreateTime', 'LogAppendTime'], refused: ['createtime'] },
  'min.cleanable.dirty.ratio': { taken: ['0', '1', '1e-1'], refused: ['-0.1', '1.1', 'x'] },
  'min.compaction.lag.ms': { taken: ['0'], refused: ['-1'] },
  'min.insync.replicas': { taken: ['1', '14'], refused: ['0', '-1', BEYOND_INT] },
  'no.such': { taken: [], refused: ['1'] },
  preallocate: flags,
  'remote.log.copy.disable': flags,
  'remote.log.delete.on.disable': flags,
  'remote.storage.enable': { taken: ['false'], refused: ['true', 'x'] },
  'retention.bytes': { taken: ['-3', '0', LONG_MAX], refused: [BEYOND_LONG, 'x'] },
  'retention.ms': { taken: ['-1', '0'], refused: ['-2'] },
  'segment.bytes': { taken: ['1048576'], refused: ['1000', '1048575', BEYOND_INT] },
  'segment.index.bytes': { taken: ['4'], refused: ['3'] },
  'segment.jitter.ms': { taken: ['0'], refused: ['-1'] },
  'segment.ms': { taken: ['1'], refused: ['0'] },
  'unclean.leader.election.enable': flags
}

const HOUR_MS = 3_600_000
const MINUTE_MS = 60_000
const append = { 'message.timestamp.type': 'LogAppendTime' }
const compacted = { 'cleanup.policy': 'compact' }
const fresh = { 'message.timestamp.before.max.ms': `${MINUTE_MS}` }
const aged = (ageMs: number): Buffer => batchOf(['a'], { timestampMs: Date.now() - ageMs })
const withAttributes = (bits: number, batch = batchOf(['a'])): Buffer => {
  batch.writeInt16BE(bits, 21)
  new BatchView(batch).sealCrc()
  return batch
}
const withMaxTimestamp = (timestampMs: number, batch: Buffer): Buffer => {
  batch.writeBigInt64BE(BigInt(timestampMs), 35)
  new BatchView(batch).sealCrc()
  return batch
}

/** Odd batches, the settings of their topic, and the code of Kafka 4.3.1. */
const batches: readonly (readonly [string, number, () => Buffer, Readonly<Record<string, string>>?])[] = [
  ['of half an hour ahead', 0, () => aged(-HOUR_MS / 2)],
  ['of two hours ahead', 32, () => aged(-2 * HOUR_MS)],
  ['of two hours ahead where the broker sets the time', 0, () => aged(-2 * HOUR_MS), append],
  [
    'of two hours ahead where three are allowed',
    0,
    () => aged(-2 * HOUR_MS),
    { 'message.timestamp.after.max.ms': `${3 * HOUR_MS}` }
  ],
  [
    'of two minutes ahead where one is allowed',
    32,
    () => aged(-2 * MINUTE_MS),
    { 'message.timestamp.after.max.ms': `${MINUTE_MS}` }
  ],
  ['of the year 1970', 0, () => batchOf(['a'], { timestampMs: 0 })],
  ['without a time', 0, () => batchOf(['a'], { timestampMs: -1 })],
  ['without a time where it may be a minute old', 0, () => batchOf(['a'], { timestampMs: -1 }), fresh],
  ['with the time -2', 0, () => batchOf(['a'], { timestampMs: -2 })],
  ['two minutes old where one is allowed', 32, () => aged(2 * MINUTE_MS), fresh],
  ['one second old where a minute is allowed', 0, () => aged(1_000), fresh],
  [
    'whose header alone is fresh',
    32,
    () => withMaxTimestamp(Date.now(), batchOf(['a', 'b'], { timestampMs: Date.now() - 2 * MINUTE_MS })),
    fresh
  ],
  ['whose header alone is ahead', 0, () => withMaxTimestamp(Date.now() + 2 * HOUR_MS, aged(0))],
  ['that says it has the time of appending', 0, () => withAttributes(8)],
  ['that says so where the broker sets the time', 32, () => withAttributes(8), append],
  ['without a key where keys are needed', 87, () => aged(0), compacted],
  ['without a key and ahead', 87, () => aged(-2 * HOUR_MS), compacted],
  ['with an unknown codec', -1, () => withAttributes(5)],
  ['with a reserved attribute', 0, () => withAttributes(128)],
  ['for a topic of no bytes', 10, () => aged(0), { 'max.message.bytes': '0' }],
  ['for a topic with more in-sync replicas than replicas', 0, () => aged(0), { 'min.insync.replicas': '2' }],
  ['for a topic without a policy', 0, () => aged(0), { 'cleanup.policy': '' }],
  ['with the producer id -2', 0, () => batchOf(['a'], { producerId: -2, baseSequence: 0 })],
  [
    'with a producer id and the epoch -1',
    0,
    () => batchOf(['a'], { producerId: 5, producerEpoch: -1, baseSequence: 0 })
  ],
  ['of a new producer that begins at 5', 0, () => batchOf(['a'], { producerId: 5, baseSequence: 5 })]
]

/** The time of the first of three records, a millisecond apart: young enough for Kafka's retention. */
const firstMs = Date.now() - MINUTE_MS
/** ListOffsets version 5. */
const offsetsByTime: readonly (readonly [timestamp: number, code: number, offset: number])[] = [
  [-1, 0, 3],
  [-2, 0, 0],
  [-3, 35, -1],
  [-4, 35, -1],
  [-5, 35, -1],
  [-9, 35, -1],
  [0, 0, 0],
  [firstMs + 1, 0, 1],
  [firstMs + 3, 0, -1]
]
const offsetsSince: readonly (readonly [version: number, timestamp: number, code: number, offset: number])[] = [
  [7, -3, 0, 2],
  [7, -4, 35, -1],
  [8, -4, 0, 0],
  [8, -5, 35, -1],
  [9, -5, 0, -1],
  [9, -6, 35, -1]
]

/** A node to ask; it leads the topics that the questions create. */
export interface AskedNode extends BrokerAddress {
  readonly nodeId: number
}

/** The same questions to any broker, with the answers of Kafka 4.3.1. */
export function describeKafkaAnswers(title: string, askedNode: () => AskedNode): void {
  describe(title, () => {
    let client: RawKafka
    const prefix = `answers-${Date.now().toString(36)}`
    before(async () => {
      client = await RawKafka.connect(askedNode())
    })
    after(() => client?.close())

    const create = async (name: string, config: Readonly<Record<string, string>>): Promise<string> => {
      const topic = `${prefix}-${name}`
      expect(await createTopics(client, [[topic, config]], askedNode().nodeId)).to.deep.equal([0])
      return topic
    }
    /** A topic that was just created is unknown to its leader for a moment. */
    const code = async (topic: string, batch: Buffer): Promise<number> => {
      for (;;) {
        const { errorCode } = await produce(client, topic, 0, batch)
        if (errorCode !== 3 && errorCode !== 6) return errorCode
        await metadata(client, [topic])
      }
    }

    it('a broker takes and refuses the same values of each setting as Kafka', () =>
      checkRows(Object.entries(settings), async ([name, { taken, refused }]) => {
        const values = [...taken, ...refused]
        const topics = values.map((value, index) => [`${prefix}-${index}`, { [name]: value }] as const)
        const codes = await createTopics(client, topics, askedNode().nodeId, true)
        const listed = (from: readonly (string | null)[], errorCode: number) => from.map(value => [value, errorCode])
        expect(values.map((value, index) => [value, codes[index]])).to.deep.equal([
          ...listed(taken, 0),
          ...listed(refused, 40)
        ])
      }))

    it('a broker answers each batch with the same code as Kafka', () =>
      checkRows(batches.entries(), async ([index, [, errorCode, batch, config = {}]]) =>
        expect(await code(await create(`batch-${index}`, config), batch())).to.equal(errorCode)
      ))

    it('a transactional batch is answered 53 in a request without a transactional id', async () => {
      const topic = await create('transactional', {})
      expect(await code(topic, batchOf(['a'], { timestampMs: Date.now() }))).to.equal(0)
      const batch = batchOf(['a'], { isTransactional: true, producerId: 5, baseSequence: 0 })
      expect(await produce(client, topic, 0, batch, -1, null)).to.include({ errorCode: 53 })
    })

    it('a broker finds offsets by time, and refuses the negative times that a version does not know', async () => {
      const topic = await create('times', {})
      expect(await code(topic, batchOf(['a', 'b', 'c'], { timestampMs: firstMs }))).to.equal(0)
      for (const [timestamp, errorCode, offset] of offsetsByTime) {
        expect(await listOffset(client, topic, 0, timestamp), `${timestamp}`).to.include({ errorCode, offset })
      }
      for (const [version, timestamp, errorCode, offset] of offsetsSince) {
        const found = await listOffsetFlexible(client, version, topic, timestamp)
        expect(found, `${timestamp} in version ${version}`).to.deep.equal({ errorCode, offset })
      }
    })
  })
}

/** CreateTopics v4: topics of one partition, led by one node. @returns the code of each */
async function createTopics(
  client: RawKafka,
  topics: readonly (readonly [name: string, config: Readonly<Record<string, string | null>>])[],
  nodeId: number,
  isValidateOnly = false
): Promise<number[]> {
  const answer = await client.call(19, 4, body => {
    body.array(topics, ([name, config]) => {
      body.string(name).int32(-1).int16(-1).int32(1).int32(0).int32(1).int32(nodeId)
      body.array(Object.entries(config), ([key, value]) => body.string(key).nullableString(value))
    })
    body.int32(10_000).boolean(isValidateOnly)
  })
  answer.int32()
  const codes = new Map(
    answer.array(() => {
      const named = [answer.string(), answer.int16()] as const
      answer.nullableString()
      return named
    })
  )
  return topics.map(([name]) => codes.get(name)!)
}

async function listOffsetFlexible(client: RawKafka, version: number, topic: string, timestamp: number) {
  const answer = await client.callFlexible(2, version, body => {
    body.int32(-1).int8(0)
    body.structs([topic], () => {
      body.string(topic).structs([0], partition => body.int32(partition).int32(-1).int64(timestamp))
    })
  })
  answer.int32()
  const [found] = answer.structs(() => {
    answer.string()
    return answer.structs(() => {
      answer.int32()
      const errorCode = answer.int16()
      answer.int64()
      const offset = answer.int64()
      answer.int32()
      return { errorCode, offset }
    })
  })
  return found?.[0]
}

/** The versions of each API that a broker announces: key, lowest, highest. */
export async function announcedVersions(client: RawKafka): Promise<[key: number, lowest: number, highest: number][]> {
  const answer = await client.call(18, 2, () => {})
  answer.int16()
  return answer.array(() => [answer.int16(), answer.int16(), answer.int16()])
}

/** The settings of a topic that sets none: the default of each, and the broker setting that it inherits. */
export async function topicDefaults(client: RawKafka, topic: string): Promise<[string, string | null, string?][]> {
  const answer = await client.call(32, 2, body => body.int32(1).int8(2).string(topic).int32(-1).boolean(true))
  answer.int32()
  const [entries = []] = answer.array(() => {
    answer.int16()
    answer.nullableString()
    answer.int8()
    answer.string()
    return answer.array((): [string, string | null, string?] => {
      const name = answer.string()
      const value = answer.nullableString()
      answer.boolean()
      answer.int8()
      answer.boolean()
      const synonyms = answer.array(() => [answer.string(), answer.nullableString(), answer.int8()] as const)
      const byDefault = synonyms.at(-1)
      return byDefault ? [name, byDefault[1], byDefault[0]] : [name, value]
    })
  })
  return entries.sort(([one], [other]) => (one < other ? -1 : 1))
}
