import { expect } from 'chai'
import { Link } from '../../../src/deployment/workers/link.js'
import type { ParentLink } from '../../../src/deployment/workers/messages.js'
import { FakeTime } from '../../support/fake-time.js'
import { turns } from '../../support/ticks.js'

const pair = (): [Link, Link] => {
  const ends: Link[] = []
  const to = (other: number) => (frame: unknown) => queueMicrotask(() => ends[other]!.receive(frame))
  ends.push(new Link(to(1)), new Link(to(0)))
  return ends as [Link, Link]
}

const refusal = (promise: Promise<unknown>): Promise<Error> =>
  promise.then(
    () => new Error('it was answered'),
    (error: Error) => error
  )

describe('a link between two processes', () => {
  it('answers calls in both directions', async () => {
    const [one, other] = pair()
    one.serve('double', body => (body as number) * 2)
    other.serve('half', async body => (body as number) / 2)
    expect(await Promise.all([other.call('double', 4), one.call('half', 4)])).to.deep.equal([8, 2])
  })

  it('hands on what has failed', async () => {
    const [one, other] = pair()
    other.serve('fail', () => {
      throw Object.assign(new RangeError('too much'), { code: 'overloaded' })
    })
    const error = await refusal(one.call('fail'))
    expect(error.message).to.equal('too much')
    expect(error.cause).to.deep.equal({ name: 'RangeError', message: 'too much', code: 'overloaded' })
    expect((await refusal(one.call('nothing'))).message).to.equal('nothing is not served')
  })

  it('waits for an answer for so long, and ignores a later one', async () => {
    const time = new FakeTime()
    try {
      const [one, other] = pair()
      let answer: (body: unknown) => void = () => undefined
      other.serve('slow', () => new Promise(resolve => (answer = resolve)))
      const asked = refusal(one.call('slow', undefined, 50))
      await time.pass(60)
      expect((await asked).message).to.equal('no answer to slow within 50 ms')
      answer('late')
      await turns(3)
    } finally {
      time.restore()
    }
  })

  it('fails what is open when the other end is gone, and what comes later', async () => {
    const [one, other] = pair()
    other.serve('never', () => new Promise(() => undefined))
    const asked = refusal(one.call('never'))
    await turns(2)
    one.close('it has ended')
    expect([(await asked).message, (await refusal(one.call('never'))).message]).to.deep.equal([
      'it has ended',
      'it has ended'
    ])
  })

  it('compiles with messages of the list only, with their bodies', async () => {
    const sent: unknown[] = []
    const link: ParentLink = new Link(frame => sent.push(frame))
    // @ts-expect-error a worker has no such message
    link.tell('reloads')
    // @ts-expect-error it is a call, whose answer would be lost
    link.tell('stop')
    // @ts-expect-error its body is a number
    link.tell('gone', 'two')
    // @ts-expect-error that one is not answered
    void link.call('reload').catch(() => undefined)
    // @ts-expect-error an answer is a boolean
    link.serve('enter', () => 'yes')
    link.tell('gone', 2)
    expect(sent).to.have.lengthOf(5)
    link.close('it has ended')
  })

  it('ignores what is no frame, and answers what is open and what comes later', async () => {
    const [one, other] = pair()
    let answer: (body: unknown) => void = () => undefined
    other.serve('slow', () => new Promise(resolve => (answer = resolve)))
    one.serve('double', body => (body as number) * 2)
    const asked = one.call('slow')
    await turns(2)
    for (const message of [undefined, null, 7, 'x', {}, { id: 1 }, { type: 'answer', id: 9 }]) one.receive(message)
    answer('at last')
    expect([await asked, await other.call('double', 4)]).to.deep.equal(['at last', 8])
  })
})
