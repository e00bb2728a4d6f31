import { Ajv2020 } from 'ajv/dist/2020.js'
import { expect } from 'chai'
import { arionOperations } from '../../src/apis/arion/api.js'
import { kafboyOperations } from '../../src/apis/kafboy/routes.js'
import { kafboySettings } from '../../src/apis/kafboy/settings.js'
import { kprfOperations } from '../../src/apis/kprf/routes.js'
import { kprfSettings } from '../../src/apis/kprf/settings.js'
import { type Answer, type Operation, parametersOf, toJsonSchema } from '../../src/http/openapi/operation.js'

const ajv = new Ajv2020({ strict: true, strictTypes: false, validateFormats: false })
const JSON_TYPE = 'application/json'
const TEXT_TYPE = 'text/plain'
type Value = Readonly<Record<string, unknown>>

const find = (operations: readonly Operation[], id: string): Operation =>
  operations.find(operation => operation.id === id) ?? expect.fail(`there is no operation ${id}`)

/** `201 application/json`; `426` for an answer without a body. */
const answersOf = ({ answers }: Operation): string[] =>
  Object.entries(answers).flatMap(([status, { content = {} }]: [string, Answer]) => {
    const types = Object.keys(content)
    return types.length === 0 ? [status] : types.map(type => `${status} ${type}`)
  })
const json = (...statuses: number[]): string[] => statuses.map(status => `${status} ${JSON_TYPE}`)
const text = (...statuses: number[]): string[] => statuses.map(status => `${status} ${TEXT_TYPE}`)

const isDescribed = ({ answers }: Operation, status: number, value: unknown, type = JSON_TYPE): boolean =>
  ajv.validate(toJsonSchema(answers[status]!.content![type]!, 'input'), value) as boolean

/** The answer is described; without one of its properties, or with another type of it, it is not. */
function expectExactly(operation: Operation, status: number, value: Value): void {
  const name = `${operation.id} ${status}`
  expect(isDescribed(operation, status, value), `${name}: ${ajv.errorsText()}`).to.equal(true)
  for (const key of Object.keys(value)) {
    const { [key]: one, ...others } = value
    expect(isDescribed(operation, status, others), `${name} without ${key}`).to.equal(false)
    const wrong = typeof one === 'number' ? 'text' : 5
    expect(isDescribed(operation, status, { ...others, [key]: wrong }), `${name} ${key}: ${wrong}`).to.equal(false)
  }
}

// The bodies are those of the documents of each API.
describe('APIs: descriptions for /openapi.json', () => {
  describe('arion', () => {
    const sent = { status: 'sent', key: 'k', topic: 't', partition: 3, offset: 7, sent: '2026-01-01T00:00:00.000Z' }
    const id = '13ce13ce-ca05-11e5-82e7-b54ee83bda87'
    const enqueued = { status: 'enqueued', topic: 't', key: 'k', enqueued: sent.sent, id }
    const error = { status: 'error', error: 'malformed topic' }
    const broken = { status: 'error', message: 'server encountered an error processing request' }

    it('have the paths of its three modes, with and without a key, and its two others', () => {
      const paths = arionOperations.map(operation => {
        const { method, path, id } = operation
        const names = parametersOf(operation).map(({ name, in: place }) => `${place}:${name}`)
        return `${id}: ${method} ${path} ${names.join(' ')}`.trim()
      })
      expect(paths).to.deep.equal([
        'sync: post /sync/{topic} path:topic',
        'syncWithKey: post /sync/{topic}/{key} path:topic path:key',
        'async: post /async/{topic} path:topic',
        'asyncWithKey: post /async/{topic}/{key} path:topic path:key',
        'websocket: get /websocket/{topic} path:topic',
        'websocketWithKey: get /websocket/{topic}/{key} path:topic path:key',
        'stats: get /stats',
        'healthCheck: get /health-check'
      ])
    })

    for (const [name, status, body] of [
      ['sync', 201, sent],
      ['async', 202, enqueued]
    ] as const) {
      it(`say what becomes of a message: ${name}`, () => {
        for (const operation of [name, `${name}WithKey`].map(id => find(arionOperations, id))) {
          expect(answersOf(operation)).to.deep.equal(json(status, 400, 401, 403, 429, 500, 503, 504))
          expect(operation.produces).to.equal(true)
          expect(toJsonSchema(operation.body!.content['*/*']!, 'input')).to.deep.equal({})
          expect(operation.body!.required).to.equal(false)
          expectExactly(operation, status, body)
          expect(isDescribed(operation, status, { ...body, key: null })).to.equal(true)
          expect(isDescribed(operation, status, { ...body, status: 'other' })).to.equal(false)
          for (const refused of [400, 401, 403, 429, 504]) {
            expectExactly(operation, refused, error)
            expect(isDescribed(operation, refused, broken)).to.equal(false)
          }
          for (const failed of [500, 503]) {
            for (const one of [error, broken]) expectExactly(operation, failed, one)
          }
        }
      })
    }

    it('name times and ids for what they are', () => {
      const propertiesOf = (id: string, status: number): object =>
        toJsonSchema(find(arionOperations, id).answers[status]!.content![JSON_TYPE]!, 'input').properties as object
      const time = { type: 'string', format: 'date-time' }
      expect(propertiesOf('sync', 201)).to.deep.include({ sent: time })
      expect(propertiesOf('async', 202)).to.deep.include({ enqueued: time, id: { type: 'string', format: 'uuid' } })
    })

    it('say how a websocket begins, and how it does not', () => {
      for (const id of ['websocket', 'websocketWithKey']) {
        const operation = find(arionOperations, id)
        expect(answersOf(operation)).to.deep.equal(['101', ...text(400), '426'])
        expect(isDescribed(operation, 400, 'expected websocket request', TEXT_TYPE)).to.equal(true)
        expect(operation.produces).to.equal(undefined)
      }
    })

    it('say what its statistics and its health look like', () => {
      const stats = find(arionOperations, 'stats')
      expect(answersOf(stats)).to.deep.equal(json(200))
      expectExactly(stats, 200, { queue: { status: 'empty' }, kafka: {} })
      const health = find(arionOperations, 'healthCheck')
      expect(answersOf(health)).to.deep.equal(json(200))
      expectExactly(health, 200, { status: 'ok' })
    })
  })

  describe('kprf', () => {
    const operations = kprfOperations(kprfSettings.parse({ failureWord: 'error' }))
    const push = find(operations, 'push')
    const isPush = (body: unknown): boolean =>
      ajv.validate(toJsonSchema(push.body!.content[JSON_TYPE]!, 'input'), body) as boolean

    it('have one path, and a body of records', () => {
      expect(operations.map(({ method, path, produces }) => [method, path, produces])).to.deep.equal([
        ['post', '/push', true]
      ])
      const record = { topic: 't', data: 'd' }
      for (const body of [
        { records: [] },
        { records: [record], wait_for_send: true },
        { records: [{ ...record, key: null, partition: null }], wait_for_send: null },
        { records: [{ ...record, key: 'k', partition: -1 }] }
      ]) {
        expect(isPush(body), JSON.stringify(body)).to.equal(true)
      }
      for (const body of [
        [],
        {},
        { records: {} },
        { records: [5] },
        { records: [{ topic: 't' }] },
        { records: [{ data: 'd' }] },
        { records: [{ ...record, data: 5 }] },
        { records: [{ ...record, topic: null }] },
        { records: [{ ...record, key: 5 }] },
        { records: [{ ...record, partition: '3' }] },
        { records: [], wait_for_send: 'true' }
      ]) {
        expect(isPush(body), JSON.stringify(body)).to.equal(false)
      }
    })

    it('say that nothing has failed, or what became of each record', () => {
      expect(answersOf(push)).to.deep.equal([
        ...json(200),
        ...text(400),
        ...json(400, 401, 403),
        ...text(413, 415),
        ...json(429, 500, 503)
      ])
      expectExactly(push, 200, { status: 'ok', errors: [] })
      expect(isDescribed(push, 200, { status: 'ok', errors: [{ error: false, message: null }] })).to.equal(false)
      const failed = { error: true, message: 'ratelimit' }
      for (const status of [401, 403, 429, 500, 503]) {
        expectExactly(push, status, { status: 'error', errors: [{ error: false, message: null }, failed] })
        for (const entry of [{ error: true }, { message: null }, { ...failed, error: 1 }, { ...failed, message: 1 }]) {
          expect(isDescribed(push, status, { status: 'error', errors: [entry] }), JSON.stringify(entry)).to.equal(false)
        }
        expect(isDescribed(push, status, { status: 'err', errors: [failed] }), 'another word').to.equal(false)
      }
      for (const status of [400, 413, 415]) expect(isDescribed(push, status, 'text', TEXT_TYPE)).to.equal(true)
    })
  })

  describe('kafboy', () => {
    const operations = kafboyOperations(kafboySettings.parse({}))
    const error = { error: 'system overload' }

    it('have its paths, each once, and their topics', () => {
      const paths = operations.map(operation =>
        `${operation.method} ${operation.path} ${parametersOf(operation)
          .map(({ name, in: place }) => `${place}:${name}`)
          .join(' ')}`.trim()
      )
      expect(paths).to.deep.equal([
        'get /echo_post',
        'post /echo_post',
        'get /disco',
        'post /disco',
        'post /sync/{topic} path:topic',
        'post /async/{topic} path:topic',
        'post /batch/sync/{topic} path:topic',
        'post /batch/async/{topic} path:topic'
      ])
    })

    it('say what becomes of a record that is accepted, and of one that is waited for', () => {
      const refusals = json(400, 401, 403, 429)
      for (const id of ['async', 'batchSync', 'batchAsync']) {
        const operation = find(operations, id)
        expect(answersOf(operation)).to.deep.equal([...json(200), ...refusals, '500', ...json(503, 504)])
        for (const status of [400, 401, 403, 429, 503, 504]) expectExactly(operation, status, error)
        expect(operation.produces).to.equal(true)
      }
      const sync = find(operations, 'sync')
      expect(answersOf(sync)).to.deep.equal([...json(200), ...refusals, '500', ...json(502, 503, 504)])
      expect(sync.produces).to.equal(true)
      for (const status of [400, 401, 403, 429, 503, 504]) expectExactly(sync, status, error)
      for (const status of [502, 503, 504]) {
        expect(isDescribed(sync, status, [{ ok: true }, { error: 10 }, { error: 'downtime' }])).to.equal(true)
      }
      for (const outcomes of [[{ ok: 1 }], [{ error: null }], [{}], {}, [5]]) {
        expect(isDescribed(sync, 502, outcomes), JSON.stringify(outcomes)).to.equal(false)
      }
    })

    it('take a form or JSON, which may be empty', () => {
      for (const id of ['sync', 'async', 'batchSync', 'batchAsync', 'disco']) {
        const { content, required } = find(operations, id).body!
        expect([Object.keys(content), required]).to.deep.equal([
          ['application/x-www-form-urlencoded', JSON_TYPE],
          false
        ])
        const form = toJsonSchema(content['application/x-www-form-urlencoded']!, 'input')
        expect([{ a: '1' }, { a: 5 }, []].map(body => ajv.validate(form, body))).to.deep.equal([true, false, false])
      }
    })

    it('say that an instance names itself as text, and answers a form as JSON', () => {
      expect(answersOf(find(operations, 'discoName'))).to.deep.equal(text(200))
      expect(answersOf(find(operations, 'disco'))).to.deep.equal(json(200))
    })

    it('name what else a template has', () => {
      const [operation] = kafboyOperations(kafboySettings.parse({ routesAsync: ['/1/:tenant/:topic/'] }))
      expect(operation).to.deep.include({ path: '/1/{tenant}/{topic}', id: 'routeAsync1' })
      expect(parametersOf(operation!).map(({ name, description }) => [name, description])).to.deep.equal([
        ['tenant', 'Any text'],
        ['topic', 'The topic']
      ])
    })
  })
})
