import { expect } from 'chai'
import { DurableHarness } from '../durable-stage.js'
import { sendWithKey } from './send-with-key.js'

describe('a key whose answer cannot be read', () => {
  let harness: DurableHarness
  beforeEach(async () => {
    harness = new DurableHarness({ topics: { orders: 1 } })
    await harness.start()
  })
  afterEach(() => harness.restore())

  const answered = async (): Promise<string> => {
    const sent = sendWithKey(harness, 'key', ['a'], 5_000)
    const told = sent.catch(error => `${error}`)
    await harness.pass(10_000)
    return told
  }

  it('is not carried out again, and gets its answer when the disk works again', async () => {
    expect(await answered()).to.equal('yes')
    let isBroken = true
    harness.disk.faults.before = operation => {
      if (isBroken && operation === 'read') throw new Error('EIO')
    }
    expect(await answered()).to.include('away')
    isBroken = false
    expect(await answered()).to.equal('yes')
    expect(harness.router.values('orders')).to.deep.equal(['a'])
  })
})
