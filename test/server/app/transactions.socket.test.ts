import { expect } from 'chai'
import { type Castellan, TransactionError } from '../../../src/client.js'
import { onBroker } from '../../support/stage.js'

/** The values of a topic as a reader of committed records gets them. */
async function committed(castellan: Castellan, topic: string): Promise<(string | undefined)[]> {
  const values: (string | undefined)[] = []
  for await (const { value } of castellan.read(topic, { from: 'earliest', follow: false }))
    values.push(value?.toString())
  return values
}

const failureOf = (asked: Promise<unknown>): Promise<TransactionError> =>
  asked.then(
    () => expect.fail('nothing was thrown'),
    (error: unknown) => (error instanceof TransactionError ? error : Promise.reject(error))
  )

describe('castellan.transaction', () => {
  const stage = onBroker(undefined, true)
  let castellan: Castellan
  beforeEach(async () => {
    stage.cluster.createTopic('orders', { partitions: 2 })
    castellan = await stage.library({ router: { isolationLevel: 'readCommitted' } })
  })

  it('resolves with what its function gives, and its records are read once it has committed', async () => {
    const given = await castellan.transaction('etl', async tx => {
      const [delivered] = await tx.produce({ topic: 'orders', partition: 0, value: 'one' })
      void tx.produce([
        { topic: 'orders', partition: 1, value: 'two' },
        { topic: 'orders', partition: 0, value: 'three' }
      ])
      expect(await committed(castellan, 'orders')).to.deep.equal([])
      return delivered!.offset
    })
    expect(given).to.equal(0)
    expect((await committed(castellan, 'orders')).sort()).to.deep.equal(['one', 'three', 'two'])
  })

  it('aborts when its function throws, and what was thrown comes out unchanged', async () => {
    const thrown = new Error('no such book')
    const asked = castellan.transaction('etl', async tx => {
      await tx.produce({ topic: 'orders', value: 'never' })
      throw thrown
    })
    expect(await asked.catch((error: unknown) => error)).to.equal(thrown)
    await castellan.transaction('etl', tx => tx.produce({ topic: 'orders', value: 'next' }))
    expect(await committed(castellan, 'orders')).to.deep.equal(['next'])
  })
})
