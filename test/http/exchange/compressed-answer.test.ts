import { brotliDecompressSync, gunzipSync } from 'node:zlib'
import { expect } from 'chai'
import fastify from 'fastify'
import { byHand } from '../../../src/http/api/by-hand.js'
import { AnswerTemplate, sendAnswer } from '../../../src/http/exchange/answers.js'
import { AnswerCompression, codingFor } from '../../../src/http/exchange/compressed-answer.js'

const JSON_TYPE = 'application/json'
const LARGE = JSON.stringify(Array.from({ length: 200 }, (_, at) => `größe ${at}`))

describe('answers for clients that accept a content coding', () => {
  const cases: readonly (readonly [accepted: string | undefined, coding: string | undefined])[] = [
    [undefined, undefined],
    ['', undefined],
    ['identity', undefined],
    ['gzip', 'gzip'],
    ['x-gzip', 'gzip'],
    ['GZIP', 'gzip'],
    ['gzip, deflate', 'gzip'],
    ['gzip, deflate, br', 'br'],
    ['gzip;q=1.0, br;q=0.9', 'gzip'],
    ['br;q=0.5, gzip ; q=0.6', 'gzip'],
    ['gzip;q=0', undefined],
    ['gzip;q=0.000, *;q=0', undefined],
    ['*', 'br'],
    ['br;q=0, *', process.versions.node >= '22.15' ? 'zstd' : 'gzip'],
    ['identity;q=1, gzip;q=0.5', undefined],
    ['identity;q=0, gzip;q=0.5', 'gzip'],
    ['gzip;q=high', undefined],
    ['deflate', undefined],
    ['__proto__, constructor', undefined]
  ]
  for (const [accepted, coding] of cases) {
    it(`have the coding ${coding ?? 'none'} for ${accepted ?? 'no header'}`, () => {
      expect(codingFor(accepted)).to.equal(coding)
    })
  }

  /** Asks an API that answers by hand, from a template or without one. */
  async function ask(
    headers: Record<string, string>,
    options: { body?: string; status?: number; type?: string; persisted?: string; method?: 'GET' | 'HEAD' } = {}
  ) {
    const { body = LARGE, status = 200, type = JSON_TYPE, persisted, method = 'GET' } = options
    const template = new AnswerTemplate(status, type)
    const app = fastify()
    app.addHook(
      'preParsing',
      byHand(({ request, response, requestId }) => {
        if (request.url === '/page') response.setHeader('vary', 'origin')
        if (request.url === '/template') template.send(response, { requestId, persisted }, body)
        else sendAnswer(response, status, type, body, { requestId, persisted })
      })
    )
    app.setNotFoundHandler(() => undefined)
    const paths = ['/', '/template', '/page']
    return Promise.all(paths.map(url => app.inject({ method, url, headers })))
  }

  it('are compressed, and tell caches so', async () => {
    for (const [accepted, decode] of [
      ['gzip', gunzipSync],
      ['br', brotliDecompressSync]
    ] as const) {
      const found = await ask({ 'accept-encoding': accepted })
      for (const { rawPayload, headers } of found) {
        expect(decode(rawPayload).toString()).to.equal(LARGE)
        expect(headers).to.include({ 'content-encoding': accepted, 'content-type': JSON_TYPE })
        expect(headers['content-length']).to.equal(String(rawPayload.length))
        expect(rawPayload.length).to.be.below(LARGE.length / 3)
      }
      const vary = 'accept-encoding'
      expect(found.map(({ headers }) => headers.vary)).to.deep.equal([vary, vary, `origin, ${vary}`])
    }
  })

  it('tell caches so where this client takes no coding', async () => {
    for (const { payload, headers } of await ask({})) {
      expect(payload).to.equal(LARGE)
      expect(headers).to.include.keys('vary').and.not.to.include.keys('content-encoding')
    }
  })

  it('have the same headers without their body for HEAD', async () => {
    const got = await ask({ 'accept-encoding': 'gzip' })
    const headed = await ask({ 'accept-encoding': 'gzip' }, { method: 'HEAD' })
    for (const [at, { headers }] of headed.entries()) {
      for (const name of ['content-encoding', 'content-length', 'vary'])
        expect(headers[name]).to.equal(got[at]!.headers[name])
    }
  })

  it('stay as they are where they are small, have no text, no body, or tell what became of records', async () => {
    const unusual = [{ body: '[1]' }, { type: 'image/png' }, { status: 204, body: '' }, { persisted: 'yes' }]
    for (const options of unusual) {
      for (const { headers, payload } of await ask({ 'accept-encoding': 'gzip, br' }, options)) {
        expect(payload).to.equal(options.body ?? LARGE)
        expect(headers).not.to.include.keys('vary', 'content-encoding')
      }
    }
  })

  it('leave as they are while many others are being compressed', async () => {
    const all = await Promise.all(Array.from({ length: 20 }, () => ask({ 'accept-encoding': 'gzip' })))
    const codings = all.flat().map(({ headers }) => headers['content-encoding'])
    expect(codings).to.include(undefined).and.to.include('gzip')
    for (const { headers, rawPayload } of all.flat()) {
      const body = headers['content-encoding'] === undefined ? rawPayload : gunzipSync(rawPayload)
      expect(body.toString()).to.equal(LARGE)
    }
  })

  it('of one process are compressed however many another one in the same program has', async () => {
    const busy = new AnswerCompression()
    const done: Promise<unknown>[] = []
    const compress = (process: AnswerCompression): boolean => {
      let isTaken = false
      done.push(new Promise<void>(resolve => (isTaken = process.compress(LARGE, 'gzip', () => resolve())) || resolve()))
      return isTaken
    }
    while (compress(busy));
    expect([compress(new AnswerCompression()), done.length]).to.deep.equal([true, 10])
    await Promise.all(done)
    expect(compress(busy)).to.equal(true)
    await Promise.all(done)
  })
})
