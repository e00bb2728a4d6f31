import { expect } from 'chai'
import { useFakeTimers } from 'sinon'
import type { EmbeddedCluster } from '../../src/embedded-broker/embedded-cluster.js'
import { batchOf, type RawKafka } from '../support/raw-kafka.js'
import { fetchOne, produce } from '../support/raw-kafka-calls.js'
import { joinAlone, offsetCommit, offsetFetch, offsetFetchStable } from '../support/raw-kafka-group-calls.js'
import { brokersOfTests } from './brokers-of-tests.js'

interface Producer {
  readonly errorCode: number
  readonly id: number
  readonly epoch: number
}

describe('broker: transactions', () => {
  let cluster: EmbeddedCluster
  let client: RawKafka
  const { start, connect } = brokersOfTests()

  beforeEach(async () => {
    cluster = await start()
    cluster.createTopic('orders', { partitions: 2 })
    client = await connect(cluster.nodes[0]!)
  })

  async function begin(timeoutMs = 60_000, transactionalId = 'tx'): Promise<Producer> {
    const answer = await client.call(22, 1, body => body.nullableString(transactionalId).int32(timeoutMs))
    answer.int32()
    return { errorCode: answer.int16(), id: answer.int64(), epoch: answer.int16() }
  }
  async function addPartitions({ id, epoch }: Producer, partitions: number[], version = 2): Promise<number[]> {
    const answer = await client.call(24, version, body => {
      body
        .string('tx')
        .int64(id)
        .int16(epoch)
        .int32(1)
        .string('orders')
        .array(partitions, one => body.int32(one))
    })
    answer.int32()
    answer.int32()
    answer.string()
    return answer.array(() => {
      answer.int32()
      return answer.int16()
    })
  }
  const send = async ({ id, epoch }: Producer, partition: number, baseSequence: number, value: string) => {
    const options = { producerId: id, producerEpoch: epoch, baseSequence, isTransactional: true }
    return (await produce(client, 'orders', partition, batchOf([value], options), -1, 'tx')).errorCode
  }
  async function end({ id, epoch }: Producer, isCommit: boolean, transactionalId = 'tx'): Promise<number> {
    const answer = await client.call(26, 2, body =>
      body.string(transactionalId).int64(id).int16(epoch).boolean(isCommit)
    )
    answer.int32()
    return answer.int16()
  }
  async function addGroup({ id, epoch }: Producer, transactionalId = 'tx'): Promise<number> {
    const answer = await client.call(25, 2, body =>
      body.string(transactionalId).int64(id).int16(epoch).string('billing')
    )
    answer.int32()
    return answer.int16()
  }
  const committed = async () => (await offsetFetch(client, 'billing', 'orders', [0])).partitions[0]!.offset
  const stable = async (partition = 0) => {
    const { lastStableOffset, highWatermark, aborted } = await fetchOne(client, 'orders', partition, 0, {
      isReadCommitted: true
    })
    return { lastStableOffset, highWatermark, aborted: aborted.length }
  }

  it('makes records of several partitions readable together', async () => {
    const producer = await begin()
    expect(await addPartitions(producer, [0, 1])).to.deep.equal([0, 0])
    expect([await send(producer, 0, 0, 'a'), await send(producer, 1, 0, 'b')]).to.deep.equal([0, 0])
    expect(await stable(0)).to.deep.equal({ lastStableOffset: 0, highWatermark: 1, aborted: 0 })
    expect(await end(producer, true)).to.equal(0)
    for (const partition of [0, 1]) {
      expect(await stable(partition)).to.deep.equal({ lastStableOffset: 2, highWatermark: 2, aborted: 0 })
    }
    expect(await end(producer, true)).to.equal(0)
    expect(await end(producer, false)).to.equal(48)
  })

  it('names what was aborted, and goes on in the next transaction', async () => {
    const producer = await begin()
    await addPartitions(producer, [0])
    await send(producer, 0, 0, 'a')
    expect(await end(producer, false)).to.equal(0)
    expect(await stable()).to.deep.equal({ lastStableOffset: 2, highWatermark: 2, aborted: 1 })
    await addPartitions(producer, [0])
    expect(await send(producer, 0, 1, 'b')).to.equal(0)
    expect(await end(producer, true)).to.equal(0)
    expect(await stable()).to.deep.equal({ lastStableOffset: 4, highWatermark: 4, aborted: 1 })
  })

  it('fences a producer whose id begins again, and aborts what it left open', async () => {
    const old = await begin()
    await addPartitions(old, [0])
    await send(old, 0, 0, 'a')
    const fresh = await begin()
    expect([fresh.id, fresh.epoch]).to.deep.equal([old.id, old.epoch + 1])
    expect(await stable()).to.deep.equal({ lastStableOffset: 2, highWatermark: 2, aborted: 1 })
    expect(await send(old, 0, 1, 'late')).to.equal(47)
    expect([await addPartitions(old, [0]), await addPartitions(old, [0], 1)]).to.deep.equal([[90], [47]])
    expect(await end(old, true)).to.equal(90)
    await addPartitions(fresh, [0])
    expect(await send(fresh, 0, 0, 'b')).to.equal(0)
  })

  it('takes no batch that comes when its transaction is over (48, 47)', async () => {
    const producer = await begin()
    await addPartitions(producer, [0])
    expect(await send(producer, 0, 0, 'a')).to.equal(0)
    expect(await end(producer, false)).to.equal(0)
    expect(await send(producer, 0, 1, 'late')).to.equal(48)
    const next = await begin()
    await addPartitions(next, [0])
    expect(await send(producer, 0, 1, 'late')).to.equal(47)
    expect((await stable()).highWatermark).to.equal(2)
  })

  it('aborts a transaction that takes too long, and fences its producer', async () => {
    const clock = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    try {
      const producer = await begin(20)
      await addPartitions(producer, [0])
      expect(await send(producer, 0, 0, 'a')).to.equal(0)
      clock.tick(19)
      expect((await stable()).aborted).to.equal(0)
      clock.tick(1)
      while ((await stable()).aborted === 0) await new Promise(setImmediate)
      expect(await end(producer, true)).to.equal(90)
    } finally {
      clock.restore()
    }
  })

  it('refuses strangers (49), ends without a beginning (48), and all partitions with one that is not there', async () => {
    const producer = await begin()
    expect(await end(producer, true)).to.equal(48)
    expect(await end({ ...producer, id: 1 }, true)).to.equal(49)
    expect(await addPartitions(producer, [0, 9])).to.deep.equal([55, 3])
  })

  for (const version of [2, 3]) {
    it(`commits offsets with the transaction, not before (version ${version})`, async () => {
      const producer = await begin()
      expect(await commitOffset(client, producer, version)).to.equal(48)
      expect(await addGroup(producer)).to.equal(0)
      expect(await commitOffset(client, producer, version)).to.equal(0)
      expect(await committed()).to.equal(-1)
      await end(producer, true)
      expect(await committed()).to.equal(5)
    })
  }

  it('keeps an offset that was committed after the one of the transaction', async () => {
    const producer = await begin()
    await addGroup(producer)
    expect(await commitOffset(client, producer, 3)).to.equal(0)
    expect(await offsetCommit(client, 'billing', 'orders', [[0, 3]])).to.deep.equal([0])
    expect(await end(producer, true)).to.equal(0)
    expect(await committed()).to.equal(3)
  })

  it('keeps the offset that came last of two transactions, whichever ends last', async () => {
    const first = await begin()
    const second = await begin(60_000, 'other')
    await addGroup(first)
    await addGroup(second, 'other')
    expect(await commitOffset(client, first, 3)).to.equal(0)
    expect(await commitOffset(client, second, 3, { transactionalId: 'other', offset: 9 })).to.equal(0)
    expect(await end(second, true, 'other')).to.equal(0)
    expect(await end(first, true)).to.equal(0)
    expect(await committed()).to.equal(9)
  })

  it('answers 88 for an offset that a transaction holds, to those who require a stable one', async () => {
    await offsetCommit(client, 'billing', 'orders', [[0, 2]])
    const producer = await begin()
    await addGroup(producer)
    await commitOffset(client, producer, 3)
    const fetched = () => offsetFetchStable(client, 'billing', 'orders', 0)
    expect(await fetched()).to.deep.equal({ errorCode: 88, offset: -1 })
    expect(await committed()).to.equal(2)
    await end(producer, true)
    expect(await fetched()).to.deep.equal({ errorCode: 0, offset: 5 })
  })

  it('takes offsets of the present member and generation only (25, 22), and metadata of up to 4,096 bytes (12)', async () => {
    const { memberId, generationId } = await joinAlone(client, 'billing')
    const producer = await begin()
    await addGroup(producer)
    const codeOf = (named: CommittedOffset) => commitOffset(client, producer, 3, named)
    expect(await codeOf({ memberId: 'a stranger', generationId })).to.equal(25)
    expect(await codeOf({ memberId, generationId: generationId - 1 })).to.equal(22)
    expect(await codeOf({ memberId, generationId, metadata: 'x'.repeat(4097) })).to.equal(12)
    expect(await codeOf({ memberId, generationId, metadata: 'x'.repeat(4096) })).to.equal(0)
    expect(await codeOf({})).to.equal(0)
    expect(await codeOf({ topic: 'none', memberId: 'a stranger', generationId }), 'no such topic').to.equal(3)
  })
})

interface CommittedOffset {
  readonly topic?: string
  readonly transactionalId?: string
  readonly memberId?: string
  readonly generationId?: number
  readonly offset?: number
  readonly metadata?: string
}

/** TxnOffsetCommit of offset 5; version 3 is a flexible one. */
async function commitOffset(
  client: RawKafka,
  { id, epoch }: Producer,
  version: number,
  named: CommittedOffset = {}
): Promise<number> {
  const {
    topic = 'orders',
    transactionalId = 'tx',
    memberId = '',
    generationId = -1,
    offset = 5,
    metadata = 'note'
  } = named
  if (version < 3) {
    const answer = await client.call(28, version, body => {
      body.string('tx').string('billing').int64(id).int16(epoch)
      body.int32(1).string('orders').int32(1).int32(0).int64(5).int32(-1).nullableString('note')
    })
    answer.int32()
    answer.int32()
    answer.string()
    answer.int32()
    answer.int32()
    return answer.int16()
  }
  const answer = await client.callFlexible(28, version, body => {
    body.string(transactionalId).string('billing').int64(id).int16(epoch)
    body.int32(generationId).string(memberId).nullableString(null)
    body.structs([topic], name => {
      body.string(name)
      body.structs([0], partition => body.int32(partition).int64(offset).int32(-1).string(metadata))
    })
  })
  answer.int32()
  const codes = answer.structs(() => {
    answer.string()
    return answer.structs(() => {
      answer.int32()
      return answer.int16()
    })[0]!
  })
  return codes[0]!
}
