import { expect } from 'chai'
import type { WaitingRequest } from '../../../src/consumer/group/consume-result.js'
import type { LendingGroups } from '../../../src/consumer/group/lending.js'
import { silentLogger } from '../../../src/core/model.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import type { PeerHandler } from '../../../src/deployment/calls/peers.js'
import { Lending } from '../../../src/deployment/lending/lending.js'
import { HandTime } from './lending-time.js'

const LIMITS = { maxMessages: 1, maxBytes: 1 }

describe('lending, between a gateway and another one', () => {
  let time: HandTime
  let gauges: Map<string, number>
  let handlers: Map<string, PeerHandler<string>>
  let bound: number
  let lending: Lending<string>
  beforeEach(() => {
    time = new HandTime()
    gauges = new Map()
    handlers = new Map()
    bound = 0
    const message = { topic: 'orders', partition: 0, offset: 1, serial: 1, key: null, value: null, headers: [] }
    const offers = { releaseUnread: () => undefined }
    const groups = {
      waitingFor: () => [{ limits: LIMITS, settled: false } as WaitingRequest],
      bind: () => bound++,
      unbind: () => bound--,
      lend: async () => ({ messages: [message], offers })
    } as unknown as LendingGroups
    lending = new Lending({
      cluster: 'default',
      groups,
      records: new RecordBudget(8 * 1_048_576, time.clock),
      settings: { ackTimeoutMs: 10_000, loanTimeoutMs: 5_000 },
      time,
      log: silentLogger,
      metrics: {
        count: () => undefined,
        time: () => undefined,
        gauge: (_room, name, _tags, value) => gauges.set(name, value)
      },
      peers: {
        id: 'a',
        others: ['b'],
        serving: () => [],
        says: () => undefined,
        serve: (name, handle) => void handlers.set(name, handle),
        call: async () => [{}],
        onGone: () => undefined
      }
    })
  })
  afterEach(() => {
    lending.stop()
    lending.close()
  })
  const call = (verb: string, body: unknown): unknown =>
    handlers.get(`lend ${verb} default`)!(body, { from: 'b', timeoutMs: 1_000 })

  it('counts a loan no more that has ended by time', async () => {
    await call('take', [{ id: 1, topic: ['billing', 'orders'], ...LIMITS }])
    expect(gauges.get('loans')).to.equal(1)
    await time.pass(6_000)
    expect(gauges.get('loans')).to.equal(0)
  })

  it('ends a take whose answer is none', async () => {
    expect(call('offer', [['billing', 'orders']])).to.deep.equal(['take'])
    expect([lending.counts.takes, bound]).to.deep.equal([1, 1])
    await time.pass(50)
    expect([lending.counts.takes, bound]).to.deep.equal([0, 0])
  })
})
