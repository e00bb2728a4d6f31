import { expect } from 'chai'
import { DurableStage } from '../durable-stage.js'
import { sendWithKey } from './send-with-key.js'

describe('a key whose answer cannot be read', () => {
  let stage: DurableStage
  beforeEach(async () => {
    stage = new DurableStage({ topics: { orders: 1 } })
    await stage.start()
  })
  afterEach(() => stage.restore())

  const answered = async (): Promise<string> => {
    const sent = sendWithKey(stage, 'key', ['a'], 5_000)
    const told = sent.catch(error => `${error}`)
    await stage.pass(10_000)
    return told
  }

  it('is not carried out again, and gets its answer when the disk works again', async () => {
    expect(await answered()).to.equal('yes')
    let isBroken = true
    stage.disk.faults.before = operation => {
      if (isBroken && operation === 'read') throw new Error('EIO')
    }
    expect(await answered()).to.include('away')
    isBroken = false
    expect(await answered()).to.equal('yes')
    expect(stage.router.values('orders')).to.deep.equal(['a'])
  })
})
