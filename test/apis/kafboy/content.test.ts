import { expect } from 'chai'
import fc from 'fast-check'
import { isJsonType, parseForm, recordsIn, toJsonObject } from '../../../src/apis/kafboy/content.js'
import { checkRows } from '../../support/rows.js'

describe('kafboy: what is published without a hook', () => {
  it('JSON is not parsed: bytes that are no JSON pass untouched', () => {
    const body = Buffer.from([0xff, 0, 0x7b])
    expect(recordsIn(body, 't', true, 'json')![0]!.value).to.equal(body)
  })

  it('a form that is not UTF-8 makes no JSON, but fields of bytes', () => {
    expect(recordsIn(Buffer.from('a=%FF'), 't', false, 'json')).to.equal(undefined)
    expect(recordsIn(Buffer.from('a=%FF'), 't', false, 'fields')![0]!.value).to.deep.equal(Buffer.from([0xff]))
  })

  const types: [string | undefined, boolean][] = [
    [undefined, false],
    ['', false],
    ['application/json', true],
    ['Application/JSON', true],
    ['application/json; charset=utf-8', true],
    ['application/json ;charset=utf-8', true],
    ['application/vnd.acme.v1+json', true],
    ['application/jsonx', false],
    ['application/x-www-form-urlencoded', false],
    ['text/plain', false],
    ['text/json', false]
  ]
  it('each content type is one of JSON or of a form', () =>
    checkRows(types, ([type, isJson]) => expect(isJsonType(type)).to.equal(isJson)))
})

const fieldsOf = (body: string) =>
  parseForm(Buffer.from(body))?.map(({ name, value }) => [
    name.toString('latin1'),
    value === true ? true : value.toString('latin1')
  ])

describe('kafboy: forms', () => {
  const cases: [string, unknown][] = [
    ['', []],
    [
      'a=1&b=2',
      [
        ['a', '1'],
        ['b', '2']
      ]
    ],
    ['a', [['a', true]]],
    ['a=', [['a', '']]],
    ['a=b=c', [['a', 'b=c']]],
    [
      '&&a=1&&b=2&',
      [
        ['a', '1'],
        ['b', '2']
      ]
    ],
    ['a+b=c+d', [['a b', 'c d']]],
    ['a%3Db=%26%2B%25', [['a=b', '&+%']]],
    [
      'a=1&a=2',
      [
        ['a', '1'],
        ['a', '2']
      ]
    ],
    ['a=%FF%00', [['a', '\xff\0']]],
    ['{"a":1}', [['{"a":1}', true]]],
    ['__proto__=1', [['__proto__', '1']]],
    ['=x', undefined],
    ['a=1&=', undefined],
    ['a=%', undefined],
    ['a=%4', undefined],
    ['a=%4g', undefined],
    ['%zz=1', undefined]
  ]
  it('each form has the fields that kafboy reads in it, or is refused', () =>
    checkRows(cases, ([body, expected]) => expect(fieldsOf(body)).to.deep.equal(expected)))

  it('reads back whatever bytes were encoded', () => {
    const bytes = fc.uint8Array({ minLength: 1, maxLength: 20 })
    const encode = (part: Uint8Array): string =>
      [...part].map(byte => `%${byte.toString(16).padStart(2, '0')}`).join('')
    fc.assert(
      fc.property(fc.array(fc.tuple(bytes, bytes), { maxLength: 8 }), pairs => {
        const body = pairs.map(([name, value]) => `${encode(name)}=${encode(value)}`).join('&')
        const expected = pairs.map(pair => pair.map(part => Buffer.from(part).toString('latin1')))
        expect(fieldsOf(body)).to.deep.equal(expected)
      })
    )
  })

  it('agrees with URLSearchParams where both accept a form', () => {
    fc.assert(
      fc.property(fc.array(fc.tuple(fc.string({ minLength: 1 }), fc.string()), { minLength: 1 }), pairs => {
        const encoded = new URLSearchParams(pairs).toString()
        const fields = parseForm(Buffer.from(encoded))!
        expect(fields.map(({ name, value }) => [name.toString(), String(value)])).to.deep.equal([
          ...new URLSearchParams(encoded)
        ])
      })
    )
  })

  it('make one JSON object, in order and with duplicates', () => {
    expect(toJsonObject(parseForm(Buffer.from('a=1&b&a=%22%0A&__proto__=%C3%A9'))!)).to.equal(
      '{"a":"1","b":true,"a":"\\"\\n","__proto__":"é"}'
    )
  })

  it('make no JSON of what is not UTF-8', () => {
    expect(toJsonObject(parseForm(Buffer.from('a=%FF'))!)).to.equal(undefined)
    expect(toJsonObject(parseForm(Buffer.from('%FF'))!)).to.equal(undefined)
  })
})
