import { expect } from 'chai'
import { type SinonFakeTimers, useFakeTimers } from 'sinon'
import { Downtime, Workers } from '../../../../src/apis/kafboy/ekaf/workers.js'
import type { KafboyEvent } from '../../../../src/apis/kafboy/hooks/hooks.js'
import { FakeGateway } from '../../../support/fake-gateway.js'

const turn = (): Promise<void> => new Promise(resolve => setImmediate(resolve))

/** `worker_down t/0 (reason)`, `time_down t 3000000`. */
const brief = ({ name, topic, partition, microseconds, reason }: KafboyEvent): string =>
  [
    name.slice('ekaf_callback_'.length),
    partition === undefined ? topic : `${topic}/${partition}`,
    ...(microseconds === undefined ? [] : [microseconds]),
    ...(reason === undefined ? [] : [`(${reason})`])
  ].join(' ')

describe('ekaf: workers', () => {
  let clock: SinonFakeTimers
  let workers: Workers | undefined
  beforeEach(() => {
    clock = useFakeTimers({ toFake: ['setInterval', 'clearInterval', 'performance'] })
  })
  afterEach(() => {
    workers?.close()
    clock.restore()
  })

  function setUp(isReady = true) {
    const kafka = new FakeGateway()
    kafka.isReady = isReady
    kafka.partitions.set('t', 1)
    const lookUps: (readonly string[])[] = []
    const events: string[] = []
    workers = new Workers({
      clock: () => performance.now(),
      isReady: () => kafka.isReady,
      tell: event => events.push(brief(event)),
      lookUp: async names => {
        lookUps.push(names)
        const found = await kafka.topics(names, 0)
        return new Map([...found].filter(([, { partitions }]) => partitions.length > 0))
      }
    })
    const use = async (topic: string): Promise<void> => {
      workers!.used(topic)
      await turn()
    }
    const pass = async (ms: number): Promise<void> => {
      clock.tick(ms)
      await turn()
    }
    return { kafka, lookUps, events, use, pass }
  }

  it('of a topic are looked up when it is first used, for all topics of a turn at once', async () => {
    const { lookUps, use } = setUp()
    workers!.used('t')
    workers!.used('u')
    await use('t')
    await use('t')
    expect(lookUps).to.deep.equal([['t', 'u']])
  })

  it('tell how long it took from the first use to the first leaders, once', async () => {
    const { kafka, events, use, pass } = setUp()
    kafka.partitions.delete('t')
    await use('t')
    await pass(4_999)
    expect(events).to.deep.equal([])
    kafka.partitions.set('t', 1)
    await pass(1)
    expect(events.splice(0)).to.deep.equal(['time_to_connect t 5000000', 'worker_up t/0'])
    await pass(5_000)
    expect(events).to.deep.equal([])
  })

  it('are up only where the partition has a leader', async () => {
    const { kafka, events, use, pass } = setUp()
    kafka.partitions.set('t', 2)
    kafka.leaderless.add('t/0')
    await use('t')
    expect(events.splice(0)).to.deep.equal(['time_to_connect t 0', 'worker_up t/1'])
    kafka.leaderless.delete('t/0')
    await pass(5_000)
    expect(events).to.deep.equal(['worker_up t/0'])
  })

  it('are looked up again every five seconds, not more often', async () => {
    const { lookUps, use, pass } = setUp()
    await use('t')
    for (let second = 0; second < 15; second++) await pass(1_000)
    expect(lookUps).to.have.length(4)
  })

  it('go down with Kafka, which is told of each second, and come up with it after so long', async () => {
    const { kafka, lookUps, events, use, pass } = setUp()
    await use('t')
    await pass(2_000)
    events.length = 0
    kafka.isReady = false
    await pass(1_000)
    expect(events.splice(0)).to.deep.equal(['worker_down t/0 (no broker can be reached)'])
    await pass(1_000)
    await pass(1_000)
    const stillDown = 'worker_still_down t (no broker can be reached)'
    expect(events.splice(0)).to.deep.equal([stillDown, stillDown])
    expect(lookUps).to.have.length(1)
    kafka.isReady = true
    await pass(1_000)
    expect(events.splice(0)).to.deep.equal(['time_down t 3000000', 'worker_up t/0'])
    await pass(4_000)
    expect(lookUps).to.have.length(2)
    await pass(1_000)
    expect(lookUps).to.have.length(3)
  })

  it('were down since the start when there was no Kafka then', async () => {
    const { kafka, events, use, pass } = setUp(false)
    kafka.partitions.delete('t')
    await use('t')
    await pass(1_000)
    kafka.isReady = true
    await pass(1_000)
    expect(events).to.deep.equal(['worker_still_down t (no broker can be reached)', 'time_down t 2000000'])
  })

  it('are followed of a thousand topics; that is let go which was used first', async () => {
    const { kafka, lookUps, events, use, pass } = setUp()
    for (let at = 0; at < 1_000; at++) workers!.used(`t${at}`)
    await turn()
    await use('t1000')
    events.length = 0
    kafka.isReady = false
    await pass(1_000)
    await pass(1_000)
    const told = new Set(events)
    expect(told.size).to.equal(1_000)
    const isTold = (topic: string): boolean => told.has(`worker_still_down ${topic} (no broker can be reached)`)
    expect(['t0', 't1', 't1000'].map(isTold)).to.deep.equal([false, true, true])
    kafka.isReady = true
    lookUps.length = 0
    await pass(1_000)
    expect([lookUps.length, lookUps[0]!.length, lookUps[0]!.includes('t0')]).to.deep.equal([1, 1_000, false])
  })

  it('are not told of when the topic was let go while it was looked up', async () => {
    const { kafka, events, use } = setUp()
    kafka.partitions.set('t1', 1)
    workers!.used('t')
    for (let at = 1; at <= 1_000; at++) workers!.used(`t${at}`)
    await use('t1')
    expect(events).to.deep.equal(['time_to_connect t1 0', 'worker_up t1/0'])
  })

  it('have no timer once they are closed', () => {
    setUp()
    expect(clock.countTimers()).to.equal(1)
    workers!.close()
    expect(clock.countTimers()).to.equal(0)
  })
})

function setUp(isReady = false) {
  const events: string[] = []
  const kafka = { isReady }
  const downtime = new Downtime({
    isReady: () => kafka.isReady,
    tell: ({ name, topic, records }) => events.push(`${name.slice('ekaf_callback_'.length)} ${topic} ${records}`)
  })
  const isRefused = (records: number, limit: number | undefined, topic = 't'): boolean =>
    downtime.refusalOf(topic, records, limit) !== undefined
  return { downtime, events, kafka, isRefused }
}

describe('ekaf: records of a downtime', () => {
  it('may be as many as the limit, of each topic; beyond it they are refused and the event tells how many wait', () => {
    const { downtime, events, isRefused } = setUp()
    expect([isRefused(3, 3), isRefused(4, 3)]).to.deep.equal([false, true])
    downtime.began('t', 2)
    expect([isRefused(1, 3), isRefused(2, 3), isRefused(3, 3, 'u')]).to.deep.equal([false, true, false])
    expect(events).to.deep.equal([
      'max_downtime_buffer_reached t 0',
      'downtime_saved t 2',
      'max_downtime_buffer_reached t 2'
    ])
    expect(downtime.refusalOf('t', 2, 3)).to.deep.include({ code: 'overloaded', persisted: 'no', retriable: true })
  })

  it('are not limited without a limit, nor while a broker can be reached', () => {
    const { events, kafka, isRefused } = setUp()
    expect(isRefused(1_000_000, undefined)).to.equal(false)
    kafka.isReady = true
    expect(isRefused(4, 3)).to.equal(false)
    expect(events).to.deep.equal([])
  })

  it('make room when their outcomes are known', () => {
    const { downtime, isRefused } = setUp()
    downtime.began('t', 2)
    downtime.began('t', 1)
    downtime.ended('t', 2)
    expect([isRefused(2, 3), isRefused(3, 3)]).to.deep.equal([false, true])
    downtime.ended('t', 1)
    expect(isRefused(3, 3)).to.equal(false)
  })

  it('count with those that came before it', () => {
    const { downtime, kafka, isRefused } = setUp(true)
    downtime.began('t', 2)
    kafka.isReady = false
    expect([isRefused(1, 3), isRefused(2, 3)]).to.deep.equal([false, true])
  })

  it('are told of as replayed once, when the first of them is settled after it', () => {
    const { downtime, events, kafka } = setUp(true)
    downtime.began('t', 1)
    kafka.isReady = false
    downtime.began('t', 2)
    downtime.began('t', 3)
    downtime.ended('t', 1)
    expect(events.splice(0)).to.deep.equal(['downtime_saved t 2', 'downtime_saved t 3'])
    kafka.isReady = true
    downtime.ended('t', 2)
    downtime.ended('t', 3)
    expect(events).to.deep.equal(['downtime_replayed t 5'])
  })

  it('are not told of where there was none', () => {
    const { downtime, events } = setUp(true)
    downtime.began('t', 2)
    downtime.ended('t', 2)
    expect(events).to.deep.equal([])
  })
})
