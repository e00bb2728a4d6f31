import { expect } from 'chai'
import type { ActorRef } from '../../src/actor/actor.js'
import { GroupReaders } from '../../src/gateway/group-readers.js'
import type { RouterMessage } from '../../src/operations.js'
import { encodeAssignment } from '../../src/wire/protocol/consumer-protocol.js'

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
  return new GroupReaders({ tell } as unknown as ActorRef<RouterMessage>, 20_000, () => 0)
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
