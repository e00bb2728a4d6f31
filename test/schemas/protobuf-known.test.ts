import { expect } from 'chai'
import { KNOWN_TEXTS, OF_PROTOBUF } from '../../src/schemas/protobuf-known.js'
import { checkRows } from '../support/rows.js'
import { describedFile, field, message } from './protobuf-descriptions.js'
import { errorOf, SchemasStage } from './stage.js'

/** As Kafka Connect registers a table with a decimal, a date and a time. */
const OF_CONNECT = `syntax = "proto3";
package shop;
import "confluent/meta.proto";
import "confluent/type/decimal.proto";
import "google/type/date.proto";
import "google/type/timeofday.proto";
message Order {
  int64 id = 1;
  optional confluent.type.Decimal price = 2 [(confluent.field_meta) = {
    params: [{ value: "10", key: "precision" }, { value: "2", key: "scale" }]
  }];
  google.type.Date day = 3;
  google.type.TimeOfDay at = 4;
}`

const BY_TYPE: readonly (readonly [file: string, type: string, json: string, hex: string])[] = [
  [
    'google/type/color.proto',
    'google.type.Color',
    '{"red":1,"green":0,"blue":0,"alpha":0.5}',
    '0d0000803f22050d0000003f'
  ],
  [
    'google/type/datetime.proto',
    'google.type.DateTime',
    '{"year":2026,"month":0,"day":0,"hours":0,"minutes":0,"seconds":0,"nanos":0,"utcOffset":"3600s"}',
    '08ea0f42030890' + '1c'
  ],
  ['google/type/interval.proto', 'google.type.Interval', '{"startTime":"1970-01-01T00:00:01Z"}', '0a020801'],
  ['google/type/latlng.proto', 'google.type.LatLng', '{"latitude":0.5,"longitude":0}', '09000000000000e03f'],
  [
    'google/type/money.proto',
    'google.type.Money',
    '{"currencyCode":"EUR","units":"9007199254740993","nanos":0}',
    '0a03455552108180808080808010'
  ],
  [
    'google/type/phone_number.proto',
    'google.type.PhoneNumber',
    '{"shortCode":{"regionCode":"US","number":"611"},"extension":""}',
    '12090a0255531203363131'
  ],
  [
    'google/type/postal_address.proto',
    'google.type.PostalAddress',
    '{"revision":0,"regionCode":"","languageCode":"","postalCode":"","sortingCode":"","administrativeArea":"","locality":"","sublocality":"","addressLines":["a"],"recipients":[],"organization":""}',
    '4a0161'
  ],
  ['google/protobuf/api.proto', 'google.protobuf.Mixin', '{"name":"a","root":""}', '0a0161'],
  [
    'google/protobuf/type.proto',
    'google.protobuf.Option',
    '{"name":"a","value":{"@type":"t/google.protobuf.Empty"}}',
    '0a016112190a17742f676f6f676c652e70726f746f6275662e456d707479'
  ],
  ['google/protobuf/source_context.proto', 'google.protobuf.SourceContext', '{"fileName":"a"}', '0a0161'],
  [
    'google/protobuf/compiler/plugin.proto',
    'google.protobuf.FieldOptions',
    '{"ctype":"CORD","deprecated":true,"targets":[],"editionDefaults":[],"uninterpretedOption":[]}',
    '08011801'
  ]
]

describe('Files of Protobuf that nobody registers', () => {
  const resolve = (schema: string, stage = new SchemasStage()) => stage.resolve({ schema, format: 'PROTOBUF' })

  it('are known: a table of Kafka Connect with a decimal, a date and a time is written and read', async () => {
    const stage = new SchemasStage()
    const schema = await resolve(OF_CONNECT, stage)
    const json =
      '{"id":"1","price":{"value":"BNI=","precision":10,"scale":2},"day":{"year":2026,"month":11,"day":29},"at":{"hours":9,"minutes":0,"seconds":0,"nanos":0}}'
    expect(stage.read(schema, json)).to.equal(json)
    expect(schema.encode(json).toString('hex', 5)).to.equal(
      '00' + '0801' + '12080a0204d2100a1802' + '1a0708ea0f100b181d' + '22020809'
    )
  })

  it('have the fields of their originals', () =>
    checkRows(BY_TYPE, async ([file, type, json, hex]) => {
      const stage = new SchemasStage()
      const schema = await resolve(`syntax = "proto3"; import "${file}"; message M { ${type} a = 1; }`, stage)
      const bytes = schema.encode(`{"a":${json}}`)
      expect(bytes.toString('hex', 8)).to.equal(hex)
      expect(stage.decode(bytes)).to.equal(`{"a":${json}}`)
    }))

  it('can be imported all at once, also by a description in base64', async () => {
    const names = [...KNOWN_TEXTS.keys(), ...OF_PROTOBUF.keys()]
    const text = `syntax = "proto3"; ${names.map(name => `import public "${name}";`).join('')} message M { google.type.Month a = 1; }`
    const ofMonth = { type: 'TYPE_ENUM', typeName: '.google.type.Month' }
    const described = describedFile({
      name: 'a.proto',
      syntax: 'proto3',
      dependency: names,
      messageType: [message('M', [field('a', 1, 'ENUM', ofMonth)])]
    })
    for (const schema of [text, described]) {
      const stage = new SchemasStage()
      expect(stage.read(await resolve(schema, stage), '{"a":"MAY"}')).to.equal('{"a":"MAY"}')
    }
  })

  it('are not there without an import', async () => {
    const refused = await errorOf(() => resolve('syntax = "proto3"; message M { google.type.Date a = 1; }'))
    expect(refused).to.match(/^invalidSchema: .*google\.type\.Date/)
  })

  it('give way to a file that comes with the schema', async () => {
    const stage = new SchemasStage()
    const own = 'syntax = "proto3"; package google.type; message Date { string text = 9; }'
    const user = 'syntax = "proto3"; import "google/type/date.proto"; message User { google.type.Date born = 1; }'
    stage.registry.add('date', { schema: own, schemaType: 'PROTOBUF' })
    const date = { name: 'google/type/date.proto', subject: 'date', version: 1 }
    stage.registry.add('user', { schema: user, schemaType: 'PROTOBUF', references: [date] })
    const references = [{ name: 'user.proto', subject: 'user', version: 1 }]
    const schema =
      'syntax = "proto3"; import "user.proto"; import "google/type/date.proto"; message M { User a = 1; google.type.Date b = 2; }'
    const resolved = await stage.resolve({ schema, format: 'PROTOBUF', references })
    const json = '{"a":{"born":{"text":"x"}},"b":{"text":"y"}}'
    expect(stage.read(resolved, json)).to.equal(json)
  })
})
