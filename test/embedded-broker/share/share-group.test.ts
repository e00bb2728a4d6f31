import { expect } from 'chai'
import { GroupBytes } from '../../../src/embedded-broker/groups/group-bytes.js'
import { ShareGroup } from '../../../src/embedded-broker/share/share-group.js'
import { TopicTable } from '../../../src/embedded-broker/topics/topic-table.js'

describe('a share group of the embedded broker', () => {
  const noLogs = (): never => {
    throw new Error('no topic is made')
  }

  it('counts its members while it has them, whether they leave or are not heard of any more', () => {
    const bytes = new GroupBytes(1_000_000)
    const group = new ShareGroup('workers', new TopicTable({ openLog: noLogs, removeLog: noLogs }), bytes)
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
