import { expect } from 'chai'
import type { PartitionProducer } from '../../../src/producer/memory/partition-producer.js'
import type { Choice, Partitioner } from '../../../src/producer/memory/partitioners.js'
import { PartitionChoice } from '../../../src/producer/memory/topic-producers.js'

describe('delivery: the partition of records that name none', () => {
  const always =
    (choice: Choice): Partitioner =>
    () =>
      choice
  const sticky = always('sticky')
  const producerOf = (bytes: number, more: { state?: string; isStuck?: boolean } = {}): PartitionProducer =>
    ({ state: more.state ?? 'idle', charge: { bytes, isStuck: more.isStuck ?? false } }) as PartitionProducer
  let drawn = 0
  const choiceOf = (producers: readonly (PartitionProducer | undefined)[]): PartitionChoice =>
    new PartitionChoice('orders', [...producers], () => drawn)
  beforeEach(() => {
    drawn = 0
  })
  const nextOf = (producers: readonly (PartitionProducer | undefined)[]): number =>
    choiceOf(producers).choose(null, sticky, producers.length)

  it('is one after the other, from the first on and around', () => {
    const choice = choiceOf([])
    const partitions = Array.from({ length: 7 }, () => choice.choose(null, always('roundRobin'), 3))
    expect(partitions).to.deep.equal([0, 1, 2, 0, 1, 2, 0])
  })

  it('stays the same until its batch is closed, whatever else is', () => {
    const choice = choiceOf([])
    const next = (): number => choice.choose(null, sticky, 4)
    drawn = 0.5
    expect(next()).to.equal(2)
    drawn = 0
    expect(next()).to.equal(2)
    choice.batchClosed(1)
    expect(next()).to.equal(2)
    choice.batchClosed(2)
    expect(next()).to.equal(0)
    drawn = 0.75
    expect(next(), 'the first partition is kept like any other').to.equal(0)
  })

  it('is another one when there is no capacity, only for records that may go elsewhere', () => {
    const choice = choiceOf([])
    choice.choose(null, sticky, 4)
    drawn = 0.5
    expect(choice.elsewhere('key', always(0), 4)).to.equal(undefined)
    for (const other of [always('random'), always('roundRobin')]) {
      expect(choice.elsewhere('key', other, 4)).to.equal(2)
    }
    expect(choice.choose(null, sticky, 4)).to.equal(0)
    expect(choice.elsewhere(null, sticky, 4)).to.equal(2)
    expect(choice.choose(null, sticky, 4), 'and stays').to.equal(2)
  })

  it('is the partition with the fewest bytes to send, the drawn one first among equals', () => {
    expect(nextOf([producerOf(5), producerOf(3), producerOf(4)])).to.equal(1)
    expect(nextOf([producerOf(5), producerOf(4), producerOf(3)])).to.equal(2)
    expect(nextOf([producerOf(3), producerOf(3), producerOf(3)])).to.equal(0)
    drawn = 0.5
    expect(nextOf([producerOf(3), producerOf(3), producerOf(3)])).to.equal(1)
    expect(nextOf([producerOf(0), producerOf(3), producerOf(3)]), 'around the end').to.equal(0)
    expect(nextOf([producerOf(3), undefined, producerOf(0)]), 'nothing was sent there yet').to.equal(1)
    expect(nextOf([undefined, producerOf(1), producerOf(1)])).to.equal(0)
  })

  it('is none that is in trouble while there is another one, however full', () => {
    const trouble = [producerOf(0, { state: 'backingOff' }), producerOf(0, { isStuck: true })]
    for (const producer of trouble) {
      expect(nextOf([producer, producerOf(1_000_000)])).to.equal(1)
      drawn = 0.5
      expect(nextOf([producerOf(1_000_000), producer])).to.equal(0)
      drawn = 0
    }
    expect(nextOf([producerOf(9, { isStuck: true }), producerOf(5, { state: 'backingOff' })]), 'all of them').to.equal(
      1
    )
    expect(nextOf([producerOf(9, { state: 'inFlight' }), producerOf(10)]), 'sending is no trouble').to.equal(0)
  })
})
