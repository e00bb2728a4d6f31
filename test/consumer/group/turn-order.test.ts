import { expect } from 'chai'
import { TurnOrder } from '../../../src/consumer/group/turn-order.js'

describe('turn order', () => {
  it('goes up from the last, and begins again behind the highest', () => {
    const order = new TurnOrder()
    for (const member of [7, 2, 5, 5]) order.add(member)
    expect([order.after(-1), order.after(2), order.after(5), order.after(7), order.after(9)]).to.deep.equal([
      2, 5, 7, 2, 2
    ])
    order.delete(5)
    order.delete(4)
    expect([order.after(2), order.after(7)]).to.deep.equal([7, 2])
  })

  it('gives the turn to the only one again, and to nobody when there is none', () => {
    const order = new TurnOrder()
    expect(order.after(3)).to.equal(undefined)
    order.add(3)
    expect(order.after(3)).to.equal(3)
  })
})
