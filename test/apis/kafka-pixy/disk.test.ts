import { expect } from 'chai'
import fastify from 'fastify'
import { kafkaPixy } from '../../../src/apis/kafka-pixy/api.js'
import { OverloadedError } from '../../../src/core/errors.js'
import type { ProduceRecord } from '../../../src/core/model.js'
import type { Admission } from '../../../src/http/exchange/admission.js'
import type { PendingProduce, ProduceOptions } from '../../../src/verbs/verbs.js'
import { contextFor } from '../../support/api-context.js'
import { FakeVerbs, failure } from '../../support/fake-verbs.js'

const FORM = 'application/x-www-form-urlencoded'

/** There is space in memory, and none on the way to the disk. */
const admission = { tryAdmit: () => true, waitMs: 0 } as unknown as Admission
const diskAdmission = {
  tryAdmit: () => false,
  admit: (_request: unknown, _enter: unknown, refuse: (error: OverloadedError) => void) =>
    refuse(new OverloadedError('no room on the way to the disk')),
  waitMs: 0
} as unknown as Admission

class DiskIsFull extends FakeVerbs {
  override produce(records: readonly ProduceRecord[], options: ProduceOptions): PendingProduce {
    if (options.durability !== 'disk') return super.produce(records, options)
    const refused = [failure('overloaded')]
    return { refused, accepted: () => Promise.resolve(refused), outcomes: () => Promise.resolve(refused) }
  }
}

describe('pixy: messages that are kept on disk, when there is no space for it', () => {
  const ask = async (query: string, type: string, payload: string): Promise<string> => {
    const app = fastify({ logger: false, genReqId: () => 'made-up' })
    const settings = kafkaPixy.settings.parse({ durability: 'disk' })
    const addRoutes = await kafkaPixy.plugin(contextFor(new DiskIsFull(), settings, { admission, diskAdmission }))
    await app.register(async scope => addRoutes(scope), { prefix: '/pixy' })
    const asked = { method: 'POST', url: `/pixy/topics/orders/messages${query}`, payload } as const
    const answer = await app.inject({ ...asked, headers: { 'content-type': type } })
    return `${answer.statusCode} ${answer.headers['x-castellan-persisted']}`
  }
  const cases: [query: string, type: string, body: string, said: string][] = [
    ['', 'text/plain', 'm', '503 no'],
    ['?sync', 'text/plain', 'm', '200 yes'],
    ['?sync', FORM, 'msg=m', '200 yes'],
    ['', FORM, 'msg=m&sync', '200 yes'],
    ['', FORM, 'msg=m&sync=', '200 yes'],
    ['', FORM, 'msg=m', '503 no']
  ]
  for (const [query, type, body, said] of cases) {
    it(`${type}, ${body}, ${query || 'no query'}: ${said}`, async () => {
      expect(await ask(query, type, body)).to.equal(said)
    })
  }
})
