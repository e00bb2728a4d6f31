import { SchemaWriter } from '../../src/apis/confluent/schema-writer.js'
import type { ProduceRecord } from '../../src/core/model.js'
import { decodeRecords } from '../../src/http/api/decoded-records.js'
import { type ResolvedSchema, type SchemaFormat, Schemas, type WantedSchema } from '../../src/schemas/schemas.js'
import { schemasSettings } from '../../src/schemas/settings.js'
import { ThreadCodecs } from '../../src/schemas/thread-codec-host.js'
import type { InstanceRecord } from '../../src/verbs/verbs.js'
import { peakRssBytes } from '../runs/backlog/memory.js'
import { codecWorker } from '../support/built.js'
import { ScriptedRegistry } from './scripted-registry.js'
import { SchemasStage, type StagedSchema } from './stage.js'

/**
 * Few bytes that ask for much. A process of its own does what one of them says, and prints its answers as JSON. Memory outside
 * of the heap is counted after a collection of garbage: `node --expose-gc bombs.ts NAME`.
 */
const MIB = 1024 * 1024

const registry = new ScriptedRegistry()
const settings = schemasSettings.parse({ registry: { urls: ['http://registry'] } })
const host = new ThreadCodecs({ worker: codecWorker })
const schemas = new Schemas(settings, { transport: registry, host, clock: () => performance.now() })
const writer = new SchemaWriter(schemas, 16 * MIB)
const resolve = (wanted: Partial<WantedSchema>): Promise<ResolvedSchema> =>
  schemas.resolve({ topic: 'orders', part: 'value', mayRegister: () => true, ...wanted })

const field = (name: string, type: unknown, more: object = {}): unknown => ({ name, type, ...more })
const record = (name: string, ...fields: readonly unknown[]): unknown => ({ type: 'record', name, fields })
const DEFAULT = { default: {} }

/** A record of records, each of which has four, and their defaults: 4 ** levels times the text. */
function nested(levels: number, text: string): unknown {
  let schema = record('L0', field('s', 'string', { default: text }))
  for (let level = 1; level <= levels; level++) {
    const others = ['b', 'c', 'd'].map(name => field(name, `L${level - 1}`, DEFAULT))
    schema = record(`L${level}`, field('a', schema, DEFAULT), ...others)
  }
  return schema
}

/** A file of Protobuf with 1,000 fields and itself. */
const wide = (more = '', type = 'int32'): string => {
  const fields = Array.from({ length: 1_000 }, (_, at) => `${type} f${at}=${at + 10};`)
  return `syntax="proto3";import "google/protobuf/any.proto";message M{repeated M m=1;map<string,M> e=2;google.protobuf.Any x=3;${more}${fields.join('')}}`
}

const avro = (schema: unknown, topic = 'avro'): Promise<ResolvedSchema> =>
  resolve({ schema: JSON.stringify(schema), topic })
const protobuf = (schema: string): Promise<ResolvedSchema> => resolve({ schema, format: 'PROTOBUF' })

async function written(schema: ResolvedSchema, ...values: readonly string[]): Promise<string> {
  const records = values.map((value): ProduceRecord => ({ topic: 't', key: null, value: Buffer.from(value) }))
  try {
    const client = { topic: 't', mayRegister: () => false, owner: undefined }
    const encoded = await writer.encode(records, { key: undefined, value: schema }, client)
    return `${encoded.length} records`
  } catch (error) {
    return (error as Error).message
  }
}

/** What a read of so many records with this payload has, and the first cause why it has none. */
async function read({ id, format }: ResolvedSchema, payload: Buffer, count = 1_000): Promise<string> {
  const value = Buffer.concat([Buffer.from([0, 0, 0, 0, id]), payload])
  const one: InstanceRecord = { topic: 't', partition: 0, offset: 0, timestampMs: 0, key: null, value, headers: [] }
  const { records, causes } = await decodeRecords(schemas, format, Array(count).fill(one), 16 * MIB)
  return `${records.filter(({ value }) => value !== null).length} records; ${causes[0]}`
}

const repeated = (hex: string, times: number): Buffer => Buffer.alloc((hex.length / 2) * times, hex, 'hex')
const varint = (value: number): readonly number[] =>
  value < 0x80 ? [value] : [(value % 0x80) | 0x80, ...varint(Math.floor(value / 0x80))]
const delimited = (field: number, bytes: Buffer): Buffer =>
  Buffer.concat([Buffer.from([...varint((field << 3) | 2), ...varint(bytes.length)]), bytes])
const PATH = Buffer.alloc(1)

const bombs: Readonly<Record<string, () => Promise<unknown>>> = {
  async defaults() {
    const schema = await avro(nested(8, 'x'.repeat(225)))
    return written(schema, ...Array<string>(60).fill('{}'))
  },
  async arrayOfNulls() {
    const nulls = Array.from({ length: 1_000 }, (_, at) => field(`field${at}`, 'null'))
    const schema = await avro({ type: 'array', items: record('Nulls', ...nulls) })
    return read(schema, Buffer.from('e83900', 'hex'))
  },
  async keptDefaults() {
    // In this thread, whose memory is told.
    const stage = new SchemasStage()
    const kept: StagedSchema[] = []
    for (let at = 0; at < 100; at++) {
      const many = Array.from({ length: 200 }, (_, at) => field(`many${at}`, 'L4', DEFAULT))
      const schema = record(`Top${at}`, field('first', nested(4, 'x'.repeat(140)), DEFAULT), ...many)
      kept.push(await stage.avro(schema, { topic: `kept-${at}` }))
      kept[at]!.encode('{}')
    }
    for (let times = 3; times > 0; times--) {
      globalThis.gc!()
      await new Promise(setImmediate)
    }
    return Math.round(process.memoryUsage().external / MIB)
  },
  async longTitles() {
    const named = field('e', { type: 'enum', name: 'E', symbols: ['x'.repeat(400_000)] })
    const unions = Array.from({ length: 12_000 }, (_, at) => field(`f${at}`, ['null', 'E']))
    return avro(record('R', named, ...unions)).then(
      () => 'accepted',
      (error: Error) => error.message
    )
  },
  async refusals() {
    // Registries repeat the schema that they refuse.
    registry.script = ({ body }) => ({ status: 422, body: { error_code: 42201, message: `Invalid schema ${body}` } })
    const long = 'x'.repeat(900_000)
    for (let at = 0; at < 300; at++) await avro({ type: `nothing${at}`, doc: long }).catch(() => undefined)
    return registry.calls.length
  },
  async emptyMessages() {
    const schema = await protobuf(wide())
    return read(schema, Buffer.concat([PATH, repeated('0a00', 1_500)]))
  },
  async emptyEntries() {
    const schema = await protobuf(wide())
    return read(schema, Buffer.concat([PATH, repeated('1200', 1_500)]))
  },
  async manyMaps() {
    const schema = await protobuf(wide('', 'map<int32,int32>'))
    return read(schema, Buffer.concat([PATH, repeated('0a00', 400)]))
  },
  async messagesInAny() {
    const schema = await protobuf(wide())
    const inside = Buffer.concat([delimited(1, Buffer.from('t/M')), delimited(2, repeated('0a00', 1_500))])
    return read(schema, Buffer.concat([PATH, delimited(3, inside)]))
  },
  async longNames() {
    const schema = await protobuf(`syntax="proto3";enum E{${'E'.repeat(100_000)}=0;} message M{repeated E e=1;}`)
    return read(schema, Buffer.concat([PATH, delimited(1, Buffer.alloc(100_000))]))
  },
  async emptyTexts() {
    const schema = await protobuf('syntax="proto3";message M{repeated string s=1;repeated M m=2;}')
    return [
      await read(schema, Buffer.concat([PATH, repeated('0a00', 1_300_000)]), 10),
      await read(schema, Buffer.concat([PATH, repeated('1200', 150_000)]), 10)
    ]
  },
  async messagesToWrite() {
    const schema = await protobuf(wide())
    return written(schema, `{"m":[${'{},'.repeat(1_897)}{}]}`)
  },
  async entriesToWrite() {
    const schema = await protobuf(wide())
    const entries = Array.from({ length: 1_200 }, (_, at) => `"${at}":{}`)
    return [
      await written(schema, `{"e":{${entries.join()}}}`),
      await written(schema, `{"x":{"@type":"t/M","m":[${'{},'.repeat(1_897)}{}]}}`)
    ]
  },
  async dynamicValues() {
    const schema = await protobuf(
      'syntax="proto3";import "google/protobuf/struct.proto";message M{google.protobuf.Value v=1;}'
    )
    const ofItems = (item: string, count: number): string => `{"v":[${`${item},`.repeat(count - 1)}${item}]}`
    return [await written(schema, ofItems('1', 2_000_000)), await written(schema, ofItems('[]', 80_000))]
  },
  async longJson() {
    const lists = await avro({ type: 'array', items: { type: 'array', items: 'null' } })
    const anything = await resolve({ schema: '{"type":"array"}', format: 'JSONSCHEMA' })
    const answers: string[] = []
    for (const item of ['[]', '{}', '1', '1234567890123456789', '"\\u0001"', '{"a":1}']) {
      const json = `[${`${item},`.repeat(Math.floor((4 * MIB - 30) / (item.length + 1)))}${item}]`
      answers.push(await written(item === '[]' ? lists : anything, json))
    }
    const longs = await avro({ type: 'array', items: 'long' }, 'longs')
    answers.push(await written(longs, `[${'1234567890123456789,'.repeat(200_000)}1]`))
    answers.push(await read(longs, Buffer.concat([Buffer.from('80897a', 'hex'), Buffer.alloc(1_000_001)]), 10))
    return answers
  },
  async extensions() {
    const extensions = Array.from({ length: 1_000 }, (_, at) => `repeated M f${at}=${at + 100};`)
    const schema = await protobuf(
      `syntax="proto2";message M{extensions 10 to max;} extend M{optional M m=10;${extensions.join('')}}`
    )
    return [
      await read(schema, Buffer.concat([PATH, repeated('5200', 1_500)])),
      await read(schema, Buffer.concat([PATH, repeated('a20600', 1_500)])),
      await written(schema, `{"[f0]":[${'{},'.repeat(4_000)}{}]}`)
    ]
  },
  async valuesOfExtensions() {
    const schema = await protobuf(
      'syntax="proto2";message M{extensions 10 to max;} extend M{repeated int32 a=10;repeated int32 b=11[packed=true];}'
    )
    return [
      await written(schema, `{"[a]":[${'1,'.repeat(2_000_000)}1]}`),
      await read(schema, Buffer.concat([PATH, repeated('5001', 500_000)]), 10),
      // Of numbers that nobody declares.
      await read(schema, Buffer.concat([PATH, repeated('6001', 500_000)]), 10)
    ]
  },
  async namesOfValues() {
    // The option `json` of an enum's value, by which it is read: one letter is very many.
    const options = delimited(998, delimited(1, Buffer.from('E'.repeat(100_000))))
    const value = delimited(2, Buffer.concat([delimited(1, Buffer.from('E')), delimited(3, options)]))
    const ofEnum = delimited(5, Buffer.concat([delimited(1, Buffer.from('E')), value]))
    const [TYPE_ENUM, REPEATED] = [Buffer.from('280e', 'hex'), Buffer.from('2003', 'hex')]
    const number = Buffer.from('1801', 'hex')
    const list = Buffer.concat([
      delimited(1, Buffer.from('e')),
      number,
      REPEATED,
      TYPE_ENUM,
      delimited(6, Buffer.from('.E'))
    ])
    const ofMessage = delimited(4, Buffer.concat([delimited(1, Buffer.from('M')), delimited(2, list)]))
    const file = Buffer.concat([
      delimited(1, Buffer.from('a')),
      ofMessage,
      ofEnum,
      delimited(12, Buffer.from('proto3'))
    ])
    const schema = await protobuf(file.toString('base64'))
    return read(schema, Buffer.concat([PATH, delimited(1, Buffer.alloc(100_000))]))
  },
  async manyExtensions() {
    const refused = (schema: string): Promise<unknown> =>
      protobuf(schema).then(
        () => 'accepted',
        (error: Error) => error.message
      )
    const many = (part: (at: number) => string, count: number): string =>
      Array.from({ length: count }, (_, at) => part(at)).join('')
    const START = 'syntax="proto2";import "google/protobuf/descriptor.proto";'
    return [
      // Each message is asked whether it is what the others extend.
      await refused(
        START + many(at => `extend Z${at}{optional int32 a${at}=1;}`, 12_000) + many(at => `message M${at}{}`, 12_000)
      ),
      // Of one message, and of options.
      await refused(
        `${START}message M{extensions 1 to max;}${many(at => `extend M{optional M a${at}=${at + 1};}`, 10_000)}`
      ),
      await refused(
        `${START}message M{}${many(at => `extend google.protobuf.FieldOptions{optional M a${at}=${at + 60_000};}`, 5_000)}`
      ),
      // Values of options: deep, wide, and of one name.
      await refused(`${START}message M{option (a)=${'{a'.repeat(100_000)}${'}'.repeat(100_000)};}`),
      await refused(`${START}message M{option (a)={${'a:1 '.repeat(200_000)}};}`),
      await refused(`${START}message M{option (a)="${'x'.repeat(900_000)}";}`),
      await refused(`${START}message M{optional int32 a=1[${many(at => `(a${at})={a:[1]},`, 50_000)}(b)=1];}`),
      await refused(`syntax="proto2";${many(() => 'import "google/protobuf/type.proto";', 20_000)}message M{}`)
    ]
  },
  async references() {
    const D7 = 'http://json-schema.org/draft-07/schema#'
    const D20 = 'https://json-schema.org/draft/2020-12/schema'
    const named = (count: number, of: (at: number) => unknown): object =>
      Object.fromEntries(Array.from({ length: count }, (_, at) => [`d${at}`, of(at)]))
    const to = (at: number): object => ({ $ref: `#/definitions/d${at}` })
    const all: readonly (readonly [schema: object | string, value: string])[] = [
      // A chain, a circle, and a tree of which each part is there twice.
      [{ ...to(0), definitions: { ...named(15_000, at => to(at + 1)), d15000: {} } }, '1'],
      [{ ...to(0), definitions: named(1_000, at => to((at + 1) % 1_000)) }, '1'],
      [{ ...to(0), definitions: { ...named(40, at => ({ allOf: [to(at + 1), to(at + 1)] })), d40: {} } }, '1'],
      // Names of many, of the root, and what describes schemas.
      [{ $schema: D20, $defs: named(15_000, at => ({ $anchor: `a${at}` })), $ref: '#a7' }, '1'],
      [{ $schema: D20, $anchor: 'a', allOf: Array(20_000).fill({ $ref: '#a' }) }, '1'],
      [
        {
          $schema: D7,
          allOf: [...Array(10_000).fill({ $ref: D7 }), { $ref: 'http://json-schema.org/draft-07/schema' }]
        },
        '{}'
      ],
      [
        {
          $id: 'http://x/y',
          definitions: named(5_000, at => ({ $id: `http://x/${at % 50}`, const: 'x'.repeat(100) }))
        },
        '1'
      ],
      // What is taken out, and what is deep.
      [{ allOf: Array(20_000).fill({ nullable: true, $async: true, id: 'x' }) }, '1'],
      [`${'{"x":'.repeat(100_000)}{"nullable":true}${'}'.repeat(100_000)}`, '1'],
      [`{"x":${'['.repeat(100_000)}${']'.repeat(100_000)}}`, '1']
    ]
    const answers: string[] = []
    for (const [schema, value] of all) {
      const text = typeof schema === 'string' ? schema : JSON.stringify(schema)
      const resolved = await resolve({ schema: text, format: 'JSONSCHEMA' }).catch((error: Error) => error.message)
      answers.push(typeof resolved === 'string' ? resolved : await written(resolved, value))
    }
    return answers
  },
  async patterns() {
    const patternOf = (at: number): string =>
      `^${at}(?:a?b?c?d?e?f?g?h?i?j?k?l?m?n?o?p?q?r?s?t?u?v?w?x?y?z?a?b?c?d?e?f?g?h?i?j?){1000}`
    const properties = Array.from({ length: 67 }, (_, at) => [`p${at}`, { pattern: patternOf(at) }])
    const schema = JSON.stringify({ properties: Object.fromEntries(properties) })
    return resolve({ schema, format: 'JSONSCHEMA' as SchemaFormat }).then(
      () => 'accepted',
      (error: Error) => error.message
    )
  }
}

const started = process.cpuUsage()
const answer = await bombs[process.argv[2]!]!()
const { user, system } = process.cpuUsage(started)
// The `maxRSS` of a process begins with that of its parent.
const maxMb = Math.round(peakRssBytes(process.pid) / 1024 ** 2)
console.log(JSON.stringify({ answer, processorMs: Math.round((user + system) / 1_000), maxMb }))
