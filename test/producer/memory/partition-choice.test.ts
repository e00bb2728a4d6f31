import { expect } from 'chai'
import { PartitionChoice } from '../../../src/producer/memory/partition-choice.js'
import type { Lane } from '../../../src/producer/memory/partition-producer.js'
import type { Choice, Partitioner } from '../../../src/producer/memory/partitioners.js'

describe('delivery: where records without a partition go', () => {
  const always =
    (choice: Choice): Partitioner =>
    () =>
      choice
  const sticky = always('sticky')
  const laneOf = (bytes: number, more: { state?: string; isStuck?: boolean } = {}): Lane =>
    ({ state: more.state ?? 'idle', charge: { bytes, isStuck: more.isStuck ?? false } }) as Lane
  let drawn = 0
  const choiceOf = (lanes: readonly (Lane | undefined)[]): PartitionChoice =>
    new PartitionChoice('orders', lanes, () => drawn)
  beforeEach(() => {
    drawn = 0
  })
  const nextOf = (lanes: readonly (Lane | undefined)[]): number => choiceOf(lanes).of(null, sticky, lanes.length)

  it('is what the partitioner says, which knows the key, the count and the topic', () => {
    const seen: unknown[] = []
    const partitioner: Partitioner = (...told) => {
      seen.push(told)
      return 5
    }
    expect(choiceOf([]).of('key', partitioner, 8)).to.equal(5)
    expect(seen).to.deep.equal([['key', 8, 'orders']])
  })

  it('is one after the other, from the first on and around', () => {
    const choice = choiceOf([])
    const partitions = Array.from({ length: 7 }, () => choice.of(null, always('roundRobin'), 3))
    expect(partitions).to.deep.equal([0, 1, 2, 0, 1, 2, 0])
  })

  it('is drawn for each record where it is to be', () => {
    const choice = choiceOf([])
    const partitions = [0, 0.99, 0.5, 0.25].map(value => {
      drawn = value
      return choice.of(null, always('random'), 4)
    })
    expect(partitions).to.deep.equal([0, 3, 2, 1])
  })

  it('stays the same until its batch is closed, whatever else is', () => {
    const choice = choiceOf([])
    const next = (): number => choice.of(null, sticky, 4)
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

  it('is another one when there is no room, only for records that may go elsewhere', () => {
    const choice = choiceOf([])
    choice.of(null, sticky, 4)
    drawn = 0.5
    expect(choice.elsewhere('key', always(0), 4)).to.equal(undefined)
    for (const other of [always('random'), always('roundRobin')]) {
      expect(choice.elsewhere('key', other, 4)).to.equal(2)
    }
    expect(choice.of(null, sticky, 4)).to.equal(0)
    expect(choice.elsewhere(null, sticky, 4)).to.equal(2)
    expect(choice.of(null, sticky, 4), 'and stays').to.equal(2)
  })

  it('is the next one without trouble for records that are spread one by one', () => {
    const lanes = [laneOf(0, { isStuck: true }), laneOf(9), laneOf(0, { state: 'backingOff' })]
    const choice = choiceOf(lanes)
    expect(choice.of(null, always('random'), 3)).to.equal(1)
    expect([1, 2, 3].map(() => choice.of(null, always('roundRobin'), 3))).to.deep.equal([1, 1, 1])
    const [stuck] = lanes
    expect(choiceOf([stuck, stuck]).of(null, always('random'), 2), 'all of them are').to.equal(0)
  })

  it('is chosen anew when the topic has fewer partitions than that one needs', () => {
    const choice = choiceOf([])
    drawn = 0.75
    expect(choice.of(null, sticky, 4)).to.equal(3)
    drawn = 0
    expect(choice.of(null, sticky, 4)).to.equal(3)
    expect(choice.of(null, sticky, 3)).to.equal(0)
  })

  it('is the partition with the fewest bytes to send, the drawn one first among equals', () => {
    expect(nextOf([laneOf(5), laneOf(3), laneOf(4)])).to.equal(1)
    expect(nextOf([laneOf(5), laneOf(4), laneOf(3)])).to.equal(2)
    expect(nextOf([laneOf(3), laneOf(3), laneOf(3)])).to.equal(0)
    drawn = 0.5
    expect(nextOf([laneOf(3), laneOf(3), laneOf(3)])).to.equal(1)
    expect(nextOf([laneOf(0), laneOf(3), laneOf(3)]), 'around the end').to.equal(0)
    expect(nextOf([laneOf(3), undefined, laneOf(0)]), 'nothing was sent there yet').to.equal(1)
    expect(nextOf([undefined, laneOf(1), laneOf(1)])).to.equal(0)
  })

  it('is none that is in trouble while there is another one, however full', () => {
    const trouble = [laneOf(0, { state: 'backingOff' }), laneOf(0, { isStuck: true })]
    for (const lane of trouble) {
      expect(nextOf([lane, laneOf(1_000_000)])).to.equal(1)
      drawn = 0.5
      expect(nextOf([laneOf(1_000_000), lane])).to.equal(0)
      drawn = 0
    }
    expect(nextOf([laneOf(9, { isStuck: true }), laneOf(5, { state: 'backingOff' })]), 'all of them').to.equal(1)
    expect(nextOf([laneOf(9, { state: 'inFlight' }), laneOf(10)]), 'sending is no trouble').to.equal(0)
  })
})
