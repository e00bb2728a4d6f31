import { expect } from 'chai'
import { GroupBytes } from '../../../src/embedded-broker/groups/group-bytes.js'
import { GroupCoordinator } from '../../../src/embedded-broker/groups/group-coordinator.js'
import { ServedShareGroup } from '../../../src/embedded-broker/share/share-group.js'
import { ShareGroups } from '../../../src/embedded-broker/share/share-groups.js'
import { TopicTable } from '../../../src/embedded-broker/topics/topic-table.js'

describe('a share group of the embedded broker', () => {
  const noLogs = (): never => {
    throw new Error('no topic is made')
  }

  const newGroup = (bytes: GroupBytes): ServedShareGroup =>
    new ServedShareGroup('workers', new TopicTable({ openLog: noLogs, removeLog: noLogs }), bytes)
  const join = (memberId: string, topics: readonly string[] = ['jobs']) => ({
    memberId,
    memberEpoch: 0,
    topics,
    clientId: 'a',
    clientHost: '/b'
  })

  it('takes 200 members, and refuses further ones until one leaves', () => {
    const group = newGroup(new GroupBytes(1_000_000))
    for (let member = 0; member < 200; member++) expect(group.beat(join(`${member}`), 0)).to.have.property('assignment')
    expect(group.beat(join('one more'), 0)).to.deep.equal({ errorCode: 81, message: null })
    expect(group.beat(join('7'), 0), 'a member that joins again').to.have.property('assignment')
    group.beat({ ...join('7'), memberEpoch: -1, topics: null }, 0)
    expect(group.beat(join('one more'), 0)).to.have.property('assignment')
  })

  it('counts the names that its members send, and refuses those for which there is no memory', () => {
    const bytes = new GroupBytes(10_000)
    const group = newGroup(bytes)
    expect(group.beat(join('one', ['x'.repeat(20_000)]), 0)).to.deep.equal({ errorCode: 81, message: null })
    expect([bytes.heldBytes, group.exists]).to.deep.equal([0, false])
    const joined = group.beat(join('one', ['x'.repeat(5_000)]), 0)
    expect(bytes.heldBytes).to.be.within(5_000, 6_000)
    const { memberEpoch } = joined as { memberEpoch: number }
    const more = { ...join('one', ['x'.repeat(15_000)]), memberEpoch }
    expect(group.beat(more, 0)).to.deep.equal({ errorCode: 81, message: null })
    expect(group.membersAt(0)[0]!.topics[0]).to.have.length(5_000)
    group.beat(join('one', ['jobs']), 0)
    expect(bytes.heldBytes).to.be.below(1_000)
    group.beat({ ...join('one'), memberEpoch: -1 }, 0)
    expect(bytes.heldBytes).to.equal(0)
  })

  it('is forgotten where its first heartbeat is refused, unless it has settings', () => {
    const all = new GroupCoordinator({ all: () => [], save: () => undefined }, 0, 1_000_000)
    const groups = new ShareGroups(new TopicTable({ openLog: noLogs, removeLog: noLogs }), all)
    for (let group = 0; group < 10; group++) groups.beat(`${group}`, join(''))
    expect(all.bytes.heldBytes).to.equal(0)
    groups.configure('workers', new Map([['share.auto.offset.reset', 'earliest']]))
    groups.beat('workers', join(''))
    expect(groups.settingsOf('workers').start).to.equal('earliest')
    groups.beat('jobs', join('one'))
    expect(groups.ids()).to.deep.equal(['jobs'])
    groups.beat('jobs', { ...join('one'), memberEpoch: -1 })
    groups.delete('jobs')
    groups.configure('workers', new Map())
    expect(all.bytes.heldBytes, 'without settings').to.equal(0)
  })

  it('counts its members while it has them, whether they leave or are not heard of any more', () => {
    const bytes = new GroupBytes(1_000_000)
    const group = new ServedShareGroup('workers', new TopicTable({ openLog: noLogs, removeLog: noLogs }), bytes)
    const beat = (memberId: string, memberEpoch: number): void => {
      const client = { clientId: 'a', clientHost: '/b' }
      group.beat({ memberId, memberEpoch, topics: memberEpoch === 0 ? ['jobs'] : null, ...client }, 0)
    }
    for (const memberId of ['one', 'two', 'one']) beat(memberId, 0)
    const ofTwo = bytes.heldBytes
    beat('one', -1)
    expect(bytes.heldBytes).to.equal(ofTwo / 2)
    expect(group.membersAt(60_000)).to.deep.equal([])
    expect(bytes.heldBytes).to.equal(0)
  })
})
