import { expect } from 'chai'
import { DeserializeError, JsonReader } from '../../../src/core/json/json-reader.js'
import { readElements, readInteger, readValueBytes, takeNull } from '../../../src/core/json/json-slices.js'
import { checkRows } from '../../support/rows.js'

const compactOf = (json: string): string => {
  const bytes = Buffer.from(json)
  return readValueBytes(new JsonReader(bytes), bytes).toString()
}

describe('readValueBytes', () => {
  it('each value is made compact, and nothing in it is changed', () =>
    checkRows(
      [
        [' 1 ', '1'],
        ['-0.10e+5', '-0.10e+5'],
        ['12345678901234567890123', '12345678901234567890123'],
        ['{ "b" : [ 1 , 2 ] ,\n"a" : { } , "b":null }', '{"b":[1,2],"a":{},"b":null}'],
        ['"two  words"', '"two  words"'],
        ['"\\u0041\\/\\u00fc\\ud83d\\ude00"', '"A/ü😀"'],
        ['"\\u001f\\u000a\\\\u001f\\""', '"\\u001F\\n\\\\u001f\\""'],
        ['["\\\\", " ", "\\\\\\""]', '["\\\\"," ","\\\\\\""]'],
        ['{"__proto__": {"\\u0061": 1}}', '{"__proto__":{"a":1}}']
      ] as const,
      ([json, compact]) => expect(compactOf(json)).to.equal(compact)
    ))

  it('gives a view of what is compact already', () => {
    const bytes = Buffer.from('  {"a":[1,"b c"]}  ')
    const value = readValueBytes(new JsonReader(bytes), bytes)
    expect([value.toString(), value.buffer === bytes.buffer]).to.deep.equal(['{"a":[1,"b c"]}', true])
  })

  it('gives the same value as JSON.parse for what JSON.stringify writes with white space', () => {
    const value = { a: ['x', { b: '\u0000\u007f"\\/', c: [] }], d: -1.5e-7, e: true, f: null }
    expect(compactOf(JSON.stringify(value, undefined, '\t'))).to.equal(JSON.stringify(value))
  })

  it('gives every character its shortest form, whichever escape it was sent with', () => {
    const escapeOf = (unit: number): string => `\\u${unit.toString(16).padStart(4, '0')}`
    for (let from = 0; from < 0x3000; from += 64) {
      const codes = Array.from({ length: 64 }, (_, at) => from + at)
      const text = String.fromCharCode(...codes)
      const sent = `["${codes.map(escapeOf).join('')}","\\/x\\/"]`
      const shortest = JSON.stringify([text, '/x/']).replace(/\\u..../g, one => `\\u${one.slice(2).toUpperCase()}`)
      expect(compactOf(sent)).to.equal(shortest)
      expect(compactOf(` ${shortest} `)).to.equal(shortest)
    }
    for (const character of ['\ud7ff', '\ue000', '\uffff', '\u{10000}', '\u{10ffff}']) {
      const units = Array.from({ length: character.length }, (_, at) => escapeOf(character.charCodeAt(at)))
      expect(compactOf(`"a${units.join('')}b"`)).to.equal(`"a${character}b"`)
    }
  })

  it('a malformed text is refused', () =>
    checkRows(['', '{', '[1,]', '{"a":1,}', '01', '"\\x"', '"\\ud800"', 'nul', '"\n"', '{a:1}'], json =>
      expect(() => compactOf(json)).to.throw(DeserializeError)
    ))
})

describe('readElements, readInteger and takeNull', () => {
  it('read an object with lists member by member', () => {
    const bytes = Buffer.from(' { "n" : [ 1, -2 ] , "none":null, "n\\u0061": 999999999999999 } ')
    const reader = new JsonReader(bytes)
    const found: unknown[] = []
    for (let name = reader.firstMember(); name !== undefined; name = reader.nextMember()) {
      found.push(name)
      if (name === 'n') readElements(reader, () => found.push(readInteger(reader, bytes)))
      else found.push(takeNull(reader) ? null : readInteger(reader, bytes))
    }
    expect(found).to.deep.equal(['n', 1, -2, 'none', null, 'na', 999999999999999])
    expect(reader.peekToken()).to.equal(-1)
  })

  it('names that begin alike, have escapes or are not ASCII are told apart, in any order', () => {
    const names = [
      'value',
      'val',
      'values',
      'v',
      'value',
      '',
      'vä',
      'v\\u00e4',
      'v\\"',
      'väl',
      'v'.repeat(100),
      'value',
      ''
    ]
    const json = `{${names.map(name => `"${name}":1`).join(',')}}`
    const found: string[] = []
    const reader = new JsonReader(Buffer.from(json))
    for (let name = reader.firstMember(); name !== undefined; name = reader.nextMember()) {
      found.push(name)
      reader.index++
    }
    expect(found).to.deep.equal(names.map(name => JSON.parse(`"${name}"`)))
    const cut = new JsonReader(Buffer.from('{"valu'))
    expect(() => cut.firstMember()).to.throw(DeserializeError, 'EOF while parsing a string')
  })

  for (const json of ['1.0', '1e3', '"1"', 'true', '1000000000000000']) {
    it(`readInteger refuses ${json}`, () => {
      const bytes = Buffer.from(json)
      expect(() => readInteger(new JsonReader(bytes), bytes)).to.throw(DeserializeError, 'expected a whole number')
    })
  }
})
