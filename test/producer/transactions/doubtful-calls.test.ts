import { expect } from 'chai'
import sinon from 'sinon'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { MemoryDelivery, TransactionalSending } from '../../../src/producer/memory/memory-delivery.js'
import type { OpenTransaction } from '../../../src/producer/transactions/open-transaction.js'
import { Transactions } from '../../../src/producer/transactions/transactions.js'
import type { RouterMessage } from '../../../src/router/messages/operations.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'

const LIMITS = { timeoutMs: 60_000 }
const NOTHING_CONSUMED = {
  hasMessages: false,
  holds: () => false,
  prepare: async () => [],
  tooLarge: () => undefined,
  check: () => undefined,
  end: () => undefined
}
const POSITION = { topic: 'orders', partition: 0, offset: 9, leaderEpoch: -1, metadata: '' }
const TIMED_OUT = { type: 'timedOut' }

interface Asked {
  readonly type: string
  readonly isCommit?: boolean
  readonly offsets?: readonly { readonly offset: number }[]
  readonly requester: { reply(result: object): void }
}

describe('a transaction whose calls are in doubt', () => {
  let clock: sinon.SinonFakeTimers
  /** What was asked, in order; of ends, how they end. */
  let asked: string[]
  let positions: number[]
  /** Answers to the next calls of a name, in place of a success. */
  let scripted: Map<string, object[]>
  let sending: TransactionalSending | undefined
  let transactions: Transactions

  beforeEach(() => {
    clock = sinon.useFakeTimers()
    asked = []
    positions = []
    scripted = new Map()
    const router = {
      path: 'router',
      tell(message: RouterMessage) {
        const { type, isCommit, offsets = [], requester } = message as unknown as Asked
        const name = type === 'endTxn' ? (isCommit ? 'commit' : 'abort') : type
        asked.push(name)
        positions.push(...offsets.map(({ offset }) => offset))
        requester.reply(scripted.get(name)?.shift() ?? { type: 'success', producerId: 1n, producerEpoch: 0 })
      },
      stop: () => undefined
    }
    const delivery = {
      troubles: 0,
      accept: () => ({ outcomes: async () => [] }),
      giveUp: async () => false,
      renumber: () => undefined,
      close: async () => undefined
    } as unknown as MemoryDelivery
    const createDelivery = (of: TransactionalSending): MemoryDelivery => {
      sending = of
      return delivery
    }
    transactions = new Transactions({ router, clock: () => clock.now, createDelivery })
  })
  afterEach(() => clock.restore())

  /** What becomes of a transaction: `done`, or its failure, and whether its records may be there. */
  async function run(
    work: (tx: Pick<OpenTransaction, 'commitOffsets'>) => unknown = tx => tx.commitOffsets('g', [POSITION])
  ) {
    let outcome = 'open'
    void transactions
      .run('a', async tx => void (await work(tx as never)), LIMITS, NOTHING_CONSUMED)
      .then(
        () => (outcome = 'done'),
        ({ code, committed }: { readonly code: string; readonly committed: string }) =>
          (outcome = `${code}, committed: ${committed}`)
      )
    await clock.tickAsync(1_000)
    return outcome
  }

  it('is told as aborted where the coordinator has aborted it, also after an end without an answer', async () => {
    scripted.set('commit', [TIMED_OUT, kafkaFailure(errorCodes.INVALID_TXN_STATE)])
    expect(await run()).to.equal('aborted, committed: no')
  })

  it('is told as unknown where no answer says what has become of its end', async () => {
    scripted.set('commit', [TIMED_OUT, kafkaFailure(errorCodes.COORDINATOR_NOT_AVAILABLE)])
    expect(await run()).to.equal('aborted, committed: unknown')
  })

  it('fences a call that was sent twice before the next one begins, and nothing where each was answered', async () => {
    expect(await run()).to.equal('done')
    const first = asked.splice(0)
    expect(await run()).to.equal('done')
    expect(asked.splice(0)).to.deep.equal(first.filter(name => name !== 'initTransactionalId'))
    scripted.set('addOffsetsToTxn', [TIMED_OUT])
    expect(await run()).to.equal('done')
    asked.length = 0
    expect(await run()).to.equal('done')
    expect(asked.slice(0, 2)).to.deep.equal(['abort', 'initTransactionalId'])
  })

  it('numbers no records under an epoch whose sequences were forgotten', async () => {
    let numbering: unknown
    const outcome = await run(tx => {
      void (tx as OpenTransaction).produce(() => [], 'murmur2').catch(() => undefined)
      const identity = sending!.identity!
      expect(identity.numbering({} as never)).to.include({ producerId: 1n })
      identity.retired({} as never)
      numbering = identity.numbering({} as never)
    })
    expect(numbering).to.equal(undefined)
    expect(outcome).to.match(/^aborted/)
    expect(asked).to.deep.equal(['initTransactionalId', 'abort'])
  })

  it('commits the highest of several offsets of a partition', async () => {
    const at = (offset: number) => [{ ...POSITION, offset }]
    await run(tx => {
      tx.commitOffsets('g', at(9))
      tx.commitOffsets('g', at(7))
    })
    expect(positions).to.deep.equal([9])
  })
})
