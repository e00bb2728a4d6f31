import { EventEmitter } from 'node:events'
import type { ServerResponse } from 'node:http'
import { expect } from 'chai'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { LongLists, longListIn } from '../../../src/http/api/long-lists.js'
import { wholeOf } from '../../../src/http/exchange/pieced-body.js'

const nextTick = (): Promise<void> => new Promise(resolve => setImmediate(resolve))
const fakeResponse = () =>
  Object.assign(new EventEmitter(), { destroyed: false, socket: null }) as unknown as ServerResponse & EventEmitter

describe('an object with a long list', () => {
  const many = (count: number) => Array.from({ length: count }, (_, at) => ({ partition: at, text: 'ü"\n' }))

  it('has the same text in portions as at once, whatever stands before and behind the list', async () => {
    const lists = new LongLists(new RecordBudget(64 * 1024 * 1024, () => 0))
    for (const json of [
      { partitions: many(100) },
      { a: 1, none: undefined, partitions: many(70), b: [1, 2], __proto__: null },
      { short: many(65), long: many(5_000), z: null }
    ]) {
      const response = fakeResponse()
      const texts: string[] = []
      await lists.answerObject(json, 'a', response, ({ body }) => {
        texts.push(wholeOf(body).toString())
        response.emit('close')
      })
      expect(texts).to.deep.equal([JSON.stringify(json)])
    }
  })

  it('is none where no list is long', () => {
    for (const json of [{}, { a: many(64) }, many(100), 'x', null, 7]) expect(longListIn(json)).to.equal(undefined)
  })

  it('is made when its client may have a portion, and not before', async () => {
    const records = new RecordBudget(256 * 1024, () => 0)
    const lists = new LongLists(records)
    const others = records.hold(130 * 1024, 'a')
    const made: unknown[] = []
    const response = fakeResponse()
    const answered = lists.answerObject({ partitions: many(200) }, 'a', response, one => made.push(one))
    for (let turn = 0; turn < 5; turn++) await nextTick()
    expect(made).to.deep.equal([])
    others.release()
    await answered
    expect(made).to.have.length(1)
    response.emit('close')
    expect(records.heldBytes).to.equal(0)
  })
})
