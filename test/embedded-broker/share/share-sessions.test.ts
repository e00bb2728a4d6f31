import { expect } from 'chai'
import { ShareSessions } from '../../../src/embedded-broker/share/share-sessions.js'

describe('the share sessions of the embedded broker', () => {
  const peer = { onClose: () => () => undefined }
  const partitionsFrom = (first: number, count: number) =>
    Array.from({ length: count }, (_, at) => ({ topicId: 'a', partition: first + at }))

  it('have 100,000 partitions in all, and the one that asks for more ends alone', () => {
    const sessions = new ShareSessions({ get: () => undefined })
    const [one, two] = ['one', 'two'].map(memberId => sessions.begin(1, 'workers', memberId, peer)!)
    expect(sessions.update(one!, partitionsFrom(0, 60_000), [])).to.equal(true)
    expect(sessions.update(two!, partitionsFrom(0, 40_001), [])).to.equal(false)
    expect([one!.isOver, two!.isOver]).to.deep.equal([false, true])
    const three = sessions.begin(2, 'workers', 'three', peer)!
    expect(sessions.update(three, partitionsFrom(0, 40_000), [])).to.equal(true)
    expect(sessions.update(one!, partitionsFrom(60_000, 1), partitionsFrom(0, 1))).to.equal(true)
    sessions.nodeStopped(2)
    expect(sessions.update(one!, partitionsFrom(70_000, 40_000), [])).to.equal(true)
  })
})
