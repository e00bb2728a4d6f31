import { expect } from 'chai'
import type { ConsumedMessage } from '../../../src/consumer/group/consume-result.js'
import type { ConsumerSettingsOverrides } from '../../../src/consumer/group/settings.js'
import type { GroupInstance } from '../../support/group-instance.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'

const values = (messages: readonly ConsumedMessage[]): string[] => messages.map(({ value }) => String(value))
const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name}${at}`)

describe('consumer groups', function () {
  this.timeout(120_000)
  const stage = onCluster()
  let topic: string
  let group: string
  beforeEach(() => {
    topic = freshTopic('orders')
    group = freshTopic('billing')
  })

  const start = (settings: ConsumerSettingsOverrides = {}): Promise<GroupInstance> =>
    stage.member({ start: 'earliest', ...settings })

  it('pixy C2 keeps the order of a partition, and knows partition, offset, key and value', async () => {
    await stage.cluster.createTopic(topic, 1)
    const instance = await start()
    const produced = await instance.produce(topic, 0, numbered('m', 20))
    const messages = await instance.take(group, topic, 20)
    expect(values(messages)).to.deep.equal(numbered('m', 20))
    expect(messages.map(({ offset }) => offset)).to.deep.equal(produced.map(({ offset }) => offset))
    expect(messages[0]).to.include({ topic, partition: 0, groupId: group, key: null, retries: 0 })
  })

  it('pixy C3 F6 E1 E3 goes on after a stop exactly behind what was acknowledged last', async () => {
    await stage.cluster.createTopic(topic, 1)
    const before = await start()
    await before.produce(topic, 0, numbered('m', 10))
    await before.take(group, topic, 4)
    await before.stop()
    const after = await start()
    expect(values(await after.take(group, topic, 6))).to.deep.equal(numbered('m', 10).slice(4))
  })

  it('pixy C4 all partitions contribute, in order each, and what is committed moves by what was acknowledged', async () => {
    await stage.cluster.createTopic(topic, 2)
    const instance = await start()
    const load = async (count: number): Promise<void> => {
      for (const partition of [0, 1]) await instance.produce(topic, partition, numbered(`p${partition}-`, count))
    }
    // Both are being read once each has given one: until then, a broker may be slower to begin than the other is to end.
    await load(1)
    const messages = await instance.take(group, topic, 2)
    await load(1_000)
    messages.push(...(await instance.take(group, topic, 1_000)))
    for (const partition of [0, 1]) {
      const of = messages.filter(message => message.partition === partition)
      expect(of.length).to.be.within(100, 902)
      expect(values(of)).to.deep.equal([`p${partition}-0`, ...numbered(`p${partition}-`, of.length - 1)])
    }
    await instance.stop()
    const other = await start()
    const counts = [0, 1].map(partition => messages.filter(message => message.partition === partition).length)
    expect(await other.committed(group, topic, 0)).to.equal(`${counts[0]}`)
    expect(await other.committed(group, topic, 1)).to.equal(`${counts[1]}`)
  })

  it('pixy C5 two topics of a group are consumed side by side', async () => {
    const other = freshTopic('bills')
    await Promise.all([stage.cluster.createTopic(topic, 1), stage.cluster.createTopic(other, 1)])
    const instance = await start()
    await instance.produce(topic, 0, ['a', 'b'])
    await instance.produce(other, 0, ['x', 'y'])
    const order = [topic, other, other, topic]
    const messages: string[] = []
    for (const name of order) messages.push(...values(await instance.take(group, name, 1)))
    expect(messages).to.deep.equal(['a', 'x', 'y', 'b'])
  })

  it('pixy C6 two groups see the same messages', async () => {
    await stage.cluster.createTopic(topic, 2)
    const instance = await start()
    for (const partition of [0, 1]) await instance.produce(topic, partition, numbered(`p${partition}-`, 10))
    const [one, two] = await Promise.all([instance.take(group, topic, 20), instance.take(`${group}-2`, topic, 20)])
    expect(values(one).sort()).to.deep.equal(values(two).sort())
  })

  it('pixy C7 a member more than there are partitions gets nothing, and the owner goes on', async () => {
    await stage.cluster.createTopic(topic, 1)
    // Partitions go to members in the order of their names.
    const [one, two] = [await start({ instanceId: `${group}-1` }), await start({ instanceId: `${group}-2` })]
    await one.produce(topic, 0, numbered('m', 3))
    expect(values(await one.take(group, topic, 1))).to.deep.equal(['m0'])
    const extra = two.consume(group, topic, 3_000)
    expect(values(await one.take(group, topic, 2))).to.deep.equal(['m1', 'm2'])
    expect((await extra).type).to.equal('timedOut')
    await one.produce(topic, 0, ['m3'])
    expect(values(await one.take(group, topic, 1))).to.deep.equal(['m3'])
  })

  it('pixy C9 pixy H36 a second member takes its share; when it leaves, the rest goes on exactly', async () => {
    await stage.cluster.createTopic(topic, 2)
    const [one, two] = [await start(), await start()]
    for (const partition of [0, 1]) await one.produce(topic, partition, numbered(`p${partition}-`, 50))
    const seen = values(await one.take(group, topic, 10))
    const taking = async (instance: GroupInstance, count: number): Promise<void> => {
      for (let at = 0; at < count; at++) seen.push(...values(await instance.take(group, topic, 1)))
    }
    await Promise.all([taking(two, 20), taking(one, 20)])
    await two.stop()
    await taking(one, 50)
    expect(seen.sort()).to.deep.equal([...numbered('p0-', 50), ...numbered('p1-', 50)].sort())
  })

  it('pixy C10 pixy C17 a member that is not asked any more gives its partitions to the other', async () => {
    await stage.cluster.createTopic(topic, 1)
    const [one, two] = [await start({ subscriptionTimeoutMs: 500 }), await start()]
    await one.produce(topic, 0, numbered('m', 3))
    const first = await one.next(group, topic)
    first.ack()
    expect(values(await two.take(group, topic, 2))).to.deep.equal(['m1', 'm2'])
  })

  it('pixy C12 a topic that does not exist gives nothing, and other topics of the group go on', async () => {
    await stage.cluster.createTopic(topic, 1)
    const instance = await start()
    await instance.produce(topic, 0, ['m0'])
    const [missing, there] = await Promise.all([
      instance.consume(group, freshTopic('missing'), 1_500),
      instance.take(group, topic, 1)
    ])
    expect(missing.type).to.equal('timedOut')
    expect(values(there)).to.deep.equal(['m0'])
  })

  it('pixy C13 64 partitions are read by one member', async () => {
    await stage.cluster.createTopic(topic, 64)
    const instance = await start()
    const expected: string[] = []
    for (const partition of [3, 31, 63]) {
      await instance.produce(topic, partition, numbered(`p${partition}-`, 20))
      expected.push(...numbered(`p${partition}-`, 20))
    }
    expect(values(await instance.take(group, topic, 60)).sort()).to.deep.equal(expected.sort())
  })

  it('pixy C14 E2 a new group begins at the end, which stays its place even over a restart', async () => {
    await stage.cluster.createTopic(topic, 1)
    const before = await start({ start: 'latest' })
    await before.produce(topic, 0, ['old'])
    expect((await before.consume(group, topic, 3_000)).type).to.equal('timedOut')
    await before.stop()
    const after = await start({ start: 'latest' })
    await after.produce(topic, 0, ['new 1', 'new 2'])
    expect(values(await after.take(group, topic, 2))).to.deep.equal(['new 1', 'new 2'])
  })

  it('pixy C15 of two topics the one that is not asked any more goes, the other stays', async () => {
    const other = freshTopic('bills')
    await Promise.all([stage.cluster.createTopic(topic, 1), stage.cluster.createTopic(other, 1)])
    const one = await start({ subscriptionTimeoutMs: 700, instanceId: `${group}-1` })
    const two = await start({ instanceId: `${group}-2` })
    await one.produce(topic, 0, numbered('m', 200))
    await one.produce(other, 0, ['x', 'y'])
    expect(values(await one.take(group, other, 1))).to.deep.equal(['x'])
    // The other member gets nothing as long as the first one has both.
    const seen: string[] = []
    const moved = two.next(group, other, 60_000).then(message => {
      seen.push(String(message.value))
      message.ack()
    })
    const stays: string[] = []
    while (seen.length === 0 && stays.length < 200) {
      stays.push(...values(await one.take(group, topic, 1)))
      await new Promise(resolve => setTimeout(resolve, 50))
    }
    await moved
    expect(seen).to.deep.equal(['y'])
    expect(stays).to.deep.equal(numbered('m', stays.length))
    expect(values(await one.take(group, topic, 1))).to.deep.equal([`m${stays.length}`])
  })

  it('pixy H21 a message without an ack leaves the committed offset where it is', async () => {
    await stage.cluster.createTopic(topic, 1)
    const instance = await start({ ackTimeoutMs: 500 })
    await instance.produce(topic, 0, ['m0'])
    await instance.next(group, topic)
    await instance.stop()
    const other = await start()
    expect(await other.committed(group, topic, 0)).to.equal('0')
  })

  it('pixy H22 pixy P7 acks by place, in any order, are committed with what is acknowledged above', async () => {
    await stage.cluster.createTopic(topic, 1)
    const instance = await start()
    await instance.produce(topic, 0, numbered('m', 10))
    const messages: ConsumedMessage[] = []
    for (let at = 0; at < 10; at++) messages.push(await instance.next(group, topic))
    const acks = [true, false, true, true, true, false, false, true, true, false]
    for (const { partition, offset } of messages.filter((_, at) => acks[at])) {
      expect(await instance.castellan.groups.ack(group, { topic, partition, offset })).to.deep.equal({ type: 'acked' })
    }
    const unknown = { topic, partition: 0, offset: 99 }
    expect(await instance.castellan.groups.ack(group, unknown)).to.deep.equal({ type: 'notOffered' })
    await instance.stop()
    const other = await start()
    expect(await other.committed(group, topic, 0)).to.equal('1 1-4,6-8')
    expect(values(await other.take(group, topic, 4))).to.deep.equal(['m1', 'm5', 'm6', 'm9'])
  })

  it('pixy H56 a member with a message that is not acknowledged waits for it before it hands over', async () => {
    await stage.cluster.createTopic(topic, 1)
    const one = await start({ revocationMs: 60_000, ackTimeoutMs: 3_000, subscriptionTimeoutMs: 600 })
    await one.produce(topic, 0, ['m0', 'm1'])
    await one.next(group, topic)
    // A busy machine tells of the message a while after its time began.
    const toldAt = performance.now()
    const two = await start()
    const redelivered = await two.next(group, topic, 30_000)
    expect(performance.now() - toldAt).to.be.above(1_500)
    expect(String(redelivered.value)).to.equal('m0')
  })

  it('a member that stops hands over at once what is acknowledged, and the other goes on exactly', async () => {
    await stage.cluster.createTopic(topic, 4)
    const [one, two] = [await start(), await start()]
    for (const partition of [0, 1, 2, 3]) await one.produce(topic, partition, numbered(`p${partition}-`, 20))
    const seen = values(await one.take(group, topic, 30))
    const rest = two.take(group, topic, 50)
    await one.stop()
    expect(new Set([...seen, ...values(await rest)]).size).to.equal(80)
  })

  it('messages that were not acknowledged in time are offered again, to whoever asks', async () => {
    await stage.cluster.createTopic(topic, 1)
    const instance = await start({ ackTimeoutMs: 300 })
    await instance.produce(topic, 0, ['m0'])
    expect((await instance.next(group, topic)).retries).to.equal(0)
    const again = await instance.next(group, topic)
    expect([String(again.value), again.retries]).to.deep.equal(['m0', 1])
  })

  it('a static member that restarts keeps its partitions, and nobody joins again', async () => {
    await stage.cluster.createTopic(topic, 2)
    const [one, two] = [await start({ instanceId: 'pod-1' }), await start({ instanceId: 'pod-2' })]
    for (const partition of [0, 1]) await one.produce(topic, partition, numbered(`p${partition}-`, 20))
    const [ofOne] = await Promise.all([one.take(group, topic, 5), two.take(group, topic, 5)])
    await new Promise(resolve => setTimeout(resolve, 1_000))
    const partition = (await one.take(group, topic, 1))[0]!.partition
    await one.stop()
    const again = await start({ instanceId: 'pod-1' })
    const after = await again.take(group, topic, 3)
    expect(new Set(after.map(message => message.partition))).to.deep.equal(new Set([partition]))
    expect(ofOne).to.have.length(5)
  })

  it('a coordinator that moves, and leaders that move, lose and double nothing', async () => {
    await stage.cluster.createTopic(topic, 3)
    const instance = await start()
    const expected: string[] = []
    for (const partition of [0, 1, 2]) {
      await instance.produce(topic, partition, numbered(`p${partition}-`, 40))
      expected.push(...numbered(`p${partition}-`, 40))
    }
    const seen = values(await instance.take(group, topic, 20))
    for (const partition of [0, 1, 2]) {
      const leader = await stage.cluster.leaderOf(topic, partition)
      const next = stage.cluster.nodeIds.find(nodeId => nodeId !== leader)!
      await stage.cluster.moveLeader(topic, partition, next)
      seen.push(...values(await instance.take(group, topic, 20)))
    }
    seen.push(...values(await instance.take(group, topic, 40)))
    expect(seen.sort()).to.deep.equal(expected.sort())
  })

  it('new partitions of a topic are read without a restart', async () => {
    await stage.cluster.createTopic(topic, 1)
    const instance = await start({ partitionCheckMs: 300 })
    await instance.produce(topic, 0, ['m0'])
    await instance.take(group, topic, 1)
    await stage.cluster.growTopic(topic, 2)
    const waiting = instance.next(group, topic, 60_000)
    // Of one that does not know the topic yet.
    await (await start()).produce(topic, 1, ['grown'])
    expect(String((await waiting).value)).to.equal('grown')
  })

  it('as a stream: the loop gives each message, and ends when it is told to', async () => {
    await stage.cluster.createTopic(topic, 1)
    const instance = await start()
    await instance.produce(topic, 0, numbered('m', 5))
    const stop = new AbortController()
    const seen: string[] = []
    for await (const message of instance.castellan.consume({ group, topics: topic, signal: stop.signal })) {
      seen.push(String(message.value))
      message.ack()
      if (seen.length === 5) setTimeout(() => stop.abort(), 100)
    }
    expect(seen).to.deep.equal(numbered('m', 5))
  })
})
