import { expect } from 'chai'
import { asking } from '../../../src/consumer/partition/ask.js'
import { ShareMember } from '../../../src/consumer/queue/share-member.js'
import type { Failure } from '../../../src/router/messages/operations.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'
import { FakeTime } from '../../support/fake-time.js'
import { FakeShareRouter } from './fake-share-router.js'

describe('the member of a share group', () => {
  let time: FakeTime
  let router: FakeShareRouter
  let member: ShareMember
  let failures: Failure[]
  const beats = () => router.of('shareHeartbeat')

  beforeEach(() => {
    time = new FakeTime()
    router = new FakeShareRouter()
    failures = []
    member = new ShareMember({
      topic: 'jobs',
      groupId: 'workers',
      ask: asking(router),
      onAnswered: () => undefined,
      onFailed: failure => void failures.push(failure)
    })
  })
  afterEach(async () => {
    const left = member.leave(100)
    await time.pass(200)
    await left
    const timers = time.timers - router.pending
    time.restore()
    expect(timers, 'timers that are left').to.equal(0)
  })

  it('joins with its topic, and hurries until it is assigned partitions', async () => {
    router.beatsUntilAssigned = 4
    member.join()
    await time.pass(1_000)
    expect(beats().map(({ memberEpoch, topics }) => [memberEpoch, topics])).to.deep.equal([
      [0, ['jobs']],
      [2, null],
      [2, null],
      [2, null]
    ])
    await time.pass(4_500)
    expect(beats(), 'then at the interval it is told').to.have.length(4)
    await time.pass(1_000)
    expect(beats()).to.have.length(5)
    expect(new Set(beats().map(({ memberId }) => memberId)).size).to.equal(1)
    expect(beats()[0]!.memberId).to.match(/^[0-9a-f-]{36}$/)
  })

  it('sends no flood of heartbeats to a coordinator that tells an interval of nothing', async () => {
    router.heartbeatIntervalMs = 0
    member.join()
    await time.pass(2_000, 50)
    expect(beats().length).to.be.within(2, 21)
  })

  it('does not hurry for long where there is nothing to be assigned', async () => {
    router.beatsUntilAssigned = 1_000
    member.join()
    await time.pass(60_000, 50)
    expect(beats().length).to.be.within(100, 135)
  })

  for (const errorCode of [110, 25])
    it(`joins anew under another id when it is told ${errorCode}`, async () => {
      member.join()
      await time.pass(100)
      router.scripted.push({ kind: 'shareHeartbeat', result: kafkaFailure(errorCode) })
      await time.pass(5_500)
      const [first, refused, again] = beats()
      expect(refused!.memberId).to.equal(first!.memberId)
      expect(again!.memberId).to.not.equal(first!.memberId)
      expect([again!.memberEpoch, again!.topics]).to.deep.equal([0, ['jobs']])
      expect(failures).to.deep.equal([])
    })

  for (const errorCode of [14, 15, 16])
    it(`asks again when it is told ${errorCode}`, async () => {
      router.scripted.push({ kind: 'shareHeartbeat', result: kafkaFailure(errorCode) })
      member.join()
      await time.pass(700)
      expect(beats()).to.have.length(2)
      expect(beats()[1]!.memberId).to.equal(beats()[0]!.memberId)
      expect(failures.map(failure => failure.errorCode)).to.deep.equal([errorCode])
    })

  it('leaves once, and is not heard of afterwards', async () => {
    member.join()
    await time.pass(100)
    const left = member.leave(1_000)
    await time.pass(100)
    await left
    await time.pass(20_000, 100)
    expect(beats().map(({ memberEpoch }) => memberEpoch)).to.deep.equal([0, -1])
  })

  it('leaves although its first heartbeat has no answer yet', async () => {
    router.latencyMs = 50
    member.join()
    await time.pass(10)
    const left = member.leave(1_000)
    await time.pass(200)
    await left
    expect(beats().map(({ memberEpoch }) => memberEpoch)).to.deep.equal([0, -1])
  })

  it('does not leave a group that has refused it', async () => {
    router.scripted.push({ kind: 'shareHeartbeat', result: kafkaFailure(69) })
    member.join()
    await time.pass(100)
    await member.leave(1_000)
    expect(beats()).to.have.length(1)
  })
})
