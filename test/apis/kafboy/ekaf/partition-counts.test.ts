import { expect } from 'chai'
import { PartitionCounts } from '../../../../src/apis/kafboy/ekaf/partition-counts.js'

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** Counts over a Kafka whose topics the test names, and whose look-ups it answers by hand. */
function setUp(topics: Record<string, number> = { t: 3 }) {
  const kafka = new Map(Object.entries(topics))
  const lookUps: { readonly topics: readonly string[]; answer(): Promise<void> }[] = []
  const time = { nowMs: 0 }
  const counts = new PartitionCounts({
    clock: () => time.nowMs,
    lookUp: asked =>
      new Promise(resolve => {
        const found = (): Map<string, number> => new Map([...kafka].filter(([topic]) => asked.includes(topic)))
        lookUps.push({
          topics: asked,
          answer: () => {
            resolve(found())
            return turn()
          }
        })
      })
  })
  const told: string[] = []
  const ask = (topic: string): boolean => counts.whenKnown(topic, count => told.push(`${topic}: ${count}`))
  /** Answers what has been asked of Kafka, if anything. */
  const answer = async (): Promise<void> => {
    await turn()
    await lookUps.at(-1)?.answer()
  }
  return { counts, kafka, lookUps, time, told, ask, answer }
}

describe('ekaf: counts of partitions', () => {
  it('are looked up once for ten seconds, and old ones are good until there are new ones', async () => {
    const { counts, kafka, lookUps, time, told, ask, answer } = setUp()
    expect([ask('t'), told, counts.isKnown('t')]).to.deep.equal([true, [], false])
    await answer()
    expect([told, counts.isKnown('t')]).to.deep.equal([['t: 3'], true])
    kafka.set('t', 5)
    time.nowMs = 9_999
    ask('t')
    await turn()
    expect([told.splice(0), lookUps.length]).to.deep.equal([['t: 3', 't: 3'], 1])
    time.nowMs = 10_000
    ask('t')
    ask('t')
    expect(told.splice(0)).to.deep.equal(['t: 3', 't: 3'])
    await answer()
    expect(lookUps).to.have.length(2)
    ask('t')
    expect(told).to.deep.equal(['t: 5'])
  })

  it('are told in the order of the calls, with one look-up for all topics of a turn', async () => {
    const { lookUps, told, ask, answer } = setUp({ t: 3, u: 4 })
    for (const topic of ['t', 'u', 't', 'nowhere']) ask(topic)
    await answer()
    expect(lookUps.map(({ topics }) => topics)).to.deep.equal([['t', 'u', 'nowhere']])
    expect(told).to.deep.equal(['t: 3', 't: 3', 'u: 4', 'nowhere: undefined'])
  })

  it('wait for the look-up that is under way, then have the next one', async () => {
    const { lookUps, told, ask, answer } = setUp({ t: 3, u: 4 })
    ask('t')
    await turn()
    ask('u')
    await turn()
    expect(lookUps).to.have.length(1)
    await answer()
    expect(told).to.deep.equal(['t: 3'])
    await answer()
    expect(lookUps.map(({ topics }) => topics)).to.deep.equal([['t'], ['u']])
    expect(told).to.deep.equal(['t: 3', 'u: 4'])
  })

  it('of a topic that is not there are believed to be missing for a second, then waited for', async () => {
    const { kafka, time, told, ask, answer } = setUp()
    ask('new')
    await answer()
    kafka.set('new', 2)
    time.nowMs = 999
    ask('new')
    expect(told.splice(0)).to.deep.equal(['new: undefined', 'new: undefined'])
    time.nowMs = 1_000
    ask('new')
    expect(told).to.deep.equal([])
    await answer()
    expect(told).to.deep.equal(['new: 2'])
  })

  it('stay as they were when a broker has lost sight of the topic, and are asked for again in a second', async () => {
    const { kafka, lookUps, time, told, ask, answer } = setUp()
    ask('t')
    await answer()
    kafka.delete('t')
    time.nowMs = 10_000
    ask('t')
    await answer()
    time.nowMs = 10_999
    ask('t')
    await turn()
    expect([told, lookUps.length]).to.deep.equal([['t: 3', 't: 3', 't: 3'], 2])
    time.nowMs = 11_000
    ask('t')
    await turn()
    expect(lookUps).to.have.length(3)
  })

  it('are of a thousand topics, of which that is forgotten that was learnt first', async () => {
    const { counts, ask, answer } = setUp()
    const ofRange = async (from: number, to: number): Promise<void> => {
      for (let at = from; at < to; at++) ask(`t${at}`)
      await answer()
    }
    await ofRange(0, 1_000)
    expect(counts.isKnown('t0')).to.equal(true)
    await ofRange(1_000, 1_001)
    expect(['t0', 't1', 't1000'].map(topic => counts.isKnown(topic))).to.deep.equal([false, true, true])
  })

  it('are looked up for a thousand topics at a time', async () => {
    const { lookUps, told, ask, answer } = setUp()
    for (let at = 0; at < 1_001; at++) ask(`t${at}`)
    await answer()
    await answer()
    expect(lookUps.map(({ topics }) => topics.length)).to.deep.equal([1_000, 1])
    expect(told).to.have.length(1_001)
  })

  it('are waited for by ten thousand calls; those beyond are refused until some are told', async () => {
    const { told, ask, answer } = setUp()
    for (let at = 0; at < 10_000; at++) expect(ask('t')).to.equal(true)
    expect(ask('u')).to.equal(false)
    await answer()
    expect([told.length, ask('u')]).to.deep.equal([10_000, true])
  })
})
