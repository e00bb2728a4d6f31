import { expect } from 'chai'
import type { FetchPartitionResponse } from '../../../src/kafka/broker-client.js'
import { OpenTransactions } from '../../../src/router/processors/open-transactions.js'
import { FetchStage } from './fetch-stage.js'

const KEY = 'perf/16'
const answer = (lastStableOffset: number | undefined, highWatermark: number | undefined, partition = 16) =>
  ({ topic: 'perf', partition, lastStableOffset, highWatermark }) as FetchPartitionResponse

describe('open transactions, as reads see them', () => {
  let open: OpenTransactions
  const places = (now: number) =>
    open.views(now).map(({ partition, lastStableOffset, openMs }) => ({ partition, lastStableOffset, openMs }))
  beforeEach(() => {
    open = new OpenTransactions('readUncommitted')
  })

  it('are told from 60 s on, with the offsets behind them', () => {
    for (let now = 0; now < 60_000; now += 1_000) {
      open.saw(KEY, answer(50, 60), now)
      expect(open.views(now)).to.deep.equal([])
    }
    open.saw(KEY, answer(50, 75), 60_000)
    expect(open.views(60_000)).to.deep.equal([
      { topic: 'perf', partition: 16, lastStableOffset: 50, records: 25, openMs: 60_000, holdsReads: false }
    ])
  })

  it('hold the reads of a Router that reads committed records', () => {
    open = new OpenTransactions('readCommitted')
    for (const now of [0, 30_000, 60_000]) open.saw(KEY, answer(50, 60), now)
    expect(open.views(60_000)[0]).to.include({ holdsReads: true })
  })

  it('are others as soon as the last stable offset moves', () => {
    for (let now = 0; now <= 120_000; now += 1_000) open.saw(KEY, answer(now, now + 5), now)
    expect(open.views(120_000)).to.deep.equal([])
  })

  it('are over when the last stable offset reaches the end', () => {
    for (const now of [0, 30_000, 60_000]) open.saw(KEY, answer(50, 60), now)
    open.saw(KEY, answer(61, 61), 60_001)
    expect(open.views(60_001)).to.deep.equal([])
  })

  it('are not known where a broker does not report the last stable offset, or an impossible one', () => {
    for (const [stable, end] of [
      [-1, 60],
      [undefined, 60],
      [50, undefined],
      [50, -1]
    ] as const) {
      for (const now of [0, 30_000, 60_000]) open.saw(KEY, answer(stable, end), now)
      expect(open.views(60_000)).to.deep.equal([])
    }
  })

  it('are told the oldest first', () => {
    for (const now of [0, 30_000, 60_000, 70_000]) {
      if (now > 0) open.saw('perf/1', answer(7, 9, 1), now)
      open.saw('perf/2', answer(5, 9, 2), now)
      open.saw('perf/3', answer(now, now + 9, 3), now)
    }
    expect(places(90_000)).to.deep.equal([
      { partition: 2, lastStableOffset: 5, openMs: 90_000 },
      { partition: 1, lastStableOffset: 7, openMs: 60_000 }
    ])
  })

  it('are not told any more 60 s after the last read, and begin again with the next one', () => {
    for (const now of [0, 30_000, 60_000]) open.saw(KEY, answer(50, 60), now)
    expect(open.views(119_999)).to.have.length(1)
    open.saw(KEY, answer(50, 60), 120_000)
    expect(open.views(120_000)).to.deep.equal([])
    open.saw(KEY, answer(50, 60), 179_000)
    expect(places(180_000)).to.deep.equal([{ partition: 16, lastStableOffset: 50, openMs: 60_000 }])
    open.noNews(KEY, 300_000)
    expect(open.views(300_000)).to.deep.equal([])
  })

  it('are those that no news came of, and asked for in full twice a minute', () => {
    open.saw(KEY, answer(50, 60), 0)
    for (let now = 1_000; now < 30_000; now += 1_000) expect(open.noNews(KEY, now)).to.equal(false)
    expect(open.noNews(KEY, 30_000)).to.equal(true)
    open.saw(KEY, answer(50, 60), 30_100)
    expect(open.noNews(KEY, 60_000)).to.equal(false)
    expect(places(60_000)).to.have.length(1)
    expect(open.noNews('perf/1', 61_000)).to.equal(false)
  })

  it('are not told from answers of one moment, which may have ended since', () => {
    for (const now of [0, 10]) open.saw(KEY, answer(50, 60), now)
    for (let now = 1_000; now <= 90_000; now += 1_000) {
      open.noNews(KEY, now)
      expect(open.views(now)).to.deep.equal([])
    }
    open.saw(KEY, answer(50, 60), 90_500)
    expect(places(90_500)).to.have.length(1)
  })

  it('have the places of partitions that are read no more, also where no views are asked for', () => {
    for (let partition = 0; partition < 10_000; partition++) open.saw(`old/${partition}`, answer(1, 2, partition), 0)
    for (const now of [1_000, 30_000, 60_000, 90_000]) {
      for (let partition = 1; partition < 10_000; partition++) open.noNews(`old/${partition}`, now)
      open.saw(KEY, answer(50, 60), now)
    }
    for (const now of [120_000, 149_000]) open.saw(KEY, answer(50, 60), now)
    expect(places(150_000)).to.deep.equal([{ partition: 16, lastStableOffset: 50, openMs: 60_000 }])
  })

  it('are kept of 10,000 partitions at most', () => {
    for (const now of [0, 30_000, 60_000])
      for (let partition = 0; partition < 10_010; partition++)
        open.saw(`perf/${partition}`, answer(1, 2, partition), now)
    expect(open.views(60_000)).to.have.length(10_000)
  })

  describe('in a fetch processor', () => {
    const SESSION = 7
    const PATIENT_MS = 600_000
    const AT = { topic: 'perf', partition: 0 }
    const END = { 'perf/0@60': { highWatermark: 60, lastStableOffset: 50 } }
    let stage: FetchStage
    const views = () => stage.readCache.openTransactions.views(stage.now)
    beforeEach(() => {
      stage = new FetchStage(100)
      stage.identity = { topicId: 'id', leaderEpoch: 3 }
    })

    it('are seen by reads that catch up and by long polls without news, and asked for in full after 30 s', async () => {
      stage.ask(60, AT, [], PATIENT_MS)
      stage.answer(stage.issue(), END)
      stage.tell((await stage.send('tail'))[0], SESSION, END)
      const fullAt: number[] = []
      for (let second = 1; second <= 150; second++) {
        stage.now += 1_000
        const [call, { session }] = await stage.send('tail')
        const isFull = session?.epoch === 0
        if (isFull) fullAt.push(second)
        stage.tell(call, SESSION, isFull ? END : {})
        expect(views().map(({ openMs }) => openMs)).to.deep.equal(second < 60 ? [] : [second * 1_000])
      }
      expect(fullAt).to.deep.equal([31, 62, 93, 124])
    })

    it('are over where the answer in full says so', async () => {
      stage.ask(60, AT, [], PATIENT_MS)
      stage.answer(stage.issue(), END)
      stage.tell((await stage.send('tail'))[0], SESSION, END)
      for (let second = 1; second <= 30; second++) {
        stage.now += 1_000
        stage.tell((await stage.send('tail'))[0], SESSION)
      }
      const [call, { session }] = await stage.send('tail')
      expect(session?.epoch).to.equal(0)
      // The answer is late.
      stage.now += 40_000
      expect(views()).to.deep.equal([])
      stage.tell(call, SESSION, { 'perf/0@60': { highWatermark: 60, lastStableOffset: 60 } })
      expect(views()).to.deep.equal([])
    })

    it('are forgotten with a topic that was created again, and with the cluster', async () => {
      for (const forget of [() => stage.readCache.forget('perf/0'), () => stage.readCache.forgetAll()]) {
        stage = new FetchStage(0)
        stage.identity = { topicId: 'id', leaderEpoch: 3 }
        for (let second = 0; second <= 60; second += 30) {
          stage.ask(60, AT)
          stage.answer(stage.issue(), END)
          stage.now += 30_000
        }
        expect(views()).to.have.length(1)
        forget()
        expect(views()).to.deep.equal([])
      }
    })
  })
})
