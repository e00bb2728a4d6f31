import { expect } from 'chai'
import { checkRows } from '../support/rows.js'
import { errorOf, SchemasStage } from './stage.js'

const D4 = '"$schema":"http://json-schema.org/draft-04/schema#"'
const D6 = '"$schema":"http://json-schema.org/draft-06/schema#"'
const D7 = '"$schema":"http://json-schema.org/draft-07/schema#"'
const D19 = '"$schema":"https://json-schema.org/draft/2019-09/schema"'
const D20 = '"$schema":"https://json-schema.org/draft/2020-12/schema"'
const BESIDE =
  '"definitions":{"text":{"type":"string"}},"properties":{"a":{"$ref":"#/definitions/text","maxLength":1,"nullable":true}}'

/** How each draft says what the first items of a list are. */
const LISTS = [...[D4, D6, D7, D19].map(draft => [draft, 'items'] as const), [D20, 'prefixItems'] as const]

/** A keyword that leaves it to the value which of its properties are known. */
const KNOWN_LATER = ['"patternProperties":{"^a":{}}', '"anyOf":[{"properties":{"a":{"type":"string"}}},{}]']

/** What is stored, and what is refused. */
const rows: readonly (readonly [what: string, schema: string, good: readonly string[], bad: readonly string[]])[] = [
  ['beside $ref nothing counts, in draft 4', `{${D4},${BESIDE}}`, ['{"a":"long"}'], ['{"a":1}', '{"a":null}']],
  ['nor in draft 6', `{${D6},${BESIDE}}`, ['{"a":"long"}'], ['{"a":1}', '{"a":null}']],
  ['nor in draft 7', `{${D7},${BESIDE}}`, ['{"a":"long"}'], ['{"a":1}', '{"a":null}']],
  ['nor without a draft', `{${BESIDE}}`, ['{"a":"long"}'], ['{"a":1}', '{"a":null}']],
  ['but since 2019-09', `{${D19},${BESIDE}}`, ['{"a":"x"}'], ['{"a":"long"}', '{"a":null}']],
  [
    'at the root as well',
    '{"$ref":"#/definitions/a","type":"string","definitions":{"a":{"type":"integer"}}}',
    ['1'],
    ['"x"']
  ],
  [
    'and to a member of any name',
    '{"$ref":"#/components/a","components":{"a":{"type":"integer","nullable":true}}}',
    ['1'],
    ['null']
  ],
  [
    'a property of the name $ref is none',
    '{"properties":{"$ref":{"type":"string"},"type":{"type":"number"}}}',
    ['{"$ref":"x","type":1}'],
    ['{"$ref":1}', '{"type":"x"}']
  ],
  [
    'nullable counts for nothing',
    '{"properties":{"a":{"type":"string","nullable":true}}}',
    ['{"a":"x"}'],
    ['{"a":null}']
  ],
  [
    'nullable without a type, too',
    '{"properties":{"a":{"nullable":true,"minLength":2},"nullable":{"type":"string"}}}',
    ['{"a":null,"nullable":"x"}'],
    ['{"a":"x"}', '{"nullable":null}']
  ],
  ['$async counts for nothing', '{"$async":true,"type":"string"}', ['"x"'], ['1']],
  [
    'schemas by the names of what a draft does not have are left to those that refer to them',
    '{"properties":{"a":{"$ref":"#/components/schemas/id"},"b":{"$ref":"#/definitions/of/nullable"}},"components":{"schemas":{"id":{"type":"string"}}},"definitions":{"of":{"id":{},"nullable":{"type":"string","nullable":true}}}}',
    ['{"a":"x","b":"x"}'],
    ['{"a":1}', '{"b":null}']
  ],
  ['members without a meaning are no address', '{"id":{"type":"string"},"type":"integer"}', ['1'], ['"x"']],
  [
    'data are left as they are',
    '{"properties":{"a":{"const":{"nullable":true,"$ref":"#","type":1}},"b":{"enum":[{"nullable":true}]}}}',
    ['{"a":{"nullable":true,"$ref":"#","type":1},"b":{"nullable":true}}'],
    ['{"a":{}}', '{"b":{}}']
  ],
  [
    'what draft 4 does not have',
    `{${D4},"const":1,"contains":{},"propertyNames":false,"if":true,"then":false,"$id":"x"}`,
    ['2', '[]', '{"a":1}'],
    []
  ],
  ['what draft 6 does not have', `{${D6},"if":true,"then":false,"$comment":{"a":1}}`, ['2'], []],
  [
    'what draft 7 does not have',
    `{${D7},"unevaluatedProperties":false,"dependentSchemas":{"a":false},"prefixItems":[false],"$anchor":"a","id":"b"}`,
    ['{"a":1}', '[1]'],
    []
  ],
  ['what 2019-09 does not have', `{${D19},"prefixItems":[false],"$dynamicRef":"#/not"}`, ['[1]'], []],
  [
    'names of the root, in draft 4',
    `{${D4},"id":"#node","properties":{"a":{"$ref":"#node"}},"additionalProperties":false}`,
    ['{"a":{"a":{}}}'],
    ['{"a":{"b":1}}']
  ],
  [
    'names of the root, in draft 7',
    `{${D7},"$id":"http://x/y#node","properties":{"a":{"$ref":"#node"},"b":{"$ref":"http://x/y#node"}},"additionalProperties":false}`,
    ['{"a":{"b":{}}}'],
    ['{"a":{"b":{"c":1}}}']
  ],
  [
    'names of the root, in 2020-12',
    `{${D20},"$anchor":"node","properties":{"a":{"$ref":"#node"}},"additionalProperties":false}`,
    ['{"a":{"a":{}}}'],
    ['{"a":{"b":1}}']
  ],
  [
    'another schema of the same name',
    `{${D20},"$anchor":"a","type":"object","properties":{"b":{"$id":"http://x/b","$ref":"#a","$defs":{"c":{"$anchor":"a","type":"string"}}}}}`,
    ['{"b":"x"}'],
    ['{"b":{}}']
  ],
  ...LISTS.map(
    ([draft, items]) =>
      [
        `lists shorter than their ${items} are unique, too: ${draft}`,
        `{${draft},"${items}":[{},{},{"type":"null"}],"uniqueItems":true}`,
        ['[]', '[1,2]', '[9007199254740992,9007199254740993,null]'],
        ['[1,1]', '[9007199254740993,9007199254740993.0]', '[1,2,3]']
      ] as const
  ),
  ...LISTS.slice(1).map(
    ([draft, items]) =>
      [
        `and contain what they must: ${draft}`,
        `{${draft},"${items}":[{},{"type":"null"}],"contains":{"type":"string"}}`,
        ['["x"]', '["x",null]'],
        ['[]', '[1]', '[1,null]']
      ] as const
  ),
  ...[D19, D20].flatMap(draft =>
    KNOWN_LATER.map(
      known =>
        [
          `names that every object of JavaScript has are as others: ${draft}, ${known}`,
          `{${draft},${known},"unevaluatedProperties":false}`,
          ['{"a":"x"}', '{}'],
          ['{"a":"x","toString":1}', '{"constructor":1}', '{"__proto__":{}}', '{"b":1}']
        ] as const
    )
  ),
  ...[D4, D6, D7, D19, D20].map(draft => {
    const [, uri] = /:"(.*)"/.exec(draft)!
    return [
      `the schema of ${uri}`,
      `{${draft},"properties":{"a":{"$ref":"${uri}"}}}`,
      ['{"a":{"type":"string"}}', '{}'],
      ['{"a":{"type":"strin"}}', '{"a":{"items":{"minLength":-1}}}']
    ] as const
  }),
  [
    'spaces of JavaScript',
    '{"pattern":"^\\\\s$"}',
    [' ', '\t', '\v', '\u00a0', '\u1680', '\u2003', '\u2028', '\u2029', '\u202f', '\u3000', '\ufeff'].map(one =>
      JSON.stringify(one)
    ),
    ['"x"', '"\u200b"']
  ],
  ['and all else', '{"pattern":"^\\\\S$"}', ['"x"', '"\u200b"', '"é"'], ['"\u00a0"', '"\ufeff"', '" "']],
  [
    'within classes',
    '{"properties":{"a":{"pattern":"^[\\\\s,]+$"},"b":{"pattern":"^[\\\\S ]$"},"c":{"pattern":"^[^\\\\s]$"},"d":{"pattern":"^[[\\\\]]\\\\s[x[]\\\\s$"}}}',
    ['{"a":"\u00a0, ","b":" ","c":"x","d":"[\u00a0[\u00a0"}'],
    ['{"a":"x"}', '{"b":"\u00a0"}', '{"c":"\u00a0"}']
  ],
  [
    'beside a hyphen that is one',
    '{"properties":{"a":{"pattern":"^[\\\\w\\\\s-.]+$"},"b":{"pattern":"^[\\\\s-\uffff]+$"},"c":{"pattern":"^[a-z-\\\\s]+$"}}}',
    ['{"a":"x -.","b":" -\uffff","c":"a -"}'],
    ['{"a":"+"}', '{"b":"\uff10"}', '{"c":"."}']
  ],
  [
    'many of them',
    JSON.stringify({ pattern: `^${'\\s*a'.repeat(40)}$` }),
    [JSON.stringify('a'.repeat(40)), JSON.stringify('\u00a0a'.repeat(40))],
    ['"a"']
  ],
  [
    'classes by their long names',
    '{"pattern":"^\\\\p{Letter}\\\\p{Script=Greek}\\\\P{digit}[\\\\p{Uppercase_Letter}]$"}',
    ['"éλxÄ"'],
    ['"1λxÄ"', '"éaxÄ"', '"éλ1Ä"', '"éλxä"']
  ]
]

/** What docs/schemas.md says to write in place of a pattern that is refused. */
const INSTEAD: readonly (readonly [pattern: string, schema: object])[] = [
  ['^(?!admin$)', { not: { const: 'admin' } }],
  ['^(?!admin$)', { not: { pattern: '^admin$' } }],
  ['^(?=.*\\d)(?=.*[A-Z]).{8,}$', { allOf: [{ pattern: '\\d' }, { pattern: '[A-Z]' }], minLength: 8 }],
  ['(?<=-)\\d+$', { pattern: '-\\d+$' }],
  ['^([01])-\\1$', { pattern: '^(0-0|1-1)$' }]
]
const TEXTS = [
  'admin',
  'admins',
  'x',
  '',
  'Passw0rd',
  'password',
  'PASSWORD',
  '1234567A',
  'A1',
  'a-12',
  'a12',
  '-1',
  '0-0',
  '0-1',
  '1-1'
]

describe('JSON Schema by its drafts', () => {
  const resolve = (schema: string, stage = new SchemasStage()) => stage.resolve({ schema, format: 'JSONSCHEMA' })

  for (const [what, schema, good, bad] of rows)
    it(what, async () => {
      const resolved = await resolve(schema)
      for (const value of good) expect(await errorOf(() => resolved.encode(value)), value).to.equal('none')
      for (const value of bad) expect(await errorOf(() => resolved.encode(value)), value).to.match(/^doesNotFit: /)
    })

  it('refuses look-around and references to groups, in whose place something else says the same', () =>
    checkRows(INSTEAD, async ([pattern, schema]) => {
      expect(await errorOf(() => resolve(JSON.stringify({ pattern })))).to.match(
        /^invalidSchema: .* a pattern has (look-around|a reference to a group)/
      )
      const resolved = await resolve(JSON.stringify(schema))
      for (const text of TEXTS) {
        const answer = await errorOf(() => resolved.encode(JSON.stringify(text)))
        expect(answer === 'none', text).to.equal(new RegExp(pattern).test(text))
      }
    }))

  it('keeps the name of a schema that only refers to another one, and digits in what stays', async () => {
    const schema =
      '{"title":"Order","$ref":"#/definitions/a","definitions":{"a":{"maximum":9007199254740993,"nullable":true}}}'
    const resolved = await new SchemasStage().resolve({ schema, format: 'JSONSCHEMA', strategy: 'RECORD_NAME' })
    expect(resolved.subject).to.equal('Order')
    expect(await errorOf(() => resolved.encode('9007199254740993'))).to.equal('none')
    expect(await errorOf(() => resolved.encode('9007199254740994'))).to.match(/^doesNotFit: /)
  })

  it('reads schemas that others use by their own drafts', async () => {
    const stage = new SchemasStage()
    const text = `{${D6},"$ref":"#/definitions/a","maxLength":1,"definitions":{"a":{"type":"string","if":true,"then":false}}}`
    stage.registry.add('text', { schema: text, schemaType: 'JSON' })
    const references = [{ name: 'text.json', subject: 'text', version: 1 }]
    const schema = await stage.resolve({
      schema: `{${D20},"$ref":"text.json","maxLength":3}`,
      format: 'JSONSCHEMA',
      references
    })
    expect(await errorOf(() => schema.encode('"abc"'))).to.equal('none')
    expect(await errorOf(() => schema.encode('"abcd"'))).to.match(/^doesNotFit: /)
  })

  it('refuses what draft 6 does not allow in a schema', () =>
    checkRows(
      [`{${D6},"exclusiveMinimum":true}`, `{${D6},"examples":1}`, `{${D6},"propertyNames":1}`],
      async schema => {
        expect(await errorOf(() => resolve(schema))).to.match(/^invalidSchema: /)
      }
    ))
})
