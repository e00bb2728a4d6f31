import { setTimeout as sleep } from 'node:timers/promises'
import { expect } from 'chai'
import { lagOf } from '../../../src/apis/kafka-pixy/groups.js'
import { openCastellan } from '../../../src/client/open-castellan.js'
import type { ConsumedMessage } from '../../../src/consumer/group/consume-result.js'
import type { ConsumerSettingsOverrides } from '../../../src/consumer/group/settings.js'
import { askRouter } from '../../../src/index.js'
import type { BrokerClient } from '../../../src/kafka/broker-client.js'
import { encodeSubscription } from '../../../src/kafka/protocol/consumer-protocol.js'
import { AS_STORED } from '../../../src/router/messages/operations.js'
import type { GroupInstance } from '../../support/group-instance.js'
import { onCluster } from '../../support/stage.js'
import { freshTopic } from '../../support/target-cluster.js'
import { clientOfCoordinator, ForeignLeader } from './foreign-leader.js'

const QUICK: ConsumerSettingsOverrides = { start: 'latest', partitionCheckMs: 300, retryBackoffMs: 100 }
/** The name of a static member that another client lets into the group for a moment. */
const FURTHER = 'further'
const numbered = (name: string, count: number): string[] => Array.from({ length: count }, (_, at) => `${name}${at}`)

describe('where a group begins to read', function () {
  this.timeout(120_000)
  const stage = onCluster()
  let topic: string
  let group: string
  beforeEach(() => {
    topic = freshTopic('orders')
    group = freshTopic('billing')
  })

  const start = (settings: ConsumerSettingsOverrides = {}): Promise<GroupInstance> =>
    stage.member({ ...QUICK, ...settings })

  /** Asks, and is told that there is nothing; asks again where joining took so long that it is told nothing. */
  async function begin(instance: GroupInstance, timeoutMs = 500): Promise<void> {
    let result = await instance.consume(group, topic, timeoutMs)
    while (result.type === 'failed' && result.code === 'timedOut')
      result = await instance.consume(group, topic, timeoutMs)
    expect(result.type).to.equal('timedOut')
  }

  /** What the readers are offered until they have all of the values, each acknowledged; what comes twice counts once. */
  async function offered(readers: readonly GroupInstance[], expected: readonly string[]): Promise<Set<string>> {
    const seen = new Set<string>()
    const missing = new Set(expected)
    const endsAt = performance.now() + 45_000
    const read = async (reader: GroupInstance): Promise<void> => {
      while (missing.size > 0 && performance.now() < endsAt) {
        const result = await reader.consume(group, topic, 300)
        if (result.type !== 'message') continue
        take(result.message)
      }
    }
    const take = (message: ConsumedMessage): void => {
      message.ack()
      seen.add(String(message.value))
      missing.delete(String(message.value))
    }
    await Promise.all(readers.map(read))
    expect([...missing], 'never offered').to.deep.equal([])
    return seen
  }

  /** Written by a process of its own, one record after another to each partition in turn. */
  async function write(name: string, count: number, partitions: number): Promise<string[]> {
    const writer = await start()
    const values = numbered(name, count)
    for (const [at, value] of values.entries()) await writer.produce(topic, at % partitions, [value])
    return values
  }

  /** A process asks for the topic, which is created and written to only then. */
  async function askBefore(): Promise<[GroupInstance, readonly string[]]> {
    const first = await start()
    const asked = async (): Promise<string> => (await first.consume(group, topic, 300)).type
    while ((await asked()) !== 'timedOut');
    await stage.cluster.createTopic(topic, 2)
    return [first, await write('m', 20, 2)]
  }

  async function recreate(partitions: number, meanwhile: () => Promise<void> = async () => {}): Promise<void> {
    await stage.cluster.deleteTopic(topic)
    await meanwhile()
    // Kafka takes a moment to forget the name.
    for (let attempt = 0; ; attempt++) {
      try {
        await stage.cluster.createTopic(topic, partitions)
        return
      } catch (error) {
        if (attempt === 50) throw error
        await sleep(100)
      }
    }
  }

  it('a group that asked before the topic existed is offered its first records', async () => {
    // Only the look-up of missing topics finds it in time.
    const reader = await start({ partitionCheckMs: 600_000 })
    await begin(reader)
    await stage.cluster.createTopic(topic, 2)
    await offered([reader], await write('m', 20, 2))
  })

  it('a group that asked before the topic existed is offered the record that creates it', async () => {
    const reader = await start()
    await begin(reader)
    const writer = await start()
    const [outcome] = await writer.castellan.verbs
      .produce([{ topic, key: null, value: 'first' }], { partitioner: 'crc32', deadlineMs: 20_000 })
      .outcomes()
    expect(outcome?.type).to.equal('delivered')
    await offered([reader], ['first'])
  })

  it('a group is offered every record of partitions that are added to its topic', async () => {
    await stage.cluster.createTopic(topic, 2)
    const reader = await start()
    await begin(reader)
    await stage.cluster.growTopic(topic, 6)
    await offered([reader], await write('m', 60, 6))
  })

  it('a group begins at the end of a topic, and is offered what is written after its first answer', async () => {
    await stage.cluster.createTopic(topic, 3)
    await write('old', 9, 3)
    const reader = await start()
    await begin(reader)
    const seen = await offered([reader], await write('m', 9, 3))
    expect([...seen].filter(value => value.startsWith('old'))).to.deep.equal([])
  })

  it('a process that joins when the topic exists offers what was written for a process that asked before', async () => {
    const first = await start()
    await begin(first)
    await stage.cluster.createTopic(topic, 2)
    const values = await write('m', 20, 2)
    // Both are asked at the same time: the second may join before the first has noticed the topic.
    const second = await start()
    await offered([first, second], values)
  })

  it('processes that join together begin at the end of each partition', async () => {
    await stage.cluster.createTopic(topic, 4)
    await write('old', 8, 4)
    const readers = await Promise.all([start(), start(), start()])
    await Promise.all(readers.map(reader => begin(reader, 1_500)))
    const seen = await offered(readers, await write('m', 40, 4))
    expect([...seen].filter(value => value.startsWith('old'))).to.deep.equal([])
  })

  it('a process that takes over at once goes on from where the group began', async () => {
    await stage.cluster.createTopic(topic, 2)
    await write('old', 4, 2)
    const first = await start()
    await begin(first)
    // Ends without a word, as in a crash, just after its first answer.
    void first.castellan.groups.stop(0, 0)
    const values = await write('m', 10, 2)
    const seen = await offered([await start()], values)
    expect([...seen].filter(value => value.startsWith('old'))).to.deep.equal([])
  })

  it('a topic created anew is read from its beginning when a process has joined meanwhile', async () => {
    await stage.cluster.createTopic(topic, 2)
    const [first, second] = [await start(), await start()]
    await begin(first)
    await offered([first], await write('old', 60, 2))
    await recreate(2, () => begin(second, 2_000))
    await offered([first, second], await write('new', 60, 2))
  })

  it('a topic created anew after an answer during a slow join is read from its beginning', async () => {
    await stage.cluster.createTopic(topic, 1)
    const first = await start()
    await begin(first)
    await first.stop()
    // The group waits for the hand-over of a process that reads another topic and holds a message of it.
    const other = freshTopic('other')
    await stage.cluster.createTopic(other, 1)
    const busy = await start({ revocationMs: 5_000, heartbeatIntervalMs: 500 })
    expect((await busy.consume(group, other, 500)).type).to.equal('timedOut')
    await busy.produce(other, 0, ['held'])
    const held = await busy.next(group, other)
    const second = await start()
    await begin(second, 1_500)
    await recreate(1)
    await offered([second], await write('new', 5, 1))
    held.ack()
  })

  it('what was committed in a former topic of the name is not applied to the one that was created anew', async () => {
    await stage.cluster.createTopic(topic, 1)
    const before = await start()
    await begin(before)
    await offered([before], await write('old', 30, 1))
    await before.stop()
    const ofGroup = { groupId: group, topicPartition: { topic, partition: 0 }, ...AS_STORED }
    const { router } = (await start()).castellan
    const last = await askRouter(router.ref, { type: 'fetchConsumerOffset', ...ofGroup })
    if (last.type !== 'success') throw new Error(JSON.stringify(last))
    expect(last.offsetAndMetadata.offset).to.equal(30)
    await recreate(1)
    const values = await write('new', 40, 1)
    // A commit that comes late, as from a process that has not heard of the deletion.
    const { offsetAndMetadata } = last
    for (let type = ''; type !== 'success'; await sleep(100)) {
      type = (await askRouter(router.ref, { type: 'commitConsumerOffset', ...ofGroup, offsetAndMetadata })).type
    }
    const after = await start()
    const [place] = (await after.castellan.verbs.groups.offsets(group, topic, 10_000))!
    expect(place).to.deep.include({ committed: undefined, beginsAt: 0, acknowledged: [] })
    await offered([after], values)
  })

  it('all of a topic is to be read by a group that asked before it existed', async () => {
    const reader = await start({ partitionCheckMs: 60_000, missingTopicCheckMs: 60_000 })
    await begin(reader)
    await stage.cluster.createTopic(topic, 1)
    await write('m', 3, 1)
    const [place] = (await reader.castellan.verbs.groups.offsets(group, topic, 10_000))!
    expect(place).to.deep.include({ earliest: 0, latest: 3, committed: undefined, beginsAt: 0 })
    const [ofNew] = (await reader.castellan.verbs.groups.offsets(`${group}-new`, topic, 10_000))!
    expect(ofNew).to.include({ committed: undefined }).and.not.to.have.property('beginsAt')
  })

  it('all of a topic is to be read by a group that begins at its earliest record and has never asked', async () => {
    await stage.cluster.createTopic(topic, 1)
    await write('m', 3, 1)
    const instance = await start({ start: 'earliest' })
    const [place] = (await instance.castellan.verbs.groups.offsets(group, topic, 10_000))!
    expect(place).to.deep.include({ latest: 3, committed: undefined, beginsAt: 0 })
    expect(lagOf(place!)).to.equal(3)
  })

  it('what came after its beginning is to be read by a group that began at the end and has acknowledged nothing', async () => {
    await stage.cluster.createTopic(topic, 2)
    await write('old', 4, 2)
    const reader = await start()
    await begin(reader)
    await write('m', 6, 2)
    const places = (await reader.castellan.verbs.groups.offsets(group, topic, 10_000))!
    expect(places.map(lagOf)).to.deep.equal([3, 3])
  })

  it('a group that another client leads is offered the records of a topic that one of its processes asked for before', async () => {
    const lead = freshTopic('lead')
    await stage.cluster.createTopic(lead, 1)
    const leader = await ForeignLeader.join(stage.bootstrap, group, lead)
    try {
      const [first, values] = await askBefore()
      // Joins when the topic exists, and is given all of it.
      const before = leader.members.map(({ memberId }) => memberId)
      const second = await start()
      void second.consume(group, topic, 10_000).then(result => result.type === 'message' && result.message.release())
      while (leader.members.length < 3) await sleep(50)
      leader.assign(members =>
        members
          .filter(({ memberId }) => !before.includes(memberId))
          .map(({ memberId }) => ({ memberId, partitions: [0, 1].map(partition => ({ topic, partition })) }))
      )
      await offered([first, second], values)
    } finally {
      await leader.stop()
    }
  })

  it('a group that another client leads is offered these records, too, while a further client joins', async () => {
    const lead = freshTopic('lead')
    await stage.cluster.createTopic(lead, 1)
    const leader = await ForeignLeader.join(stage.bootstrap, group, lead)
    const castellan = await openCastellan({ brokers: stage.bootstrap })
    const further = await clientOfCoordinator(castellan, stage.bootstrap, group)
    try {
      const [first, values] = await askBefore()
      const before = leader.members.map(({ memberId }) => memberId)
      const second = await start()
      void second.consume(group, topic, 10_000).then(result => result.type === 'message' && result.message.release())
      while (leader.members.length < 3) await sleep(50)
      // The coordinator describes the group to the second process when the further client has begun to join.
      const slow = stage.cluster.faults?.add({ api: 'DescribeGroups', count: 1 }, { type: 'delay', delayMs: 40 })
      void slow?.whenFired().then(() => joinOnce(further, group, lead))
      let mayJoin = !slow
      leader.assign(members => {
        // Real brokers delay nothing: it joins at about that time. Not again in each generation that this begins.
        if (mayJoin) void sleep(20).then(() => joinOnce(further, group, lead))
        mayJoin = false
        return members
          .filter(({ memberId, instanceId }) => !before.includes(memberId) && instanceId !== FURTHER)
          .map(({ memberId }) => ({ memberId, partitions: [0, 1].map(partition => ({ topic, partition })) }))
      })
      await offered([first, second], values)
      if (slow) expect(slow.fired).to.equal(1)
    } finally {
      await further.close()
      await castellan.close()
      await leader.stop()
    }
  })

  it('a topic created anew with more partitions is read from its beginning', async () => {
    await stage.cluster.createTopic(topic, 2)
    const reader = await start()
    await begin(reader)
    await offered([reader], await write('old', 10, 2))
    await recreate(6)
    await offered([reader], await write('new', 60, 6))
  })

  it('a topic created anew with fewer partitions is read from its beginning', async () => {
    await stage.cluster.createTopic(topic, 4)
    const reader = await start()
    await begin(reader)
    await offered([reader], await write('old', 10, 4))
    await recreate(1)
    await offered([reader], await write('new', 20, 1))
  })
})

/** A member of another client comes, and leaves when the group is stable again. */
async function joinOnce(client: BrokerClient, groupId: string, topic: string): Promise<void> {
  const protocols = [{ name: 'range', metadata: encodeSubscription([topic]) }]
  const times = { sessionTimeoutMs: 10_000, rebalanceTimeoutMs: 10_000, timeoutMs: 30_000 }
  const asked = { groupId, ...times, memberId: '', instanceId: FURTHER, protocolType: 'consumer', protocols }
  try {
    const { memberId, generationId } = await client.joinGroup(asked)
    const member = { groupId, memberId, instanceId: FURTHER }
    await client.syncGroup({ ...member, generationId, assignments: [], timeoutMs: 30_000 })
    await client.leaveGroup(member)
  } catch {
    // The test has ended.
  }
}
