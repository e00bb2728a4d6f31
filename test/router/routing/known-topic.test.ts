import { expect } from 'chai'
import type { TopicMetadata } from '../../../src/kafka/broker-client.js'
import { PartitionCount } from '../../../src/router/routing/known-topic.js'

describe('how many partitions a topic has', () => {
  let count: PartitionCount
  beforeEach(() => (count = new PartitionCount()))

  const told = (partitions: number, topicId?: string): number => {
    count.countNamed({ topicId, partitions: Array.from({ length: partitions }) } as unknown as TopicMetadata)
    return count.partitionCount
  }

  it('is believed the first time, and when it grows in the same life', () => {
    expect(count.partitionCount).to.equal(0)
    expect(told(3, 'one')).to.equal(3)
    expect(told(5, 'one')).to.equal(5)
    expect(told(6), 'a broker that tells no id').to.equal(6)
    expect(told(7, 'one'), 'no id was known').to.equal(7)
    expect(count.countedId).to.equal('one')
  })

  it('never shrinks in the life that its id tells, however often it is told', () => {
    told(3, 'one')
    for (let times = 0; times < 5; times++) expect(told(2, 'one')).to.equal(3)
    expect(count.isOtherCountNamed).to.equal(false)
  })

  it('shrinks where no id is told only when three answers in a row say so', () => {
    told(3)
    expect([told(2), told(2)]).to.deep.equal([3, 3])
    expect(count.isOtherCountNamed).to.equal(true)
    expect(told(1), 'another number counts from one').to.equal(3)
    expect([told(2), told(2), told(2)]).to.deep.equal([3, 3, 2])
    expect(count.isOtherCountNamed).to.equal(false)
  })

  it('is that of another life only when three answers in a row say so, be it more or fewer', () => {
    for (const other of [2, 4]) {
      count = new PartitionCount()
      told(3, 'one')
      expect([told(other, 'two'), told(other, 'two')]).to.deep.equal([3, 3])
      expect(told(other, 'three'), 'and the id is the same').to.equal(3)
      expect([told(other, 'two'), told(other, 'two'), told(other, 'two')]).to.deep.equal([3, 3, other])
      expect(count.countedId).to.equal('two')
    }
  })

  it('is no longer in doubt when the life that is known is told again', () => {
    told(3, 'one')
    told(2, 'two')
    told(2, 'two')
    told(3, 'one')
    expect(count.isOtherCountNamed).to.equal(false)
    expect(told(2, 'two')).to.equal(3)
    told(2, 'two')
    told(1, 'one')
    expect(count.isOtherCountNamed).to.equal(false)
    expect(count.partitionCount).to.equal(3)
  })

  it('takes over another id at once where the number is the same, and keeps the id where none is told', () => {
    told(3, 'one')
    told(3)
    expect(count.countedId).to.equal('one')
    told(3, 'two')
    expect(count.countedId).to.equal('two')
    told(4)
    expect(count.countedId, 'it may be another one').to.equal(undefined)
  })
})
