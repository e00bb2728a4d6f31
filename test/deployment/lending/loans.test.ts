import { expect } from 'chai'
import type { OffersByPartition, TopicOffers } from '../../../src/consumer/group/consume-result.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import type { LoanState, SettledLoans } from '../../../src/deployment/calls/lending-calls.js'
import { Loans } from '../../../src/deployment/lending/loans.js'
import type { AcquiredMessage, ConsumedMessages } from '../../../src/verbs/verbs.js'
import { HandTime } from './lending-time.js'

const settled = (state: LoanState, ...ids: number[]): SettledLoans => ({
  had: [],
  acknowledged: [],
  delivered: [],
  returned: [],
  [state]: ids
})

describe('messages that are out at other gateways', () => {
  let time: HandTime
  let records: RecordBudget
  let told: string[]
  let loans: Loans<string>
  let serial: number
  beforeEach(() => {
    serial = 0
    time = new HandTime()
    records = new RecordBudget(1_000_000, time.clock)
    told = []
    loans = new Loans({
      time,
      records,
      loanTimeoutMs: 5_000,
      ackTimeoutMs: 60_000,
      onEnded: (result, messages) => void told.push(`${messages} ${result}`)
    })
  })
  afterEach(() => {
    loans.close()
    expect(records.heldBytes).to.equal(0)
  })
  const newly = (): string[] => told.splice(0)

  const textOf = (offers: OffersByPartition): string =>
    [...offers]
      .flatMap(([partition, all]) => all.map(({ offset, serial }) => `${partition}/${offset} #${serial}`))
      .join(' ')
  const offersOf = (topic: string): TopicOffers =>
    ({
      ackAll: (offers: OffersByPartition) => void told.push(`${topic} acked ${textOf(offers)}`),
      releaseUnread: (offers: OffersByPartition) => void told.push(`${topic} back ${textOf(offers)}`)
    }) as TopicOffers
  const orders = offersOf('orders')

  const lent = (offsets: readonly number[], offers = orders, value = Buffer.alloc(10)): ConsumedMessages => {
    const messages = offsets.map(offset => ({ partition: 0, offset, serial: ++serial, key: null, value, headers: [] }))
    return {
      messages: messages as unknown as AcquiredMessage[],
      offers,
      ack: () => told.push('by place'),
      release: () => told.push('by place')
    }
  }

  it('are acknowledged by their offers, with the loan', () => {
    expect(loans.add('a', 1, lent([7, 8]))).to.equal(true)
    loans.settle('a', settled('acknowledged', 1))
    expect(newly()).to.deep.equal(['2 acknowledged', 'orders acked 0/7 #1 0/8 #2'])
    expect(loans.size).to.equal(0)
  })

  it('stay offered where a client is to acknowledge them, whatever becomes of the gateway', async () => {
    loans.add('a', 1, lent([7]))
    loans.settle('a', settled('had', 1))
    loans.settle('a', settled('delivered', 1))
    loans.gone('a')
    await time.pass(100_000)
    expect(newly()).to.deep.equal(['1 delivered'])
  })

  it('come back when no client has got them', () => {
    loans.add('a', 1, lent([7]))
    loans.settle('a', settled('returned', 1))
    expect(newly()).to.deep.equal(['1 returned', 'orders back 0/7 #1'])
  })

  it('come back together, in order, when their gateway is gone', () => {
    const bills = offersOf('bills')
    loans.add('a', 1, lent([7]))
    loans.add('a', 2, lent([3], bills))
    loans.add('a', 3, lent([8]))
    loans.add('b', 1, lent([9]))
    loans.settle('a', settled('had', 1))
    loans.gone('a')
    expect(newly()).to.deep.equal(['1 lost', '1 lost', '1 lost', 'orders back 0/7 #1 0/8 #3', 'bills back 0/3 #2'])
    expect(loans.size).to.equal(1)
  })

  it('stay lent where their arrival was told while this process stood still', async () => {
    loans.add('a', 1, lent([7]))
    loans.add('a', 2, lent([8]))
    time.standStill(20_000)
    await time.pass(0)
    loans.settle('a', settled('acknowledged', 1))
    expect(newly()).to.deep.equal(['1 acknowledged', 'orders acked 0/7 #1'])
    await time.pass(250)
    expect(newly()).to.deep.equal(['1 lost', 'orders back 0/8 #2'])
  })

  it('come back when their arrival is not told within five seconds', async () => {
    loans.add('a', 1, lent([7]))
    loans.add('a', 2, lent([8]))
    await time.pass(4_999)
    loans.settle('a', settled('had', 2))
    expect(newly()).to.deep.equal([])
    await time.pass(1)
    expect(newly()).to.deep.equal(['1 lost', 'orders back 0/7 #1'])
    loans.settle('a', settled('acknowledged', 1))
    expect(newly(), 'what names an ended loan changes nothing').to.deep.equal([])
  })

  it('are forgotten when the group offers them again by itself', async () => {
    loans.add('a', 1, lent([7]))
    loans.settle('a', settled('had', 1))
    await time.pass(60_000)
    expect(newly()).to.deep.equal(['1 lost'])
    expect(loans.size).to.equal(0)
  })

  it('are lent to nobody whose end has come first, for a minute', async () => {
    loans.settle('a', settled('returned', 5))
    expect(loans.isEnded('a', 5)).to.equal(true)
    expect(loans.isEnded('b', 5)).to.equal(false)
    expect(loans.add('a', 5, lent([7]))).to.equal(false)
    expect(newly()).to.deep.equal(['orders back 0/7 #1'])
    await time.pass(60_001)
    expect(loans.isEnded('a', 5)).to.equal(false)
  })

  it('are counted in the bytes of records until they have arrived', () => {
    loans.add('a', 1, lent([7]))
    expect(records.heldBytes).to.equal(loans.bytes).and.to.be.greaterThan(9)
    loans.settle('a', settled('had', 1))
    expect([records.heldBytes, loans.bytes]).to.deep.equal([0, 0])
    loans.settle('a', settled('acknowledged', 1))
    expect([records.heldBytes, loans.bytes]).to.deep.equal([0, 0])
  })

  it('have at most half of these bytes', () => {
    loans.add('a', 1, lent([7], orders, Buffer.alloc(499_000)))
    expect(loans.mayLend('b')).to.equal(true)
    loans.add('a', 2, lent([8], orders, Buffer.alloc(2_000)))
    expect(loans.mayLend('b')).to.equal(false)
    loans.settle('a', settled('had', 1))
    expect(loans.mayLend('b')).to.equal(true)
  })

  it('are a thousand loans of one gateway', () => {
    for (let id = 1; id <= 1_000; id++) loans.add('a', id, lent([id]))
    expect([loans.mayLend('a'), loans.mayLend('b')]).to.deep.equal([false, true])
    loans.settle('a', settled('delivered', 500))
    expect(loans.mayLend('a')).to.equal(true)
  })
})
