import { expect } from 'chai'
import sinon from 'sinon'
import { WaitsOfOthers } from '../../../src/deployment/verbs/waits-at-owner.js'

describe('the requests of other processes that wait at the owner of their group', () => {
  let clock: sinon.SinonFakeTimers
  let waits: WaitsOfOthers<string>
  let begun: string[]
  const answers = new Map<string, (answer: string) => void>()
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['performance'] })
    waits = new WaitsOfOthers('ended')
    begun = []
    answers.clear()
  })
  afterEach(() => clock.restore())

  const wait = (from: unknown, id: number): Promise<string> =>
    waits.answer(from, id, reply => {
      const key = `${from}/${id}`
      begun.push(key)
      answers.set(key, reply)
      return () => answers.delete(key)
    })

  it('end with the process that has asked, and those of workers 10 to 19 not with worker 1', async () => {
    const one = wait(1, 1)
    const others = [10, 11, 19].map(worker => wait(worker, 1))
    waits.endAllOf(1)
    expect(await one).to.equal('ended')
    expect([...answers.keys()]).to.deep.equal(['10/1', '11/1', '19/1'])
    for (const reply of answers.values()) reply('a message')
    expect(await Promise.all(others)).to.deep.equal(['a message', 'a message', 'a message'])
  })

  it('do not begin when their end has come before them, for ten minutes', async () => {
    waits.end('a', 7)
    expect(await wait('a', 7)).to.equal('ended')
    expect(begun).to.deep.equal([])
    void wait('a', 8)
    void wait('b', 7)
    clock.tick(600_000)
    void wait('a', 7)
    expect(begun).to.deep.equal(['a/8', 'b/7', 'a/7'])
  })

  it('of a process in place of one that has ended are not those that were ended before', () => {
    waits.end(1, 1)
    waits.endAllOf(1)
    void wait(1, 1)
    expect(begun).to.deep.equal(['1/1'])
  })

  it('are remembered as ended for the latest 10,000, and at most 20,000', async () => {
    for (let id = 0; id <= 20_000; id++) waits.end('a', id)
    void wait('a', 0)
    expect(begun).to.deep.equal(['a/0'])
    expect(await wait('a', 10_000)).to.equal('ended')
  })
})
