import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import fastify from 'fastify'
import { arion } from '../../src/apis/arion/api.js'
import { cloudevents } from '../../src/apis/cloudevents/api.js'
import { confluent } from '../../src/apis/confluent/api.js'
import { kafboy } from '../../src/apis/kafboy/api.js'
import { kafkaPixy } from '../../src/apis/kafka-pixy/api.js'
import { kprf } from '../../src/apis/kprf/api.js'
import { strimzi } from '../../src/apis/strimzi/api.js'
import { type CastellanError, type ErrorCode, ForbiddenError, QuotaExceededError } from '../../src/core/errors.js'
import { type Access, openAccess } from '../../src/http/access/access.js'
import type { HttpApi } from '../../src/http/api/api.js'
import { Idempotency, type IdempotencyDeps } from '../../src/http/api/idempotency.js'
import { contextFor } from '../support/api-context.js'
import { delivered, FakeGateway, failure } from '../support/fake-gateway.js'

const JSON_TYPE = 'application/json'
const V2_TYPE = 'application/vnd.kafka.json.v2+json'
const LIMIT = 1_000
const large = 'x'.repeat(2 * LIMIT)

/** How an API is asked to produce one record. */
interface Way {
  readonly api: HttpApi
  readonly what: string
  readonly url: string
  readonly type: string
  readonly body: (value: string) => string
  readonly settings?: object
  readonly headers?: Readonly<Record<string, string>>
  /** A body that cannot be read. `undefined`: every body can be. */
  readonly broken: string | undefined
}

const wayOf = (api: unknown, what: string, url: string, rest: Omit<Way, 'api' | 'what' | 'url'>): Way => ({
  api: api as HttpApi,
  what,
  url,
  ...rest
})
const push = (wait_for_send: boolean) => (data: string) =>
  JSON.stringify({ records: [{ topic: 't', data }], wait_for_send })
const list = (value: string): string => JSON.stringify({ records: [{ value }] })
const typed = (data: string): object => ({ value: { type: 'STRING', data } })
const event = { 'ce-specversion': '1.0', 'ce-id': '1', 'ce-source': '/a', 'ce-type': 'b' }
const json = { type: JSON_TYPE, broken: '{' }
const v2 = { type: V2_TYPE, body: list, broken: '{' }
const raw = { type: 'text/plain', body: (value: string) => value, broken: undefined }
const message = { ...raw, settings: { maxMessageBytes: LIMIT } }

const ways: readonly Way[] = [
  wayOf(kprf, 'sync', '/push', { ...json, body: push(true), settings: { messageMaxBytes: LIMIT } }),
  wayOf(kprf, 'async', '/push', { ...json, body: push(false), settings: { messageMaxBytes: LIMIT } }),
  wayOf(kafboy, 'sync', '/sync/t', { ...json, body: value => JSON.stringify({ value }), broken: undefined }),
  wayOf(kafboy, 'async', '/async/t', { ...json, body: value => JSON.stringify({ value }), broken: undefined }),
  wayOf(arion, 'sync', '/sync/t', { ...message, settings: { ...message.settings, durability: 'memory' } }),
  wayOf(arion, 'async', '/async/t', { ...message, settings: { ...message.settings, durability: 'memory' } }),
  wayOf(kafkaPixy, 'sync', '/topics/t/messages?sync', message),
  wayOf(kafkaPixy, 'sync, within the limit of bodies', '/topics/t/messages?sync', {
    ...raw,
    settings: { maxMessageBytes: LIMIT, maxBodyBytes: 4 * LIMIT }
  }),
  wayOf(kafkaPixy, 'async', '/topics/t/messages', message),
  wayOf(confluent, 'v2', '/topics/t', v2),
  wayOf(confluent, 'v3', '/v3/clusters/c/topics/t/records', { ...json, body: value => JSON.stringify(typed(value)) }),
  wayOf(confluent, 'v3 batch', '/v3/clusters/c/topics/t/records:batch', {
    ...json,
    body: value => JSON.stringify({ entries: [{ id: '1', ...typed(value) }] })
  }),
  wayOf(strimzi, 'sync', '/topics/t', v2),
  wayOf(strimzi, 'async', '/topics/t?async=true', v2),
  wayOf(cloudevents, 'sync', '/t', { ...raw, headers: event }),
  wayOf(cloudevents, 'async', '/t?async=true', { ...raw, headers: event })
]

/** Refuses headers that are no key; a key is never asked for. */
const idempotency = new Idempotency({
  keys: { reach: 'gateway' },
  count: () => undefined
} as unknown as IdempotencyDeps)

/** Who refuses the record of a request. */
interface Refusers {
  readonly delivery?: ErrorCode
  readonly kafka?: ErrorCode
  readonly quota?: CastellanError
  readonly rule?: CastellanError
  readonly key?: string
}

describe('castellan_refused_records_total', () => {
  /** Serves an API. @returns sends a request, and tells what it adds, by reason */
  async function serve({ api, url, type, settings, headers }: Way) {
    let by: Refusers = {}
    const gateway = new FakeGateway({
      refuse: () => by.delivery && failure(by.delivery),
      outcome: () => (by.kafka === undefined ? delivered() : failure(by.kafka))
    })
    const access: Access = {
      ...openAccess,
      callerOf: request => ({
        ...openAccess.callerOf(request),
        refusalOf: () => by.rule,
        refusalOfTopics: () => by.rule,
        allows: () => by.rule === undefined,
        charge: () => by.quota
      })
    }
    const context = contextFor(gateway, api.settings.parse({ maxBodyBytes: LIMIT, ...settings }), {
      access,
      idempotency
    })
    const addRoutes = await api.plugin(context)
    const app = fastify({ routerOptions: { maxParamLength: 1_000 } })
    await app.register(async scope => addRoutes(scope), { prefix: api.prefix })
    const read = async (): Promise<Map<unknown, number>> => {
      const name = 'castellan_refused_records_total'
      const found = (await context.metrics.registry.getMetricsAsJSON()).find(metric => metric.name === name)!
      const own = found.values.filter(({ labels }) => labels.api === api.name)
      expect(own).to.have.length(found.values.length)
      return new Map(own.map(({ labels, value }) => [labels.reason, value]))
    }
    return async (payload: string, refusers: Refusers): Promise<Record<string, number>> => {
      const before = await read()
      by = refusers
      await app.inject({
        method: 'POST',
        url: api.prefix + url,
        headers: { 'content-type': type, ...headers, ...(by.key !== undefined && { 'idempotency-key': by.key }) },
        payload
      })
      const added = [...(await read())].map(([reason, value]) => [reason, value - (before.get(reason) ?? 0)])
      return Object.fromEntries(added.filter(([, records]) => records !== 0))
    }
  }

  it('counts a record that is refused under its reason, whoever refuses it, for each API', async () => {
    const found: unknown[] = []
    const expected: unknown[] = []
    for (const way of ways) {
      const { api, what, body, broken } = way
      const send = await serve(way)
      const ask = async (name: string, reason: ErrorCode | undefined, payload: string, by: Refusers = {}) => {
        found.push([`${api.name} ${what}: ${name}`, await send(payload, by)])
        expected.push([`${api.name} ${what}: ${name}`, reason === undefined ? {} : { [reason]: 1 }])
      }
      await ask('written', undefined, body('x'))
      await ask('too large for the API', 'recordTooLarge', body(large))
      if (broken !== undefined) await ask('not readable', 'invalidRequest', broken)
      await ask('no key', 'invalidRequest', body('x'), { key: '' })
      await ask('forbidden', 'forbidden', body('x'), { rule: new ForbiddenError('not yours') })
      await ask('beyond a quota', 'quotaExceeded', body('x'), { quota: new QuotaExceededError('used up', 7) })
      for (const delivery of ['overloaded', 'recordTooLarge', 'invalidTopic', 'logUnavailable'] as const) {
        await ask('refused by delivery', delivery, body('x'), { delivery })
      }
      if (what === 'async') continue
      for (const kafka of ['recordTooLarge', 'unknownTopic', 'notAuthorized', 'recordRejected'] as const) {
        await ask('refused by Kafka', kafka, body('x'), { kafka })
      }
    }
    expect(found).to.deep.equal(expected)
  })

  it('counts for kafboy what a hook decides, whatever texts it uses, and the records of an early reply', async () => {
    const folder = mkdtempSync(join(tmpdir(), 'kafboy-'))
    const hooks = join(folder, 'hooks.mjs')
    const early = "{ status: 200, body: 'early', produce: { data: ['a', 'b'] } }"
    writeFileSync(hooks, `export default { editJson: ({ json }) => (json?.early ? ${early} : { error: 'no_body' }) }`)
    const way = ways.find(({ api, what }) => api.name === 'kafboy' && what === 'sync')!
    expect(await (await serve(way))('', {}), 'no body').to.deep.equal({ invalidRequest: 1 })
    const send = await serve({ ...way, settings: { callbackEditJson: hooks } })
    rmSync(folder, { recursive: true })
    expect(await send('{}', {}), 'refused by the hook').to.deep.equal({ invalidRequest: 1 })
    expect(await send(large, {}), 'too large').to.deep.equal({ recordTooLarge: 1 })
    expect(await send('{"early":1}', {}), 'early reply').to.deep.equal({})
    expect(await send('{"early":1}', { delivery: 'overloaded' }), 'early reply, full').to.deep.equal({ overloaded: 2 })
  })
})
