import { expect } from 'chai'
import { GroupInbox, type GroupMessages, type GroupNotice } from '../../../src/consumer/group/group-inbox.js'

const due = (wait: number): GroupNotice => ({ type: 'due', wait })

class Harness {
  readonly told: GroupMessages[] = []
  readonly inbox = new GroupInbox({ path: 'group', tell: message => void this.told.push(message), stop: () => {} })

  /** Handles everything, tick by tick; gives the numbers in the messages of each tick. */
  ticks(handle: (wait: number) => void = () => undefined): number[][] {
    const ticks: number[][] = []
    for (let told = this.told.shift(); told; told = this.told.shift()) {
      this.inbox.begins(told)
      const waits = told.messages.flatMap(message => (message.type === 'due' ? [message.wait] : []))
      waits.forEach(handle)
      ticks.push(waits)
    }
    return ticks
  }
}

describe('the inbox of a group', () => {
  it('hands over in one tick, in order, what came before it', () => {
    const harness = new Harness()
    for (let at = 0; at < 5; at++) harness.inbox.tell(due(at))
    expect(harness.ticks()).to.deep.equal([[0, 1, 2, 3, 4]])
  })

  it('hands over in the next tick what comes while messages are handled, and not too many in any', () => {
    const harness = new Harness()
    harness.inbox.tell(due(1))
    const answerOnce = (wait: number): void => {
      if (wait === 1) harness.inbox.tell(due(2))
    }
    expect(harness.ticks(answerOnce)).to.deep.equal([[1], [2]])
    for (let at = 0; at < 2_500; at++) harness.inbox.tell(due(at))
    expect(harness.ticks().map(({ length }) => length)).to.deep.equal([1_000, 1_000, 500])
  })
})
