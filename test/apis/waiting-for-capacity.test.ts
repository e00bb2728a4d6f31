import { expect } from 'chai'
import fastify, { type LightMyRequestResponse } from 'fastify'
import { arion } from '../../src/apis/arion/api.js'
import { kafboy } from '../../src/apis/kafboy/api.js'
import { kafkaPixy } from '../../src/apis/kafka-pixy/api.js'
import { kprf } from '../../src/apis/kprf/api.js'
import type { RecordFailure } from '../../src/core/model.js'
import type { HttpApi } from '../../src/http/api/api.js'
import type { Admission } from '../../src/http/exchange/admission.js'
import type { PendingProduce, ProduceOptions } from '../../src/verbs/verbs.js'
import { contextFor } from '../support/api-context.js'
import { FakeVerbs, failure } from '../support/fake-verbs.js'
import { turns } from '../support/ticks.js'

const admission = { tryAdmit: () => true, waitMs: 700 } as unknown as Admission

/** Its records wait for capacity until the test decides. */
class FullVerbs extends FakeVerbs {
  decide: (failure: RecordFailure | undefined) => void = () => undefined
  options: ProduceOptions | undefined

  override produce(_records: unknown, options: ProduceOptions): PendingProduce {
    this.options = options
    const decided = new Promise<RecordFailure | undefined>(resolve => (this.decide = resolve))
    return {
      refused: undefined,
      isWaiting: true,
      accepted: () => decided.then(refusal => refusal && [refusal]),
      outcomes: () => decided.then(refusal => (refusal ? [refusal] : new Promise(() => undefined)))
    }
  }
}

const push = JSON.stringify({ records: [{ topic: 'orders', data: 'x' }], wait_for_send: false })

describe('an asynchronous record that waits for capacity', () => {
  for (const [api, path, body, accepted, refused] of [
    [kprf as unknown as HttpApi, '/push', push, 200, 500],
    [kafboy as unknown as HttpApi, '/async/orders', '{}', 200, 503],
    [arion as unknown as HttpApi, '/async/orders', 'x', 202, 503],
    [kafkaPixy as unknown as HttpApi, '/topics/orders/messages', 'x', 200, 503]
  ] as const) {
    const ask = async (verbs: FullVerbs): Promise<{ answer?: LightMyRequestResponse; done: Promise<void> }> => {
      const addRoutes = await api.plugin(contextFor(verbs, api.settings.parse({}), { admission }))
      const app = fastify({ logger: false, genReqId: () => 'made-up' })
      await app.register(async scope => addRoutes(scope), { prefix: api.prefix })
      const headers = { 'content-type': 'application/json' }
      const asked: { answer?: LightMyRequestResponse; done: Promise<void> } = { done: Promise.resolve() }
      asked.done = app
        .inject({ method: 'POST', url: api.prefix + path, headers, payload: body })
        .then(answer => void (asked.answer = answer))
      while (verbs.options === undefined) await turns(1)
      return asked
    }

    it(`is answered by ${api.name} when it was accepted, and not before`, async () => {
      const verbs = new FullVerbs()
      const asked = await ask(verbs)
      expect(verbs.options!.capacityWaitMs).to.equal(700)
      await turns(20)
      expect(asked.answer).to.equal(undefined)
      verbs.decide(undefined)
      await asked.done
      expect(asked.answer!.statusCode).to.equal(accepted)
      expect(asked.answer!.headers['x-castellan-persisted']).to.equal('pending')
    })

    it(`is refused by ${api.name} when there was no capacity in time`, async () => {
      const verbs = new FullVerbs()
      const asked = await ask(verbs)
      verbs.decide(failure('overloaded'))
      await asked.done
      expect(asked.answer!.statusCode).to.equal(refused)
      expect(asked.answer!.headers['x-castellan-persisted']).to.equal('no')
    })
  }
})
