import { expect } from 'chai'
import type { ActorRef, Requester } from '../../src/core/actor/actor.js'
import { silentLogger } from '../../src/core/model.js'
import { errorCodes } from '../../src/kafka/error-codes.js'
import { encodeAssignment } from '../../src/kafka/protocol/consumer-protocol.js'
import type { RouterMessage } from '../../src/router/messages/operations.js'
import { GroupReaders } from '../../src/verbs/group-readers.js'

const MANY = 100_000

const assignmentOf = (count: number): Buffer =>
  // From the last one down, as a client may write them.
  encodeAssignment(Array.from({ length: count }, (_, at) => ({ topic: 'orders', partition: count - 1 - at })))

/** A router that knows one group, with these assignments. */
function readersOf(assignments: readonly Buffer[]): GroupReaders {
  const members = assignments.map((assignment, at) => ({
    memberId: `m${at}`,
    instanceId: null,
    clientId: 'client',
    clientHost: '/127.0.0.1',
    assignment
  }))
  const tell = ({ requester }: { requester: { reply(result: object): void } }): void =>
    requester.reply({ type: 'success', protocolType: 'consumer', members })
  const router = { tell } as unknown as ActorRef<RouterMessage>
  return new GroupReaders({ router, log: silentLogger, timeoutMs: 20_000, clock: () => 0 }, {})
}

const turnsDuring = async <Result>(work: Promise<Result>): Promise<[Result, turns: number]> => {
  let turns = 0
  let isOver = false
  const count = (): void => {
    turns++
    if (!isOver) setImmediate(count)
  }
  setImmediate(count)
  const result = await work
  isOver = true
  return [result, turns]
}

describe('who reads what on behalf of a group', () => {
  it('is told of a member with 100,000 partitions, in their order', async () => {
    const [reader] = (await readersOf([assignmentOf(MANY)]).read(['g'])).get('g')!
    const partitions = reader!.partitions.get('orders')!
    expect([partitions.length, partitions[0], partitions.at(-1)]).to.deep.equal([MANY, 0, MANY - 1])
  })

  it('is read in slices, between which the process does other work', async () => {
    const assignments = Array.from({ length: 50 }, () => assignmentOf(2_000))
    const [groups, turns] = await turnsDuring(readersOf(assignments).read(['g']))
    expect(groups.get('g')).to.have.length(50)
    expect(turns).to.be.at.least(10)
  })

  it('leaves a group that cannot be read out of all groups, with a warning, and fails where it is asked for by name', async () => {
    const warned: unknown[] = []
    const log = { ...silentLogger, warn: (...told: unknown[]) => void warned.push(told) }
    const answers: Record<string, object> = {
      fetchTopicMetadata: { type: 'success', brokers: [{ nodeId: 1 }], topics: new Map() },
      listGroups: { type: 'success', groups: ['g', 'huge'].map(groupId => ({ groupId, protocolType: 'consumer' })) },
      huge: { type: 'failed', code: 'protocol', message: 'too large', retriable: false },
      g: {
        type: 'success',
        protocolType: 'consumer',
        members: [{ memberId: 'm', assignment: encodeAssignment([{ topic: 'orders', partition: 0 }]) }]
      }
    }
    const tell = ({ type, groupId, requester }: { type: string; groupId?: string; requester: Requester<object> }) =>
      requester.reply(answers[groupId ?? type]!)
    const router = { tell } as unknown as ActorRef<RouterMessage>
    const readers = () => new GroupReaders({ router, log, timeoutMs: 20_000, clock: () => 0 }, { topic: 'orders' })
    expect([...(await readers().read('all')).keys()]).to.deep.equal(['g'])
    expect(warned).to.deep.equal([
      [{ group: 'huge', reason: 'too large' }, 'a consumer group cannot be read; lists leave it out']
    ])
    const error = await readers()
      .read(['huge'])
      .catch((thrown: Error) => thrown)
    expect(error).to.include({ code: 'protocol', message: 'too large' })
  })

  it('is told of small groups with their partitions, however many the groups before them have', async () => {
    const members: Record<string, Buffer[]> = {
      a: [assignmentOf(MANY)],
      b: [assignmentOf(MANY)],
      c: [assignmentOf(3)],
      d: [assignmentOf(600), assignmentOf(600), assignmentOf(400)]
    }
    const tell = ({ type, groupId, requester }: { type: string; groupId: string; requester: Requester<object> }) => {
      const groups = Object.keys(members).map(groupId => ({ groupId, protocolType: 'consumer' }))
      if (type === 'fetchTopicMetadata')
        requester.reply({ type: 'success', brokers: [{ nodeId: 1 }], topics: new Map() })
      else if (type === 'listGroups') requester.reply({ type: 'success', groups })
      else {
        const ofGroup = members[groupId]!.map(assignment => ({ memberId: 'm', assignment }))
        requester.reply({ type: 'success', protocolType: 'consumer', members: ofGroup })
      }
    }
    const router = { tell } as unknown as ActorRef<RouterMessage>
    const readers = new GroupReaders(
      { router, log: silentLogger, timeoutMs: 20_000, clock: () => 0 },
      { topic: 'orders' }
    )
    const told = Array.from(await readers.read('all'), ([groupId, ofGroup]) => [
      groupId,
      ...ofGroup.map(({ partitions }) => partitions.get('orders')?.length)
    ])
    const none = undefined
    expect(told).to.deep.equal([
      ['a', MANY],
      ['b', MANY],
      ['c', 3],
      ['d', 600, none, 400]
    ])
  })

  it('is told of 200,000 partitions of one group; members beyond are told without any', async () => {
    const assignment = assignmentOf(MANY)
    const readers = (await readersOf(Array.from({ length: 5 }, () => assignment)).read(['g'])).get('g')!
    expect(readers.map(({ partitions }) => partitions.get('orders')?.length)).to.deep.equal([
      MANY,
      MANY,
      undefined,
      undefined,
      undefined
    ])
  })
})

describe('a group of the protocol of KIP-848', () => {
  /** A coordinator that knows the group `new` of this protocol, and no other group. */
  const readersOf = (answer: object): GroupReaders => {
    const tell = ({ type, requester }: { type: string; requester: Requester<object> }): void =>
      requester.reply(type === 'describeConsumerGroup' ? answer : { type: 'notFound' })
    const router = { tell } as unknown as ActorRef<RouterMessage>
    return new GroupReaders({ router, log: silentLogger, timeoutMs: 20_000, clock: () => 0 }, {})
  }

  it('is described, with the partitions of its members in ascending order', async () => {
    const member = { memberId: 'm', instanceId: null, clientId: 'c', clientHost: '/h' }
    const members = [{ ...member, partitions: new Map([['orders', [2, 0]]]), protocol: 'consumer' }]
    const answer = { type: 'success', state: 'Reconciling', assignor: 'uniform', coordinatorId: 3, members }
    expect((await readersOf(answer).describe(['new'])).get('new')).to.deep.equal({
      groupId: 'new',
      type: 'consumer',
      state: 'Reconciling',
      assignor: 'uniform',
      isSimple: false,
      coordinatorId: 3,
      isMixed: false,
      members: [{ ...member, partitions: new Map([['orders', [0, 2]]]) }]
    })
    expect((await readersOf(answer).read(['new'])).get('new')).to.deep.equal([
      { ...member, partitions: new Map([['orders', [0, 2]]]) }
    ])
  })

  it('is mixed while a member uses the older protocol, or the broker does not say which it uses', async () => {
    const isMixed = async (...protocols: readonly unknown[]) => {
      const members = protocols.map(protocol => ({ memberId: 'm', partitions: new Map(), protocol }))
      const answer = { type: 'success', state: 'Stable', assignor: 'uniform', coordinatorId: 3, members }
      return (await readersOf(answer).describe(['new'])).get('new')!.isMixed
    }
    expect([await isMixed(), await isMixed('consumer', 'consumer')]).to.deep.equal([false, false])
    expect([await isMixed('consumer', 'classic'), await isMixed(undefined)]).to.deep.equal([true, true])
  })

  it('is none where the broker does not have the request, and a refusal is an error', async () => {
    const failed = (errorCode: number) => ({
      type: 'failed',
      code: 'kafka',
      errorCode,
      message: 'no',
      retriable: false
    })
    expect((await readersOf(failed(errorCodes.UNSUPPORTED_VERSION)).describe(['new'])).size).to.equal(0)
    const error = await readersOf(failed(errorCodes.GROUP_AUTHORIZATION_FAILED))
      .describe(['new'])
      .catch((thrown: Error) => thrown)
    expect(error).to.include({ errorCode: errorCodes.GROUP_AUTHORIZATION_FAILED })
  })
})
