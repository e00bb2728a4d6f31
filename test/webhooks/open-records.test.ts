import { expect } from 'chai'
import type { TopicOffers } from '../../src/consumer/group/consume-result.js'
import { OpenPartition, OpenRecord } from '../../src/webhooks/open-records.js'
import { run } from '../consumer/group/fake-runtime.js'
import { fakeRecord } from '../support/fake-batch.js'

const OF = { topic: 'orders', partition: 3 }

describe('the open records of a partition', () => {
  let partition: OpenPartition
  /** What is told of it: its oldest one, and how many are parked. */
  const told = (): readonly (number | undefined)[] => {
    const { oldest, parked, open } = partition.view(0, ({ offset }) => ({ offset }) as never)
    return [oldest?.offset, parked, open]
  }
  const add = (offset: number): OpenRecord => {
    const message = { ...fakeRecord(offset), ...OF, groupId: 'g', serial: offset, firstSerial: offset, retries: 0 }
    const open = new OpenRecord(undefined, message, {} as TopicOffers, partition)
    partition.add(open)
    return open
  }
  beforeEach(() => {
    partition = new OpenPartition(OF)
  })

  it('tell the oldest one, whatever leaves and comes again', () => {
    expect(told()).to.deep.equal([undefined, 0, 0])
    const [five, six, seven] = [add(5), add(6), add(7)]
    expect(told()).to.deep.equal([5, 3, 3])
    partition.delete(six)
    partition.delete(five)
    expect(told()).to.deep.equal([7, 1, 1])
    add(6)
    expect(told(), 'given again').to.deep.equal([6, 2, 2])
    add(9)
    partition.delete(seven)
    expect(told()).to.deep.equal([6, 2, 2])
  })

  it('count those that wait for their turn', () => {
    const [first, second] = [add(0), add(1)]
    first.enter('reading')
    first.enter('sending')
    expect(told()).to.deep.equal([0, 1, 2])
    first.enter('pausing')
    second.enter('reading')
    expect(told()).to.deep.equal([0, 0, 2])
    first.enter('parked')
    expect(told()).to.deep.equal([0, 1, 2])
    partition.delete(first)
    partition.delete(second)
    expect(told()).to.deep.equal([undefined, 0, 0])
  })

  it('count one that was given again while its attempt is under way once', () => {
    const former = add(0)
    former.enter('reading')
    former.enter('sending')
    const again = add(0)
    expect(told()).to.deep.equal([0, 1, 1])
    expect([partition.delete(former), partition.oldest]).to.deep.equal([false, again])
    expect(partition.delete(again)).to.equal(true)
    expect(told()).to.deep.equal([undefined, 0, 0])
  })

  it('are looked through for the oldest one again only when it has left', () => {
    const all = run(0, 2_000).map(add)
    let looked = 0
    const look = (open: OpenRecord): number => {
      looked++
      return open.serial
    }
    for (const open of all) Object.defineProperty(open, 'offset', { get: () => look(open) })
    told()
    looked = 0
    for (const _ of run(0, 10)) told()
    expect(looked).to.be.below(100)
  })
})
