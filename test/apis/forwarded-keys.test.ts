import { Readable } from 'node:stream'
import { expect } from 'chai'
import fastify from 'fastify'
import { ForbiddenError, QuotaExceededError } from '../../src/core/errors.js'
import { decodeBody, encodeBody } from '../../src/deployment/gateways/body.js'
import { type Access, admit, type Caller, openAccess } from '../../src/http/access/access.js'
import { Idempotency } from '../../src/http/api/idempotency.js'
import type { KeyResult } from '../../src/http/api/key-answers.js'
import type { KeyOwners, PassOn } from '../../src/http/api/key-owners.js'
import { contextFor } from '../support/api-context.js'
import { delivered, FakeVerbs } from '../support/fake-verbs.js'
import { localKeys } from '../support/local-keys.js'
import { type Way, ways } from './ways.js'

const CERTAINTY = ['x-castellan-persisted', 'x-castellan-idempotency', 'idempotent-replayed', 'x-request-id']

/** What clients may do at a process, and what they are charged there. */
interface Rights {
  isForbidden: boolean
  quota: QuotaExceededError | undefined
  readonly charged: (readonly [records: number, bytes: number])[]
}

/** A process that serves an API. @param owner carries out all requests with a key. Absent: it does so itself */
async function serve({ api, settings }: Way, owner?: PassOn) {
  const verbs = new FakeVerbs({ outcome: () => delivered(1, 7) })
  const counts: KeyResult[] = []
  const rights: Rights = { isForbidden: false, quota: undefined, charged: [] }
  const refusal = (): ForbiddenError | undefined => (rights.isForbidden ? new ForbiddenError('not yours') : undefined)
  const callerFor = (charge: Caller['charge']): Caller => ({
    ...openAccess.callerOf({} as never),
    principal: 'shop',
    refusalOf: refusal,
    refusalOfTopics: refusal,
    allows: () => !rights.isForbidden,
    charge,
    spend: (...counts) => void charge(...counts)
  })
  const own = callerFor((records, bytes) => {
    if (rights.quota === undefined && records + bytes > 0) rights.charged.push([records, bytes])
    return rights.quota
  })
  const forwarded: unknown[] = []
  const access: Access = {
    callerOf: request => (request as { caller?: Caller }).caller ?? own,
    admitForwarded: (request, { principal, address }) => {
      forwarded.push([principal, address])
      const charged = { records: 0, bytes: 0 }
      const caller = callerFor((records, bytes) => {
        charged.records += records
        charged.bytes += bytes
        return undefined
      })
      Object.assign(request, { caller })
      return { ...caller, charged }
    }
  }
  const owners: KeyOwners | undefined = owner && {
    scope: 'deployment',
    ownerOf: () => owner,
    serve: () => undefined,
    close: async () => undefined
  }
  const idempotency = new Idempotency({ keys: localKeys(), owners, access, count: result => counts.push(result) })
  const context = contextFor(verbs, api.settings.parse({ ...settings }), { access, idempotency })
  const addRoutes = await api.plugin(context)
  const app = fastify({ genReqId: () => 'the-id', routerOptions: { maxParamLength: 1_000 } })
  app.addHook('onRequest', (request, _, done) => {
    admit(request.raw, own)
    done()
  })
  await app.register(async scope => addRoutes(scope), { prefix: api.prefix })
  return { verbs, idempotency, counts, rights, forwarded, app }
}

type Served = Awaited<ReturnType<typeof serve>>

/** Two processes that serve an API: the second one owns all keys. */
async function serveTwo(way: Way): Promise<{ readonly entry: Served; readonly owner: Served }> {
  const owner = await serve(way)
  const entry = await serve(way, async request => {
    const sent = decodeBody(encodeBody(request)) as typeof request
    return decodeBody(encodeBody(await owner.idempotency.carryOut(sent))) as never
  })
  return { entry, owner }
}

async function send({ app }: Served, { api, url, type, headers }: Way, key: string, payload: string) {
  const {
    statusCode,
    headers: sent,
    body
  } = await app.inject({
    method: 'POST',
    url: api.prefix + url,
    headers: { 'content-type': type, ...headers, 'idempotency-key': key },
    payload
  })
  const { date, ...rest } = sent
  return { status: statusCode, headers: rest, body }
}

/** A message of Arion has an id and a time of its own. */
const withoutTime = (body: string): string => body.replaceAll(/"(?:id|enqueued|sent)":"[^"]*"/g, '')

describe('a request with a key that another process owns', () => {
  for (const way of ways) {
    const name = `${way.api.name} ${way.what}`
    it(`is carried out there, and gets the answer that it gets there, for ${name}`, async () => {
      const { entry, owner } = await serveTwo(way)
      const payload = way.body('x')
      const direct = await send(owner, way, 'direct', payload)
      const passed = await send(entry, way, 'passed-on', payload)
      expect(passed.status, passed.body).to.equal(direct.status)
      expect(passed.status, passed.body).to.be.within(200, 299)
      expect(withoutTime(passed.body)).to.equal(withoutTime(direct.body))
      expect(Object.keys(passed.headers).sort()).to.deep.equal(Object.keys(direct.headers).sort())
      for (const header of CERTAINTY.filter(header => header !== 'x-castellan-idempotency'))
        expect(passed.headers[header], header).to.equal(direct.headers[header])
      expect([entry.verbs.records.length, owner.verbs.records.length]).to.deep.equal([0, 2])
      expect(owner.verbs.records[1]).to.deep.equal(owner.verbs.records[0])
      const again = await send(entry, way, 'passed-on', payload)
      expect(again).to.deep.equal({ ...passed, headers: { ...passed.headers, 'idempotent-replayed': 'true' } })
      expect(owner.verbs.records).to.have.length(2)
      expect(entry.counts).to.deep.equal(['forwarded', 'forwarded'])
      expect(owner.counts).to.deep.equal(['claimed', 'claimed', 'replayed'])
    })

    it(`is refused there when its client may not do it there, for ${name}`, async () => {
      const { entry, owner } = await serveTwo(way)
      owner.rights.isForbidden = true
      const seen = await send(entry, way, 'k', way.body('x'))
      expect([seen.status, seen.headers['x-castellan-persisted']]).to.deep.equal([403, 'no'])
      expect(owner.verbs.records).to.deep.equal([])
      expect(owner.forwarded).to.deep.equal([['shop', '127.0.0.1']])
    })

    it(`is charged where its client came in, for ${name}`, async () => {
      const { entry, owner } = await serveTwo(way)
      const payload = way.body('x')
      await send(owner, way, 'direct', payload)
      await send(entry, way, 'passed-on', payload)
      expect(entry.rights.charged).to.deep.equal(owner.rights.charged)
      expect(owner.rights.charged).to.have.length(1)
      entry.rights.quota = new QuotaExceededError('used up', 7)
      const seen = await send(entry, way, 'beyond', payload)
      expect(seen.status).to.equal(429)
      expect(seen.headers).to.include({ 'retry-after': '7', 'x-castellan-persisted': 'no' })
      expect(owner.verbs.records).to.have.length(2)
    })
  }

  it('is refused by its head before its key is looked at, whichever process owns the key', async () => {
    const way = ways.find(({ api }) => api.name === 'kafka-pixy')!
    const { entry, owner } = await serveTwo(way)
    const inChunks = async ({ app }: Served, headers: object) => {
      const payload = Readable.from(['x'])
      const type = { 'content-type': 'text/plain', 'transfer-encoding': 'chunked' }
      const sent = { method: 'POST', url: `${way.api.prefix}/topics/orders/messages?sync`, payload } as const
      const { statusCode, body } = await app.inject({ ...sent, headers: { ...type, ...headers } })
      return [statusCode, JSON.parse(body)]
    }
    for (const process of [entry, owner])
      for (const headers of [{}, { 'idempotency-key': 'k' }])
        expect(await inChunks(process, headers)).to.deep.equal([400, { error: 'missing Content-Length header' }])
    expect([...entry.verbs.records, ...owner.verbs.records]).to.deep.equal([])
    expect([...entry.counts, ...owner.counts]).to.deep.equal([])
  })

  it('is waited for within what timers and other processes allow, whatever the time limit of its API', async () => {
    const [way] = ways
    const waits: number[] = []
    const limited = { ...way!, settings: { ...way!.settings, messageTimeoutMs: 2_147_483_647 } }
    const entry = await serve(limited, (_, timeoutMs = 0) => {
      waits.push(timeoutMs)
      return Promise.reject(new Error('it does not answer'))
    })
    const seen = await send(entry, limited, 'k', limited.body('x'))
    expect([seen.status, seen.headers['x-castellan-persisted'], seen.headers['retry-after']]).to.deep.equal([
      503,
      'unknown',
      '1'
    ])
    expect(waits).to.deep.equal([590_000])
  })
})
