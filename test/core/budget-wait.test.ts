import { expect } from 'chai'
import { BudgetWait, takeBytes } from '../../src/core/budget-wait.js'
import { type HeldRecords, RecordBudget } from '../../src/core/record-budget.js'
import { FakeTime } from '../support/fake-time.js'
import { turns } from '../support/ticks.js'

describe('core: waits for capacity', () => {
  let time: FakeTime
  let records: RecordBudget
  /** What was told, and all that is held. */
  let told: string[]
  let held: HeldRecords[]

  beforeEach(() => {
    time = new FakeTime('performance')
    records = new RecordBudget(64, time.now)
    told = []
    held = [records.hold(64, 'others')]
  })
  afterEach(() => {
    for (const one of held) one.release()
    expect([records.heldBytes, records.isShort, time.timers]).to.deep.equal([0, false, 0])
    time.restore()
  })

  /** @param maxMs absent: it has no limit */
  const waitOf = (client: string, maxMs?: number): BudgetWait => {
    const refuse = ({ message }: Error): void => void told.push(message)
    return new BudgetWait({
      records,
      client,
      maxMs,
      goOn: () => told.push(client),
      ...(maxMs !== undefined && { refuse })
    })
  }
  const take = async (client: string, bytes: number, maxMs?: number, signal?: AbortSignal): Promise<void> => {
    try {
      held.push(await takeBytes({ records, client, bytes, maxMs, signal }))
      told.push(`${client} has ${bytes}`)
    } catch (error) {
      told.push(`${client}: ${(error as Error).message}`)
    }
  }
  const FULL = 'answers hold too many bytes of records (limit 64 of all clients; advanced.http.answersMaxBytes)'

  it('go on once when there is capacity, and begin again where it was taken meanwhile', async () => {
    const wait = waitOf('a')
    expect([wait.take(8), wait.take(8), wait.isWaiting]).to.deep.equal([undefined, undefined, true])
    held[0]!.add(-8)
    await turns(2)
    expect([told, wait.isWaiting]).to.deep.equal([['a'], false])
    held.push(records.take('b', 8)!)
    expect([wait.take(8), wait.isWaiting]).to.deep.equal([undefined, true])
    held[0]!.add(-8)
    await turns(2)
    held.push(wait.take(8)!)
    expect([told, records.bytesOf('a'), wait.isWaiting]).to.deep.equal([['a', 'a'], 8, false])
  })

  it('have no capacity before their turn has come', async () => {
    const wait = waitOf('a')
    expect(wait.has(8)).to.equal(false)
    held[0]!.release()
    expect(wait.has(8)).to.equal(false)
    await turns(2)
    expect([told, wait.has(8)]).to.deep.equal([['a'], true])
  })

  it('are refused a time after the first of them, however often they have gone on', async () => {
    const wait = waitOf('a', 3_000)
    wait.take(8)
    await time.pass(2_000, 100)
    held[0]!.add(-8)
    await turns(2)
    held.push(records.take('b', 8)!)
    wait.take(8)
    await time.pass(900, 100)
    expect(told).to.deep.equal(['a'])
    await time.pass(200, 100)
    expect([told, wait.isWaiting]).to.deep.equal([['a', FULL], false])
  })

  it('tell nothing once they are ended', async () => {
    const wait = waitOf('a', 1_000)
    wait.take(8)
    wait.end()
    wait.end()
    held[0]!.release()
    await time.pass(1_500, 100)
    expect(told).to.deep.equal([])
  })

  it('take the capacity before others are told of it', async () => {
    const all = [take('a', 20), take('b', 20)]
    await turns(2)
    held[0]!.add(-30)
    await turns(2)
    expect(told).to.deep.equal(['a has 20'])
    held[0]!.release()
    await Promise.all(all)
    expect(told).to.deep.equal(['a has 20', 'b has 20'])
  })

  it('take none in time, and none for those who have left', async () => {
    const leaves = new AbortController()
    const all = [take('a', 8, 1_000), take('b', 8, undefined, leaves.signal)]
    leaves.abort()
    all.push(take('c', 8, undefined, leaves.signal))
    await time.pass(1_100, 100)
    await Promise.all(all)
    expect(told).to.deep.equal([`b: ${FULL}`, `c: ${FULL}`, `a: ${FULL}`])
    held[0]!.release()
    await take('d', 8, undefined, leaves.signal)
    expect([told.at(-1), records.heldBytes]).to.deep.equal([`d: ${FULL}`, 0])
  })
})
