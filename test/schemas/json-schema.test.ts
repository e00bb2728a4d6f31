import { expect } from 'chai'
import { createJsonSchema } from '../../src/schemas/json-schema.js'
import { checkRows } from '../support/rows.js'
import { errorOf, SchemasStage } from './stage.js'

const MIB = 1024 * 1024
const ofDraft = (draft: string, schema: object): string => JSON.stringify({ $schema: draft, ...schema })

/** A schema of each draft, with a value that only this draft, or a later one, refuses. */
const drafts: readonly (readonly [schema: string, good: string, bad: string, error: string])[] = [
  [
    ofDraft('http://json-schema.org/draft-04/schema#', { type: 'integer', maximum: 5, exclusiveMaximum: true }),
    '4',
    '5',
    'it must be < 5, got 5'
  ],
  [
    ofDraft('http://json-schema.org/draft-06/schema#', { const: 1, exclusiveMaximum: 5 }),
    '1',
    '2',
    'it must be equal to constant, got 2'
  ],
  [
    ofDraft(
      'http://json-schema.org/draft-07/schema#',
      JSON.parse('{"if":{"type":"string"},"then":{"minLength":2}}') as object
    ),
    '1',
    '"a"',
    'it must NOT have fewer than 2 characters, got string "a"'
  ],
  [
    ofDraft('https://json-schema.org/draft/2019-09/schema', { properties: { a: {} }, unevaluatedProperties: false }),
    '{"a":1}',
    '{"b":1}',
    'it must NOT have unevaluated properties, got object'
  ],
  [
    ofDraft('https://json-schema.org/draft/2020-12/schema', { prefixItems: [{ type: 'string' }], items: false }),
    '["a"]',
    '[1]',
    '[0]: it must be string, got 1'
  ],
  [
    '{"type":"object","required":["constructor","__proto__"]}',
    '{"constructor":1,"__proto__":2}',
    '{}',
    "it must have required property 'constructor'"
  ],
  [
    '{"additionalProperties":false}',
    '{}',
    '{"__proto__":1}',
    'it must NOT have additional properties such as string "__proto__"'
  ],
  [
    '{"properties":{"a/b":{"items":{"type":"null"}}}}',
    '{"a/b":[null]}',
    '{"a/b":[null,1]}',
    'a/b[1]: it must be null, got 1'
  ],
  [
    '{"pattern":"^(a+)+$"}',
    '"aaa"',
    JSON.stringify(`${'a'.repeat(50_000)}b`),
    'it must match pattern "^(a+)+$", got string'
  ],
  ['{"pattern":"\\\\u00e9\\\\d"}', '"xé1"', '"e1"', 'it must match pattern "\\u00e9\\d", got string "e1"'],
  [
    '{"properties":{"a":{"pattern":"^a+$"},"b":{"pattern":"^b+$"}}}',
    '{"a":"aa","b":"bbb"}',
    '{"a":"aa","b":"a"}',
    'b: it must match pattern "^b+$", got string "a"'
  ],
  [
    '{"patternProperties":{"^t":{"type":"string"},"^n":{"type":"number"}}}',
    '{"t":"x","n":1}',
    '{"n":"x"}',
    'n: it must be number, got string "x"'
  ],
  ['{"multipleOf":1e-2}', '1.15', '1.155', 'it must be multiple of 0.01, got 1.155'],
  [
    '{"uniqueItems":true}',
    '[1,"1",{"a":1,"b":2},{"a":2},[["a",1]],{"a":1}]',
    '[{"a":1,"b":[2]},0,{"b":[2],"a":1}]',
    'it must have unique items, got array'
  ],
  ['true', '1', '{', 'it is not JSON'],
  ['false', '', '1', 'it boolean schema is false, got 1']
]

/** Values that fit and others that do not, with what is said of them. */
const exact: readonly (readonly [schema: string, good: readonly string[], bad: readonly string[], error: string])[] = [
  [
    '{"maximum":9007199254740992}',
    ['9007199254740992', '9007199254740991.9', '-1e400'],
    ['9007199254740993', '9007199254740992.1', '1e400'],
    'must be <= 9007199254740992'
  ],
  ['{"m\\u0061ximum":9007199254740992}', ['9007199254740992'], ['9007199254740993'], 'must be <= 9007199254740992'],
  [
    '{"maximum":9007199254740993}',
    ['9007199254740993', '9007199254740992'],
    ['9007199254740994'],
    'must be <= 9007199254740993, got 9007199254740994'
  ],
  [
    '{"maximum":0.1}',
    ['0.1', '0.09999999999999999999999'],
    ['0.10000000000000000000001'],
    'must be <= 0.1, got 0.10000000000000000000001'
  ],
  [
    '{"minimum":9007199254740993}',
    ['9007199254740993', '1e400'],
    ['9007199254740992', '-1e400'],
    'must be >= 9007199254740993'
  ],
  ['{"exclusiveMaximum":9007199254740993}', ['9007199254740992'], ['9007199254740993'], 'must be < 9007199254740993'],
  [
    '{"exclusiveMinimum":9007199254740992}',
    ['9007199254740993'],
    ['9007199254740992', '9007199254740991'],
    'must be > 9007199254740992'
  ],
  ['{"exclusiveMinimum":0}', ['1e-400'], ['0', '-1e-400'], 'must be > 0'],
  [
    '{"$schema":"http://json-schema.org/draft-04/schema#","maximum":9007199254740993,"exclusiveMaximum":true}',
    ['9007199254740992'],
    ['9007199254740993', '9007199254740994'],
    'must be < 9007199254740993'
  ],
  [
    '{"$schema":"http://json-schema.org/draft-04/schema#","minimum":9007199254740993,"exclusiveMinimum":false}',
    ['9007199254740993'],
    ['9007199254740992'],
    'must be >= 9007199254740993'
  ],
  [
    '{"const":9007199254740993}',
    ['9007199254740993', '9007199254740993.0', '9007199254740993e0'],
    ['9007199254740992', '9007199254740994'],
    'must be equal to constant'
  ],
  [
    '{"const":9007199254740992}',
    ['9007199254740992'],
    ['9007199254740993'],
    'must be equal to constant, got 9007199254740993'
  ],
  [
    '{"const":{"a":[9007199254740993],"b":1}}',
    ['{"b":1,"a":[9007199254740993]}'],
    ['{"b":1,"a":[9007199254740992]}', '{"a":[9007199254740993]}'],
    'must be equal to constant'
  ],
  ['{"const":1e400}', ['1e400', '10e399'], ['1e401', '1'], 'must be equal to constant'],
  [
    '{"enum":["a",9007199254740993,null]}',
    ['"a"', '9007199254740993', 'null'],
    ['9007199254740992', '"9007199254740993"'],
    'must be equal to one of the allowed values'
  ],
  ...['draft-04/schema#', 'draft-07/schema#', 'draft/2019-09/schema', 'draft/2020-12/schema'].map(
    draft =>
      [
        `{"$schema":"http://json-schema.org/${draft}","enum":[9007199254740993,9007199254740992]}`,
        ['9007199254740993', '9007199254740992'],
        ['9007199254740994'],
        'must be equal to one of the allowed values'
      ] as const
  ),
  [
    '{"uniqueItems":true}',
    [
      '[9007199254740992,9007199254740993]',
      '[["object",["a",1]],{"a":1}]',
      '[1e400,1e401]',
      '["9007199254740993e0",9007199254740993]'
    ],
    ['[9007199254740993,9007199254740993.0]', '[{"a":9007199254740993,"b":0},{"b":0,"a":9007199254740993}]', '[1,1.0]'],
    'must have unique items'
  ],
  [
    '{"multipleOf":3}',
    ['9007199254740993', '9007199254740993.0'],
    ['9007199254740992', '9007199254740994'],
    'must be multiple of 3'
  ],
  [
    '{"multipleOf":0.01}',
    ['90071992547409.93', '90071992547409930000.01'],
    ['90071992547409.931'],
    'must be multiple of 0.01'
  ],
  [
    '{"type":"integer"}',
    ['9007199254740993', '1e400', '9007199254740993.0'],
    ['9007199254740992.5', '1e-400'],
    'must be integer'
  ],
  ['{"type":"number"}', ['1e400', '1e-400', '0.12345678901234567890'], ['"1e400"'], 'must be number'],
  [
    '{"properties":{"a":{"items":{"maximum":9007199254740992}}}}',
    ['{"a":[1,9007199254740992],"b":9007199254740993}'],
    ['{"a":[1,9007199254740993]}'],
    'a[1]: it must be <= 9007199254740992, got 9007199254740993'
  ],
  [
    '{"propertyNames":{"const":"a"}}',
    ['{"a":9007199254740993}'],
    ['{"b":9007199254740993}'],
    'must be equal to constant'
  ],
  [
    '{"if":{"const":9007199254740993},"then":false}',
    ['9007199254740992', '9007199254740994'],
    ['9007199254740993'],
    'boolean schema is false'
  ]
]

const invalid: readonly (readonly [schema: string, reason: RegExp])[] = [
  ['{', /JSON/],
  ['5', /schema must be object,boolean/],
  ['null', /schema must be object,boolean/],
  ['{"type":"strin"}', /schema\/type must be equal to one of the allowed values/],
  [
    '{"$schema":"http://json-schema.org/draft-04/schema#","exclusiveMaximum":5}',
    /must have property maximum when property exclusiveMaximum is present/
  ],
  ['{"$ref":"http://localhost/other.json"}', /can't resolve reference/],
  ['{"pattern":"(?=a)"}', /a pattern has look-around, \(\?=.*docs\/schemas\.md/],
  ['{"pattern":"a(?<!b)"}', /a pattern has look-around, \(\?<!/],
  ['{"pattern":"(a)\\\\1"}', /a pattern has a reference to a group, \\1.*docs\/schemas\.md/],
  ['{"pattern":"(?<n>a)\\\\k<n>"}', /a pattern has a reference to a group, \\k/],
  ['{"pattern":"("}', /missing closing/],
  ...[
    '#/__proto__',
    '#/constructor',
    '#/definitions/toString',
    '#/properties/a/enum/map',
    'constructor',
    '__proto__'
  ].map(
    $ref =>
      [
        JSON.stringify({ properties: { a: { enum: [1] }, b: { $ref } } }),
        new RegExp(`can't resolve reference ${$ref}`)
      ] as const
  ),
  ...['#/__proto__', '#constructor', '#__proto__'].map(
    $dynamicRef =>
      [ofDraft('https://json-schema.org/draft/2020-12/schema', { $dynamicRef }), /can't resolve reference #/] as const
  ),
  [JSON.stringify({ $id: `http://a/${'b'.repeat(1_000)}` }), /the address of a schema has more than 1000 characters/],
  [JSON.stringify({ pattern: 'a'.repeat(2_001) }), /a pattern has more than 2000 characters/],
  ['{"pattern":"(a{100}){10}"}', /a pattern has 1\d\d\d parts with its repetitions written out \(limit 1000\)/],
  [JSON.stringify({ patternProperties: { ['(?i)[!-\u{1E940}]'.repeat(10)]: { type: 'string' } } }), /1040 parts/],
  [
    JSON.stringify({
      properties: Object.fromEntries(Array.from({ length: 67 }, (_, at) => [at, { pattern: `${at}(?:a?b?c?d?){60}` }]))
    }),
    /its patterns have more than 4000 parts with their repetitions written out/
  ],
  ['{"properties":{"__proto__":{"type":"string"}}}', /properties of the name __proto__ cannot be checked/],
  [
    ofDraft('https://json-schema.org/draft/2020-12/schema', {
      items: JSON.parse('{"patternProperties":{"__proto__":{}}}') as object
    }),
    /patternProperties of the name __proto__ cannot be checked/
  ],
  [
    ofDraft('http://json-schema.org/draft-04/schema#', {
      anyOf: [JSON.parse('{"dependencies":{"__proto__":["a"]}}') as object]
    }),
    /dependencies of the name __proto__ cannot be checked/
  ],
  [`${'{"items":'.repeat(10_000)}{}${'}'.repeat(10_000)}`, /nested too deeply/]
]

describe('JSON Schema', () => {
  const resolve = (schema: string, stage = new SchemasStage()) => stage.resolve({ schema, format: 'JSONSCHEMA' })

  it('checks values by its drafts 4 to 2020-12, and says where they do not fit', () =>
    checkRows(drafts, async ([schema, good, bad, error]) => {
      const resolved = await resolve(schema)
      if (good !== '')
        expect(resolved.encode(good).toString('latin1', 5)).to.equal(Buffer.from(good).toString('latin1'))
      expect(await errorOf(() => resolved.encode(bad))).to.equal(`doesNotFit: ${error} (schema 1)`)
    }))

  it('takes each multiple of a hundredth, which no double divides exactly', async () => {
    const { encode } = await resolve('{"multipleOf":0.01}')
    const multiples = Array.from(
      { length: 999 },
      (_, at) => `${Math.floor((at + 1) / 100)}.${String((at + 1) % 100).padStart(2, '0')}`
    )
    for (const value of [...multiples, '1e300', '1e400', '-0.07', '0', '-0'])
      expect(encode(value).toString('latin1', 5)).to.equal(value)
    for (const value of ['0.001', '1e-300', '0.0100000001', '1e-400', '0.01000000000000000000001'])
      expect(await errorOf(() => encode(value)), value).to.match(/must be multiple of 0.01/)
  })

  it('compares numbers to the last digit', () =>
    checkRows(exact, async ([schema, good, bad, error]) => {
      const stage = new SchemasStage()
      const resolved = await resolve(schema, stage)
      for (const value of good) expect(stage.read(resolved, value)).to.equal(value)
      for (const value of bad)
        expect(await errorOf(() => resolved.encode(value)), value)
          .to.match(/^doesNotFit: /)
          .and.contain(error)
    }))

  it('compares numbers to the last digit by each draft, and by schemas that others use', async () => {
    for (const draft of ['draft-06/schema#', 'draft-07/schema#', 'draft/2019-09/schema', 'draft/2020-12/schema']) {
      const { encode } = await resolve(
        ofDraft(`http://json-schema.org/${draft}`, { exclusiveMaximum: 9_007_199_254_740_992 })
      )
      encode('9007199254740991.5')
      expect(await errorOf(() => encode('9007199254740992')), draft).to.contain(
        'must be < 9007199254740992, got 9007199254740992'
      )
      expect(await errorOf(() => encode('9007199254740992.5')), draft).to.contain('got 9007199254740992.5')
    }
    const stage = new SchemasStage()
    stage.registry.add('limit', { schema: '{"maximum":9007199254740993}', schemaType: 'JSON' })
    const references = [{ name: 'limit.json', subject: 'limit', version: 1 }]
    const schema = '{"properties":{"a":{"$ref":"limit.json"}}}'
    const { encode } = await stage.resolve({ schema, references, format: 'JSONSCHEMA' })
    encode('{"a":9007199254740993}')
    expect(await errorOf(() => encode('{"a":9007199254740994}'))).to.equal(
      'doesNotFit: a: it must be <= 9007199254740993, got 9007199254740994 (schema 2)'
    )
  })

  it('refuses numbers of more than a thousand digits, or with such an exponent, where it compares numbers', async () => {
    const large = ['1'.repeat(1_001), '1e1001', '1e-1001', `0.${'1'.repeat(1_001)}`]
    const [comparing, other] = [await resolve('{"maximum":1}'), await resolve('{"minLength":1}')]
    for (const value of large) {
      expect(await errorOf(() => comparing.encode(value)), value).to.match(
        /^tooLarge: a number has more than 1000 digits/
      )
      expect(other.encode(value).toString('latin1', 5)).to.equal(value)
    }
  })

  it('refuses what is no schema, with the reason', () =>
    checkRows(invalid, async ([schema, reason]) => {
      expect(await errorOf(() => resolve(schema)))
        .to.match(/^invalidSchema: the schema cannot be used: /)
        .and.match(reason)
    }))

  it('finds by a reference what an object has, also by a name that all objects inherit', () =>
    checkRows(
      [
        '{"properties":{"a":{"$ref":"#/definitions/constructor"}},"definitions":{"constructor":{"type":"string"}}}',
        '{"properties":{"a":{"$ref":"#/properties/__pr%6Fto__~1"},"__proto__/":{"type":"string"}}}',
        '{"definitions":{"o":{"$id":"http://a/o","type":"object","toString":{"type":"string"},"properties":{"a":{"$ref":"#/toString"}}}},"$ref":"#/definitions/o"}',
        '{"properties":{"a":{"$ref":"other.json#/definitions/valueOf"}}}'
      ],
      async schema => {
        const stage = new SchemasStage()
        stage.registry.add('other', { schema: '{"definitions":{"valueOf":{"type":"string"}}}', schemaType: 'JSON' })
        const references = [{ name: 'other.json', subject: 'other', version: 1 }]
        const resolved = await stage.resolve({ schema, format: 'JSONSCHEMA', references })
        expect(await errorOf(() => resolved.encode('{"a":"x"}'))).to.equal('none')
        expect(await errorOf(() => resolved.encode('{"a":1}'))).to.match(/^doesNotFit: a: it must be string/)
      }
    ))

  it('writes and reads a value byte for byte', async () => {
    const stage = new SchemasStage()
    const schema = await resolve('{"title":"Order"}', stage)
    const json = ' { "id" : 9007199254740993, "a":1.10, "a":2, "e":"\\u00e9é" }'
    expect(stage.read(schema, json)).to.equal(json)
    expect(
      (await stage.resolve({ id: schema.id, strategy: 'RECORD_NAME', mayRegister: () => true }).catch(() => undefined))
        ?.subject
    ).to.equal(undefined)
    expect(stage.decode(Buffer.from('0000000001ff', 'hex'))).to.equal('it does not fit its schema: it is not JSON')
    expect(await errorOf(() => schema.encode(Buffer.from('22ff22', 'hex')))).to.match(/it is not JSON/)
  })

  it('takes the subject of its title', async () => {
    const stage = new SchemasStage()
    const { subject } = await stage.resolve({
      schema: '{"title":"Order"}',
      format: 'JSONSCHEMA',
      strategy: 'RECORD_NAME'
    })
    expect(subject).to.equal('Order')
  })

  it('takes patterns as users write them, also of other scripts, and counts each of them once', async () => {
    const patterns = [
      ['^[一-龥]{1,20}$', '中文'],
      ['^[\\u4e00-\\u9fa5]{2,20}$', '中文'],
      ['^[А-Яа-яЁё]+$', 'Привет'],
      ['^\\p{L}{1,50}$', 'né'],
      ['^.{1,250}$', 'x'],
      ['^\\u0010\\u9999$', '\u0010\u9999'],
      ['^[a-zA-Z0-9._%+-]{1,64}@[a-z.-]{1,255}$', 'a@b.c'],
      ['^é(?:à|ö)$', 'éö']
    ] as const
    for (const [pattern, value] of patterns) {
      const { encode } = await resolve(JSON.stringify({ pattern }))
      expect(encode(JSON.stringify(value)).toString('utf8', 5), pattern).to.equal(JSON.stringify(value))
    }
    const same = Array.from({ length: 100 }, (_, at) => [`p${at}`, { pattern: '^.{1,250}$' }])
    const { encode } = await resolve(JSON.stringify({ properties: Object.fromEntries(same) }))
    expect(await errorOf(() => encode('{"p99":""}'))).to.match(/p99: it must match pattern/)
  })

  it('reads and writes no value of more than 4 MiB', async () => {
    const stage = new SchemasStage()
    const schema = await resolve('{"type":"string"}', stage)
    const whole = `"${'é'.repeat(2 * MIB - 1)}"`
    const bytes = schema.encode(whole)
    expect(stage.decode(bytes) === whole).to.equal(true)
    expect(await errorOf(() => schema.encode(`${whole} `))).to.match(/^tooLarge: its JSON has more than 4194304 bytes/)
    expect(stage.decode(Buffer.concat([bytes, Buffer.from(' ')]))).to.equal(
      'it does not fit its schema: the JSON has more than 4194304 bytes'
    )
  })

  it('uses schemas by their names', async () => {
    const stage = new SchemasStage()
    stage.registry.add('price', {
      schema: '{"$schema":"http://json-schema.org/draft-07/schema#","type":"number"}',
      schemaType: 'JSON'
    })
    const references = [{ name: 'price.json', subject: 'price', version: 1 }]
    const schema = await stage.resolve({
      schema: '{"properties":{"p":{"$ref":"price.json"}}}',
      format: 'JSONSCHEMA',
      references
    })
    expect(stage.read(schema, '{"p":1}')).to.equal('{"p":1}')
    expect(await errorOf(() => schema.encode('{"p":"1"}'))).to.match(/p: it must be number/)
  })

  it('compares the items of a long array in linear time', async () => {
    const schema = await resolve('{"uniqueItems":true}')
    const items = Array.from({ length: 20_000 }, (_, at) => ({ at }))
    expect(schema.encode(JSON.stringify(items)).length).to.be.below(2 * MIB)
  })

  it('counts many short patterns as what they hold', () => {
    const many = Array.from({ length: 400 }, (_, at) => [`^${at}`, false])
    const text = JSON.stringify({ patternProperties: Object.fromEntries(many) as unknown })
    // Measured: 2.0 to 2.3 MB.
    expect(createJsonSchema({ text, used: new Map() }).heldBytes).to.be.within(2_000_000, 3_000_000)
  })
})
