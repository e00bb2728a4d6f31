import { expect } from 'chai'
import { useFakeTimers } from 'sinon'
import type { Requester } from '../../../src/core/actor/actor.js'
import { TimedOutError } from '../../../src/core/errors.js'
import { OpenQuestions } from '../../../src/router/routing/ask-router.js'

describe('questions to a Router without an answer yet', () => {
  const causeOf = (asked: Promise<unknown>): Promise<unknown> => asked.catch((error: unknown) => error)
  let questions: OpenQuestions
  beforeEach(() => (questions = new OpenQuestions()))

  it('gives the first reply', async () => {
    const reply = await questions.ask<number>('sum', 1_000, requester => {
      requester.reply(1)
      requester.reply(2)
    })
    expect(reply).to.equal(1)
  })

  it('answers each question with its own reply, in any order', async () => {
    const requesters: Requester<string>[] = []
    const asked = ['a', 'b', 'c', 'd'].map(name => questions.ask<string>(name, 1_000, to => requesters.push(to)))
    for (const at of [2, 0, 3, 1]) requesters[at]!.reply(`reply ${at}`)
    expect(await Promise.all(asked)).to.deep.equal(['reply 0', 'reply 1', 'reply 2', 'reply 3'])
  })

  it('fails by name when no reply comes', async () => {
    const error = await causeOf(questions.ask('sum', 5, () => {}))
    expect(error).to.be.instanceOf(TimedOutError)
    expect((error as Error).message)
      .to.contain('sum')
      .and.to.contain('5 ms')
  })

  it('fails a short question while longer ones wait, and each of them in its turn', async () => {
    const clock = useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
    try {
      const failed: string[] = []
      const ask = (name: string, timeoutMs: number): void =>
        void causeOf(questions.ask(name, timeoutMs, () => {})).then(() => failed.push(name))
      let long: Requester<number> | undefined
      const asked = questions.ask<number>('long', 60_000, requester => (long = requester))
      ask('third', 30)
      ask('first', 1)
      ask('second', 15)
      await clock.tickAsync(30)
      expect(failed).to.deep.equal(['first', 'second', 'third'])
      long!.reply(0)
      expect(await asked).to.equal(0)
      expect(clock.countTimers()).to.equal(0)
    } finally {
      clock.restore()
    }
  })

  it('fails a question that is asked after others have been answered', async () => {
    await questions.ask<number>('quick', 5, requester => requester.reply(1))
    expect(await causeOf(questions.ask('slow', 5, () => {}))).to.be.instanceOf(TimedOutError)
    await questions.ask<number>('quick', 5, requester => requester.reply(1))
    expect(await causeOf(questions.ask('slow', 1, () => {}))).to.be.instanceOf(TimedOutError)
  })

  it('ignores a reply that comes after the failure', async () => {
    let late: Requester<number> | undefined
    const asked = causeOf(questions.ask<number>('late', 1, requester => (late = requester)))
    expect(await asked).to.be.instanceOf(TimedOutError)
    late!.reply(1)
    expect(await questions.ask<number>('next', 1_000, requester => requester.reply(2))).to.equal(2)
  })

  it('fails when the question cannot be put', async () => {
    const error = await causeOf(
      questions.ask<number>('sum', 1_000, (): void => {
        throw new Error('no way')
      })
    )
    expect((error as Error).message).to.equal('no way')
  })

  it('waits for a question without a deadline', async () => {
    let endless: Requester<number> | undefined
    const asked = questions.ask<number>('endless', Number.POSITIVE_INFINITY, requester => (endless = requester))
    expect(await causeOf(questions.ask('short', 1, () => {}))).to.be.instanceOf(TimedOutError)
    endless!.reply(3)
    expect(await asked).to.equal(3)
  })

  it('has a timer only while a question is open', async () => {
    const timers = (): number => process.getActiveResourcesInfo().filter(kind => kind === 'Timeout').length
    await Promise.resolve()
    const before = timers()
    for (const round of [1, 2]) {
      const open: Requester<number>[] = []
      const asked = [60_000, 50_000, 70_000].map(ms => questions.ask<number>('open', ms, to => open.push(to)))
      expect(timers(), `round ${round}`).to.equal(before + 1)
      for (const requester of open) requester.reply(1)
      expect(timers(), `round ${round}`).to.equal(before)
      expect(await Promise.all(asked)).to.deep.equal([1, 1, 1])
    }
  })
})
