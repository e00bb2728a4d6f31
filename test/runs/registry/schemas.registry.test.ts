import { expect } from 'chai'
import { type SchemaError, type SchemaFormat, type SchemaReference, Schemas } from '../../../src/schemas/schemas.js'
import { schemasSettings } from '../../../src/schemas/settings.js'
import { createTransport } from '../../../src/schemas/transport.js'
import { CodecsInPlace } from '../../support/codecs-in-place.js'
import { PythonSerde } from './python-serde.js'

const url = process.env.REGISTRY_URL!

/** A schema and a value of it, as our JSON and as an expression of Python. */
interface Case {
  readonly name: string
  readonly format?: SchemaFormat
  readonly schema: string
  readonly json: string
  readonly python: string
  /** Further schemas: their names, which are their subjects too, and their texts. */
  readonly uses?: Readonly<Record<string, string>>
  /** Of Protobuf: the message, where it is not the first one; only Python writes it then. */
  readonly message?: string
  readonly only?: 'reading'
}

const record = (name: string, ...fields: readonly (readonly [name: string, type: unknown])[]): object => ({
  type: 'record',
  name,
  fields: fields.map(([name, type]) => ({ name, type }))
})
const avro = (schema: unknown): string => JSON.stringify(schema)
const FILE = `syntax = "proto3";
package shop;
enum Color { RED = 0; GREEN = 1; }
message Order {
  int32 id = 1;
  int64 big = 2;
  map<string, Item> items = 3;
  optional string note = 4;
  oneof paid { bool cash = 5; string card = 6; }
  repeated sint32 steps = 7;
  bytes raw = 8;
  Color color = 9;
  double price = 10;
  float share = 11;
  message Item { string sku = 1; message Part { fixed64 serial = 1; } }
  message Return { string why = 1; }
}
message Payment { Order.Item item = 1; repeated Color colors = 2; }
`
const JSON_2020 = {
  $schema: 'https://json-schema.org/draft/2020-12/schema',
  title: 'Order',
  type: 'object',
  properties: { id: { type: 'integer' }, tags: { prefixItems: [{ type: 'string' }], items: { type: 'number' } } },
  required: ['id']
}

const cases: readonly Case[] = [
  { name: 'a string', schema: '{"type":"string"}', json: '"foobär"', python: '"foobär"' },
  {
    name: 'a record with a union',
    schema: avro(record('U', ['a', ['null', 'string', 'int']], ['b', ['null', 'string']])),
    json: '{"a":{"int":5},"b":null}',
    python: '{"a": 5, "b": None}'
  },
  {
    name: 'a decimal',
    schema: avro(record('D', ['d', { type: 'bytes', logicalType: 'decimal', precision: 6, scale: 2 }])),
    json: '{"d":"\\u0004\u00d2"}',
    python: '{"d": Decimal("12.34")}'
  },
  {
    name: 'a nested record in an array',
    schema: avro(record('N', ['items', { type: 'array', items: record('I', ['price', 'double'], ['count', 'int']) }])),
    json: '{"items":[{"price":1.5,"count":-3},{"price":1e300,"count":0}]}',
    python: '{"items": [{"price": 1.5, "count": -3}, {"price": 1e300, "count": 0}]}'
  },
  {
    name: 'a reference',
    schema: avro(record('shop.R', ['address', 'shop.Address'])),
    uses: { 'shop.Address': avro(record('shop.Address', ['city', 'string'])) },
    json: '{"address":{"city":"Bonn"}}',
    python: '{"address": {"city": "Bonn"}}'
  },
  {
    name: 'an enum and maps',
    schema: avro(
      record(
        'M',
        ['color', { type: 'enum', name: 'Color', symbols: ['RED', 'GREEN'] }],
        ['counts', { type: 'map', values: 'long' }],
        ['empty', { type: 'map', values: 'int' }]
      )
    ),
    json: '{"color":"GREEN","counts":{"a":1,"__proto__":2},"empty":{}}',
    python: '{"color": "GREEN", "counts": {"a": 1, "__proto__": 2}, "empty": {}}'
  },
  {
    name: 'a recursive record',
    schema: avro(record('Node', ['value', 'int'], ['next', ['null', 'Node']])),
    json: '{"value":1,"next":{"Node":{"value":2,"next":null}}}',
    python: '{"value": 1, "next": {"value": 2, "next": None}}'
  },
  {
    name: 'what is exact',
    schema: avro(record('E', ['l', 'long'], ['b', 'bytes'], ['d', 'double'], ['n', 'double'], ['f', 'float'])),
    json: '{"l":9007199254740993,"b":"\u00ff\\u0000","d":0.1,"n":"NaN","f":0.5}',
    python: '{"l": 9007199254740993, "b": b"\\xff\\x00", "d": 0.1, "n": math.nan, "f": 0.5}'
  },
  {
    name: 'a fixed and a time',
    schema: avro(
      record(
        'F',
        ['f', { type: 'fixed', name: 'Two', size: 2 }],
        ['t', { type: 'long', logicalType: 'timestamp-millis' }]
      )
    ),
    json: '{"f":"a\u00ff","t":1769860800000}',
    python: '{"f": b"a\\xff", "t": datetime.datetime(2026, 1, 31, 12, tzinfo=datetime.timezone.utc)}'
  },
  {
    name: 'a JSON Schema of 2020-12',
    format: 'JSONSCHEMA',
    schema: JSON.stringify(JSON_2020),
    json: '{"id": 7, "tags": ["a", 1]}',
    python: '{"id": 7, "tags": ["a", 1]}'
  },
  {
    name: 'a JSON Schema of draft 7',
    format: 'JSONSCHEMA',
    schema:
      '{"$schema":"http://json-schema.org/draft-07/schema#","type":"object","properties":{"n":{"type":["null","number"]}}}',
    json: '{"n": null}',
    python: '{"n": None}'
  },
  {
    name: 'the first message of a file',
    format: 'PROTOBUF',
    schema: FILE,
    message: 'Order',
    json: '{"id":-1,"big":"9007199254740993","items":{"a":{"sku":"x"}},"note":"","card":"c","steps":[1,-2],"raw":"/wA=","color":"GREEN","price":1.5,"share":0.5}',
    python:
      '{"id": -1, "big": "9007199254740993", "items": {"a": {"sku": "x"}}, "note": "", "card": "c", "steps": [1, -2], "raw": "/wA=", "color": "GREEN", "price": 1.5, "share": 0.5}'
  },
  {
    name: 'a later message of a file',
    format: 'PROTOBUF',
    schema: FILE,
    message: 'Payment',
    only: 'reading',
    json: '{"item":{"sku":"x"},"colors":["RED","GREEN"]}',
    python: '{"item": {"sku": "x"}, "colors": ["RED", "GREEN"]}'
  },
  {
    name: 'a message in a message',
    format: 'PROTOBUF',
    schema: FILE,
    message: 'Order.Item',
    only: 'reading',
    json: '{"sku":"x"}',
    python: '{"sku": "x"}'
  },
  {
    name: 'a message in a message in a message',
    format: 'PROTOBUF',
    schema: FILE,
    message: 'Order.Item.Part',
    only: 'reading',
    json: '{"serial":"18446744073709551615"}',
    python: '{"serial": "18446744073709551615"}'
  }
]

describe('a real registry', () => {
  let schemas: Schemas
  let python: PythonSerde
  const created: Schemas[] = []
  const open = (): Schemas => {
    const settings = schemasSettings.parse({ registry: { urls: [url] } })
    const opened = new Schemas(settings, {
      transport: createTransport(settings.registry, {}),
      host: new CodecsInPlace(),
      clock: () => performance.now()
    })
    created.push(opened)
    return opened
  }

  before(() => {
    python = new PythonSerde(process.env.REGISTRY_PYTHON!, url)
  })
  beforeEach(() => {
    schemas = open()
  })
  after(() => {
    python.close()
    for (const schemas of created) schemas.close()
  })

  const any = { part: 'value', mayRegister: () => true } as const
  const errorOf = (work: Promise<unknown>): Promise<SchemaError> =>
    work.then(
      () => expect.fail('it was resolved'),
      (error: SchemaError) => error
    )

  for (const [
    at,
    { name, format = 'AVRO', schema, json, python: value, uses = {}, message, only }
  ] of cases.entries()) {
    describe(`S15, S16: ${name}`, () => {
      const topic = `s15-${at}`
      const references: SchemaReference[] = Object.keys(uses).map(name => ({
        name,
        subject: `${topic}-${name}`,
        version: 1
      }))
      const request = { format, topic, schema, value, references, ...(message !== undefined && { message }) }

      before(async () => {
        for (const [name, text] of Object.entries(uses)) {
          await open().resolve({ ...any, topic: '', subject: `${topic}-${name}`, format, schema: text })
        }
      })

      it("is read as Confluent's serializer of Python has written it", async () => {
        const { hex } = await python.ask({ op: 'write', ...request })
        const decoded = await schemas.decode(Buffer.from(hex!, 'hex'))
        if (decoded.type === 'undecodable') expect.fail(decoded.cause)
        expect(JSON.parse(decoded.json)).to.deep.equal(JSON.parse(json))
      })

      if (only === 'reading') return
      it("is written so that Confluent's deserializer of Python reads it", async () => {
        const resolved = await schemas.resolve({ ...any, topic, format, schema, references })
        const { same, found, wanted } = await python.ask({
          op: 'read',
          hex: (await resolved.encode(json)).toString('hex'),
          ...request
        })
        expect(same, `${found} instead of ${wanted}`).to.equal(true)
      })
    })
  }

  it('registers, finds by id, by version and as the latest one, and answers the same', async () => {
    const { id, version } = await schemas.resolve({ ...any, topic: 'found', schema: '"int"' })
    const ways = [{ schema: '"int"' }, { id }, { version }, { version: 'latest' as const }, {}]
    for (const way of ways) {
      const found = await open().resolve({ ...any, topic: 'found', ...way })
      expect([found.id, found.version, found.subject]).to.deep.equal([id, version, 'found-value'])
    }
  })

  it('has neither a wrong id, subject nor version, nor the id of another subject', async () => {
    const { id } = await schemas.resolve({ ...any, topic: 'known', schema: '"long"' })
    expect((await errorOf(schemas.resolve({ ...any, topic: 'known', id: 999_666 }))).reason).to.equal('unknownId')
    expect((await errorOf(schemas.resolve({ ...any, topic: 'unknown' }))).reason).to.equal('unknownSubject')
    expect((await errorOf(schemas.resolve({ ...any, topic: 'known', version: 9 }))).reason).to.equal('unknownVersion')
    expect((await errorOf(schemas.resolve({ ...any, topic: 'unknown', id }))).reason).to.equal('otherSubject')
  })

  it('S10: refuses a schema that is not compatible in its own words', async () => {
    await schemas.resolve({ ...any, topic: 'strict', schema: avro(record('S', ['a', 'int'])) })
    const body = JSON.stringify({ compatibility: 'BACKWARD' })
    await fetch(`${url}/config/strict-value`, { method: 'PUT', body, headers: { 'content-type': 'application/json' } })
    const error = await errorOf(
      schemas.resolve({ ...any, topic: 'strict', schema: avro(record('S', ['b', 'string'])) })
    )
    expect(error.reason).to.equal('refusedByRegistry')
    expect(error.details.registry?.code).to.equal(409)
    expect(error.message).to.match(/compatib/i)
  })

  it('S20: is asked for a new schema only by a client that may register', async () => {
    const error = await errorOf(
      schemas.resolve({ ...any, topic: 'rights', schema: '"bytes"', mayRegister: () => false })
    )
    expect(error.reason).to.equal('mayNotRegister')
    await schemas.resolve({ ...any, topic: 'rights', schema: '"bytes"' })
    await open().resolve({ ...any, topic: 'rights', schema: '"bytes"', mayRegister: () => false })
  })
})
