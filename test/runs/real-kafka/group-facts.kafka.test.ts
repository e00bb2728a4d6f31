import { setTimeout as pass } from 'node:timers/promises'
import { expect } from 'chai'
import { freshTopic } from '../../support/target-cluster.js'
import { joinBy } from './group-heartbeat.js'
import { GroupSession } from './group-session.js'
import { kafkaVersion } from './jars.js'
import { runTool } from './java-tools.js'
import { runningKafka } from './shared-cluster.js'

const NONE = 0
const ILLEGAL_GENERATION = 22
const UNKNOWN_MEMBER_ID = 25
const REBALANCE_IN_PROGRESS = 27
const GROUP_ID_NOT_FOUND = 69
const NOT_COORDINATOR = [14, 15, 16]

const NOBODY = { generationId: -1, memberId: '' }
const USER_DATA = Buffer.from('{"castellan":1,"undecided":[]}')

/** Which commits each version of Kafka takes from whom, and which members it lets into a group. */
describe('commits and members of groups of Kafka', function () {
  this.timeout(120_000)
  let topic: string
  let unread: string
  let group: string
  const sessions: GroupSession[] = []

  before(function () {
    if (kafkaVersion.startsWith('3.')) this.skip()
  })
  beforeEach(async () => {
    topic = freshTopic('facts')
    unread = freshTopic('unread')
    group = freshTopic('readers')
    await runningKafka().createTopic(topic, 2)
    await runningKafka().createTopic(unread, 1)
  })
  afterEach(async () => {
    await Promise.all(sessions.splice(0).map(({ client }) => client.close()))
  })

  const open = async (): Promise<GroupSession> => {
    const session = await GroupSession.open(runningKafka().bootstrap, group)
    sessions.push(session)
    return session
  }
  const entered = async (userData: Buffer | null = null, topics = [topic]): Promise<GroupSession> => {
    const session = await open()
    expect(await session.enter(topics, userData), 'enters').to.equal(NONE)
    return session
  }
  /** A member of KIP-848 by its first heartbeat. */
  const joinByHeartbeat = async (memberId = 'AAAAAAAAQACAAAAAAAAAAQ') => {
    for (;;) {
      for (const { plaintext } of runningKafka().ports) {
        const answer = await joinBy('consumer', plaintext, { groupId: group, topic, memberId })
        if (!NOT_COORDINATOR.includes(answer.errorCode)) return answer
      }
      await pass(100)
    }
  }
  /** Kafka's consumer with `group.protocol=consumer`, until it is told to stop. */
  const java = () => {
    const stop = new AbortController()
    const names = ['--bootstrap-server', runningKafka().bootstrap, '--topic', topic, '--group-id', group]
    const options = ['--group-protocol', 'consumer', '--reset-policy', 'earliest']
    const ended = runTool('verifiableConsumer', [...names, ...options], { signal: stop.signal })
    return { ended, stop: () => stop.abort() }
  }
  const members = async (): Promise<string[]> => {
    const { client } = await open()
    const { groups } = await client.describeConsumerGroups({ groupIds: [group] })
    return groups[0]!.members.map(({ protocol, partitions }) => {
      return `${protocol} ${[...(partitions.get(topic) ?? [])]}`
    })
  }

  it('1: a commit without a member is taken while the group is absent or empty', async () => {
    const nobody = await open()
    expect(await nobody.commit(topic, 1, NOBODY), 'absent').to.equal(NONE)
    expect(await nobody.commit(topic, 2, NOBODY), 'only with offsets').to.equal(NONE)
    const member = await entered()
    expect(await nobody.commit(topic, 3, NOBODY), 'with a member').to.equal(UNKNOWN_MEMBER_ID)
    expect(await nobody.commit(unread, 3, NOBODY), 'of a topic that it does not read').to.equal(UNKNOWN_MEMBER_ID)
    expect(await member.leave()).to.equal(NONE)
    expect(await nobody.commit(topic, 4, NOBODY), 'when it has left').to.equal(NONE)
  })

  it('2: a member commits topics that it does not read, in its generation only', async () => {
    const member = await entered()
    const { generationId } = member
    expect(await member.commit(unread, 1)).to.equal(NONE)
    expect(await member.commit(unread, 1, { generationId: generationId + 1 }), 'later').to.equal(ILLEGAL_GENERATION)
    expect(await member.commit(unread, 1, { generationId: generationId - 1 }), 'earlier').to.equal(ILLEGAL_GENERATION)
    expect(await member.commit(unread, 1, { memberId: 'nobody' }), 'unknown').to.equal(UNKNOWN_MEMBER_ID)
  })

  it('3: a member commits while the group rebalances, until all have joined', async () => {
    const first = await entered()
    const { generationId } = first
    const second = await open()
    const joining = second.join([topic, unread])
    while ((await first.heartbeat()) !== REBALANCE_IN_PROGRESS) await pass(50)
    expect(await first.commit(unread, 1), 'before it joins again').to.equal(NONE)
    expect(await (await open()).commit(unread, 1, NOBODY), 'of nobody').to.equal(UNKNOWN_MEMBER_ID)
    const codes = await Promise.all([first.join([topic, unread]), joining])
    expect(codes).to.deep.equal([NONE, NONE])
    expect(await first.commit(unread, 2, { generationId }), 'of the former generation').to.equal(ILLEGAL_GENERATION)
    expect(await first.commit(unread, 2), 'before the leader has assigned').to.equal(REBALANCE_IN_PROGRESS)
    const [leader, other] = first.leaderId === first.memberId ? [first, second] : [second, first]
    expect(await Promise.all([leader.sync([topic, unread]), other.sync()])).to.deep.equal([NONE, NONE])
    expect(await other.commit(unread, 3), 'in its generation').to.equal(NONE)
  })

  it('4: a group of the new protocol takes a commit without a member only while it has none', async () => {
    const nobody = await open()
    expect((await joinByHeartbeat()).errorCode).to.equal(NONE)
    expect(await nobody.commit(topic, 1, NOBODY), 'with a member').to.equal(UNKNOWN_MEMBER_ID)
  })

  it('5: a member of the new protocol is let in beside a classic one whose assignment has no user data', async () => {
    const member = await entered()
    expect(await joinByHeartbeat()).to.deep.equal({ errorCode: NONE, message: '' })
    const { generationId } = member
    expect(await member.heartbeat()).to.equal(REBALANCE_IN_PROGRESS)
    expect(await member.commit(unread, 1), 'a topic that it does not read').to.equal(NONE)
    expect(await member.commit(unread, 1, { generationId: generationId + 5 }), 'later').to.equal(ILLEGAL_GENERATION)
    expect(await member.commit(topic, 1, { generationId: generationId - 1 }), 'earlier').to.equal(ILLEGAL_GENERATION)
    expect(await member.commit(unread, 1, NOBODY), 'without a member').to.equal(UNKNOWN_MEMBER_ID)
    const codes = [await member.join([topic, unread]), await member.sync()]
    expect([...codes, member.generationId]).to.deep.equal([NONE, NONE, generationId + 1])
    expect(member.leaderId, 'nobody leads').to.not.equal(member.memberId)
    expect((await members()).toSorted()).to.deep.equal(['classic 0', 'consumer 1'])
    const { groups } = await (await open()).client.describeGroups({ groupIds: [group] })
    expect([groups[0]!.errorCode, groups[0]!.state]).to.deep.equal([NONE, 'Dead'])
    expect(await member.commit(unread, 2), 'its new generation').to.equal(NONE)
    expect(await member.commit(unread, 2, { generationId }), 'the former, new topic').to.equal(ILLEGAL_GENERATION)
    expect(await member.commit(topic, 2, { generationId }), 'the former, what it has read since').to.equal(NONE)
    expect(await member.commit(unread, 2, { generationId: generationId + 2 })).to.equal(ILLEGAL_GENERATION)
  })

  it('6: user data of the subscription keeps none out, that of the assignment does', async () => {
    const member = await open()
    expect(await member.join([topic], USER_DATA)).to.equal(NONE)
    expect(await member.sync([topic])).to.equal(NONE)
    expect(await joinByHeartbeat(), 'in the subscription').to.deep.equal({ errorCode: NONE, message: '' })
    group = freshTopic('readers')
    await entered(USER_DATA)
    const { errorCode, message } = await joinByHeartbeat()
    expect(errorCode, 'in the assignment').to.equal(GROUP_ID_NOT_FOUND)
    expect(message).to.contain('because an unsupported custom assignor is in use')
  })

  it('7: a Java consumer of the new protocol reads beside a classic member, and goes again', async () => {
    const member = await entered()
    const goOn = async (): Promise<void> => {
      if ((await member.heartbeat()) !== REBALANCE_IN_PROGRESS) return
      expect([await member.join([topic]), await member.sync([topic])]).to.deep.equal([NONE, NONE])
    }
    const consumer = java()
    try {
      await runningKafka().waitFor('the consumer in the group', async () => {
        await goOn()
        return (await members()).toSorted().join() === 'classic 0,consumer 1'
      })
      expect(await member.commit(unread, 1), 'a topic that it does not read').to.equal(NONE)
    } finally {
      consumer.stop()
      await consumer.ended
    }
    await runningKafka().waitFor('the classic member alone, in a classic group', async () => {
      await goOn()
      const { groups } = await (await open()).client.describeGroups({ groupIds: [group] })
      return groups[0]!.state === 'Stable' && groups[0]!.members.length === 1
    })
    expect(await member.commit(unread, 2)).to.equal(NONE)
  })

  it('8: in a converted group a late start is taken from a member that has not joined again, although another reads the topic', async () => {
    const late = await entered()
    expect((await joinByHeartbeat()).errorCode).to.equal(NONE)
    expect([await late.join([topic]), await late.sync()], 'in the converted group').to.deep.equal([NONE, NONE])
    const reader = await open()
    expect([await reader.join([unread]), await reader.sync()]).to.deep.equal([NONE, NONE])
    // Kafka computes assignments of such a group at most once a second, and only when it is asked by a join or a newer member.
    for (let tries = 0; tries < 5 && reader.assigned.length === 0; tries++) {
      await pass(1_500)
      expect([await reader.join([unread]), await reader.sync()]).to.deep.equal([NONE, NONE])
    }
    expect(reader.assigned, 'the reader has the topic').to.deep.equal([`${unread}/0`])
    expect(reader.generationId).to.be.above(late.generationId)
    expect(await late.heartbeat(), 'it is to join again').to.equal(REBALANCE_IN_PROGRESS)
    expect(await late.commit(unread, 15), 'the late start').to.equal(NONE)
  })

  it('9: in a classic group a late start is refused once another member reads the topic', async () => {
    const late = await entered()
    const { generationId } = late
    const reader = await open()
    const joining = reader.join([unread])
    while ((await late.heartbeat()) !== REBALANCE_IN_PROGRESS) await pass(50)
    expect([await late.join([topic]), await joining]).to.deep.equal([NONE, NONE])
    const all = late.leaderId === late.memberId ? [late, reader] : [reader, late]
    for (const one of all) expect(await one.sync([one === reader ? unread : topic])).to.equal(NONE)
    expect(await late.commit(unread, 15, { generationId })).to.equal(ILLEGAL_GENERATION)
  })

  it('10: a start without a member that comes when the group is empty again goes back', async () => {
    const nobody = await open()
    const member = await entered()
    expect(await member.commit(topic, 20)).to.equal(NONE)
    expect(await nobody.commit(topic, 10, NOBODY)).to.equal(UNKNOWN_MEMBER_ID)
    expect(await member.leave()).to.equal(NONE)
    expect(await nobody.commit(topic, 10, NOBODY), 'late').to.equal(NONE)
  })
})
