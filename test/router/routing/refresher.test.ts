import { expect } from 'chai'
import sinon from 'sinon'
import { type BrokerAddress, type Logger, silentLogger } from '../../../src/core/model.js'
import { TokenBucket } from '../../../src/core/token-bucket.js'
import type { BrokerClient, MetadataCall, MetadataResponse } from '../../../src/kafka/broker-client.js'
import type { RouterNotice } from '../../../src/router/routing/messages.js'
import type { RefreshPlan } from '../../../src/router/routing/refresh-schedule.js'
import { Refresher } from '../../../src/router/routing/refresher.js'
import { CountingMetrics } from '../../support/counting-metrics.js'
import { turns } from '../../support/ticks.js'

const response: MetadataResponse = { throttleTimeMs: 0, brokers: [], clusterId: null, controllerId: 1, topics: [] }
const address: BrokerAddress = { host: 'broker', port: 9092 }

describe('router: refreshes of metadata', () => {
  let clock: sinon.SinonFakeTimers
  let metrics: CountingMetrics
  let told: RouterNotice[]
  let calls: MetadataCall[]
  let closed: number
  /** Of the calls to come; `undefined`: they are answered. */
  let failure: Error | undefined
  let logged: string[]
  let refresher: Refresher
  beforeEach(() => {
    clock = sinon.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout'] })
    metrics = new CountingMetrics()
    told = []
    calls = []
    closed = 0
    failure = undefined
    logged = []
    const note = (_: object, message: string): void => void logged.push(message)
    const log: Logger = { ...silentLogger, info: note, warn: note }
    refresher = new Refresher({
      refreshBackoffMs: 100,
      refreshBackoffMaxMs: 1_000,
      random: () => 1,
      leaders: { isKnown: topic => topic !== 'invented', isMissing: () => false },
      creations: new TokenBucket(20, 0),
      createClient: () => {
        const metadata = async (call: MetadataCall): Promise<MetadataResponse> => {
          calls.push(call)
          if (failure) throw failure
          return response
        }
        return { metadata, close: async () => void closed++ } as unknown as BrokerClient
      },
      addresses: () => [address],
      metrics,
      log,
      self: { path: 'router', tell: notice => void told.push(notice), stop() {} }
    })
  })
  afterEach(() => {
    refresher.stop()
    expect(clock.countTimers(), 'timers left behind').to.equal(0)
    clock.restore()
  })

  const want = (topic: string, now: number): void => refresher.schedule.want(topic, false, now)
  const pump = async (now: number): Promise<RouterNotice[]> => {
    refresher.pump(now)
    await turns(2)
    return told.splice(0)
  }
  /** Time passes, and the timer goes off if it is due. */
  const pass = (ms: number): RouterNotice[] => {
    clock.tick(ms)
    return told.splice(0)
  }

  it('wake the Router by one timer when the next one is due, and sooner where one is wanted sooner', async () => {
    want('orders', 0)
    await pump(0)
    refresher.answered(address)
    want('orders', 0)
    for (let times = 0; times < 3; times++) await pump(0)
    expect(clock.countTimers()).to.equal(1)
    expect(pass(50)).to.deep.equal([])
    want('invented', 50)
    await pump(50)
    refresher.answered(address)
    want('invented', 50)
    await pump(50)
    expect(clock.countTimers()).to.equal(1)
    expect(pass(49)).to.deep.equal([])
    expect(pass(1)).to.deep.equal([{ type: 'refreshDue' }])
    expect((await pump(100)).map(({ type }) => type)).to.deep.equal(['metadataAnswered'])
    refresher.answered(address)
    await pump(100)
    expect(pass(50), 'the other one').to.deep.equal([{ type: 'refreshDue' }])
  })

  it('wait for a timer of a millisecond at least', async () => {
    want('orders', 0)
    await pump(0)
    refresher.answered(address)
    want('orders', 0)
    await pump(99.5)
    expect(pass(0)).to.deep.equal([])
    expect(pass(1)).to.deep.equal([{ type: 'refreshDue' }])
  })

  it('tell who is away and why, until a broker answers', async () => {
    expect([refresher.isInTouch, refresher.awayBecause]).to.deep.equal([false, undefined])
    failure = new Error('refused')
    want('orders', 0)
    const [failed] = await pump(0)
    expect(failed).to.deep.include({ type: 'metadataFailed', error: failure })
    refresher.failed((failed as { plan: RefreshPlan }).plan, failure, 0)
    expect([refresher.isInTouch, refresher.awayBecause]).to.deep.equal([false, failure])
    failure = undefined
    await pump(0)
    expect(pass(99)).to.deep.equal([])
    expect(pass(1), 'after the pause').to.deep.equal([{ type: 'refreshDue' }])
    await pump(100)
    expect([refresher.answered(address), refresher.isInTouch, refresher.awayBecause]).to.deep.equal([
      true,
      true,
      undefined
    ])
    want('payments', 100)
    await pump(100)
    expect(refresher.answered(address), 'nobody was away').to.equal(false)
    expect(logged).to.deep.equal(['no broker answers', 'Kafka answers'])
  })
})
