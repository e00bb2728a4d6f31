import { expect } from 'chai'
import type { ConsumedMessages, TopicOffers } from '../../../src/consumer/group/consume-result.js'
import { type LentLimits, MAX_LENT_BYTES } from '../../../src/consumer/group/lending.js'
import { RecordBudget } from '../../../src/core/record-budget.js'
import { type GroupTopic, keyOfTopic, type OfferAnswer } from '../../../src/deployment/calls/lending-calls.js'
import { Lender } from '../../../src/deployment/lending/lender.js'
import { Loans } from '../../../src/deployment/lending/loans.js'
import { WantsOfOthers } from '../../../src/deployment/lending/wants-of-others.js'
import type { AcquiredMessage } from '../../../src/verbs/verbs.js'
import { HandTime } from './lending-time.js'

const ORDERS: GroupTopic = ['billing', 'orders']
const ONE = { maxMessages: 1, maxBytes: 1, maxMessageBytes: 1_048_576 }

describe('a gateway that lends messages', () => {
  let time: HandTime
  /** The messages at hand. */
  let atHand: number
  let told: string[]
  let asked: LentLimits[]
  let offers: { readonly to: string; answer(verdict: OfferAnswer): Promise<void> }[]
  let loans: Loans<string>
  let lender: Lender<string>
  beforeEach(() => {
    time = new HandTime()
    atHand = 0
    told = []
    asked = []
    offers = []
    const records = new RecordBudget(1_000_000, time.clock)
    loans = new Loans({ time, records, loanTimeoutMs: 5_000, ackTimeoutMs: 60_000, onEnded: () => undefined })
    lender = new Lender({
      time,
      loans,
      wants: new WantsOfOthers(),
      groups: {
        wanted: (group, topic) => {
          told.push(`${group} ${topic} is wanted`)
          lender.atHand(ORDERS)
        },
        bytesToLend: () => (atHand > 0 ? atHand : undefined),
        lend: async (_group, _topic, limits) => {
          asked.push(limits)
          return atHand > 0 ? lent(atHand--) : undefined
        }
      },
      offer: (to, { topic: [, topic] }) =>
        new Promise(resolve => {
          told.push(`${topic} for ${to}`)
          offers.push({
            to,
            answer: async verdict => {
              resolve(verdict)
              await time.pass(0)
            }
          })
        }),
      onBug: error => void told.push(error.message)
    })
  })
  afterEach(() => {
    expect(told).to.deep.equal([])
    loans.close()
    lender.stop()
  })
  const newly = (): string[] => told.splice(0)
  const take = async (from: string, id: number): Promise<number> => {
    const taken = await lender.take(from, { id, topic: ORDERS, ...ONE })
    await time.pass(0)
    return taken.messages.length
  }
  const lent = (offset: number): ConsumedMessages => ({
    messages: [{ topic: 'orders', partition: 0, offset, serial: offset, key: null, value: null, headers: [] }] as never,
    offers: { releaseUnread: () => void told.push(`${offset} comes back`) } as unknown as TopicOffers,
    ack: () => undefined,
    release: () => void told.push(`${offset} comes back`)
  })
  const want = async (...gateways: string[]): Promise<void> => {
    for (const from of gateways) lender.wanted(from, [ORDERS])
    await time.pass(0)
    expect(newly().filter(text => text.includes('wanted')).length).to.equal(gateways.length)
  }
  const comes = async (count = 1): Promise<void> => {
    atHand += count
    lender.atHand(ORDERS)
    await time.pass(0)
  }

  it('offers nothing that nobody wants', async () => {
    await comes()
    expect(newly()).to.deep.equal([])
    expect(lender.isWanted(keyOfTopic(ORDERS))).to.equal(false)
  })

  it('offers a message to one at a time, in turn, and lends it to who takes it', async () => {
    await want('b', 'c')
    expect(lender.isWanted(keyOfTopic(ORDERS))).to.equal(true)
    await comes(2)
    expect(newly()).to.deep.equal(['orders for b'])
    await offers[0]!.answer('take')
    expect(newly()).to.deep.equal([])
    expect(await take('b', 1)).to.equal(1)
    expect(newly()).to.deep.equal(['orders for c'])
    await offers[1]!.answer('take')
    expect(await take('c', 1)).to.equal(1)
    expect(loans.size).to.equal(2)
  })

  it('passes over who says that nobody waits, until it wants again', async () => {
    await want('b', 'c')
    await comes()
    await offers[0]!.answer('none')
    expect(newly()).to.deep.equal(['orders for b', 'orders for c'])
    await offers[1]!.answer('none')
    await time.pass(1_000)
    expect(newly()).to.deep.equal([])
    lender.wanted('b', [ORDERS])
    await time.pass(0)
    expect(newly()).to.deep.equal(['billing orders is wanted', 'orders for b'])
    await offers[2]!.answer('none')
  })

  it('offers to who has wanted again before it was read that it did not', async () => {
    await want('b')
    await comes()
    await time.pass(1)
    newly()
    lender.wanted('b', [ORDERS])
    await offers[0]!.answer('none')
    expect(newly()).to.deep.equal(['billing orders is wanted', 'orders for b'])
    await offers[1]!.answer('none')
  })

  it('lends nothing to who does not want it', async () => {
    atHand = 1
    expect(await take('b', 1)).to.equal(0)
    atHand = 0
    await want('b', 'c')
    time.standStill(2_000)
    atHand = 1
    expect(await take('b', 2)).to.equal(0)
    expect(atHand).to.equal(1)
  })

  it('takes back what it lent while it stopped', async () => {
    await want('b')
    atHand = 1
    const taken = lender.take('b', { id: 1, topic: ORDERS, ...ONE })
    lender.stop()
    expect((await taken).messages).to.deep.equal([] as AcquiredMessage[])
    expect(newly()).to.deep.equal(['1 comes back'])
    expect(loans.size).to.equal(0)
  })

  it('passes over who does not answer for 50 ms, or does not take, for 100 ms', async () => {
    await want('b', 'c')
    await comes()
    await time.pass(49)
    expect(newly()).to.deep.equal(['orders for b'])
    await time.pass(1)
    expect(newly()).to.deep.equal(['orders for c'])
    await offers[1]!.answer('take')
    await time.pass(50)
    expect(newly(), 'b was passed over 50 ms ago').to.deep.equal([])
    await time.pass(50)
    expect(newly()).to.deep.equal(['orders for b'])
    await offers[2]!.answer('none')
    await time.pass(50)
    expect(newly()).to.deep.equal(['orders for c'])
    await offers[3]!.answer('none')
  })

  it('lends to whoever takes, also where the offer was given up', async () => {
    await want('b')
    await comes()
    await time.pass(60)
    expect(await take('b', 1)).to.equal(1)
    newly()
  })

  it('lends nothing for a take whose end has come first', async () => {
    await want('b')
    loans.settle('b', { had: [], acknowledged: [], delivered: [], returned: [1] })
    atHand = 1
    expect(await take('b', 1)).to.equal(0)
    expect(atHand).to.equal(1)
  })

  it('takes back what it lent while the end of the loan came', async () => {
    await want('b')
    atHand = 1
    const taken = lender.take('b', { id: 1, topic: ORDERS, ...ONE })
    loans.settle('b', { had: [], acknowledged: [], delivered: [], returned: [1] })
    expect((await taken).messages).to.deep.equal([] as AcquiredMessage[])
    expect(newly()).to.deep.equal(['1 comes back'])
  })

  it('forgets what a gateway wants that is gone, and takes back what it had', async () => {
    await want('b')
    await comes()
    await offers[0]!.answer('take')
    await take('b', 1)
    newly()
    lender.gone('b')
    expect(newly()).to.deep.equal(['1 comes back'])
    await comes()
    expect(newly()).to.deep.equal([])
  })

  it('lends and offers nothing when it stops', async () => {
    await want('b')
    lender.stop()
    await comes()
    expect(newly()).to.deep.equal([])
    expect(await take('b', 1)).to.equal(0)
  })

  it('lends 64 messages and a mebibyte at most, whatever is asked for', async () => {
    await want('b')
    for (const maxMessages of [1_000_000, 0, 3])
      await lender.take('b', { id: maxMessages, topic: ORDERS, maxMessages, maxBytes: 1e12, maxMessageBytes: 1e12 })
    const most = { maxBytes: 1_048_576, maxMessageBytes: MAX_LENT_BYTES }
    expect(asked).to.deep.equal([64, 1, 3].map(maxMessages => ({ maxMessages, ...most })))
  })
})
