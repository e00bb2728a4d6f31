import { expect } from 'chai'
import fastify from 'fastify'
import { arion } from '../../src/apis/arion/api.js'
import { kafboy } from '../../src/apis/kafboy/api.js'
import { kafkaPixy } from '../../src/apis/kafka-pixy/api.js'
import { kprf } from '../../src/apis/kprf/api.js'
import { OverloadedError } from '../../src/core/errors.js'
import type { HttpApi } from '../../src/http/api/api.js'
import type { Admission } from '../../src/http/exchange/admission.js'
import type { Durability } from '../../src/verbs/verbs.js'
import { contextFor } from '../support/api-context.js'
import { FakeVerbs } from '../support/fake-verbs.js'

const open = { tryAdmit: () => true } as unknown as Admission
const closed = {
  tryAdmit: () => false,
  admit: (_request: unknown, _enter: unknown, refuse: (error: OverloadedError) => void) =>
    refuse(new OverloadedError('this room is full'))
} as unknown as Admission

interface Case {
  readonly api: HttpApi
  readonly path: string
  readonly body: string
}

const cases: readonly Case[] = [
  {
    api: kprf as unknown as HttpApi,
    path: '/push',
    body: JSON.stringify({ records: [{ topic: 'orders', data: 'x' }], wait_for_send: false })
  },
  { api: kafboy as unknown as HttpApi, path: '/async/orders', body: '{}' },
  { api: arion as unknown as HttpApi, path: '/async/orders', body: 'x' },
  { api: kafkaPixy as unknown as HttpApi, path: '/topics/orders/messages', body: 'x' }
]

/** Records of these are in memory until they are in Kafka, whatever the setting says of the others. */
const always: readonly Case[] = [
  { api: kafboy as unknown as HttpApi, path: '/sync/orders', body: '{}' },
  { api: kafkaPixy as unknown as HttpApi, path: '/topics/orders/messages?sync', body: 'x' },
  { api: kafkaPixy as unknown as HttpApi, path: '/topics/orders/messages?key=a&sync=1', body: 'x' }
]

async function statusOf({ api, path, body }: Case, durability: Durability, full: Durability): Promise<number> {
  const settings = api.settings.parse({ durability })
  const rooms = { memory: open, disk: open, [full]: closed }
  const addRoutes = await api.plugin(
    contextFor(new FakeVerbs(), settings, { admission: rooms.memory, diskAdmission: rooms.disk })
  )
  const app = fastify({ logger: false, genReqId: () => 'made-up' })
  await app.register(async scope => addRoutes(scope), { prefix: api.prefix })
  const headers = { 'content-type': 'application/json' }
  const { statusCode } = await app.inject({ method: 'POST', url: api.prefix + path, headers, payload: body })
  await app.close()
  return statusCode
}

describe('the capacity that requests wait for', () => {
  for (const one of cases) {
    const { name } = one.api
    for (const [durability, other] of [
      ['memory', 'disk'],
      ['disk', 'memory']
    ] as const) {
      it(`${name} with durability ${durability} waits for its own, and not for that of ${other}`, async () => {
        expect(await statusOf(one, durability, other)).to.be.lessThan(300)
        expect(await statusOf(one, durability, durability)).to.equal(503)
      })
    }
  }

  for (const one of always) {
    for (const durability of ['memory', 'disk'] as const) {
      it(`${one.api.name} ${one.path} waits for that of memory, also with durability ${durability}`, async () => {
        expect(await statusOf(one, durability, 'disk')).to.be.lessThan(300)
        expect(await statusOf(one, durability, 'memory')).to.equal(503)
      })
    }
  }
})
