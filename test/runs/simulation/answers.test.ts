import { expect } from 'chai'
import { Answers } from './answers.js'
import { World } from './world/world.js'

describe('simulation: answers in time', () => {
  let world: World
  let answers: Answers
  beforeEach(() => {
    world = new World({ seed: 1 })
    answers = new Answers(world.time)
  })
  afterEach(() => world.close())

  const rules = (): string[] => answers.violations.map(({ rule }) => rule)

  it('notices an answer that comes too late', async () => {
    const answered = answers.ask('a question', 2_000, world.host('gateway'))
    await world.pass(3_100)
    answered()
    expect(rules()).to.deep.equal(['late'])
  })

  it('allows a process the time for which it stood still', async () => {
    const host = world.host('gateway')
    const answered = answers.ask('a question', 2_000, host)
    world.time.pause(host)
    await world.pass(10_000)
    world.time.resume(host)
    await world.pass(2_900)
    answered()
    expect(rules()).to.deep.equal([])
  })

  it('owes a client nothing that hears late of a process that was killed while it stood still', async () => {
    const host = world.host('gateway')
    const answered = answers.ask('a question', 2_000, host)
    world.time.pause(host)
    await world.pass(10_000)
    answers.forget(host)
    world.time.kill(host)
    await world.pass(10_000)
    expect(answered()).to.equal(true)
    answers.checkOpen()
    expect(rules()).to.deep.equal([])
    expect(host.heldUpMs).to.be.within(10_000, 10_001)
  })

  it('notices two answers, also to a question that a killed process left', () => {
    const host = world.host('gateway')
    const answered = answers.ask('a question', 2_000, host)
    answers.forget(host)
    answered()
    answered()
    expect(rules()).to.deep.equal(['answered twice'])
  })
})
