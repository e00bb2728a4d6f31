import { expect } from 'chai'
import type { ConsumerGroups } from '../../../src/consumer/group/consumer-groups.js'
import type { WaitingRequest } from '../../../src/consumer/group/waiting-request.js'
import { defaultLogger } from '../../../src/core/metrics/metrics-logger.js'
import { silentLogger } from '../../../src/core/model.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import type { PeerHandler } from '../../../src/deployment/calls/peers.js'
import { Lending } from '../../../src/deployment/lending/lending.js'
import { HandTime } from './lending-time.js'

const GATEWAYS = 8
const GROUPS = 1_000
const LONG_POLL_MS = 3_000
const SECONDS = 2
const REQUEST = { settled: false } as WaitingRequest

/** Gateways that know each other, with a client for each of many groups, and no messages. */
describe('what gateways tell each other while no message comes', () => {
  let time: HandTime
  let calls: number
  let gateways: { readonly lending: Lending<string>; readonly waiting: Map<string, number> }[]
  beforeEach(() => {
    time = new HandTime()
    calls = 0
    const handlers = new Map<string, PeerHandler<string>>()
    const ids = Array.from({ length: GATEWAYS }, (_, nth) => `gateway-${nth}`)
    gateways = ids.map(id => {
      const waiting = new Map<string, number>()
      const groups = {
        waitingFor: (groupId: string) => Array.from({ length: waiting.get(groupId) ?? 0 }, () => REQUEST),
        wanted: () => undefined
      } as unknown as ConsumerGroups
      const others = ids.filter(one => one !== id)
      const lending = new Lending<string>({
        cluster: 'default',
        groups,
        records: new RecordBudget(8 * 1_048_576, time.clock),
        settings: { ackTimeoutMs: 10_000, loanTimeoutMs: 5_000 },
        time,
        log: silentLogger,
        metrics: defaultLogger,
        peers: {
          id,
          others,
          withFeature: () => others,
          announce: () => undefined,
          serve: (name, handle) => void handlers.set(`${id} ${name}`, handle),
          call: async (to, name, body) => {
            calls++
            return handlers.get(`${to} ${name}`)!(body, { from: id, timeoutMs: 1_000 })
          },
          onGone: () => undefined
        }
      })
      return { lending, waiting }
    })
  })
  afterEach(() => {
    for (const { lending } of gateways) {
      lending.stop()
      lending.close()
    }
  })

  /** A request of the client of a group waits at one gateway after another. */
  function poll(group: number, turn: number, next: (turn: number) => number): void {
    const { lending, waiting } = gateways[turn % GATEWAYS]!
    const groupId = `group-${group}`
    waiting.set(groupId, 1)
    lending.of(groupId, 'orders')!.waits()
    time.after(LONG_POLL_MS, () => {
      waiting.delete(groupId)
      poll(group, next(turn), next)
    })
  }

  /** @returns calls of each gateway in a second */
  async function callsWhere(next: (turn: number) => number): Promise<number> {
    for (let group = 0; group < GROUPS; group++)
      time.after((group * LONG_POLL_MS) / GROUPS, () => poll(group, group, next))
    await time.pass(LONG_POLL_MS)
    calls = 0
    await time.pass(SECONDS * 1_000)
    return calls / SECONDS / GATEWAYS
  }

  it('is at most eight calls a second where each client keeps to its gateway', async () => {
    expect(await callsWhere(turn => turn)).to.be.within(7, 8)
    for (const { lending } of gateways) expect(lending.counts.wantsOfOthers).to.equal(GROUPS - GROUPS / GATEWAYS)
  })

  it('is at most 75 where each client asks one gateway after another', async () => {
    expect(await callsWhere(turn => turn + 1)).to.be.within(30, 75)
  })
})
