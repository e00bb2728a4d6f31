import { expect } from 'chai'
import type { ConsumerGroups } from '../../../src/consumer/group/consumer-groups.js'
import type { WaitingRequest } from '../../../src/consumer/group/waiting-request.js'
import { silentLogger } from '../../../src/core/model.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import type { PeerHandler } from '../../../src/deployment/calls/peers.js'
import { Lending } from '../../../src/deployment/lending/lending.js'
import { HandTime } from './lending-time.js'

const LIMITS = { maxMessages: 1, maxBytes: 1, maxMessageBytes: 10 }

describe('lending, between a gateway and another one', () => {
  let time: HandTime
  let gauges: Map<string, number>
  let handlers: Map<string, PeerHandler<string>>
  let bound: number
  let lending: Lending<string>
  let others: string[]
  let called: { readonly name: string; readonly body: unknown }[]
  let answer: unknown
  /** When the other gateway answers. */
  let answersAt: Promise<void> | undefined
  let given: number
  let open: (ackTimeoutMs: number) => Lending<string>
  beforeEach(() => {
    answer = [{}]
    answersAt = undefined
    given = 0
    time = new HandTime()
    gauges = new Map()
    handlers = new Map()
    bound = 0
    others = []
    called = []
    const message = { topic: 'orders', partition: 0, offset: 1, serial: 1, key: null, value: null, headers: [] }
    const offers = { releaseUnread: () => undefined }
    const groups = {
      waitingFor: () => [{ limits: LIMITS, settled: false } as unknown as WaitingRequest],
      holdForTake: () => bound++,
      endTake: () => bound--,
      answer: (...[, , , messages]: Parameters<ConsumerGroups['answer']>) => {
        given++
        messages.release()
      },
      wanted: () => undefined,
      lend: async () => ({ messages: [message], offers })
    } as unknown as ConsumerGroups
    open = ackTimeoutMs =>
      new Lending({
        cluster: 'default',
        groups,
        records: new RecordBudget(8 * 1_048_576, time.clock),
        settings: { ackTimeoutMs, loanTimeoutMs: 5_000 },
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
          withFeature: () => others,
          announce: () => undefined,
          serve: (name, handle) => void handlers.set(name, handle),
          call: async (_to, name, body) => {
            called.push({ name, body })
            await answersAt
            return answer
          },
          onGone: () => undefined
        }
      })
    lending = open(10_000)
  })
  afterEach(() => {
    lending.stop()
    lending.close()
  })
  const call = (verb: string, body: unknown): unknown =>
    handlers.get(`lend ${verb} default`)!(body, { from: 'b', timeoutMs: 1_000 })

  const wantsOf = (...topics: unknown[]): Buffer => Buffer.from(JSON.stringify(topics))

  it('counts a loan no more that has ended by time', async () => {
    await call('want', wantsOf(['billing', 'orders']))
    await call('take', [{ id: 1, topic: ['billing', 'orders'], ...LIMITS }])
    expect(gauges.get('loans')).to.equal(1)
    await time.pass(6_000)
    expect(gauges.get('loans')).to.equal(0)
  })

  it('offers a message again that has not arrived, before its time for the acknowledgement is over', async () => {
    lending.stop()
    lending.close()
    lending = open(1_000)
    await call('want', wantsOf(['billing', 'orders']))
    await call('take', [{ id: 1, topic: ['billing', 'orders'], ...LIMITS }])
    expect(gauges.get('loans')).to.equal(1)
    await time.pass(510)
    expect(gauges.get('loans')).to.equal(0)
  })

  it('gives out no message that its gateway has offered again by then', async () => {
    lending.stop()
    lending.close()
    lending = open(1_000)
    const place = { topicId: 'a', partition: 0, offset: 1, serial: 1, firstSerial: 1, retries: 0, timestampMs: 1 }
    const message = { ...place, topic: 'orders', groupId: 'billing', key: null, value: null, headers: [] }
    answer = [{ messages: [message] }]
    const takesFor = async (ms: number): Promise<void> => {
      answersAt = new Promise(resolve => void time.after(ms, resolve))
      await call('offer', [{ topic: ['billing', 'orders'], bytes: 1 }])
      await time.pass(ms + 10)
    }
    await takesFor(100)
    expect(given).to.equal(1)
    await takesFor(450)
    expect(given).to.equal(1)
  })

  it('serves no call that names more than a gateway sends together', async () => {
    const topic = ['billing', 'orders']
    const ids = (count: number): number[] => Array.from({ length: count }, (_, id) => id)
    const none = { had: [], acknowledged: [], delivered: [], returned: [] }
    const bodies = (more: number): Record<string, unknown> => ({
      want: wantsOf(...ids(5_000 + more).map(() => topic)),
      offer: ids(1_000 + more).map(() => ({ topic, bytes: 10 })),
      take: ids(64 + more).map(id => ({ id, topic, ...LIMITS })),
      settle: { ...none, had: ids(500), returned: ids(500 + more) }
    })
    const failed = async (more: number): Promise<string[]> => {
      const calls = Object.entries(bodies(more)).map(([verb, body]) =>
        Promise.resolve()
          .then(() => call(verb, body))
          .then(
            () => [],
            () => [verb]
          )
      )
      return (await Promise.all(calls)).flat()
    }
    expect(await failed(0)).to.deep.equal([])
    expect(await failed(1)).to.deep.equal(['want', 'offer', 'take', 'settle'])
  })

  it('writes wants once for all gateways', async () => {
    others = ['b', 'c']
    lending.of('billing', 'orders')!.waits()
    await time.pass(10)
    const [first, second] = called.map(({ body }) => body)
    expect(called.map(({ name }) => name)).to.deep.equal(['lend want default', 'lend want default'])
    expect(first).to.equal(second)
    await call('want', first)
    expect(lending.counts.wantsOfOthers).to.equal(1)
  })

  it('ends a take whose answer is none, or not what it asked for', async () => {
    const message = {
      groupId: 'billing',
      topic: 'orders',
      partition: 0,
      offset: 1,
      serial: 1,
      timestampMs: 0,
      retries: 0
    }
    const whole = { ...message, firstSerial: 1, key: null, value: Buffer.from('a'), headers: [] }
    const odd: readonly unknown[] = [
      undefined,
      null,
      'none',
      {},
      [],
      [null],
      [{}],
      ...[null, {}, message, { ...whole, value: 'text' }, { ...whole, headers: [null] }, { ...whole, offset: '1' }]
        .concat([
          { ...whole, topic: 'wages' },
          { ...whole, groupId: 'others' }
        ] as never[])
        .map(one => [{ messages: [one] }]),
      [{ messages: [whole, { ...whole, offset: 2 }] }],
      [{ messages: [whole], topicIds: { 0: 'a' } }]
    ]
    for (const one of odd) {
      answer = one
      expect(call('offer', [{ topic: ['billing', 'orders'], bytes: 10 }]), JSON.stringify(one)).to.deep.equal(['take'])
      expect([lending.counts.takes, bound]).to.deep.equal([1, 1])
      await time.pass(50)
      expect([lending.counts.takes, bound, given], JSON.stringify(one)).to.deep.equal([0, 0, 0])
    }
    answer = [{ messages: [whole], topicIds: new Map([[0, undefined]]) }]
    call('offer', [{ topic: ['billing', 'orders'], bytes: 10 }])
    await time.pass(50)
    expect(given).to.equal(1)
  })

  it('serves no call that names what it does not know', async () => {
    const [topic, none] = [['billing', 'orders'], { had: [], acknowledged: [], delivered: [], returned: [] }]
    const asked = { id: 1, topic, ...LIMITS }
    const odd: readonly (readonly [string, unknown])[] = [
      ...[null, 'x', {}, [null], [['billing']], [[['x'], 'orders']], [['billing', 7]]].map(
        one => ['want', Buffer.from(JSON.stringify(one))] as const
      ),
      ...['NaN', null, -1, undefined].map(bytes => ['offer', [{ topic, bytes }]] as const),
      ['offer', [{ topic: 'billing', bytes: 1 }]],
      ['offer', [null]],
      ...['1', null, 1.5, -1].map(id => ['take', [{ ...asked, id }]] as const),
      ...['maxMessages', 'maxBytes', 'maxMessageBytes'].map(name => ['take', [{ ...asked, [name]: 'x' }]] as const),
      ['take', [{ ...asked, topic: [['billing'], 'orders'] }]],
      ['settle', { ...none, returned: ['1'] }],
      ['settle', { ...none, returned: [[1, 2]] }],
      ['settle', { ...none, delivered: 'x' }],
      ['settle', {}]
    ]
    for (const [verb, body] of odd) {
      const name = `${verb} ${JSON.stringify(body)}`
      const served = await Promise.resolve()
        .then(() => call(verb, body))
        .then(
          () => true,
          () => false
        )
      expect(served, name).to.equal(false)
    }
    expect(lending.counts).to.deep.equal({ wants: 0, wantsOfOthers: 0, loans: 0, takes: 0, settlements: 0 })
  })

  it('has capacity for the largest message that is lent, whatever size it is offered', async () => {
    call('offer', [{ topic: ['billing', 'orders'], bytes: 1e300 }])
    await time.pass(10)
    expect(called.map(({ body }) => body)).to.containSubset([[{ maxMessageBytes: 16 * 1_048_576 }]])
  })
})
