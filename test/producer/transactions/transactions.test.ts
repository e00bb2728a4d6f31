import { setImmediate } from 'node:timers/promises'
import { expect } from 'chai'
import type { TransactionError } from '../../../src/core/transaction-error.js'
import { errorCodes } from '../../../src/kafka/error-codes.js'
import type { OpenTransaction } from '../../../src/producer/transactions/open-transaction.js'
import { Transactions } from '../../../src/producer/transactions/transactions.js'
import type { ResultOf, RouterMessage } from '../../../src/router/messages/operations.js'
import { kafkaFailure } from '../../../src/router/requests/failures.js'

type Init = Extract<RouterMessage, { readonly type: 'initTransactionalId' }>
const LIMITS = { timeoutMs: 60_000 }
const NOTHING_CONSUMED = {
  hasMessages: false,
  holds: () => false,
  prepare: async () => [],
  tooLarge: () => undefined,
  check: () => undefined,
  end: () => undefined
}
const TWO_MINUTES_MS = 120_000

describe('the ids of transactions', () => {
  let now: number
  let asked: (readonly [id: string, isKnown: boolean])[]
  /** Ids that another process takes. */
  let taken: Set<string>
  let transactions: Transactions

  beforeEach(() => {
    now = 0
    asked = []
    taken = new Set()
    const router = {
      path: 'router',
      tell(message: RouterMessage) {
        const { transactionalId, current, requester } = message as Init
        asked.push([transactionalId, current !== undefined])
        const fenced = kafkaFailure(errorCodes.PRODUCER_FENCED)
        const result: ResultOf<'initTransactionalId'> = taken.has(transactionalId)
          ? fenced
          : { type: 'success', producerId: 1n, producerEpoch: 0 }
        requester.reply(result as never)
      },
      stop: () => undefined
    }
    const createDelivery = (): never => {
      throw new Error('an empty transaction writes nothing')
    }
    transactions = new Transactions({ router, clock: () => now, createDelivery }, 2)
  })

  /** Resolves when the next call of the id could begin. */
  const run = (id: string): Promise<unknown> =>
    transactions.run(id, async () => 'done', LIMITS, NOTHING_CONSUMED).finally(() => setImmediate())

  it('are forgotten where more than the limit rest, those first that were not used for the longest time', async () => {
    for (const id of ['a', 'b', 'c', 'a']) await run(id)
    now += TWO_MINUTES_MS
    await run('d')
    asked = []
    for (const id of ['a', 'b', 'c']) await run(id)
    expect(asked).to.deep.equal([
      ['a', true],
      ['b', false],
      ['c', true]
    ])
  })

  it('do not rest while they are at work, however long that takes', async () => {
    let end = (): void => undefined
    const atWork = transactions.run('a', () => new Promise<void>(resolve => (end = resolve)), LIMITS, NOTHING_CONSUMED)
    await setImmediate()
    now += TWO_MINUTES_MS
    await run('b')
    end()
    await atWork
    await setImmediate()
    asked = []
    await run('a')
    expect(asked, 'it needs no other epoch').to.deep.equal([])
  })

  it('have a signal that is aborted with the reason, also for a function that asks for it later', async () => {
    const stop = new AbortController()
    let told: unknown
    const limits = { ...LIMITS, signal: stop.signal }
    const work = async (tx: OpenTransaction): Promise<void> => {
      stop.abort('enough')
      told = { isAborted: tx.signal.aborted, cause: (tx.signal.reason as TransactionError).cause }
    }
    const ran = await transactions.run('a', work, limits, NOTHING_CONSUMED).catch(error => error.code)
    expect([ran, told]).to.deep.equal(['aborted', { isAborted: true, cause: 'enough' }])
  })

  it('name no former producer in another cluster', async () => {
    await run('a')
    transactions.clusterChanged({ before: 'one', now: 'another' })
    asked = []
    await run('a')
    expect(asked).to.deep.equal([['a', false]])
  })

  it('are kept while they have not rested, and when another process has taken them', async () => {
    for (const id of ['a', 'b', 'c', 'd']) await run(id)
    now += TWO_MINUTES_MS / 4
    await run('e')
    asked = []
    for (const id of ['a', 'b', 'c', 'd']) await run(id)
    expect(asked).to.deep.equal([])
    taken.add('f')
    await run('f').catch(() => undefined)
    taken.clear()
    for (let round = 0; round < 2; round++) {
      now += TWO_MINUTES_MS
      await run('e')
    }
    const refused: { readonly code?: string } = await run('f').then(
      () => ({}),
      error => error
    )
    expect(refused.code).to.equal('fenced')
  })

  const refusalOf = (id: string): Promise<unknown> =>
    run(id).then(
      () => undefined,
      (error: { readonly code?: string }) => error.code
    )

  it('that were fenced keep their names when they rest, as many as the limit, until another cluster is there', async () => {
    for (const id of ['a', 'b', 'c']) {
      taken.add(id)
      expect(await refusalOf(id)).to.equal('fenced')
    }
    taken.clear()
    const rest = async (): Promise<void> => {
      now += TWO_MINUTES_MS
      await run('other')
    }
    await rest()
    expect(await refusalOf('b')).to.equal('fenced')
    await rest()
    asked = []
    expect([await refusalOf('b'), await refusalOf('c'), await refusalOf('a')]).to.deep.equal([
      'fenced',
      'fenced',
      undefined
    ])
    expect(asked, 'the one that was not used for the longest time is forgotten').to.deep.equal([['a', false]])
    await rest()
    transactions.clusterChanged({ before: 'one', now: 'another' })
    expect([await refusalOf('b'), await refusalOf('c')]).to.deep.equal([undefined, undefined])
  })
})

describe('a transaction with positions', () => {
  it('that is aborted while its group is being added sends none of them', async () => {
    const sent: string[] = []
    let answerAdded = (): void => undefined
    const router = {
      path: 'router',
      tell(message: RouterMessage) {
        const { type, requester } = message as {
          readonly type: string
          readonly requester: { reply(result: object): void }
        }
        sent.push(type)
        const answer = (): void => requester.reply({ type: 'success', producerId: 1n, producerEpoch: 0 })
        if (type === 'addOffsetsToTxn') answerAdded = answer
        else answer()
      },
      stop: () => undefined
    }
    const createDelivery = (): never => {
      throw new Error('it writes no records')
    }
    const transactions = new Transactions({ router, clock: () => 0, createDelivery })
    const stop = new AbortController()
    const position = { topic: 'orders', partition: 0, offset: 9, leaderEpoch: -1, metadata: '' }
    const ran = transactions
      .run(
        'a',
        async tx => tx.commitOffsets('billing', [position]),
        { ...LIMITS, signal: stop.signal },
        NOTHING_CONSUMED
      )
      .catch((error: { readonly code?: string }) => error.code)
    await setImmediate()
    await setImmediate()
    expect(sent).to.deep.equal(['initTransactionalId', 'addOffsetsToTxn'])
    stop.abort()
    await setImmediate()
    answerAdded()
    expect(await ran).to.equal('aborted')
    await transactions.close(1_000)
    expect(sent).to.deep.equal(['initTransactionalId', 'addOffsetsToTxn', 'endTxn'])
  })
})
