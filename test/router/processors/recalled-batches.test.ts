import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'
import { expect } from 'chai'
import { ProduceAdmission, produceBatch } from '../../../src/router/processors/produce-admission.js'
import type { OpenRequest } from '../../../src/router/requests/open-requests.js'
import { ProcessorStage } from './stage.js'

setFlagsFromString('--expose-gc')
const collectGarbage = runInNewContext('gc') as () => void

describe('batches that were recalled', () => {
  const stage = new ProcessorStage()
  const produce = new ProduceAdmission({
    requestMaxBytes: 100,
    brokerTimeoutMs: 1_500,
    callMarginMs: 1_500,
    now: () => 0
  })
  const add = (): OpenRequest<'produceBatch'> => {
    const batch = { topic: 'orders', partition: 0, bytes: Buffer.alloc(10), answer() {} }
    const accepted = stage.openRequests.accept(produceBatch, batch as never, 5_000, 0)
    accepted.partition = stage.partition('orders', 0)
    produce.addToQueue(accepted)
    return accepted
  }
  const addRecalled = (): WeakRef<object> => {
    const recalled = add()
    recalled.settled = true
    return new WeakRef(recalled)
  }

  it('do not collect while no call is made, and leave the others in order', async () => {
    const recalled: WeakRef<object>[] = []
    const waiting: OpenRequest[] = []
    for (let nth = 0; nth < 300; nth++) {
      recalled.push(addRecalled())
      if (nth % 100 === 0) waiting.push(add())
    }
    // What a weak reference points to is kept until the turn in which that was made is over.
    await new Promise(resolve => setImmediate(resolve))
    collectGarbage()
    expect(recalled.filter(batch => batch.deref() !== undefined).length).to.be.most(30)
    const sent = waiting.map(() => produce.main.nextCall()?.batches[0])
    expect(sent).to.deep.equal(waiting)
    expect(produce.main.isEmpty).to.equal(true)
  })
})
