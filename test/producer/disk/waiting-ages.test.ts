import { expect } from 'chai'
import { record } from '../../support/delivery-stage.js'
import { DurableStage } from '../durable-stage.js'

describe('durable: how long records of topics have waited', () => {
  let stage: DurableStage
  afterEach(() => stage.restore())
  const ages = async () =>
    Array.from((await stage.backlog.view()).backlog, ([name, { oldestAgeMs }]) => [name, oldestAgeMs])

  it('is told of the oldest record of each topic, and of no topic whose records are in Kafka', async () => {
    stage = new DurableStage({ topics: { audit: 1 } })
    await stage.start()
    stage.send(record('first', 'A'))
    await stage.pass(3_000)
    for (const topic of ['second', 'first', 'audit']) stage.send(record(topic, 'B'))
    await stage.pass(4_000)
    expect(await ages()).to.deep.equal([
      ['default/first', 7_000],
      ['default/second', 4_000]
    ])
  })

  it('is not told of a record that was delivered meanwhile', async () => {
    stage = new DurableStage()
    await stage.start()
    for (const topic of ['first', 'second', 'third']) stage.send(record(topic, 'A'))
    await stage.pass(1_000)
    const log = stage.backlog.log!
    const backlog = log.backlog.bind(log)
    log.backlog = async () => {
      const found = await backlog()
      stage.router.create('second', 1)
      stage.router.tables.want('second')
      await stage.pass(9_000)
      return found
    }
    expect(await ages()).to.deep.equal([
      ['default/first', 10_000],
      ['default/second', undefined],
      ['default/third', 10_000]
    ])
  })

  it('is told of the 20 topics whose records have waited longest', async () => {
    stage = new DurableStage()
    await stage.start()
    const names = Array.from({ length: 25 }, (_, at) => `topic-${at}`)
    for (const name of names) stage.send(record(name, 'A'))
    await stage.pass(1_000)
    expect(await ages()).to.deep.equal(names.map((name, at) => [`default/${name}`, at < 20 ? 1_000 : undefined]))
  })
})
