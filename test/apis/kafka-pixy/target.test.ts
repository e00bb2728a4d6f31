import { expect } from 'chai'
import { goJson, goQuoted, goString, type Json, withNumbersOnOneLine } from '../../../src/apis/kafka-pixy/go-json.js'
import { merged, parseQuery } from '../../../src/apis/kafka-pixy/parameters.js'
import { nameOf, targetOf } from '../../../src/apis/kafka-pixy/target.js'

/** `messages of c: t`. */
function said(path: string): string {
  const target = targetOf(path)
  if (target.type === 'moved') return `moved to ${target.path}`
  if (target.type !== 'route') return target.type
  return `${target.name}${target.cluster === undefined ? '' : ` of ${target.cluster}`} ${target.topic}`.trim()
}

describe('pixy: paths', () => {
  const paths: [path: string, said: string][] = [
    ['/_ping', 'ping'],
    ['/pprof/heap', 'heap'],
    ['/_ping/', 'unknown'],
    ['/', 'unknown'],
    ['', 'moved to /'],
    ['/topics', 'topics'],
    ['/topics/', 'unknown'],
    ['/topics/t', 'topic t'],
    ['/topics/t/', 'unknown'],
    ['/topics/t/messages', 'messages t'],
    ['/topics/t/messages/', 'unknown'],
    ['/topics/t/tail', 'tail t'],
    ['/topics/t/other', 'unknown'],
    ['/topics/%C3%BC%20x/acks', 'acks ü x'],
    ['/topics/a%2Fb/messages', 'unknown'],
    ['/topics/%zz/messages', 'malformed'],
    ['/clusters', 'unknown'],
    ['/clusters/c', 'unknown'],
    ['/clusters/c/topics', 'topics of c'],
    ['/clusters/c/topics/t/offsets', 'offsets of c t'],
    ['/clusters/c/_ping', 'unknown'],
    ['//topics', 'moved to /topics'],
    ['/topics/./t//messages', 'moved to /topics/t/messages'],
    ['/topics/../x/', 'moved to /x/'],
    ['/topics/a%3Fb/../c%3F', 'moved to /topics/c%3F'],
    ['/../..', 'moved to /'],
    ['/topics/./messages', 'moved to /topics/messages'],
    ['/topics/../messages', 'moved to /messages'],
    ['/topics/.../messages', 'messages ...'],
    ['/topics/a.b-c_D9/acks', 'acks a.b-c_D9'],
    ['/topics/t/consumers', 'consumers t'],
    ['/topics/t/offsets', 'offsets t'],
    ['/topics/t/messages/more', 'unknown'],
    ['/_ping/more', 'unknown'],
    ['/pprof', 'unknown'],
    ['/pprof/heap/more', 'unknown'],
    ['/clusters/c/pprof/heap', 'unknown'],
    ['/clusters//topics', 'moved to /clusters/topics'],
    ['/clusters/c/topics/t', 'topic of c t'],
    ['/clusters/c/topics/t/messages/more', 'unknown'],
    ['/clusters/c/other', 'unknown'],
    ['/other/t/messages', 'unknown']
  ]
  for (const [path, expected] of paths) {
    it(`${path || '(empty)'} is ${expected}`, () => {
      expect(said(path)).to.equal(expected)
    })
  }
})

describe('pixy: names of routes in the logs', () => {
  for (const [path, expected] of [
    ['/_ping', '/_ping'],
    ['/pprof/heap', '/pprof/heap'],
    ['/topics', '/topics'],
    ['/topics/t', '/topics/:topic'],
    ['/topics/t/messages', '/topics/:topic/messages'],
    ['/clusters/c/topics', '/clusters/:cluster/topics'],
    ['/clusters/c/topics/t', '/clusters/:cluster/topics/:topic'],
    ['/clusters/c/topics/t/tail', '/clusters/:cluster/topics/:topic/tail'],
    ['/other', undefined],
    ['//topics', undefined]
  ] as const) {
    it(`${path} is ${expected}`, () => {
      expect(nameOf(targetOf(path))).to.equal(expected)
    })
  }
})

describe('pixy: parameters', () => {
  const queries: [text: string, values: object, flaw: string | undefined][] = [
    ['', {}, undefined],
    ['a=1&b&a=%41&&=x', { a: ['1', 'A'], b: [''], '': ['x'] }, undefined],
    ['a=%zz&b=+%2B', { b: [' +'] }, 'invalid URL escape "%zz"'],
    ['a=%4', {}, 'invalid URL escape "%4"'],
    ['sync;key=a', {}, 'invalid semicolon separator in query'],
    ['__proto__=1', { ['__proto__']: ['1'] }, undefined]
  ]
  for (const [text, values, flaw] of queries) {
    it(`${text || '(none)'}`, () => {
      const parsed = parseQuery(text)
      expect(parsed.flaw).to.equal(flaw)
      expect(new Map(parsed.values)).to.deep.equal(new Map(Object.entries(values)))
    })
  }

  it('those of a form come first', () => {
    const both = merged(parseQuery('a=form&b=1').values, parseQuery('a=query&c=2').values)
    expect([...both]).to.deep.equal([
      ['a', ['form', 'query']],
      ['b', ['1']],
      ['c', ['2']]
    ])
  })
})

describe('pixy: JSON as Go writes it', () => {
  const texts: [text: string, written: string][] = [
    ['a', '"a"'],
    ['<&>', '"\\u003c\\u0026\\u003e"'],
    ['"\\\n\r\t', '"\\"\\\\\\n\\r\\t"'],
    ['\b\f\x01\x7f', '"\\u0008\\u000c\\u0001\x7f"'],
    ['\\b\\\b', '"\\\\b\\\\\\u0008"'],
    ['\u2028\u2029', '"\\u2028\\u2029"'],
    ['ü☃😀', '"ü☃😀"'],
    ['\ud800', '"\ufffd"']
  ]
  for (const [text, written] of texts) {
    it(written, () => {
      expect(goString(text)).to.equal(written)
    })
  }

  it('indents, and sorts the members of maps by bytes', () => {
    const value = {
      b: [],
      a: { x: 1, left: undefined, y: [null, true] },
      m: new Map<string, Json>([
        ['ü', 1],
        ['z', 2],
        ['a', {}]
      ])
    }
    expect(goJson(value)).to.equal(
      '{\n  "b": [],\n  "a": {\n    "x": 1,\n    "y": [\n      null,\n      true\n    ]\n  },\n  "m": {\n    "a": {},\n    "z": 2,\n    "ü": 1\n  }\n}'
    )
  })

  it('pixy X1: lists of numbers are on one line, everything else stays as it is', () => {
    const value = { a: [1, -2, 30], b: [], c: ['1', '2'], d: [[1], [2, 3]], e: '[\n1\n]', f: 4 }
    expect(withNumbersOnOneLine(goJson(value))).to.equal(
      '{\n  "a": [1,-2,30],\n  "b": [],\n  "c": [\n    "1",\n    "2"\n  ],\n  "d": [\n    [1],\n    [2,3]\n  ],\n  "e": "[\\n1\\n]",\n  "f": 4\n}'
    )
  })

  it('quotes texts in messages', () => {
    expect(goQuoted('a"\\\n\x01')).to.equal('"a\\"\\\\\\n\\x01"')
  })
})
