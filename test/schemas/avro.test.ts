import { expect } from 'chai'
import fc from 'fast-check'
import { createAvro } from '../../src/schemas/avro.js'
import { checkRows } from '../support/rows.js'
import { errorOf, SchemasStage } from './stage.js'

const record = (name: string, ...fields: readonly unknown[]): object => ({ type: 'record', name, fields })
const field = (name: string, type: unknown, more: object = {}): unknown => ({ name, type, ...more })
const ITEM = record('Item', field('price', 'double'))
const NODE = record('Node', field('next', ['null', 'Node'], { default: null }))
const COLOR = { type: 'enum', name: 'Color', symbols: ['RED', 'GREEN'] }

/** The bytes behind the id in hexadecimal digits, and the JSON that is read; absent: the same as was written. */
const written: readonly (readonly [schema: unknown, json: string, hex: string, read?: string])[] = [
  ['string', '"foobar"', '0c666f6f626172'],
  [{ type: 'string' }, '"foobar"', '0c666f6f626172'],
  ['null', 'null', ''],
  ['boolean', 'true', '01'],
  ['int', '-1', '01'],
  ['int', '2147483647', 'feffffff0f'],
  ['long', '9007199254740993', '82808080808080' + '20'],
  ['long', '-9223372036854775808', 'ffffffffffffffffff01'],
  ['long', '9223372036854775807', 'feffffffffffffffff01'],
  ['long', '4503599627370497', '8280808080808010'],
  ['float', '0.1', 'cdcccc3d'],
  ['float', '16777217', '0000804b', '16777216'],
  ['double', '-0', '0000000000000080'],
  ['double', '"NaN"', '000000000000f87f'],
  ['double', '"-Infinity"', '000000000000f0ff'],
  ['double', '12345678901234567890', 'e1639d31956ae543', '12345678901234567000'],
  ['bytes', '"\u00ff\\u0000"', '04ff00', '"\u00ff\\u0000"'],
  ['string', '"\\u0000\\ud83d\\ude00"', '0a00f09f9880', '"\\u0000😀"'],
  [{ type: 'fixed', name: 'F', size: 2 }, '"\u00ffa"', 'ff61'],
  [COLOR, '"GREEN"', '02'],
  [{ type: 'array', items: 'int' }, '[1,2]', '04020400'],
  [{ type: 'array', items: 'int' }, '[]', '00'],
  [{ type: 'map', values: 'int' }, '{}', '00'],
  [
    { type: 'map', values: 'int' },
    '{"__proto__":1,"constructor":2}',
    '04125f5f70726f746f5f5f0216636f6e7374727563746f720400'
  ],
  [record('R', field('__proto__', 'int'), field('constructor', 'int')), '{"__proto__":1,"constructor":2}', '0204'],
  [record('Empty'), '{}', ''],
  [['null', 'string'], 'null', '00'],
  [['null', 'string'], '{"string":"x"}', '020278'],
  [['null', 'string'], '"x"', '020278', '{"string":"x"}'],
  [['int', 'string'], '5', '000a', '{"int":5}'],
  [['null', 'a.b.C', 'string'].map(type => (type === 'a.b.C' ? record('a.b.C') : type)), '{"a.b.C":{}}', '02'],
  [['null', ITEM], '{"price":1}', '02000000000000f03f', '{"Item":{"price":1}}'],
  [[ITEM, record('Other', field('name', 'string'))], '{"name":"x"}', '020278', '{"Other":{"name":"x"}}'],
  [['null', { type: 'map', values: 'int' }], '{"map":{"a":1}}', '02020261' + '0200'],
  [NODE, '{"next":{"next":null}}', '0200', '{"next":{"Node":{"next":null}}}'],
  [NODE, '{}', '00', '{"next":null}'],
  [record('D', field('c', COLOR, { default: 'GREEN' })), '{}', '02', '{"c":"GREEN"}'],
  [record('D', field('u', ['null', 'int'], { default: 7 })), '{}', '020e', '{"u":{"int":7}}'],
  [record('D', field('b', 'bytes', { default: '\u00ff' })), '{}', '02ff', '{"b":"\u00ff"}'],
  [
    record('D', field('l', 'long', { default: 1 }), field('i', ITEM, { default: { price: 2 } })),
    '{"l":2}',
    '040000000000000040',
    '{"l":2,"i":{"price":2}}'
  ],
  [{ type: 'bytes', logicalType: 'decimal', precision: 4, scale: 2 }, '"\\u0004\u00d2"', '0404d2'],
  [
    {
      type: 'record',
      name: 'R',
      namespace: 'n',
      fields: [field('a', { type: 'fixed', name: 'F', size: 1 }), field('b', 'F'), field('c', 'n.F')]
    },
    '{"a":"1","b":"2","c":"3"}',
    '313233'
  ],
  [{ type: 'error', name: 'E', fields: [] }, '{}', ''],
  // As Avro of Java reads it: null is no namespace of its own, so one has that of what it is in.
  [
    {
      ...record('R', field('a', { type: 'fixed', name: 'F', size: 1, namespace: null }), field('b', 'F')),
      namespace: null
    },
    '{"a":"1","b":"2"}',
    '3132'
  ],
  [
    {
      ...record('R', field('a', { type: 'fixed', name: 'F', size: 1, namespace: null, doc: null }), field('b', 'n.F')),
      namespace: 'n'
    },
    '{"a":"1","b":"2"}',
    '3132'
  ],
  [['null', 'double', 'long'], '5', '040a', '{"long":5}'],
  [['null', 'double', 'long'], '0.5', '02000000000000e03f', '{"double":0.5}'],
  [['double', 'int'], '2147483648', '00000000000000e041', '{"double":2147483648}']
]

const misfits: readonly (readonly [schema: unknown, json: string, message: string])[] = [
  ['int', '2147483648', 'expected int, got 2147483648'],
  ['int', '1.5', 'expected int, got 1.5'],
  ['int', '"1"', 'expected int, got string "1"'],
  ['long', '9223372036854775808', 'expected long, got 9223372036854775808'],
  ['long', '1e300', 'expected long, got 1e+300'],
  ['float', '1e300', 'expected float, got 1e+300'],
  ['double', '"nan"', 'expected double, got string "nan"'],
  ['double', '1e400', 'expected double, got Infinity'],
  ['double', '-1e400', 'expected double, got -Infinity'],
  [['null', 'double'], '1e400', 'expected double, got Infinity'],
  ['bytes', '"\u0100"', 'expected bytes, got string "\u0100"'],
  ['string', '"\\ud800"', 'expected string, got string "\\ud800"'],
  ['string', 'null', 'expected string, got null'],
  ['null', '0', 'expected null, got 0'],
  [COLOR, '"BLUE"', 'expected enum Color (RED, GREEN), got string "BLUE"'],
  [{ type: 'fixed', name: 'F', size: 2 }, '"a"', 'expected fixed F of 2 bytes, got string "a"'],
  [
    record('R', field('items', { type: 'array', items: ITEM })),
    '{"items":[{"price":1},{"price":2},{"price":"x"}]}',
    'items[2].price: expected double, got string "x"'
  ],
  [record('R', field('m', { type: 'map', values: 'int' })), '{"m":{"k":null}}', 'm.k: expected int, got null'],
  [{ type: 'array', items: 'int' }, '[1,"x"]', '[1]: expected int, got string "x"'],
  [ITEM, '{}', 'price: expected double, got nothing'],
  [ITEM, '{"price":1,"prise":2}', 'prise: record Item has no such field'],
  [ITEM, '[]', 'expected record Item, got array'],
  [record('R', field('a', ['null', ITEM])), '{"a":{"price":"x"}}', 'a.price: expected double, got string "x"'],
  [['null', 'string'], '{"string":1}', 'expected string, got 1'],
  [['null', 'string'], '5', 'expected one of null, string, got 5'],
  [['float', 'double'], '5', 'expected one of float, double, with its type since several fit, got 5'],
  [['int', 'long'], '5', 'expected one of int, long, with its type since several fit, got 5'],
  [['null', 'string'], '{"null":null}', 'expected one of null, string, got object'],
  ['int', '{', 'it is not JSON'],
  [record('D', field('r', 'D', { default: {} })), '{}', 'r: expected record D, got nothing']
]

const invalid: readonly (readonly [schema: string, reason: RegExp])[] = [
  ['{', /JSON/],
  ['"strin"', /there is no type string "strin"/],
  ['5', /there is no type 5/],
  ['{}', /there is no type nothing/],
  ['{"type":"record","name":"R"}', /R has a name that is none/],
  ['{"type":"record","name":"1","fields":[]}', /a name that is none: string "1"/],
  [
    '{"type":"record","name":"R","fields":[{"name":"a-b","type":"int"}]}',
    /R has a name that is none, or is used twice: string "a-b"/
  ],
  [
    '{"type":"record","name":"R","fields":[{"name":"a","type":"int"},{"name":"a","type":"int"}]}',
    /or is used twice: string "a"/
  ],
  ['{"type":"enum","name":"E"}', /E has no symbols/],
  ['{"type":"fixed","name":"F","size":-1}', /fixed F has no size/],
  [
    JSON.stringify({ ...record('R'), namespace: 'n'.repeat(999) }),
    /the name "n{100}" of a type has more than 1000 characters/
  ],
  ['["int","int"]', /a union has a type twice/],
  ['[["int"]]', /or another union/],
  ['{"type":"record","name":"int","fields":[]}', /the name int is used twice/],
  ['['.repeat(10_000) + ']'.repeat(10_000), /more than 300 types are in each other|or another union/],
  [`${'{"type":"array","items":'.repeat(10_000)}"int"${'}'.repeat(10_000)}`, /more than 300 types are in each other/]
]

const MIB = 1024 * 1024

/** A record of records, each of which has four, with the default of one field: 4 ** levels times the text. */
function nested(levels: number, text: string): unknown {
  let schema = record('L0', field('s', 'string', { default: text }))
  for (let level = 1; level <= levels; level++) {
    const others = ['b', 'c', 'd'].map(name => field(name, `L${level - 1}`, { default: {} }))
    schema = record(`L${level}`, field('a', schema, { default: {} }), ...others)
  }
  return schema
}

/** The bytes of a length. */
function zigzag(length: number): number[] {
  const bytes: number[] = []
  let rest = 2 * length
  for (; rest > 0x7f; rest = Math.floor(rest / 0x80)) bytes.push((rest % 0x80) | 0x80)
  return [...bytes, rest]
}

const ESCAPED = /^[0-9a-f]*$/

describe('Avro', () => {
  it('writes and reads each type as its specification says', () =>
    checkRows(written, async ([schema, json, hex, read = json]) => {
      const stage = new SchemasStage()
      const resolved = await stage.avro(schema)
      const bytes = resolved.encode(json)
      expect(hex).to.match(ESCAPED)
      expect(bytes.toString('hex')).to.equal(`0000000001${hex}`)
      expect(stage.decode(bytes)).to.equal(read)
      expect(resolved.encode(read).equals(bytes)).to.equal(true)
    }))

  it('says where data do not fit, what is expected, and the id of the schema', () =>
    checkRows(misfits, async ([schema, json, message]) => {
      const resolved = await new SchemasStage().avro(schema)
      expect(await errorOf(() => resolved.encode(json))).to.equal(`doesNotFit: ${message} (schema 1)`)
    }))

  it('refuses what is no schema, with the reason', () =>
    checkRows(invalid, async ([schema, reason]) => {
      const stage = new SchemasStage()
      expect(await errorOf(() => stage.resolve({ schema })))
        .to.match(/^invalidSchema: the schema cannot be used: /)
        .and.match(reason)
      expect(stage.registry.calls).to.deep.equal(['POST /subjects/orders-value'])
    }))

  it('counts the names of types as what they hold', () => {
    const types = Array.from({ length: 500 }, (_, at) => ({ type: 'fixed', name: `T${at}`, size: 1 }))
    const schema = { ...record('R', ...types.map((type, at) => field(`f${at}`, type))), namespace: 'n'.repeat(900) }
    const text = JSON.stringify(schema)
    const { heldBytes } = createAvro({ text, used: new Map() }, false)
    expect(heldBytes - 60 * text.length).to.be.greaterThan(500 * 900)
  })

  it('takes only tagged unions and complete records when it is strict', async () => {
    const schema = await new SchemasStage({ strict: true }).avro(
      record('R', field('u', ['null', 'string']), field('d', 'int', { default: 1 }))
    )
    expect(schema.encode('{"u":{"string":"x"},"d":1}').subarray(5).toString('hex')).to.equal('02027802')
    expect(schema.encode('{"u":null,"d":1}').subarray(5).toString('hex')).to.equal('0002')
    expect(await errorOf(() => schema.encode('{"u":"x","d":1}'))).to.match(
      /u: expected one of null, string, got string "x"/
    )
    expect(await errorOf(() => schema.encode('{"u":null}'))).to.match(/d: expected int, got nothing/)
  })

  it('writes what follows a union whose types were tried as if they had not been tried', async () => {
    const stage = new SchemasStage()
    const two = [
      record('A', field('x', { type: 'array', items: 'int' })),
      record('B', field('x', { type: 'array', items: 'string' }))
    ]
    const schema = await stage.avro(record('R', field('u', two), field('n', 'int')))
    expect(stage.read(schema, '{"u":{"x":["a"]},"n":1}')).to.equal('{"u":{"B":{"x":["a"]}},"n":1}')
    expect(await errorOf(() => schema.encode('{"u":{"x":["a"]},"n":"1"}'))).to.equal(
      'doesNotFit: n: expected int, got string "1" (schema 1)'
    )
  })

  it('gives up on a value that may be of many types in each other', async () => {
    const either = (name: string): unknown => record(name, field('next', ['null', 'One', 'Two']))
    const schema = await new SchemasStage().avro(record('One', field('next', ['null', 'One', either('Two')])))
    const deep = `${'{"next":'.repeat(100)}null${'}'.repeat(100)}`
    expect(await errorOf(() => schema.encode(deep))).to.match(/doesNotFit: .*with its type/)
  })

  it('S26: gives up on a short value that takes very many steps, or very much memory', async () => {
    const letters = (count: number, size: number): readonly unknown[] =>
      Array.from({ length: count }, (_, at) => ({ type: 'fixed', name: `F${at}`, size }))
    const empty = Array.from({ length: 500 }, (_, at) => record(`R${at}`))
    const members = Object.fromEntries(Array.from({ length: 100_000 }, (_, at) => [`m${at}`, 1]))
    const wide = Array.from({ length: 20_000 }, (_, at) => field(`f${at}`, 'null', { default: null }))
    const rows: readonly (readonly [schema: unknown, json: string, error: RegExp])[] = [
      [
        { type: 'array', items: ['int', ...letters(9_000, 1)] },
        JSON.stringify(Array(20_000).fill(1)),
        /tooLarge: .*too many steps/
      ],
      [letters(9_000, 1_000_000), JSON.stringify('a'.repeat(1_000_000)), /tooLarge: .*too many steps/],
      [letters(90, 1_000_000), JSON.stringify('a'.repeat(1_000_000)), /doesNotFit: .*several fit/],
      [empty, JSON.stringify(members), /tooLarge: .*too many steps/],
      [
        { type: 'array', items: record('Wide', ...wide) },
        JSON.stringify(Array(2_000).fill({})),
        /tooLarge: .*too many steps/
      ]
    ]
    await checkRows(rows, async ([type, json, error]) => {
      const schema = await new SchemasStage().avro(type)
      const before = process.memoryUsage().arrayBuffers
      expect(await errorOf(() => schema.encode(json))).to.match(error)
      expect(process.memoryUsage().arrayBuffers - before).to.be.below(50_000_000)
    })
  })

  it('S27: names ten types of a union at most, and so many characters of a problem', async () => {
    const names = Array.from({ length: 12 }, (_, at) => ({ type: 'enum', name: `E${at}`, symbols: [`A${at}`] }))
    const schema = await new SchemasStage().avro(names)
    expect(await errorOf(() => schema.encode('5'))).to.match(/one of enum E0 .*, enum E9 \(A9\), …, got 5/)
    const long = await new SchemasStage().avro({ type: 'enum', name: 'E', symbols: ['A'.repeat(100_000)] })
    expect(await errorOf(() => long.encode('5'))).to.have.length.below(1_200)
  })

  it('reads neither endless arrays of nothing nor records without end', async () => {
    const stage = new SchemasStage()
    const schema = await stage.avro({ type: 'array', items: 'null' }, { topic: 'nulls' })
    const endless = Buffer.concat([schema.encode('[]').subarray(0, 5), Buffer.from('feffffffffffffffff01', 'hex')])
    expect(stage.decode(endless)).to.match(/it has too many values without bytes/)
    const wide = await stage.avro(
      { type: 'array', items: record('Wide', field('n'.repeat(1_000), 'null')) },
      { topic: 'wide' }
    )
    const few = Buffer.concat([wide.encode('[]').subarray(0, 5), Buffer.from('80ea3000', 'hex')])
    expect(stage.decode(few)).to.match(/the JSON has more than 4194304 bytes/)
    const node = await stage.avro(NODE, { topic: 'nodes' })
    const long = Buffer.concat([node.encode('{}').subarray(0, 5), Buffer.alloc(100_000, 2)])
    expect(stage.decode(long)).to.match(/more than 300 values are in each other/)
    const deep = `${'{"next":'.repeat(10_000)}null${'}'.repeat(10_000)}`
    expect(await errorOf(() => node.encode(deep))).to.match(/doesNotFit: .*expected at most 300 values in each other/)
  })

  it('makes no JSON of more than 4 MiB in UTF-8, however few the bytes are', async () => {
    const stage = new SchemasStage()
    const nulls = Array.from({ length: 1_000 }, (_, at) => field(`field${at}`, 'null'))
    const arrays = await stage.avro({ type: 'array', items: record('Nulls', ...nulls) }, { topic: 'arrays' })
    const eight = Buffer.concat([arrays.encode('[]').subarray(0, 5), Buffer.from('e83900', 'hex')])
    expect(eight).to.have.length(8)
    expect(stage.decode(eight)).to.match(/the JSON has more than 4194304 bytes/)
    const texts = await stage.avro({ type: 'array', items: 'bytes' }, { topic: 'texts' })
    const bytes = (count: number, item: Buffer): Buffer => {
      const array = Buffer.concat([
        Buffer.from([...zigzag(count)]),
        Buffer.alloc(count * item.length, item),
        Buffer.from([0])
      ])
      return Buffer.concat([texts.encode('[]').subarray(0, 5), array])
    }
    // Of two bytes with the length 1 the JSON has five.
    const umlaut = Buffer.from('02e4', 'hex')
    const fits = Math.floor((4 * MIB - 1) / 5)
    expect(Buffer.byteLength(stage.decode(bytes(fits, umlaut)))).to.equal(1 + 5 * fits)
    expect(stage.decode(bytes(fits + 1, umlaut))).to.match(/the JSON has more than 4194304 bytes/)
    const escaped = Buffer.concat([Buffer.from([...zigzag(MIB)]), Buffer.alloc(MIB)])
    expect(stage.decode(bytes(1, escaped))).to.match(/the JSON has more than 4194304 bytes/)
  })

  it('makes no more JSON than a reader takes', async () => {
    const stage = new SchemasStage()
    const bytes = (await stage.avro({ type: 'array', items: 'string' })).encode('["a","é"]')
    const read = (maxBytes: number) => stage.schemas.decodeEach([{ bytes, header: undefined }], { maxBytes, owner: '' })
    expect(await read(10)).to.deep.equal([{ type: 'decoded', format: 'AVRO', id: 1, json: '["a","é"]' }])
    const cause = 'it does not fit its schema: the JSON has more than 9 bytes'
    expect(await read(9)).to.deep.equal([{ type: 'undecodable', cause, id: 1 }])
  })

  it('reads no JSON of more than 4 MiB in UTF-8', async () => {
    const schema = await new SchemasStage().avro('string')
    for (const letter of ['x', 'é']) {
      const length = (4 * MIB - 2) / Buffer.byteLength(letter)
      expect(schema.encode(`"${letter.repeat(length)}"`)).to.have.length(4 * MIB - 2 + 9)
      for (const json of [`"${letter.repeat(length)}" `, Buffer.from(`"${letter.repeat(length)}" `)])
        expect(await errorOf(() => schema.encode(json))).to.equal(
          'tooLarge: its JSON has more than 4194304 bytes (schema 1)'
        )
    }
  })

  it('writes no more bytes than its caller takes, nor than a record may have', async () => {
    const stage = new SchemasStage()
    const schema = await stage.avro(nested(6, 'x'.repeat(100)))
    const { length } = schema.encode('{}')
    expect(length).to.equal(5 + 4 ** 6 * 102)
    const written = (maxBytes: number) =>
      stage.schemas.encode([{ schema: schema.resolved, json: '{}' }], { maxBytes, owner: undefined })
    expect((await written(length))[0]).to.have.length(length)
    const [error] = await written(length - 1)
    expect(error).to.deep.include({ reason: 'tooLarge', details: { id: 1, maxBytes: length - 1 } })
    const large = await new SchemasStage().avro(nested(9, 'x'.repeat(100)))
    const before = process.memoryUsage().arrayBuffers
    expect(await errorOf(() => large.encode('{}'))).to.equal('tooLarge: it has more than 16777216 bytes (schema 1)')
    expect(process.memoryUsage().arrayBuffers - before).to.be.below(80 * MIB)
  })

  it('writes the same defaults, whether they are kept or were too long for that', async () => {
    const stage = new SchemasStage()
    const long = await stage.avro(
      record('Top', field('one', nested(5, 'x'.repeat(30))), field('n', 'int', { default: 7 }))
    )
    const sent = ['{"one":{}}', '{"one":{"b":{}}}', '{"one":{"b":{"c":{}}}}', '{"one":{}}']
    const [first, ...others] = sent.map(json => long.encode(json).toString('hex'))
    for (const other of others) expect(other === first).to.equal(true)
    expect(JSON.parse(stage.decode(Buffer.from(first!, 'hex')))).to.deep.include({ n: 7 })
  })

  it('writes a billion records without bytes from their defaults, and reads none of them', async () => {
    let schema = record('L0')
    for (let level = 1; level <= 30; level++) {
      const [above, name] = [schema, `L${level - 1}`]
      schema = record(`L${level}`, field('a', above, { default: {} }), field('b', name, { default: {} }))
    }
    const stage = new SchemasStage()
    const bytes = (await stage.avro(schema)).encode('{}')
    expect(bytes.toString('hex')).to.equal('0000000001')
    expect(stage.decode(bytes)).to.match(/it has too many values without bytes/)
  })

  it('reads no bytes that its schema could not have written', async () => {
    const stage = new SchemasStage()
    const unreadable: readonly (readonly [schema: unknown, hex: string, cause: string])[] = [
      ['string', '0c66', 'the bytes end inside a value'],
      ['string', '01', 'the bytes end inside a value'],
      ['string', '02ff', 'a string is not UTF-8'],
      ['long', 'ff', 'the bytes end inside a value'],
      ['long', 'ffffffffffffffffffffff', 'a number has more than 64 bits'],
      ['int', '8080808010', 'an int has more than 32 bits'],
      ['boolean', '02', 'a boolean is neither 0 nor 1'],
      [['null', 'int'], '04', 'a union has no such type'],
      [COLOR, '04', 'enum Color (RED, GREEN) has no such symbol'],
      ['double', '00', 'the bytes end inside a value']
    ]
    await checkRows(unreadable, async ([schema, hex, cause]) => {
      const { id } = await stage.avro(schema)
      const frame = Buffer.concat([Buffer.from([0, 0, 0, 0, id]), Buffer.from(hex, 'hex')])
      expect(stage.decode(frame)).to.equal(`it does not fit its schema: ${cause}`)
    })
  })

  it('never throws for any bytes behind a known id', async () => {
    const stage = new SchemasStage()
    const schema = await stage.avro(
      record('R', field('m', { type: 'map', values: ['null', 'double', 'R'] }), field('e', COLOR))
    )
    const start = schema.encode('{"m":{},"e":"RED"}').subarray(0, 5)
    fc.assert(
      fc.property(fc.uint8Array({ maxLength: 60 }), bytes => {
        const decoded = stage.decode(Buffer.concat([start, bytes]))
        return decoded.startsWith('it does not fit its schema: ') || JSON.parse(decoded) !== undefined
      })
    )
  })

  it('takes no digits in a text for a number', async () => {
    const stage = new SchemasStage()
    const schema = await stage.avro(record('R', field('s', 'string'), field('l', 'long')))
    const json = '{"s":"\\"9007199254740993\\\\","l":9007199254740993}'
    expect(stage.read(schema, json)).to.equal(json)
    expect(await errorOf(() => schema.encode('{"s":"","l":9007199254740993.0}'))).to.match(/l: expected long/)
  })

  it('keeps every long and every double exactly', async () => {
    const stage = new SchemasStage()
    const [long, double] = [
      await stage.avro('long', { topic: 'longs' }),
      await stage.avro('double', { topic: 'doubles' })
    ]
    fc.assert(
      fc.property(fc.bigInt(-(2n ** 63n), 2n ** 63n - 1n), value => stage.read(long, String(value)) === String(value))
    )
    fc.assert(
      fc.property(fc.double(), value => {
        const json = Number.isFinite(value) ? (Object.is(value, -0) ? '-0' : String(value)) : `"${value}"`
        const bytes = Buffer.alloc(8)
        bytes.writeDoubleLE(value)
        return double.encode(json).subarray(5).equals(bytes) && stage.read(double, json) === json
      })
    )
  })
})
