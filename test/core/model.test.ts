import { expect } from 'chai'
import { isLegalTopicName } from '../../src/core/model.js'
import { checkRows } from '../support/rows.js'

describe('topic names', () => {
  for (const name of ['a', 'orders.v1_x-2', '__proto__', 'constructor', '...', 'x'.repeat(249)]) {
    it(`takes ${name.slice(0, 20)}`, () => expect(isLegalTopicName(name)).to.equal(true))
  }
  it('a name that Kafka would refuse is no topic name', () =>
    checkRows(['', '.', '..', 'bad topic!', 'a/b', 'ä', 'a\0', 'a\n', 'x'.repeat(250)], name =>
      expect(isLegalTopicName(name)).to.equal(false)
    ))
})
