import { brotliCompressSync, constants, deflateRawSync, deflateSync, gzipSync } from 'node:zlib'
import { expect } from 'chai'
import fastify from 'fastify'
import { openAccess } from '../../src/http/access/access.js'
import { contextFor } from '../support/api-context.js'
import { FakeVerbs } from '../support/fake-verbs.js'
import { type Way, ways } from './ways.js'

const MAX_BYTES = 512 * 1024
/** What becomes 32 MiB of zeros. */
const BROTLI_BOMB = brotliCompressSync(Buffer.alloc(64 * MAX_BYTES), {
  params: { [constants.BROTLI_PARAM_QUALITY]: 1 }
})
const KEEPING = ['arion', 'kafboy', 'kafka-pixy']
const encodings: Readonly<Record<string, (body: string | Buffer) => Buffer>> = {
  gzip: gzipSync,
  'x-gzip': gzipSync,
  ' GZIP , identity': gzipSync,
  deflate: deflateSync,
  'deflate, ': deflateRawSync,
  br: brotliCompressSync
}

interface Answered {
  readonly status: number
  readonly persisted: unknown
  readonly body: string
  readonly accepted: unknown
  readonly records: FakeVerbs['records']
  /** What the client was charged: records and bytes. */
  readonly charged: readonly (readonly [number, number])[]
}

describe('bodies of produce requests with a content coding', () => {
  /** Serves an API. @returns sends a request */
  async function serve({ api, url, type, settings, headers }: Way, decodesBodies = true) {
    const verbs = new FakeVerbs()
    const charged: [number, number][] = []
    const access = {
      ...openAccess,
      callerOf: (request: Parameters<typeof openAccess.callerOf>[0]) => ({
        ...openAccess.callerOf(request),
        charge: (records: number, bytes: number) => void charged.push([records, bytes]),
        spend: (records: number, bytes: number) => void charged.push([records, bytes])
      })
    }
    const all = { maxBodyBytes: MAX_BYTES, ...settings, ...(settings !== undefined && unlimited(settings)) }
    const context = contextFor(verbs, api.settings.parse(all), { access, decodesBodies })
    const addRoutes = await api.plugin(context)
    const app = fastify({ routerOptions: { maxParamLength: 1_000 } })
    await app.register(async scope => addRoutes(scope), { prefix: api.prefix })
    const send = async (payload: string | Buffer, coding?: string): Promise<Answered> => {
      const [calls, charges] = [verbs.records.length, charged.length]
      const answer = await app.inject({
        method: 'POST',
        url: api.prefix + url,
        headers: { 'content-type': type, ...headers, ...(coding !== undefined && { 'content-encoding': coding }) },
        payload
      })
      return {
        status: answer.statusCode,
        persisted: answer.headers['x-castellan-persisted'],
        body: answer.body.replaceAll(/[\da-f]{8}-[-\da-f]{27}|\d{4}-\d\d-\d\dT[\d:.]+Z/g, ''),
        accepted: answer.headers['accept-encoding'],
        records: verbs.records.slice(calls),
        charged: charged.slice(charges)
      }
    }
    return Object.assign(send, { verbs })
  }
  /** Limits of one record, as wide as that of the body. */
  const unlimited = (settings: object): object =>
    Object.fromEntries(Object.keys(settings).flatMap(name => (/Bytes$/.test(name) ? [[name, MAX_BYTES]] : [])))

  /** Asks each API. @returns what differed from what was expected, by API */
  async function inAll(ask: (way: Way) => Promise<readonly [found: unknown, expected: unknown]>): Promise<void> {
    const different: string[] = []
    for (const way of ways) {
      const [found, expected] = (await ask(way)).map(one => JSON.stringify(one))
      if (found !== expected) different.push(`${way.api.name} ${way.what}: ${found}, not ${expected}`)
    }
    expect(different).to.deep.equal([])
  }

  for (const [coding, encode] of Object.entries(encodings)) {
    it(`are read like the same body without one by every API: ${coding}`, () =>
      inAll(async way => {
        const send = await serve(way)
        const body = way.body('größe {"a":[1]}'.replaceAll(/["{}]/g, ''))
        return [await send(encode(body), coding), await send(body)]
      }))
  }

  it('are decoded by every API where they are too large to be decoded at once', () =>
    inAll(async way => {
      const send = await serve(way)
      const body = way.body('x'.repeat(MAX_BYTES * 0.6))
      const plain = await send(body)
      return [await send(gzipSync(body), 'gzip'), plain]
    }))

  it('are as many members of gzip as the client likes', () =>
    inAll(async way => {
      const send = await serve(way)
      const body = Buffer.from(way.body('one member'))
      const members = Buffer.concat([gzipSync(body.subarray(0, 5)), gzipSync(''), gzipSync(body.subarray(5))])
      return [await send(members, 'gzip'), await send(body)]
    }))

  it('count as too large by what they become, small and large bombs alike', () =>
    inAll(async way => {
      const send = await serve(way)
      const plain = await send(way.body('x'.repeat(2 * MAX_BYTES)))
      // As plain text it would be a stream, whose records are refused one by one.
      const status = way.what === 'v3' ? 413 : plain.status
      const bombs = [gzipSync(way.body('x'.repeat(2 * MAX_BYTES))), BROTLI_BOMB]
      const found: unknown[] = []
      for (const [at, bomb] of bombs.entries()) {
        const answer = await send(bomb, at === 0 ? 'gzip' : 'br')
        const chargedBytes = answer.charged.reduce((sum, [, bytes]) => sum + bytes, 0)
        found.push([answer.status, answer.persisted, answer.records, chargedBytes >= MAX_BYTES])
      }
      return [found, bombs.map(() => [status, 'no', [], true])]
    }))

  it('are refused with 400 and the reason where their bytes are broken', () =>
    inAll(async way => {
      const send = await serve(way)
      const whole = gzipSync(way.body('x'))
      const large = gzipSync(way.body(Array.from({ length: 30_000 }, (_, at) => at * 7919).join()))
      const flipped = Buffer.from(whole)
      flipped[whole.length - 6]! ^= 1
      const bodies: readonly (readonly [string, Buffer, RegExp])[] = [
        ['gzip', Buffer.from(way.body('no gzip')), /incorrect header check/],
        ['gzip', whole.subarray(0, -3), /unexpected end of file/],
        ['gzip', large.subarray(0, -3), /unexpected end of file/],
        ['gzip', flipped, /incorrect data check/],
        ['gzip', Buffer.concat([whole, Buffer.alloc(5)]), /bytes behind its end/],
        ['gzip', Buffer.concat([large, Buffer.alloc(5)]), /bytes behind its end/],
        ['gzip', Buffer.concat([whole, Buffer.from('PPPPPPP')]), /incorrect header check/],
        ['deflate', Buffer.concat([deflateSync(way.body('x')), Buffer.from('P')]), /bytes behind its end/],
        ['br', Buffer.concat([brotliCompressSync(way.body('x')), Buffer.from('P')]), /bytes behind its end/]
      ]
      const found: unknown[] = []
      for (const [coding, body, reason] of bodies) {
        const answer = await send(body, coding)
        found.push([answer.status, answer.persisted, answer.records, reason.test(answer.body) ? '' : answer.body])
      }
      return [found, bodies.map(() => [400, 'no', [], ''])]
    }))

  /** A request that brings no record. */
  const creation: Way = {
    ...ways.find(({ api, what }) => api.name === 'strimzi' && what === 'sync')!,
    what: 'consumers',
    url: '/consumers/g',
    type: 'application/vnd.kafka.v2+json'
  }

  it('are charged to their clients where they cannot be decoded, small and large ones', async () => {
    const found: unknown[] = []
    for (const way of [...ways, creation]) {
      const send = await serve(way)
      const large = gzipSync(way.body(Array.from({ length: 30_000 }, (_, at) => at * 7919).join()))
      for (const body of [Buffer.from(way.body('no gzip')), large.subarray(0, -3)]) {
        const { charged } = await send(body, 'gzip')
        const [records, bytes] = [0, 1].map(at => charged.reduce((sum, one) => sum + one[at]!, 0))
        if (records !== 0 || bytes! < body.length) found.push([way.api.name, way.what, body.length, charged])
      }
    }
    expect(found).to.deep.equal([])
  })

  it('are refused with 415 and what is accepted where the coding is unknown or one of several', () =>
    inAll(async way => {
      const send = await serve(way)
      const twice = gzipSync(gzipSync(way.body('x')))
      const found: unknown[] = []
      const codings = ['compress', 'gzip, gzip', 'aws-chunked', 'gzip;q=1', '__proto__', 'zst\u00e4']
      for (const coding of codings) {
        const { status, persisted, records, accepted } = await send(twice, coding)
        found.push([status, persisted, records, /^gzip, deflate, br(?:, zstd)?$/.test(String(accepted))])
      }
      return [found, codings.map(() => [415, 'no', [], true])]
    }))

  it('are empty where no byte was sent', () =>
    inAll(async way => {
      const send = await serve(way)
      return [await send('', 'gzip'), await send('')]
    }))

  it('stay as they are where the original keeps them, whatever their coding', () =>
    inAll(async way => {
      const send = await serve(way, false)
      const body = gzipSync(way.body('x'))
      const { records } = await send(body, 'gzip')
      const keeps = KEEPING.includes(way.api.name)
      if (way.api.name === 'kafboy') return [records.length, (await send(body)).records.length]
      return [records[0]?.value?.equals(body), keeps]
    }))

  it('have waited within the time limit of their requests', () =>
    inAll(async way => {
      const send = await serve(way)
      await send(way.body('x'))
      await send(brotliCompressSync(way.body('x')), 'br')
      const [whole, left] = send.verbs.calls.map(({ options }) => options.deadlineMs)
      // Arion has no time limit unless it is set.
      return [left! < whole!, !way.what.includes('async') && way.api.name !== 'arion']
    }))
})
