import { expect } from 'chai'
import { mapInPortions } from '../../../src/router/routing/ask-router.js'

describe('work on many items in portions', () => {
  it('rejects when it throws for an item of a later portion', async () => {
    const items = Array.from({ length: 300 }, (_, at) => at)
    const work = (item: number): Promise<number> => {
      if (item === 280) throw new Error('boom')
      return Promise.resolve(item)
    }
    const error: unknown = await mapInPortions(items, work).catch((thrown: unknown) => thrown)
    expect(error).to.have.property('message', 'boom')
    expect(await mapInPortions(items.slice(0, 280), work)).to.deep.equal(items.slice(0, 280))
  })
})
