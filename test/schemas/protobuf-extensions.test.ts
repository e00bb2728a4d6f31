import { expect } from 'chai'
import { checkRows } from '../support/rows.js'
import { describedFile, field, message } from './protobuf-descriptions.js'
import { errorOf, SchemasStage } from './stage.js'

const DESCRIPTOR = 'import "google/protobuf/descriptor.proto";'

/** Files with options of their own, each with a message that has `string a = 1`. */
const withOptions: Readonly<Record<string, string>> = {
  'of a field, in proto3': `syntax = "proto3"; package q; ${DESCRIPTOR}
    extend google.protobuf.FieldOptions { bool pii = 50001; }
    message M { string a = 1 [(pii) = true]; }`,
  'optional ones': `syntax = "proto3"; package q; ${DESCRIPTOR}
    extend google.protobuf.FieldOptions { optional bool pii = 50001; repeated string tags = 50002; }
    message M { string a = 1 [(q.pii) = true, (.q.tags) = "x", (q.tags) = "y", deprecated = true]; }`,
  'in proto2': `syntax = "proto2"; package q; ${DESCRIPTOR}
    extend google.protobuf.FieldOptions { optional bool pii = 50001; }
    message M { optional string a = 1 [(q.pii) = true]; }`,
  'in edition 2023': `edition = "2023"; package q; ${DESCRIPTOR}
    extend google.protobuf.FieldOptions { bool pii = 50001; }
    message M { string a = 1 [(q.pii) = true]; }`,
  'declared in a message, and optional there': `syntax = "proto3"; ${DESCRIPTOR}
    message M {
      extend google.protobuf.FieldOptions { optional bool pii = 50001; bool more = 50002; }
      string a = 1 [(M.pii) = true, (.M.more) = false];
    }`,
  'declared behind their use': `syntax = "proto3"; package q; ${DESCRIPTOR}
    message M { string a = 1 [(q.pii) = true]; }
    extend google.protobuf.FieldOptions { bool pii = 50001; }`,
  'that are messages, with all forms of values': `syntax = "proto3"; package q; ${DESCRIPTOR}
    message M {
      string a = 1 [
        (q.rules) = { min: -1, in: ["a", 'b'] inner { inner: { level: HIGH } } by_name { key: "x" value: inf } raw: "\\001]};\\"" },
        (q.rules).inner.min = 0x10, (rules).level = HIGH, /* , ( */ (rules) = { inner: [{ min: 1 }, { in: [] }], inner < min: 2, level: LOW > [q.more]: 1 }
      ];
    }
    enum Level { LOW = 0; HIGH = 1; }
    message Rules { int64 min = 1; repeated string in = 2; Rules inner = 3; Level level = 4; map<string, double> by_name = 5; bytes raw = 6; }
    extend google.protobuf.FieldOptions { Rules rules = 50001; }`,
  'of all that has options': `syntax = "proto3"; package q; ${DESCRIPTOR}
    option (file) = "f"; option (q.meta).tags = "t";
    message M {
      option (of_message) = 1;
      string a = 1;
      oneof b { option (of_oneof) = 2; string c = 2; }
    }
    enum E { option (of_enum) = 3; FIRST = 0 [(of_value) = 4]; }
    service S { option (of_service) = 5; rpc Get (M) returns (stream M) { option (of_method) = { body: "*" get: "/v1/{name=x/*}" }; } }
    message Meta { repeated string tags = 1; }
    message Rule { string body = 1; string get = 2; }
    extend google.protobuf.FileOptions { string file = 50001; Meta meta = 50002; }
    extend google.protobuf.MessageOptions { int32 of_message = 50001; }
    extend google.protobuf.OneofOptions { int32 of_oneof = 50001; }
    extend google.protobuf.EnumOptions { int32 of_enum = 50001; }
    extend google.protobuf.EnumValueOptions { int32 of_value = 50001; }
    extend google.protobuf.ServiceOptions { int32 of_service = 50001; }
    extend google.protobuf.MethodOptions { Rule of_method = 50001; }`,
  'that nobody declares': 'syntax = "proto3"; message M { string a = 1 [(validate.rules).string = { min_len: 1 }]; }'
}

const EXTENDED = `syntax = "proto2"; package shop;
  import "google/protobuf/any.proto"; import "google/protobuf/timestamp.proto";
  message Order { optional string note = 1; extensions 100 to max; }
  message Other { optional Order order = 1; extensions 100 to 200; }
  message Tag { optional string name = 1; extend Order { optional Tag tag = 107; } extensions 4 to 9; }
  enum Color { RED = 1; GREEN = 2; }
  extend Order {
    optional int64 big = 100; repeated int32 numbers = 101; repeated int32 packed = 102 [packed = true];
    optional google.protobuf.Any any = 103; optional double ratio = 104; optional Color color = 105;
    optional google.protobuf.Timestamp at = 106; optional Order again = 108; repeated Tag tags = 109; optional bytes raw = 110;
  }
  extend Tag { optional Order of = 4; }
  extend Other { optional string more = 100; }`
const LISTS = { '[shop.numbers]': [], '[shop.packed]': [], '[shop.tags]': [] }

describe('Protobuf with extensions', () => {
  const resolve = (stage: SchemasStage, schema: string) => stage.resolve({ schema, format: 'PROTOBUF' })

  for (const [what, file] of Object.entries(withOptions))
    it(`reads options ${what}`, async () => {
      const stage = new SchemasStage()
      const schema = await resolve(stage, file)
      expect(stage.read(schema, '{"a":"x"}')).to.match(/^\{"a":"x"/)
      expect(schema.encode('{"a":"x"}').toString('hex', 5)).to.match(/^0(0|2.{2})0a0178$/)
    })

  it('uses files that declare options', async () => {
    const stage = new SchemasStage()
    const rules = `syntax = "proto2"; package rules; ${DESCRIPTOR}
      extend google.protobuf.FieldOptions { optional Rules field = 1159; }
      message Rules { optional int32 min_len = 1; extensions 1000 to max; }
      extend Rules { optional bool mine = 1000; }`
    stage.registry.add('rules', { schema: rules, schemaType: 'PROTOBUF' })
    const references = [{ name: 'rules/rules.proto', subject: 'rules', version: 1 }]
    const file = `syntax = "proto3"; import "rules/rules.proto";
      message M { string a = 1 [(rules.field) = { min_len: 1 [rules.mine]: true }]; rules.Rules rules = 2; }`
    const schema = await stage.resolve({ schema: file, format: 'PROTOBUF', references })
    const json = '{"a":"x","rules":{"minLen":1,"[rules.mine]":true}}'
    expect(stage.read(schema, json)).to.equal(json)
  })

  it('tells the line of an error behind options of many lines', async () => {
    const file = `syntax = "proto3";\nmessage M {\n  string a = 1 [(x) = {\n    y: "\n"\n  }];\n  option (z) = {\n};\n  wrong\n}`
    expect(await errorOf(() => resolve(new SchemasStage(), file))).to.match(/^invalidSchema: .*illegal .*line 10/)
  })

  it('writes and reads the extensions of its own messages by their names in brackets', () =>
    checkRows<readonly [json: string, hex: string, read?: object]>(
      [
        ['{}', ''],
        ['{"[shop.big]":9007199254740993}', 'a00681808080' + '80808010', { '[shop.big]': '9007199254740993' }],
        ['{"[shop.big]":"1e3"}', 'a006e807', { '[shop.big]': '1000' }],
        ['{"note":"x","[shop.numbers]":[1,2]}', '0a0178' + 'a80601a80602'],
        ['{"[shop.packed]":[1,2]}', 'b206020102'],
        ['{"[shop.color]":"GREEN"}', 'c80602'],
        ['{"[shop.Tag.tag]":{"name":"x"}}', 'da06030a0178'],
        ['{"[shop.tags]":[{"name":"x"},{}]}', 'ea06030a0178' + 'ea0600'],
        ['{"[shop.again]":{"[shop.again]":{"note":"x"}}}', 'e20606' + 'e206030a0178'],
        ['{"[shop.Tag.tag]":{"[shop.of]":{"[shop.raw]":"AAE="}}}', 'da0607' + '2205' + 'f206020001'],
        ['{"[shop.at]":"2026-01-31T12:00:00Z"}', 'd20606' + '08c0ddf7cb06'],
        [
          '{"[shop.any]":{"@type":"t/shop.Other","[shop.more]":"y"}}',
          'ba0614' + '0a0c742f73686f702e4f74686572' + '1204a2060179'
        ],
        ['{"[shop.any]":{"@type":"t/not.Known","value":"AQ=="}}', 'ba0610' + '0a0b742f6e6f742e4b6e6f776e' + '120101']
      ],
      async ([json, hex, read = JSON.parse(json) as object]) => {
        const stage = new SchemasStage()
        const schema = await resolve(stage, EXTENDED)
        const bytes = schema.encode(json)
        expect(bytes.toString('hex', 6)).to.equal(hex)
        const withLists = JSON.parse(JSON.stringify(read), (key, value: unknown) =>
          key === '' || key === '[shop.again]' || key === '[shop.of]' ? { ...LISTS, ...(value as object) } : value
        ) as object
        expect(JSON.parse(stage.decode(bytes))).to.deep.equal(withLists)
      }
    ))

  it('keeps -0.0 in an extension, and leaves out what it does not know', async () => {
    const stage = new SchemasStage()
    const schema = await resolve(stage, EXTENDED)
    expect(stage.read(schema, '{"[shop.ratio]":-0.0}')).to.contain('"[shop.ratio]":-0.0')
    const bytes = Buffer.concat([schema.encode('{"note":"x"}'), Buffer.from('f80a01', 'hex')])
    expect(JSON.parse(stage.decode(bytes))).to.deep.equal({ note: 'x', ...LISTS })
  })

  it('says which extension does not fit', () =>
    checkRows<readonly [json: string, error: RegExp]>(
      [
        ['{"[shop.big]":"x"}', /^doesNotFit: \[shop\.big\]: expected number \(int64\), got string "x"/],
        ['{"[shop.Tag.tag]":{"name":1}}', /^doesNotFit: name: expected string, got 1/],
        ['{"[shop.color]":"BLUE"}', /^doesNotFit: .*"BLUE"/],
        ['{"[shop.more]":"of another message"}', /^doesNotFit: .*key "\[shop\.more\]" is unknown/],
        ['{"[shop.nothing]":1}', /^doesNotFit: .*key "\[shop\.nothing\]" is unknown/],
        ['{"big":1}', /^doesNotFit: .*key "big" is unknown/],
        ['{"[google.protobuf.nothing]":1}', /^doesNotFit: .* is unknown/]
      ],
      async ([json, error]) => {
        const schema = await resolve(new SchemasStage(), EXTENDED)
        expect(await errorOf(() => schema.encode(json))).to.match(error)
      }
    ))

  it('refuses an extension of nothing, and one that is there twice', async () => {
    const refused = (file: string) => errorOf(() => resolve(new SchemasStage(), file))
    const one = 'optional int32 a = 100;'
    const M = 'message M { optional int32 b = 1; extensions 100 to 200; }'
    expect(await refused(`syntax = "proto2"; ${M} extend Missing { ${one} }`)).to.match(/^invalidSchema: .*Missing/)
    expect(await refused(`syntax = "proto2"; ${M} extend M { ${one} ${one} }`)).to.match(/^invalidSchema: .*duplicate/)
    expect(await refused(`syntax = "proto2"; ${M} extend M { ${one} optional int32 c = 100; }`)).to.match(
      /^invalidSchema: .*duplicate id 100/
    )
    expect(await refused(`syntax = "proto2"; ${M} extend M { repeated group G = 100 { ${one} } }`)).to.match(
      /^invalidSchema: /
    )
  })

  describe('in a description in base64', () => {
    const extension = (name: string, number: number, extendee: string, more: object = {}) => ({
      ...field(name, number, 'STRING'),
      extendee,
      ...more
    })

    it('reads options, and extensions of its own messages', async () => {
      const described = describedFile({
        name: 'a.proto',
        package: 'shop',
        dependency: ['google/protobuf/descriptor.proto'],
        extension: [
          extension('pii', 50_001, '.google.protobuf.FieldOptions'),
          extension('more', 100, '.shop.M'),
          extension('numbers', 101, '.shop.M', { type: 'TYPE_INT32', label: 'LABEL_REPEATED' })
        ],
        messageType: [
          message('M', [field('a', 1, 'STRING')], {
            extension: [
              extension('inner', 102, '.shop.M'),
              extension('hidden', 50_002, '.google.protobuf.MessageOptions')
            ],
            extensionRange: [{ start: 100, end: 200 }]
          })
        ]
      })
      const stage = new SchemasStage()
      const schema = await resolve(stage, described)
      const json = '{"a":"x","[shop.more]":"y","[shop.numbers]":[1],"[shop.M.inner]":"z"}'
      expect(stage.read(schema, json)).to.equal(json)
      expect(schema.encode(json).toString('hex', 6)).to.equal('0a0178' + 'a2060179' + 'a80601' + 'b206017a')
    })

    it('reads a file of proto2, whose syntax is not told', async () => {
      const stage = new SchemasStage()
      const schema = await resolve(
        stage,
        describedFile({ name: 'a.proto', messageType: [message('M', [field('a', 1, 'STRING')])] })
      )
      expect(stage.read(schema, '{"a":"x"}')).to.equal('{"a":"x"}')
    })
  })
})
