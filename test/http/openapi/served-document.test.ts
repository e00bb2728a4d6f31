import { expect } from 'chai'
import { z } from 'zod'
import { apis } from '../../../src/apis/apis.js'
import { json, type Operation, toDocument } from '../../../src/http/openapi/operation.js'
import { toServedDocument } from '../../../src/http/openapi/served-document.js'

interface Served {
  readonly openapi: string
  readonly paths: Readonly<Record<string, Readonly<Record<string, ServedOperation>>>>
  readonly components: Readonly<Record<string, Readonly<Record<string, Schema>>>>
}
interface Schema {
  readonly required?: readonly string[]
  readonly properties?: object
  readonly additionalProperties?: unknown
}
interface ServedOperation {
  readonly operationId: string
  readonly parameters?: readonly { readonly name?: string }[]
  readonly responses: Readonly<Record<string, ServedAnswer>>
}
interface ServedAnswer {
  readonly headers?: Readonly<Record<string, object>>
  readonly content?: Readonly<Record<string, { readonly schema: object }>>
}

const served = (name: string, operations: readonly Operation[]): Served =>
  toServedDocument(toDocument('test', '1', [{ name, prefix: '', operations }])) as unknown as Served

/** Schemas in which `nullable` has no effect, as the specification says. */
const nullableWithoutType = (value: unknown): unknown[] => {
  if (typeof value !== 'object' || value === null) return []
  const { nullable, type } = value as Record<string, unknown>
  return [
    ...(nullable === true && type === undefined ? [value] : []),
    ...Object.values(value).flatMap(nullableWithoutType)
  ]
}

const list: Operation = {
  method: 'get',
  path: '/things',
  id: 'list',
  verb: 'none',
  summary: 'Things',
  answers: { 200: { description: 'They are listed', content: json(z.object({ one: z.int() })) } }
}

describe('The served OpenAPI document', () => {
  it('writes each kind of schema as OpenAPI 3.0 does', () => {
    const kinds: [z.ZodType, object][] = [
      [z.string().nullable(), { type: 'string', nullable: true }],
      [z.union([z.int32(), z.null()]), { type: 'integer', format: 'int32', nullable: true }],
      [z.int().min(0), { type: 'integer', format: 'int64', minimum: 0 }],
      [z.int().min(0).max(10), { type: 'integer', format: 'int32', minimum: 0, maximum: 10 }],
      [z.literal('a'), { type: 'string', enum: ['a'] }],
      [z.union([z.int(), z.string().regex(/^\d+$/)]).nullish(), { type: 'integer', format: 'int64', nullable: true }],
      [z.unknown().nullable(), {}],
      [
        z.union([z.boolean(), z.string()]).nullable(),
        { anyOf: [{ type: 'boolean', nullable: true }, { type: 'string' }] }
      ],
      // Generators of Java make a class of a list of anything, and of a map, that does not compile.
      [z.union([z.array(z.string()), z.record(z.string(), z.string())]), {}],
      [z.union([z.array(z.unknown()), z.string()]).nullable(), {}],
      [z.union([z.boolean(), z.string()]), { anyOf: [{ type: 'boolean' }, { type: 'string' }] }],
      [z.record(z.string(), z.string()), { type: 'object', additionalProperties: { type: 'string' } }]
    ]
    for (const [schema, expected] of kinds) {
      const answers = { 200: { description: 'It', content: json(z.object({ type: schema })) } }
      const { components } = served('t', [{ ...list, answers }])
      expect(components.schemas!.TListAnswer!.properties).to.deep.equal({ type: expected })
    }
  })

  it('says of an object that may be null which type it has', () => {
    const answers = {
      200: { description: 'It', content: json(z.object({ one: z.object({ a: z.int() }).nullable() })) }
    }
    const { components } = served('t', [{ ...list, answers }])
    const allOf = [{ $ref: '#/components/schemas/TListAnswerOne' }]
    expect(components.schemas!.TListAnswer!.properties).to.deep.equal({
      one: { type: 'object', nullable: true, allOf }
    })
  })

  it('writes a body that several operations have once, under the name of the first one', () => {
    const { paths, components } = served('t', [list, { ...list, path: '/others', id: 'others' }])
    const reference = { $ref: '#/components/schemas/TListAnswer' }
    for (const path of ['/things', '/others']) expect(JSON.stringify(paths[path])).to.include(JSON.stringify(reference))
    expect(Object.keys(components.schemas!)).to.deep.equal(['TListAnswer'])
  })

  it('gives a body one type, and none to an answer that the API leaves to the gateway', () => {
    const body = { description: 'A thing', content: { 'text/a': z.string(), 'text/b': z.string() } }
    const document = served('t', [{ ...list, method: 'post', body, produces: true }])
    const text = JSON.stringify(document)
    expect(text).to.include('text/a').and.not.include('text/b')
    expect(text).to.not.include('vnd.castellan').and.not.include('*/*')
  })

  it('leaves out answers that only clients which ask for them get', () => {
    const answers = { 201: { description: 'It is made', content: json(z.object({ one: z.int() })) } }
    const { paths } = served('t', [{ ...list, method: 'post', answers, produces: true }])
    const statuses = Object.keys(paths['/things']!.post!.responses)
    expect(statuses.filter(status => status < '300')).to.deep.equal(['201', '202'])
  })

  it('says of Confluent that a topic which is created has a name', () => {
    const { name, operations, settings } = apis.find(({ name }) => name === 'confluent')!
    const { components } = served(name, operations(settings.parse({}) as never))
    expect(components.schemas!.ConfluentCreateTopicBody!.required).to.deep.equal(['topic_name'])
  })

  it('says of a queue which bytes and headers are its answer to a client that accepts no JSON', () => {
    const { name, operations, settings } = apis.find(({ name }) => name === 'queues')!
    const { paths, components } = served(name, operations(settings.parse({}) as never))
    const { headers = {}, content = {} } = paths['/{topic}/{group}/acquire']!.post!.responses['200']!
    expect(content['application/octet-stream']).to.deep.equal({ schema: { type: 'string', format: 'binary' } })
    expect(Object.keys(content)[0]).to.equal('application/json')
    const own = Object.keys(headers).filter(header => header !== 'x-request-id')
    expect(own).to.deep.equal([
      'location',
      ...['token', 'delivery-count', 'lock-ms', 'partition', 'offset', 'key', 'last-delivery', 'null', 'warning'].map(
        header => `x-castellan-${header}`
      )
    ])
    for (const header of own) expect(JSON.stringify(headers[header])).to.match(/^\{"\$ref":"#\/components\/headers\//)
    expect(components.headers!.XCastellanToken).to.have.keys('description', 'schema')
  })

  it('describes the key of requests, and what keys are answered, at each operation that produces', () => {
    for (const { name, operations, settings } of apis) {
      const described = operations(settings.parse({}) as never)
      const { paths, components } = served(name, described)
      for (const { method, path, id } of described.filter(({ produces }) => produces)) {
        const { parameters = [], responses } = paths[path]![method]!
        expect(parameters, id).to.deep.include({ $ref: '#/components/parameters/IdempotencyKey' })
        for (const status of [400, 409, 422, 503]) {
          const [, , , response] = (responses[status] as { $ref?: string }).$ref!.split('/')
          const { description, headers } = components.responses![response!] as unknown as ServedAnswer & {
            description: string
          }
          expect(description, `${id} ${status}`).to.include('`Idempotency-Key`')
          if (status === 409 || status === 503) expect(headers, `${id} ${status}`).to.include.keys('retry-after')
        }
      }
    }
  })

  it('has nothing of any API from which generators make code that does not compile', () => {
    for (const { name, operations, settings } of apis) {
      const { openapi, paths, components } = served(name, operations(settings.parse({}) as never))
      const text = JSON.stringify({ paths, components })
      expect(openapi).to.equal('3.0.3')
      expect(text, name).to.not.match(/"type":"null"|"type":\[|"const":|"\$defs"/)
      expect(nullableWithoutType({ paths, components }), name).to.deep.equal([])
      // A generated client would send a member whose name has a dot by the name of its own variable, too.
      for (const [schema, { properties = {}, additionalProperties }] of Object.entries(components.schemas ?? {})) {
        if (Object.keys(properties).some(member => member.includes('.')))
          expect(additionalProperties, schema).to.not.deep.equal({})
      }
      const operationsOf = Object.values(paths).flatMap(methods => Object.values(methods))
      for (const { operationId, parameters = [] } of operationsOf) {
        const names = parameters.flatMap(one => one.name?.replaceAll(/[-_.]/g, '').toLowerCase() ?? [])
        expect(new Set(names).size, operationId).to.equal(names.length)
      }
    }
  })
})
