import { expect } from 'chai'
import type { HookCall } from '../../../../src/apis/kafboy/hooks/hook-calls.js'
import { HookOutbox } from '../../../../src/apis/kafboy/hooks/hook-outbox.js'
import { LARGE_MESSAGE_BYTES, Unpacker } from '../../../../src/apis/kafboy/hooks/packing.js'

const call = (id: number): HookCall => ({ type: 'error', id, message: 'made up' })
const idsOf = (calls: { readonly items: readonly HookCall[] }): number[] => calls.items.map(({ id }) => id)

describe('kafboy: calls that wait for the thread of the hooks', () => {
  it('travel together, oldest first, with what belongs to each', () => {
    const outbox = new HookOutbox()
    outbox.add(call(1), ['a', null])
    outbox.add(call(2), [])
    outbox.add(call(3), [Buffer.from('b')])
    const message = outbox.take()
    expect(idsOf(message)).to.deep.equal([1, 2, 3])
    const contents = new Unpacker(message.packed)
    const all = [contents.next(), contents.next(), contents.next()].map(one => one && String(one))
    expect(all).to.deep.equal(['a', null, 'b'])
    expect(outbox.length).to.equal(0)
  })

  it('are 256 of a message at most, or as many as are asked for', () => {
    const outbox = new HookOutbox()
    for (let id = 0; id < 257; id++) outbox.add(call(id), [])
    expect(outbox.take().items).to.have.length(256)
    expect(outbox.length).to.equal(1)
    outbox.add(call(300), [])
    expect(idsOf(outbox.take(1))).to.deep.equal([256])
    expect(idsOf(outbox.take(1))).to.deep.equal([300])
  })

  it('do not join a message that is large', () => {
    const outbox = new HookOutbox()
    outbox.add(call(1), [Buffer.alloc(LARGE_MESSAGE_BYTES - 1)])
    outbox.add(call(2), ['x'])
    outbox.add(call(3), ['y'])
    expect(idsOf(outbox.take())).to.deep.equal([1, 2])
    expect(idsOf(outbox.take())).to.deep.equal([3])
  })

  it('are forgotten by their ids', () => {
    const outbox = new HookOutbox()
    for (const id of [1, 2, 3]) outbox.add(call(id), [String(id)])
    outbox.drop(id => id !== 2)
    const message = outbox.take()
    expect([idsOf(message), String(new Unpacker(message.packed).next())]).to.deep.equal([[2], '2'])
  })
})
