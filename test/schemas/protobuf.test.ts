import { expect } from 'chai'
import { checkRows } from '../support/rows.js'
import { errorOf, SchemasStage } from './stage.js'

const FILE = `
syntax = "proto3";
package shop.v1;
import "google/protobuf/timestamp.proto";
import "google/protobuf/struct.proto";
import "google/protobuf/any.proto";
import "google/protobuf/duration.proto";
import "google/protobuf/wrappers.proto";
enum Color { RED = 0; GREEN = 1; }
message Order {
  int32 order_id = 1;
  int64 big = 2;
  repeated int32 numbers = 3;
  map<string, Item> items = 4;
  Item first = 5;
  optional int32 maybe = 6;
  oneof either { string text = 7; bool flag = 8; }
  bytes raw = 9;
  Color color = 10;
  google.protobuf.Timestamp at = 11;
  double ratio = 12;
  float share = 13;
  string named = 14 [json_name = "nom"];
  google.protobuf.Value any = 15;
  google.protobuf.Int64Value wrapped = 16;
  sint32 zig = 17;
  fixed64 wide = 18;
  string constructor = 19;
  map<string, string> names = 20;
  map<int64, int32> counts = 21;
  map<int32, int32> small = 22;
  google.protobuf.Struct struct = 23;
  google.protobuf.ListValue list = 24;
  google.protobuf.Any packed = 25;
  google.protobuf.Duration lasts = 26;
  repeated google.protobuf.Any several = 27;
  map<string, google.protobuf.Any> named_any = 28;
  repeated double ratios = 29;
  oneof more { google.protobuf.Any chosen = 30; }
  message Item { string sku = 1; Order in_order = 2; message Deep { int32 n = 1; } }
  message Second { int32 n = 1; }
}
message Other { Order.Item item = 1; repeated Color colors = 2; }
`
const ZEROS = {
  orderId: 0,
  big: '0',
  numbers: [],
  items: {},
  raw: '',
  color: 'RED',
  ratio: 0,
  share: 0,
  nom: '',
  zig: 0,
  wide: '0',
  constructor: '',
  names: {},
  counts: {},
  small: {},
  several: [],
  namedAny: {},
  ratios: []
}

/** The bytes behind the id in hexadecimal digits, and what is read besides zeros; absent: the same as was written. */
const written: readonly (readonly [json: string, hex: string, read?: object])[] = [
  ['{}', '00'],
  ['{"orderId":1}', '000801'],
  ['{"order_id":-1}', '0008ffffffffffffffffff01', { orderId: -1 }],
  ['{"orderId":0,"color":"RED","nom":""}', '00', {}],
  ['{"big":9007199254740993}', '00108180808080808010', { big: '9007199254740993' }],
  ['{"big":"-9223372036854775808"}', '001080808080808080808001'],
  ['{"numbers":[1,2]}', '001a020102'],
  ['{"items":{"a":{"sku":"x"}}}', '0022080a0161120' + '30a0178', { items: { a: { sku: 'x' } } }],
  ['{"maybe":0}', '003000'],
  ['{"flag":false}', '004000'],
  ['{"raw":"/wA="}', '004a02ff00'],
  ['{"raw":"_wA"}', '004a02ff00', { raw: '/wA=' }],
  ['{"color":"GREEN"}', '005001'],
  ['{"color":1}', '005001', { color: 'GREEN' }],
  ['{"color":7}', '005007'],
  ['{"at":"2026-01-31T12:00:00.500Z"}', '005a0c08c0ddf7cb061080cab5ee01'],
  ['{"ratio":"NaN"}', '0061000000000000f87f'],
  ['{"share":0.1}', '006dcdcccc3d', { share: 0.10000000149011612 }],
  ['{"nom":"x"}', '00720178'],
  ['{"named":"x"}', '00720178', { nom: 'x' }],
  ['{"any":null}', '007a020800'],
  ['{"any":{"a":[1,"b",null,true]}}', '007a232a210a1f0a0161121a32180a0911000000000000f03f0a031a01620a0208000a022001'],
  ['{"wrapped":"0"}', '00820100'],
  ['{"zig":-1}', '00880101'],
  ['{"wide":"18446744073709551615"}', '009101ffffffffffffffff'],
  ['{"constructor":"x"}', '009a010178'],
  [
    '{"names":{"__proto__":"x"}}',
    '00a2010e0a095f5f70726f746f5f5f120178',
    { names: JSON.parse('{"__proto__":"x"}') as object }
  ],
  ['{"first":null}', '00', {}]
]

/** JSON of one member, and what is read; absent: the same. */
const kept: readonly (readonly [json: string, read?: string])[] = [
  ['{"big":"1e3"}', '{"big":"1000"}'],
  ['{"big":"5.0"}', '{"big":"5"}'],
  ['{"big":"-1.20e2"}', '{"big":"-120"}'],
  ['{"big":1e3}', '{"big":"1000"}'],
  ['{"big":"9223372036854775807"}'],
  ['{"big":"9223372036854775807.0"}', '{"big":"9223372036854775807"}'],
  ['{"wide":1e19}', '{"wide":"10000000000000000000"}'],
  ['{"orderId":"1e3"}', '{"orderId":1000}'],
  ['{"counts":{"1e3":1,"5.0":2,"-7":3}}', '{"counts":{"5":2,"1000":1,"-7":3}}'],
  ['{"small":{"1e3":1}}', '{"small":{"1000":1}}'],
  ['{"ratio":-0.0}'],
  ['{"ratio":"-0"}', '{"ratio":-0.0}'],
  ['{"ratio":"NaN"}'],
  ['{"ratio":"-Infinity"}'],
  ['{"share":-0.0}'],
  ['{"ratios":[0,-0.0,1]}'],
  ['{"any":-0.0}'],
  ['{"any":12345678901234567890}', '{"any":12345678901234567000}'],
  ['{"any":"12345678901234567890"}'],
  ['{"lasts":"1.500s"}'],
  ['{"lasts":"-0.500s"}'],
  ['{"at":"2024-02-29T23:59:59Z"}'],
  ['{"packed":{}}'],
  ['{"packed":{"@type":"example.com/other.Type","value":"CAE="}}'],
  ['{"packed":{"@type":"example.com/other.Type","value":""}}'],
  [
    '{"packed":{"@type":"other.Type","value":"CAE"}}',
    '{"packed":{"@type":"type.googleapis.com/other.Type","value":"CAE="}}'
  ],
  ['{"packed":{"@type":"t/google.protobuf.Duration","value":"1s"}}'],
  ['{"packed":{"@type":"t/google.protobuf.Value","value":-0.0}}'],
  ['{"packed":{"@type":"t/google.protobuf.Empty"}}'],
  ['{"packed":{"@type":"t/shop.v1.Order.Second","n":7}}'],
  ['{"packed":{"@type":"t/google.protobuf.Any","value":{"@type":"t/other.Type","value":"AQ=="}}}'],
  ['{"several":[{"@type":"t/other.Type","value":"AQ=="},{},{"@type":"t/shop.v1.Order.Second","n":7}]}'],
  ['{"namedAny":{"a":{"@type":"t/other.Type","value":"AQ=="},"__proto__":{"@type":"t/x.Y","value":"Ag=="}}}'],
  ['{"chosen":{"@type":"t/other.Type","value":"AQ=="}}'],
  ['{"packed":{"@type":"t/google.protobuf.StringValue","value":"0"}}']
]
/** Values of any JSON. */
const dynamic = ['[]', '{}', '[[],[[]],{}]', '{"a":{},"b":[null,true,false,"",0,"é"]}', '[1,2.5,-1e300]', '""']

const misfits: readonly (readonly [json: string, error: RegExp])[] = [
  ['{"nothing":1}', /key "nothing" is unknown/],
  ['{"orderId":"x"}', /order_id: expected number \(int32\)/],
  ['{"orderId":2147483648}', /order_id: .*2147483648/],
  ['{"big":1.5}', /big: /],
  ...[
    '" "',
    '"\\n"',
    '"0x10"',
    '" 5"',
    '"5 "',
    '""',
    '"1.5"',
    '"1e-1"',
    '"1e30"',
    '"1e9999999999"',
    '"NaN"',
    '1e-1',
    '1e30'
  ].map(value => [`{"big":${value}}`, /^doesNotFit: big: /] as const),
  ['{"big":"9223372036854775808"}', /big: /],
  ['{"wide":"-1"}', /wide: /],
  ['{"orderId":"0x10"}', /order_id: expected number \(int32\), got string "0x10"/],
  ['{"ratio":"0x10"}', /ratio: expected number \(double\), got string "0x10"/],
  ['{"ratio":1e400}', /ratio: /],
  ['{"wrapped":" "}', /expected number \(int64\), got string " "/],
  ['{"counts":{" ":1}}', /counts: expected keys of int64, got string " "/],
  ['{"counts":{"0x10":1}}', /counts: /],
  ['{"counts":{"5":1,"5.0":2}}', /counts: expected each key once/],
  ['{"small":{"0x10":1}}', /small: expected keys of int32/],
  ['{"any":1e400}', /any: expected a number that a double can hold, got Infinity/],
  [`{"any":${'9'.repeat(400)}}`, /any: expected a number that a double can hold/],
  ['{"any":{"a":[1,{"b":-1e400}]}}', /any: /],
  ['{"struct":{"a":1e400}}', /struct: /],
  ['{"list":[1,1e400]}', /list: /],
  ['{"packed":{"@type":"t/google.protobuf.Value","value":1e400}}', /a number that a double can hold/],
  ['{"packed":{"@type":"t/shop.v1.Order","ratio":1e400}}', /ratio: /],
  ['{"packed":{"@type":"t/other.Type","value":"AQ==","more":1}}', /packed: expected "value" in base64 alone/],
  ['{"packed":{"@type":"t/other.Type","value":"#"}}', /packed: expected "value" in base64 alone/],
  ['{"packed":{"@type":"t/"}}', /packed: expected the name of a type/],
  ['{"packed":{"value":"AQ=="}}', /packed: expected the name of a type/],
  ['{"packed":5}', /packed: expected an Any/],
  ['{"text":12345678901234567890}', /text: expected string/],
  ['{"at":"2026-02-30T10:00:00Z"}', /at: expected a Timestamp/],
  ['{"at":"2026-06-31T10:00:00Z"}', /at: expected a Timestamp/],
  ...['"1.0000000001s"', '"1"', '"1sx"', '"315576000001s"', '"s"', '1'].map(
    value => [`{"lasts":${value}}`, /lasts: expected a Duration such as 1.5s, got /] as const
  ),
  ['{"big":9223372036854775808}', /big: /],
  ['{"color":"BLUE"}', /"BLUE"/],
  ['{"text":"a","flag":true}', /either: oneof set multiple times/],
  ['{"first":{"sku":1}}', /sku: expected string, got 1/],
  ['{"at":"yesterday"}', /Timestamp/],
  ['{"raw":"#"}', /raw: /],
  ['[]', /Order/],
  ['null', /Order/],
  ['{', /it is not JSON/]
]

/** Fields of a message, what is written, and its bytes. */
const sameNames: readonly (readonly [fields: string, json: string, hex: string])[] = [
  ['string a_b = 1 [json_name = "x"]; string aB = 2;', '{"x":"1","aB":"2"}', '0a0131120132'],
  ['oneof o { string a_b = 1 [json_name = "x"]; string aB = 2; }', '{"x":"1"}', '0a0131'],
  ['oneof a_b { string c = 1; } string aB = 2;', '{"c":"1","aB":"2"}', '0a0131120132'],
  ['oneof a_b { string c = 1; } oneof aB { string d = 2; }', '{"c":"1","d":"2"}', '0a0131120132'],
  ['string a_b = 1; string aB = 2;', '{"a_b":"1","aB":"2"}', '0a0131120132'],
  ['string a = 1 [json_name = "c"]; string b = 2 [json_name = "c"];', '{"a":"1","b":"2"}', '0a0131120132'],
  ['string a = 1 [json_name = "b"]; string b = 2 [json_name = "a"];', '{"a":"2","b":"1"}', '0a0131120132'],
  ['string a = 1 [json_name = "b"]; string b = 2 [json_name = "z"];', '{"b":"1","z":""}', '0a0131'],
  ['string to_string = 1; string toString = 2 [json_name = "x"];', '{"toString":"1","x":"2"}', '0a0131120132']
]

const invalid: readonly (readonly [schema: string, reason: RegExp])[] = [
  ...[
    'message M { string __proto__ = 1; }',
    'message M { map<string, string> __proto__ = 1; }',
    'message M { oneof __proto__ { string a = 1; } }',
    'message M { enum E { A = 0; __proto__ = 1; } E e = 1; }',
    'message __proto__ { string a = 1; }',
    'package __proto__; message M { string a = 1; }'
  ].map(file => [`syntax = "proto3"; ${file}`, /the name __proto__ cannot be used/] as const),
  [
    'syntax = "proto3"; message M { string a = 1 [json_name = "c"]; string b = 2 [json_name = "c"]; string d = 3 [json_name = "a"]; }',
    /several fields of M have the same name in JSON/
  ],
  ['', /it has no message/],
  ['syntax = "proto3"; enum E { A = 0; }', /it has no message/],
  ['message {', /illegal type name/],
  ['syntax = "proto3"; message M { Missing m = 1; }', /no such type: Missing|Missing/],
  ['syntax = "proto3"; message M { int32 a = 1; int32 a = 2; }', /duplicate name 'a'/],
  ['syntax = "proto2"; message M { optional group G = 1 { optional int32 a = 1; } }', /group/],
  [`syntax = "proto3"; ${'message M { '.repeat(10_000)}${'}'.repeat(10_000)}`, /nested too deeply|max depth|depth/]
]

describe('Protobuf', () => {
  const resolve = (stage = new SchemasStage(), schema = FILE) => stage.resolve({ schema, format: 'PROTOBUF' })

  it('writes and reads the JSON of its specification', () =>
    checkRows(written, async ([json, hex, read = JSON.parse(json) as object]) => {
      const stage = new SchemasStage()
      const schema = await resolve(stage)
      const bytes = schema.encode(json)
      expect(bytes.toString('hex')).to.equal(`0000000001${hex}`)
      expect(JSON.parse(stage.decode(bytes))).to.deep.equal({ ...ZEROS, ...read })
    }))

  it('writes and reads each number and each Any as it is', () =>
    checkRows(kept, async ([json, read = json]) => {
      const stage = new SchemasStage()
      const schema = await resolve(stage)
      const [name] = /\w+/.exec(json)!
      const whole = stage.read(schema, json)
      expect(whole).to.contain(read.slice(1, -1))
      expect(JSON.parse(whole)).to.have.property(name)
      expect(schema.encode(whole).toString('hex')).to.equal(schema.encode(json).toString('hex'))
    }))

  it('reads an Any of any type that others have written', async () => {
    const stage = new SchemasStage()
    const schema = await resolve(stage)
    const written = schema.encode('{"packed":{"@type":"x/other.Type","value":"CAE="}}')
    // The type, and the bytes 08 01.
    expect(written.toString('hex', 5)).to.equal('00ca01120a0c782f6f746865722e5479706512020801')
    const nested = (depth: number): string =>
      depth === 0 ? '{}' : `{"@type":"x/google.protobuf.Any","value":${nested(depth - 1)}}`
    expect(stage.read(schema, `{"packed":${nested(40)}}`)).to.contain(nested(40))
    expect(await errorOf(() => schema.encode(`{"packed":${nested(150)}}`))).to.match(/nested too deeply/)
  })

  it('reads where there is capacity for exactly its JSON, and nowhere else', () =>
    checkRows([...written, ...dynamic.map(json => [`{"any":${json}}`] as const)], async ([json]) => {
      const stage = new SchemasStage()
      const bytes = (await resolve(stage)).encode(json)
      const length = Buffer.byteLength(stage.decode(bytes))
      const read = (maxBytes: number) =>
        stage.schemas.decodeEach([{ bytes, header: undefined }], { maxBytes, owner: undefined })
      expect((await read(length))[0]).to.include({ type: 'decoded' })
      expect((await read(length - 1))[0])
        .to.have.property('cause')
        .that.includes(`more than ${length - 1} bytes`)
    }))

  it('says which field does not fit, and why', () =>
    checkRows(misfits, async ([json, error]) => {
      const schema = await resolve()
      expect(await errorOf(() => schema.encode(json)))
        .to.match(/^doesNotFit: .* \(schema 1\)$/)
        .and.match(error)
    }))

  it('refuses what is no schema, with the reason', () =>
    checkRows(invalid, async ([schema, reason]) => {
      expect(await errorOf(() => resolve(new SchemasStage(), schema)))
        .to.match(/^invalidSchema: /)
        .and.match(reason)
    }))

  it('keeps what has the name __proto__ in JSON, and takes it in comments and texts', async () => {
    const file =
      'syntax = "proto3"; /* __proto__ */ message M { string a = 1 [json_name = "__proto__"]; string b = 2; }'
    const schema = await resolve(new SchemasStage(), file)
    expect((await schema.encode('{"__proto__":"x","b":"y"}')).toString('hex').slice(10)).to.equal('000a0178120179')
  })

  it('keeps the values of fields and oneofs whose names are the same in lowerCamelCase, or are names in JSON of others', () =>
    checkRows(sameNames, async ([fields, json, hex]) => {
      const stage = new SchemasStage()
      const schema = await resolve(stage, `syntax = "proto3"; message M { ${fields} }`)
      expect(schema.encode(json).toString('hex', 6)).to.equal(hex)
      expect(JSON.parse(stage.read(schema, json))).to.deep.equal(JSON.parse(json))
    }))

  it('reads nested and later messages by their path', async () => {
    const stage = new SchemasStage()
    await resolve(stage)
    const read = (hex: string): string => stage.decode(Buffer.from(`0000000001${hex}`, 'hex'))
    expect(read('0202' + '0a020a00')).to.equal('{"item":{"sku":""},"colors":[]}')
    expect(read('0400020801')).to.equal('{"n":1}')
    expect(read('060000000801')).to.equal('{"n":1}')
    expect(read('0202' + '12020001')).to.equal('{"colors":["RED","GREEN"]}')
    expect(read('0204')).to.equal('it does not fit its schema: its schema has no such message')
    expect(read('0201')).to.equal('it does not fit its schema: its schema has no such message')
    expect(read('000a')).to.match(/^it does not fit its schema: /)
    expect(read('')).to.match(/^it does not fit its schema: /)
    expect(read('00ff01' + '7f')).to.match(/^it does not fit its schema: /)
  })

  it('takes the description of a file in base64, which some serializers register', async () => {
    // syntax = "proto3"; package shop; message Order { optional string note = 1; map<string, Item> items = 2; message Item { int32 n = 1; } }
    const described =
      'CgdhLnByb3RvEgRzaG9wIp0BCgVPcmRlchIRCgRub3RlGAEgASgJSACIAQESJQoFaXRlbXMYAiADKAsyFi5zaG9wLk9yZGVyLkl0ZW1zRW50cnka' +
      'PgoKSXRlbXNFbnRyeRILCgNrZXkYASABKAkSHwoFdmFsdWUYAiABKAsyEC5zaG9wLk9yZGVyLkl0ZW06AjgBGhEKBEl0ZW0SCQoBbhgBIAEoBUIHCgVfbm90ZWIGcHJvdG8z'
    const stage = new SchemasStage()
    const schema = await resolve(stage, described)
    expect(stage.read(schema, '{"items":{"a":{"n":1}}}')).to.equal('{"items":{"a":{"n":1}}}')
    expect(stage.decode(Buffer.from('0000000001040002' + '0805', 'hex'))).to.equal('{"n":5}')
  })

  it('has the name of its message', async () => {
    const { subject } = await new SchemasStage().resolve({ schema: FILE, format: 'PROTOBUF', strategy: 'RECORD_NAME' })
    expect(subject).to.equal('shop.v1.Order')
  })

  it('looks at long texts of numbers once', async () => {
    const schema = await resolve()
    const digits = '1'.repeat(1_000_000)
    for (const [name, value] of [
      ['big', `"${digits}"`],
      ['orderId', `"${digits}x"`],
      ['ratio', `"${digits}x"`]
    ])
      expect(await errorOf(() => schema.encode(`{"${name}":${value}}`))).to.match(/^doesNotFit: \w+: expected number/)
  })

  it('uses files by their names, also of its own package', async () => {
    const stage = new SchemasStage()
    stage.registry.add('price', {
      schema: 'syntax = "proto3"; package shop; message Price { int64 cents = 1; }',
      schemaType: 'PROTOBUF'
    })
    const references = [{ name: 'shop/price.proto', subject: 'price', version: 1 }]
    const file = 'syntax = "proto3"; package shop; import "shop/price.proto"; message Item { Price price = 1; }'
    const schema = await stage.resolve({ schema: file, format: 'PROTOBUF', references })
    expect(stage.read(schema, '{"price":{"cents":"5"}}')).to.equal('{"price":{"cents":"5"}}')
  })

  it('knows required fields of proto2, and its fields that are not packed', async () => {
    const file =
      'syntax = "proto2"; message M { required int32 a = 1; repeated int32 b = 2; optional string c = 3 [default = "x"]; }'
    const stage = new SchemasStage()
    const schema = await resolve(stage, file)
    expect(schema.encode('{"a":0,"b":[1,2]}').toString('hex')).to.equal('0000000001' + '00' + '0800' + '10011002')
    expect(stage.read(schema, '{"a":0}')).to.equal('{"a":0,"b":[]}')
    expect(await errorOf(() => schema.encode('{}'))).to.match(/^doesNotFit: .*required/)
  })

  it('reads files of editions with their features, and refuses those that it does not know', async () => {
    const file = `edition = "2023"; package q; option features.field_presence = IMPLICIT;
      message M {
        string a = 1; string b = 2 [features.field_presence = EXPLICIT];
        repeated int32 c = 3; repeated int32 d = 4 [features.repeated_field_encoding = EXPANDED];
        enum E { option features.enum_type = CLOSED; ONE = 1; } E e = 5 [features.field_presence = EXPLICIT]; N n = 6;
      }
      message N {}`
    const json = '{"a":"","b":"","c":[1,2],"d":[1,2],"e":"ONE","n":{}}'
    for (const edition of ['2023', '2024', '2026']) {
      const stage = new SchemasStage()
      const schema = await resolve(stage, file.replace('2023', edition))
      expect(stage.read(schema, json)).to.equal(json)
      expect(schema.encode(json).toString('hex', 6)).to.equal('1200' + '1a020102' + '20012002' + '2801' + '3200')
      expect(stage.read(schema, '{}')).to.equal('{"a":"","c":[],"d":[]}')
    }
    expect(await errorOf(() => resolve(new SchemasStage(), file.replace('2023', '2025')))).to.match(
      /^invalidSchema: .*illegal edition '2025'/
    )
  })

  it('reads what is new in edition 2024: imports of options, and which types are exported', async () => {
    const file = `edition = "2024"; package q; import option "shop/options.proto";
      option features.default_symbol_visibility = LOCAL_ALL;
      export message M { N n = 1; E e = 2 [(shop.pii) = true]; message Inner { string a = 1; } Inner i = 3; }
      local message N { int32 a = 1; }
      export enum E { ZERO = 0; ONE = 1; }`
    const stage = new SchemasStage()
    const schema = await resolve(stage, file)
    const json = '{"n":{"a":7},"e":"ONE","i":{"a":"x"}}'
    expect(stage.read(schema, json)).to.equal(json)
    expect(schema.encode(json).toString('hex', 6)).to.equal('0a020807' + '1001' + '1a030a0178')
  })

  it('refuses few bytes, and short JSON, of very many fields', async () => {
    const fields = Array.from({ length: 450 }, (_, at) => `int32 f${at} = ${at + 2};`).join(' ')
    const stage = new SchemasStage()
    const schema = await resolve(stage, `syntax = "proto3"; message M { repeated M m = 1; ${fields} }`)
    const bytes = Buffer.concat([schema.encode('{}'), Buffer.alloc(20_000).fill(Buffer.from('0a00', 'hex'))])
    expect(stage.decode(bytes)).to.equal('it does not fit its schema: the JSON has more than 4194304 bytes')
    expect(await errorOf(() => schema.encode(`{"m":[${'{},'.repeat(9_999)}{}]}`))).to.match(
      /^tooLarge: it has too many messages/
    )
  })

  describe('counts what a record would become before it is made', () => {
    const WIDE = Array.from({ length: 1_000 }, (_, at) => `int32 f${at}=${at + 20};`).join('')
    const MESSAGE = `syntax="proto3";import "google/protobuf/any.proto";
      message M{repeated M m=1;map<string,M> e=2;google.protobuf.Any x=3;${WIDE}}`
    const OPTIONAL = Array.from({ length: 500 }, (_, at) => `optional int32 f${at}=${at + 20};`).join('')
    const TOO_LONG = 'it does not fit its schema: the JSON has more than 4194304 bytes'
    const TOO_MANY = 'it does not fit its schema: it has too many messages'
    const many = (hex: string, times: number): string => hex.repeat(times)
    const inside = (tag: string, hex: string): string => {
      const length = hex.length / 2
      return tag + Buffer.from(length < 0x80 ? [length] : [(length & 0x7f) | 0x80, length >> 7]).toString('hex') + hex
    }
    /** 3,006 bytes, and other few ones. */
    const rows: readonly (readonly [what: string, schema: string, hex: string, cause: string])[] = [
      ['messages', MESSAGE, many('0a00', 1_500), TOO_LONG],
      [
        'messages in an Any',
        MESSAGE,
        inside('1a', inside('0a', '742f4d') + inside('12', many('0a00', 1_500))),
        TOO_LONG
      ],
      ['entries of a map without a value', MESSAGE, many('1200', 1_500), TOO_LONG],
      ['entries of a map with a value', MESSAGE, many('1205' + '0a0161' + '1200', 1_500), TOO_LONG],
      ['values of an entry', MESSAGE, inside('12', many('1200', 1_500)), TOO_LONG],
      [
        'long names of fields',
        `syntax="proto3";message M{repeated M m=1;int32 ${'n'.repeat(50_000)}=2;}`,
        many('0a00', 90),
        TOO_LONG
      ],
      [
        'long names of fields that may be absent',
        `syntax="proto3";message M{repeated M m=1;optional int32 ${'n'.repeat(50_000)}=2;}`,
        many('0a021000', 90),
        TOO_LONG
      ],
      [
        'long names of an enum',
        `syntax="proto3";message M{repeated E e=1;} enum E{${'E'.repeat(50_000)}=0;}`,
        inside('0a', many('00', 90)),
        TOO_LONG
      ],
      [
        'names that are escaped',
        `syntax="proto3";message M{repeated M m=1;int32 n=2[json_name="${'\\t'.repeat(25_000)}"];}`,
        many('0a00', 90),
        TOO_LONG
      ],
      ['fields that are absent', `syntax="proto3";message M{repeated M m=1;${OPTIONAL}}`, many('0a00', 2_100), TOO_MANY]
    ]
    for (const [what, file, hex, cause] of rows)
      it(what, async () => {
        const stage = new SchemasStage()
        const schema = await resolve(stage, file)
        const start = schema.encode('{}').subarray(0, 6)
        expect(stage.decode(Buffer.concat([start, Buffer.from(hex, 'hex')]))).to.equal(cause)
      })

    it('entries of a map, which take memory where they have no field: 250,000 are the most', async () => {
      const stage = new SchemasStage()
      const schema = await resolve(stage, 'syntax="proto3";message M{map<string,int32> e=1;}')
      const start = schema.encode('{}').subarray(0, 6)
      const decoded = (entries: number) =>
        stage.decode(Buffer.concat([start, Buffer.from(many('0a00', entries), 'hex')]))
      expect(decoded(249_000)).to.equal('{"e":{"":0}}')
      expect(decoded(251_000)).to.equal(TOO_MANY)
      const entries = Array.from({ length: 251_000 }, (_, at) => `"${at}":0`)
      expect(await errorOf(() => schema.encode(`{"e":{${entries.join()}}}`))).to.match(/^tooLarge: it has too many/)
    })

    it('messages that are to be written, in lists, maps and an Any', async () => {
      const schema = await resolve(new SchemasStage(), MESSAGE)
      const list = `[${'{},'.repeat(1_897)}{}]`
      const entries = Array.from({ length: 1_200 }, (_, at) => `"${at}":{}`)
      for (const json of [`{"m":${list}}`, `{"e":{${entries.join()}}}`, `{"x":{"@type":"t/M","m":${list}}}`])
        expect(await errorOf(() => schema.encode(json))).to.equal('tooLarge: it has too many messages (schema 1)')
    })

    it('values of any JSON', async () => {
      const schema = await resolve(
        new SchemasStage(),
        'syntax="proto3";import "google/protobuf/struct.proto";message M{google.protobuf.Value v=1;}'
      )
      const listOf = (count: number): string => `{"v":[{"a":[${'1,'.repeat(count)}1]}]}`
      expect(await errorOf(() => schema.encode(listOf(1_000_000)))).to.equal(
        'tooLarge: it has too many messages (schema 1)'
      )
      expect(schema.encode(listOf(10_000)).length).to.be.above(10_000)
    })

    it('no more than it is: texts, bytes, numbers and braces of 4 MiB are read', async () => {
      const stage = new SchemasStage()
      const schema = await resolve(
        stage,
        `syntax="proto3";message M{string s=1;bytes b=2;repeated int64 n=3;repeated M m=4;map<string,int32> e=5;bool t=6;optional string o=7;E c=8;}
          enum E{FIRST=0;S=1;}`
      )
      const rest = (json: string): string => `"s":"${'x'.repeat(4 * 1024 * 1024 - json.length - 7)}",`
      for (const json of [
        '{"b":"","n":[],"m":[],"e":{},"t":false,"c":"FIRST"}',
        '{"b":"AAEC","n":["1","2"],"m":[],"e":{"a":1,"b":22},"t":true,"o":"x","c":"S"}',
        `{"b":"","n":[],"m":[{"s":"","b":"","n":[],"m":[],"e":{},"t":false,"o":"","c":"FIRST"}],"e":{},"t":false,"c":"FIRST"}`
      ]) {
        const whole = `{${rest(json)}${json.slice(1)}`
        expect(whole).to.have.length(4 * 1024 * 1024)
        expect(stage.read(schema, whole).slice(-150)).to.equal(whole.slice(-150))
        const longer = schema.encode(whole)
        const more = Buffer.concat([longer, Buffer.from('3a0178', 'hex')])
        expect(stage.decode(more)).to.equal(json.includes('"o":"x"') ? whole : TOO_LONG)
      }
    })
  })

  it('writes and reads no messages that are nested too deeply', async () => {
    const stage = new SchemasStage()
    const schema = await resolve(stage, 'syntax = "proto3"; message M { M m = 1; }')
    expect(await errorOf(() => schema.encode(`${'{"m":'.repeat(10_000)}{}${'}'.repeat(10_000)}`))).to.match(
      /depth|deep/
    )
    let bytes = Buffer.alloc(0)
    for (let depth = 0; depth < 1_000; depth++) {
      const length = bytes.length < 128 ? [bytes.length] : [(bytes.length & 127) | 128, bytes.length >> 7]
      bytes = Buffer.concat([Buffer.from([10, ...length]), bytes])
    }
    expect(stage.decode(Buffer.concat([schema.encode('{}'), bytes]))).to.match(/depth|deep/)
  })
})
