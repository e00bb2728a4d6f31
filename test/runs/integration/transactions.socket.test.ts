import { expect } from 'chai'
import { type Castellan, TransactionError } from '../../../src/client.js'
import { onCluster } from '../../support/stage.js'

/** The last one commits. */
const TRANSACTIONS = 21

const failureOf = (asked: Promise<unknown>): Promise<TransactionError> =>
  asked.then(
    () => expect.fail('nothing was thrown'),
    (error: unknown) => (error instanceof TransactionError ? error : Promise.reject(error))
  )

describe('transactions of the library', function () {
  this.timeout(60_000)
  const stage = onCluster()
  let topic: string
  let castellan: Castellan
  const open = () => stage.library({ router: { isolationLevel: 'readCommitted' } })
  before(async () => {
    castellan = await open()
  })
  beforeEach(async () => {
    topic = await stage.topic('bills', 3)
  })

  /** The first so many records that have committed. Brokers may write the markers after the call has resolved. */
  async function committed(count: number): Promise<string[]> {
    const values: string[] = []
    for await (const { value } of castellan.read(topic, { from: 'earliest', follow: true })) {
      values.push(String(value))
      if (values.length === count) break
    }
    return values.sort()
  }

  it('commit one after another, each as a whole, and those in between abort', async () => {
    const expected: string[] = []
    for (let at = 0; at < TRANSACTIONS; at++) {
      const values = [0, 1, 2].map(part => `${at} ${part}`)
      const isAborted = at % 3 === 1
      if (!isAborted) expected.push(...values)
      const asked = castellan.transaction(`etl ${topic}`, async tx => {
        await tx.produce(values.map((value, partition) => ({ topic, partition, value })))
        await tx.commitOffsets(`billing ${topic}`, [{ topic, partition: 0, offset: at }])
        if (isAborted) throw new TypeError('no')
      })
      expect(await asked.then(() => 'committed', String)).to.equal(isAborted ? 'TypeError: no' : 'committed')
    }
    expect(await committed(expected.length)).to.deep.equal(expected.sort())
    // The marker of the offsets may come later than those of the records, and until then the earlier ones are read.
    const offset = async () => (await castellan.admin.offsets(`billing ${topic}`, topic))[0]!.committed
    let last = await offset()
    while (last === TRANSACTIONS - 3) last = await offset()
    expect(last).to.equal(TRANSACTIONS - 1)
  })

  it('of an id that another process has taken over are fenced, and nothing of them is read', async () => {
    const other = await open()
    const id = `etl ${topic}`
    const fenced = castellan.transaction(id, async tx => {
      await tx.produce({ topic, value: 'never' })
      await other.transaction(id, next => next.produce({ topic, value: 'of the other' }))
    })
    expect(await failureOf(fenced)).to.include({ code: 'fenced', committed: 'no', retriable: false })
    expect(await failureOf(castellan.transaction(id, async () => 1))).to.include({ code: 'fenced' })
    await other.transaction(id, tx => tx.produce({ topic, value: 'still of the other' }))
    expect(await committed(2)).to.deep.equal(['of the other', 'still of the other'])
  })

  it('that were left open by a process are aborted by the next one with its id', async () => {
    const first = await open()
    const id = `etl ${topic}`
    const isWritten = new Promise<void>(resolve => {
      const left = first.transaction(id, async tx => {
        await tx.produce({ topic, value: 'left open' })
        resolve()
        await new Promise(() => undefined)
      })
      left.catch(() => undefined)
    })
    await isWritten
    await castellan.transaction(id, tx => tx.produce({ topic, value: 'next' }))
    expect(await committed(1)).to.deep.equal(['next'])
  })

  it('of ten ids run beside each other, three calls of each', async () => {
    const ids = Array.from({ length: 10 }, (_, at) => `etl ${at} ${topic}`)
    await Promise.all(
      ids.flatMap(id =>
        [0, 1, 2].map(at => castellan.transaction(id, tx => tx.produce({ topic, value: `${id} ${at}` })))
      )
    )
    expect(new Set(await committed(30))).to.have.lengthOf(30)
  })

  it('with a limit above that of the brokers are told so', async () => {
    const asked = castellan.transaction(`etl ${topic}`, async () => 1, { timeoutMs: 900_000 })
    const error = await asked.catch((thrown: unknown) => thrown)
    expect(error).to.include({ name: 'InvalidRequestError' })
    expect((error as Error).message).to.match(/transaction\.max\.timeout\.ms/)
  })
})
