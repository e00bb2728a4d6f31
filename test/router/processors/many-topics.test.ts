import { expect } from 'chai'
import { BatchLine, type BatchRequest, RequestLimit } from '../../../src/router/processors/batch-line.js'

describe('produce calls of many topics', () => {
  it('look at each batch a few times, also while one of them was found anew', () => {
    const topics = 1_000
    let looks = 0
    const queue = new BatchLine(new RequestLimit(1_000_000))
    const add = (name: string, id: number, isForgotten = false): void => {
      const key = `${name}/${id}`
      const partition = {
        ...{ key, of: { place: 0 }, call: 0, isForgotten },
        get topic() {
          looks++
          return name
        }
      }
      queue.add({ settled: false, key, partition, request: { sizeBytes: 1 } } as object as BatchRequest)
    }
    for (let at = 0; at < topics; at++) add(`t${at}`, 0, at === 0)
    add('t0', 1)
    const { batches } = queue.takeCall()!
    expect(batches.slice(0, 3).map(({ key }) => key)).to.deep.equal(['t0/0', 't0/1', 't1/0'])
    expect(batches).to.have.length(topics + 1)
    expect(looks).to.be.below(10 * topics)
  })
})
