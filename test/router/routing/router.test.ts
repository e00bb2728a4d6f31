import { expect } from 'chai'
import { ActorSystem } from '../../../src/core/actor/actor.js'
import { silentLogger } from '../../../src/core/model.js'
import type { ProduceResult } from '../../../src/router/messages/operations.js'
import { startRouter } from '../../../src/router/routing/router.js'
import { CountingMetrics } from '../../support/counting-metrics.js'

describe('router: a stop behind a message that makes it crash', () => {
  it('ends, and requests behind that message are answered', async () => {
    const fatal: string[] = []
    const router = startRouter({
      system: new ActorSystem(),
      createClient: () => expect.fail('no broker is asked'),
      bootstrap: [],
      settings: { connectAtStart: false },
      clock: () => 0,
      random: Math.random,
      log: silentLogger,
      metrics: new CountingMetrics(),
      delivery: {
        produce: () => {
          throw new Error('a bug')
        }
      },
      onFatal: error => fatal.push(error.message)
    })
    const results: ProduceResult[] = []
    const requester = { reply: (result: ProduceResult) => results.push(result) }
    for (let told = 0; told < 2; told++) router.ref.tell({ type: 'produce', records: [], requester })
    await router.stop()
    expect(fatal).to.deep.equal(['a bug'])
    expect(results.length).to.equal(1)
  })
})
