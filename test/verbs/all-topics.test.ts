import { expect } from 'chai'
import sinon from 'sinon'
import { TimedOutError } from '../../src/core/errors.js'
import type { TopicMetadata } from '../../src/kafka/calls.js'
import { AllTopics } from '../../src/verbs/kafka-verbs.js'

const settled = (): Promise<void> => new Promise(setImmediate)

describe('requests for all topics', () => {
  let asked: { timeoutMs: number; answer: () => void; fail: (error: Error) => void }[]
  let all: AllTopics
  beforeEach(() => {
    asked = []
    all = new AllTopics(
      timeoutMs =>
        new Promise((resolve, fail) => {
          const topics = new Map<string, TopicMetadata>()
          asked.push({ timeoutMs, answer: () => resolve(topics), fail })
        })
    )
  })

  it('a hundred requests while Kafka is asked share one further answer, given after they came', async () => {
    const first = all.ask(1_000)
    await settled()
    const later = Array.from({ length: 100 }, (_, at) => all.ask(1_000 + at))
    await settled()
    expect(asked.map(({ timeoutMs }) => timeoutMs)).to.deep.equal([1_000])
    asked[0]!.answer()
    await first
    await settled()
    expect(asked.map(({ timeoutMs }) => timeoutMs)).to.deep.equal([1_000, 1_099])
    asked[1]!.answer()
    const answers = await Promise.all(later)
    expect(new Set(answers)).to.have.property('size', 1)
    expect(answers[0]).to.not.equal(await first)
  })

  it('an answer that fails does not keep the next request from being asked', async () => {
    const first = all.ask(1_000).catch((error: Error) => error.message)
    await settled()
    const second = all.ask(1_000)
    asked[0]!.fail(new Error('no broker'))
    expect(await first).to.equal('no broker')
    await settled()
    asked[1]!.answer()
    expect(await second).to.have.property('size', 0)
  })

  it('a request that waits for another one is answered in its own time', async () => {
    const clock = sinon.useFakeTimers()
    try {
      void all.ask(60_000)
      const late = all.ask(500).catch((error: Error) => error)
      await clock.tickAsync(600)
      expect(await late).to.be.instanceOf(TimedOutError)
      expect(asked).to.have.length(1)
    } finally {
      clock.restore()
    }
  })
})
