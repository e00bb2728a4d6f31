import { expect } from 'chai'
import { GroupInbox, type GroupMessages } from '../../../src/consumer/group/group-inbox.js'
import type { GroupMessage } from '../../../src/consumer/group/messages.js'

const happened = (run: () => void = () => {}): GroupMessage => ({ type: 'happened', run })

class Harness {
  readonly told: GroupMessages[] = []
  readonly inbox = new GroupInbox({ path: 'group', tell: message => void this.told.push(message), stop: () => {} })

  /** Handles everything, turn by turn; gives the numbers of messages of each turn. */
  turns(): number[] {
    const sizes: number[] = []
    for (let told = this.told.shift(); told; told = this.told.shift()) {
      this.inbox.begins(told)
      for (const message of told.messages) if (message.type === 'happened') message.run()
      sizes.push(told.messages.length)
    }
    return sizes
  }
}

describe('the inbox of a group', () => {
  it('hands over in one turn, in order, what came before it', () => {
    const harness = new Harness()
    const order: number[] = []
    for (let at = 0; at < 5; at++) harness.inbox.tell(happened(() => order.push(at)))
    expect(harness.turns()).to.deep.equal([5])
    expect(order).to.deep.equal([0, 1, 2, 3, 4])
  })

  it('what comes while messages are handled has the next turn, and no turn has too many', () => {
    const harness = new Harness()
    harness.inbox.tell(happened(() => harness.inbox.tell(happened())))
    expect(harness.turns()).to.deep.equal([1, 1])
    for (let at = 0; at < 2_500; at++) harness.inbox.tell(happened())
    expect(harness.turns()).to.deep.equal([1_000, 1_000, 500])
  })
})
