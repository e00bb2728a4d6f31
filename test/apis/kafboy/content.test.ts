import { expect } from 'chai'
import { contentsOf, isJsonType } from '../../../src/apis/kafboy/content.js'

const published = (...args: Parameters<typeof contentsOf>) =>
  contentsOf(...args)?.map(({ key, value }) => [key?.toString() ?? null, value?.toString() ?? null])

describe('kafboy: what is published without a hook', () => {
  it('kafboy 1: a form is one record, a JSON object of its fields', () => {
    expect(published(Buffer.from('test=a'), false, 'json')).to.deep.equal([[null, '{"test":"a"}']])
  })

  it('kafboy 1: with `payload: fields` each field is a record of its own with a key', () => {
    expect(published(Buffer.from('test=a&b=2&c'), false, 'fields')).to.deep.equal([
      ['test', 'a'],
      ['b', '2'],
      ['c', 'true']
    ])
  })

  it('kafboy 11: JSON is published as the bytes that came', () => {
    const body = Buffer.from('{"a":"b=c&d+e%"}')
    expect(contentsOf(body, true, 'fields')).to.deep.equal([{ key: null, value: body }])
  })

  it('JSON is not parsed: bytes that are no JSON pass untouched', () => {
    const body = Buffer.from([0xff, 0, 0x7b])
    expect(contentsOf(body, true, 'json')![0]!.value).to.equal(body)
  })

  it('kafboy 10: an empty body publishes nothing', () => {
    expect(contentsOf(Buffer.alloc(0), true, 'json')).to.deep.equal([])
    expect(contentsOf(Buffer.from('&'), false, 'json')).to.deep.equal([])
  })

  it('a form that is not UTF-8 makes no JSON, but fields of bytes', () => {
    expect(contentsOf(Buffer.from('a=%FF'), false, 'json')).to.equal(undefined)
    expect(contentsOf(Buffer.from('a=%FF'), false, 'fields')![0]!.value).to.deep.equal(Buffer.from([0xff]))
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
  for (const [type, isJson] of types) {
    it(`${type ?? 'no type'} is ${isJson ? 'JSON' : 'a form'}`, () => {
      expect(isJsonType(type)).to.equal(isJson)
    })
  }
})
