import { mkdtempSync, rmSync, writeFileSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import fastify from 'fastify'
import { type CastellanError, type ErrorCode, ForbiddenError, QuotaExceededError } from '../../src/core/errors.js'
import { type Access, openAccess } from '../../src/http/access/access.js'
import { Idempotency, type IdempotencyDeps } from '../../src/http/api/idempotency.js'
import { contextFor } from '../support/api-context.js'
import { delivered, FakeVerbs, failure } from '../support/fake-verbs.js'
import { LIMIT, large, type Way, ways } from './ways.js'

/** Refuses headers that are no key; a key is never asked for. */
const idempotency = new Idempotency({
  keys: { scope: 'gateway' },
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
    const verbs = new FakeVerbs({
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
    const context = contextFor(verbs, api.settings.parse({ maxBodyBytes: LIMIT, ...settings }), {
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
