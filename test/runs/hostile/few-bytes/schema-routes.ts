import { SCHEMA_TYPES } from '../../../../src/apis/confluent/media-types.js'
import type { SchemaFormat } from '../../../../src/schemas/schemas.js'
import { ScriptedRegistry } from '../../../schemas/scripted-registry.js'
import type { Route } from './routes.js'

/** A schema that asks for much, and a value that it takes. */
interface Demanding {
  /** Its text, or its number in {@link registry}. */
  readonly schema: string | number
  readonly value: string
}

const LEVELS = 20
/** Each record of a stream has the whole schema. */
const STREAM_BYTES = 2_000_000

/** Holds the schemas that refer to others. */
export const registry = new ScriptedRegistry()

const field = (name: string, type: unknown, more: object = {}): unknown => ({ name, type, ...more })
const record = (name: string, ...fields: readonly unknown[]): unknown => ({ type: 'record', name, fields })
const times = <Item>(count: number, make: (at: number) => Item): Item[] =>
  Array.from({ length: count }, (_, at) => make(at))
const json = (schema: unknown, value: string): Demanding => ({ schema: JSON.stringify(schema), value })

/** A record of records, each of which has four, and their defaults: 4 ** levels times the text. */
function nestedDefaults(levels: number, text: string): unknown {
  let schema = record('L0', field('s', 'string', { default: text }))
  for (let level = 1; level <= levels; level++) {
    const others = ['b', 'c', 'd'].map(name => field(name, `L${level - 1}`, { default: {} }))
    schema = record(`L${level}`, field('a', schema, { default: {} }), ...others)
  }
  return schema
}

/** Schemas each of which refers to the one before it twice. */
function references(): number {
  let id = registry.add('few-level-0', JSON.stringify(record('L0', field('s', 'string', { default: '' }))))
  for (let level = 1; level <= LEVELS; level++) {
    const before = `L${level - 1}`
    const schema = JSON.stringify(record(`L${level}`, ...['a', 'b'].map(name => field(name, before, { default: {} }))))
    const subject = level < LEVELS ? `few-level-${level}` : 'few-AVRO-references-value'
    id = registry.add(subject, {
      schema,
      references: [{ name: before, subject: `few-level-${level - 1}`, version: 1 }]
    })
  }
  return id
}

const PROTO = 'syntax="proto3";import "google/protobuf/any.proto";import "google/protobuf/struct.proto";'

/** All formats of schemas. The first of each is also written through version 3. */
const demanding: Readonly<Record<SchemaFormat, Readonly<Record<string, Demanding>>>> = {
  AVRO: {
    defaults: json(nestedDefaults(8, 'x'.repeat(225)), '{}'),
    union: json(
      times(300, at => record(`R${at}`, ...times(10, field => ({ name: `f${field}`, type: 'int', default: 0 })))),
      '{}'
    ),
    recursion: json(record('L', field('n', { type: 'array', items: 'L' }, { default: [] })), '{"n":[{},{}]}'),
    lists: json({ type: 'array', items: 'long' }, '[1]'),
    references: { schema: references(), value: '{}' }
  },
  JSONSCHEMA: {
    patterns: json(
      { type: ['string', 'object'], pattern: '^(A|B)*(A|B)*(A?B?){50}(A|B)*$', additionalProperties: true },
      '"A"'
    ),
    'many patterns': json(
      { patternProperties: Object.fromEntries(times(60, at => [`^n(a|${at})*[0-9]{1,20}$`, { type: 'number' }])) },
      '{"n1":1}'
    ),
    references: json(
      {
        $defs: Object.fromEntries(
          times(LEVELS, at => [
            `l${at}`,
            at === 0 ? { type: 'boolean' } : { anyOf: [{ $ref: `#/$defs/l${at - 1}` }, { $ref: `#/$defs/l${at - 1}` }] }
          ])
        ),
        $ref: `#/$defs/l${LEVELS - 1}`
      },
      'true'
    ),
    'unique items': json({ uniqueItems: true }, '[1,2]'),
    'wide choices': json({ anyOf: times(500, at => ({ required: [`n${at}`], minProperties: at })) }, '{"n0":0}')
  },
  PROTOBUF: {
    wide: {
      schema: `${PROTO}message M{repeated M m=1;map<string,M> e=2;google.protobuf.Any x=3;${times(1_000, at => `int32 f${at}=${at + 10};`).join('')}}`,
      value: '{"m":[{},{}]}'
    },
    values: {
      schema: `${PROTO}message M{google.protobuf.Value n=1;google.protobuf.Struct a=2;}`,
      value: '{"n":[1,[]]}'
    },
    messages: {
      schema: `${PROTO}${times(200, at => `message M${at}{${at < 199 ? `M${at + 1} a=1;` : ''}string b=2;}`).join('')}`,
      value: `${'{"a":'.repeat(50)}{}${'}'.repeat(50)}`
    }
  }
}

function ofSchema(
  format: SchemaFormat,
  label: string,
  { schema, value }: Demanding,
  isFirst: boolean
): readonly Route[] {
  const topic = `few-${format}-${label.replaceAll(' ', '-')}`
  const shared = { label: `${format} ${label}`, parts: { topic, topic_name: topic }, worst: 'many' } as const
  const named = typeof schema === 'number' ? `"value_schema_id":${schema}` : `"value_schema":${JSON.stringify(schema)}`
  const given =
    typeof schema === 'number' ? `"schema_id":${schema}` : `"type":"${format}","schema":${JSON.stringify(schema)}`
  const v2: Route = {
    ...shared,
    name: 'POST /confluent/topics/{topic}',
    type: SCHEMA_TYPES[format.toLowerCase() as keyof typeof SCHEMA_TYPES],
    form: {
      open: `{${named},"records":[`,
      close: ']}',
      separator: ',',
      shortest: `{"value":${value}}`,
      record: value => `{"value":${value}}`
    }
  }
  if (!isFirst) return [v2]
  const toPartition: Route = { ...v2, name: 'POST /confluent/topics/{topic}/partitions/{partition}' }
  const v3Record = (value: string): string => `{"value":{${given},"data":${value}}}`
  const form = { open: '', close: '', separator: ' ', shortest: v3Record(value), record: v3Record }
  const name = 'POST /confluent/v3/clusters/{cluster_id}/topics/{topic_name}/records'
  return [v2, toPartition, { ...shared, name, type: 'application/json', form, maxBytes: STREAM_BYTES }]
}

/** The routes whose records have schemas, once for each schema. */
export const schemaRoutes: readonly Route[] = Object.entries(demanding).flatMap(([format, schemas]) =>
  Object.entries(schemas).flatMap(([label, one], at) => ofSchema(format as SchemaFormat, label, one, at === 0))
)
