import type { IncomingMessage } from 'node:http'
import { expect } from 'chai'
import { goDurationMs } from '../../../src/apis/kafka-pixy/compat/pixy-keys.js'
import { goString } from '../../../src/apis/kafka-pixy/go-json.js'
import {
  addMessage,
  lineJson,
  type MessageOptions,
  messageOptionsOf,
  type PlacedRecord
} from '../../../src/apis/kafka-pixy/message-json.js'
import {
  ackOf,
  bytesOf,
  contentKindOf,
  groupOf,
  int32,
  int64,
  isFormType,
  merged,
  numberOf,
  parseQuery,
  textOf
} from '../../../src/apis/kafka-pixy/pixy-request.js'
import { messageHeadersOf, messageSizeOf } from '../../../src/apis/kafka-pixy/produce.js'
import { oddPathOf, withAlias } from '../../../src/apis/kafka-pixy/target.js'
import { ApiError } from '../../../src/http/api/api-answers.js'
import { idOf, positionsOf } from '../../../src/http/api/tail.js'
import { sentPartsOf } from '../../../src/http/exchange/exchange.js'
import { wholeOf } from '../../../src/http/exchange/pieced-body.js'
import { SegmentedBody } from '../../../src/http/exchange/segmented-body.js'
import type { Verbs } from '../../../src/verbs/verbs.js'
import { checkRows } from '../../support/rows.js'

function messageJson(message: PlacedRecord, options: MessageOptions, indent = ''): string {
  const body = new SegmentedBody()
  addMessage(body, message, options, indent)
  return wholeOf(body).toString()
}

const valuesOf = (query: string) => parseQuery(query).values
const errorOf = (work: () => unknown): string => {
  try {
    return JSON.stringify(work())
  } catch (error) {
    expect(error).to.be.instanceOf(ApiError)
    return (error as Error).message
  }
}

describe('pixy 1.4: content types', () => {
  const kinds: [type: string, kind: 'raw' | 'form' | undefined][] = [
    ['text/plain', 'raw'],
    ['application/json', 'raw'],
    ['application/json;', 'raw'],
    ['application/json;charset=utf-8', 'raw'],
    ['application/cloudevents+json', 'raw'],
    ['application/cloudevents+json; a=b', 'raw'],
    ['application/x-www-form-urlencoded', 'form'],
    ['application/x-www-form-urlencoded;', undefined],
    ['application/X-www-form-urlencoded', undefined],
    ['text/plain;', undefined],
    ['text/plainer', undefined],
    ['Application/json', undefined],
    ['application/jsonl', undefined],
    ['application/json+', undefined],
    ['application/json charset', undefined],
    ['application/a+jsonl', undefined],
    ['application/a;b+json', undefined],
    ['an application/json', undefined],
    ['text/json', undefined],
    ['', undefined]
  ]
  it('pixy H46: each content type is a kind of message, or none', () =>
    checkRows(kinds, ([type, kind]) => expect(contentKindOf(type)).to.equal(kind)))

  it('of forms with parameters are known with other letters and with parameters', () => {
    const form = 'application/x-www-form-urlencoded'
    for (const type of [form, `${form}; charset=utf-8`, `${form} ;a`, ` ${form}`, form.toUpperCase()]) {
      expect(isFormType(type), type).to.equal(true)
    }
    for (const type of [undefined, '', 'text/plain', `${form}x`, `a;${form}`]) {
      expect(isFormType(type), type).to.equal(false)
    }
  })

  it('may be absent', () => {
    expect(contentKindOf(undefined)).to.equal(undefined)
  })
})

describe('pixy 1.4: X-Kafka- headers', () => {
  const headersOf = (...raw: string[]) => messageHeadersOf(raw).map(({ key, value }) => `${key}=${value}`)
  const taken = (value: string): boolean => {
    try {
      return headersOf('X-Kafka-A', value).length === 1
    } catch (error) {
      expect((error as Error).message).to.equal('Invalid base64 encoding for header: X-Kafka-A')
      return false
    }
  }

  it('are those whose names begin so, in the order sent', () => {
    expect(
      headersOf('Host', 'h', 'x-kafka-b', 'Yg==', 'Accept', 'YQ==', 'X-KAFKA-a', 'YQ==', 'x-kafka-b', 'Yw==')
    ).to.deep.equal(['B=b', 'A=a', 'B=c'])
    expect(headersOf('X-Kafkaa', 'YQ==', 'A-X-Kafka-B', 'YQ==', 'Kafka-B', 'YQ==')).to.deep.equal([])
    expect(headersOf()).to.deep.equal([])
  })

  it('have names as Go writes them: a capital at the beginning of each word', () => {
    const names = [
      'x-kafka-foo-BAR',
      'X-KAFKA-1a-b',
      'x-kafka-a_b',
      'x-kafka-a&b_c',
      'x-kafka-',
      'x-kafka--a',
      'x-kafka-zZ'
    ]
    expect(names.flatMap(name => headersOf(name, ''))).to.deep.equal(
      ['Foo-Bar', '1a-B', 'A_b', 'A&b_c', '', '-A', 'Zz'].map(name => `${name}=`)
    )
  })

  it('pixy H8: have values in padded base64, whose spare bits do not count', () => {
    for (const value of ['', 'YQ==', 'YR==', 'YWI=', 'YWJj', 'YWJjZA==', '+/+/', 'AZaz09+/']) {
      expect(taken(value), value).to.equal(true)
    }
    for (const value of [
      'Y',
      'YQ',
      'YQ=',
      'YWI',
      'YQ===',
      '=',
      '====',
      'YQ==YQ==',
      'YQ== ',
      ' YQ==',
      '-_-_',
      'YW.j',
      'Y==='
    ]) {
      expect(taken(value), value).to.equal(false)
    }
  })
})

describe('pixy: parameters of a query', () => {
  it('are bytes, of which each escape is one', () => {
    const [value] = valuesOf('a=%C3%BC%00%ff+%2b').get('a')!
    expect(bytesOf(value!)).to.deep.equal(Buffer.from([0xc3, 0xbc, 0, 0xff, 0x20, 0x2b]))
    expect(textOf(valuesOf('a=%C3%BC').get('a')![0]!)).to.equal('ü')
    expect(textOf(valuesOf('a=%7f').get('a')![0]!)).to.equal('\x7f')
    expect([...valuesOf('%61+b=1').keys()]).to.deep.equal(['a b'])
    expect([...valuesOf('a=b=c&a')]).to.deep.equal([['a', ['b=c', '']]])
  })

  it('are left out one by one where they are malformed, and the first flaw is told', () => {
    const parsed = (text: string) => [[...parseQuery(text).values.keys()].join(), parseQuery(text).flaw]
    expect(parsed('%zz=1&b')).to.deep.equal(['b', 'invalid URL escape "%zz"'])
    expect(parsed('a=%4g&b')).to.deep.equal(['b', 'invalid URL escape "%4g"'])
    expect(parsed('a=%g4')).to.deep.equal(['', 'invalid URL escape "%g4"'])
    expect(parsed('a=%')).to.deep.equal(['', 'invalid URL escape "%"'])
    expect(parsed('a=%41%x1&c')).to.deep.equal(['c', 'invalid URL escape "%x1"'])
    expect(parsed('a;b&c=%zz&d')).to.deep.equal(['d', 'invalid semicolon separator in query'])
    expect(parsed('c=%zz&a;b')).to.deep.equal(['', 'invalid URL escape "%zz"'])
    expect(parsed('%Aa=%fF')).to.deep.equal(['\xaa', undefined])
  })

  it('of a form that is empty are those of the query', () => {
    expect([...merged(valuesOf(''), valuesOf('a=1'))]).to.deep.equal([['a', ['1']]])
    expect([...merged(valuesOf('a=1'), valuesOf(''))]).to.deep.equal([['a', ['1']]])
  })

  it('name exactly one group, in UTF-8', () => {
    expect(groupOf(valuesOf('group=%C3%BC'))).to.equal('ü')
    expect(errorOf(() => groupOf(valuesOf('Group=a')))).to.equal('one consumer group is expected, but 0 provided')
    expect(errorOf(() => groupOf(valuesOf('group=a&group=a')))).to.equal(
      'one consumer group is expected, but 2 provided'
    )
    expect(errorOf(() => groupOf(valuesOf('group=')))).to.equal('one consumer group is expected, but its name is empty')
  })

  it('name the message that is acknowledged, or none', () => {
    const ack = (query: string): string => errorOf(() => ackOf(valuesOf(query), 'p', 'o'))
    const both = 'p and o either both should be provided or neither'
    expect(ack('')).to.equal('"auto"')
    expect(ack('p=0&o=0')).to.equal('{"partition":0,"offset":0}')
    expect(ack('p=3&o=%2B70')).to.equal('{"partition":3,"offset":70}')
    expect(ack('noAck&p=x&o=1')).to.equal('"none"')
    expect([ack('p=-1&o=1'), ack('p=1&o=-1')]).to.deep.equal(['"none"', '"none"'])
    expect([ack('p=1'), ack('o=1')]).to.deep.equal([both, both])
    const wrong = (name: string) => `bad ${name}: [x]: strconv.ParseInt: parsing "x": invalid syntax`
    expect([ack('p=x'), ack('o=x'), ack('p=1&o=x'), ack('p=x&o=y')]).to.deep.equal(['p', 'o', 'o', 'p'].map(wrong))
    expect(ack('p=1&o=9223372036854775808')).to.match(/^bad o: .* value out of range$/)
    expect(ack('p=1&o=2147483648')).to.equal('{"partition":1,"offset":2147483648}')
  })

  it('are whole numbers, as large as their type', () => {
    const read = (text: string, type: typeof int32 | typeof int64): unknown => {
      const number = errorOf(() => numberOf(valuesOf(`n=${encodeURIComponent(text)}`), 'n', type))
      return /: ([a-z ]+)$/.exec(number)?.[1] ?? Number(number)
    }
    const small: [text: string, read: unknown][] = [
      ['0', 0],
      ['+7', 7],
      ['-7', -7],
      ['007', 7],
      ['2147483647', 2_147_483_647],
      ['2147483648', 'value out of range'],
      ['-2147483648', -2_147_483_648],
      ['-2147483649', 'value out of range'],
      ['', 'invalid syntax'],
      ['+', 'invalid syntax'],
      ['+-1', 'invalid syntax'],
      ['1 ', 'invalid syntax'],
      ['1_0', 'invalid syntax'],
      ['0x1', 'invalid syntax'],
      ['1.0', 'invalid syntax'],
      ['a1', 'invalid syntax']
    ]
    for (const [text, expected] of small) expect(read(text, int32), text).to.equal(expected)
    expect(read('9223372036854775807', int64)).to.be.above(9e18)
    expect(read('9223372036854775808', int64)).to.equal('value out of range')
    expect(read('-9223372036854775809', int64)).to.equal('value out of range')
    expect(read('x', int64)).to.equal('invalid syntax')
    for (const sign of ['', '+', '-']) {
      expect(read(`${sign}${'0'.repeat(1_000)}9007199254740991`, int64)).to.equal(Number(`${sign}9007199254740991`))
      expect(read(`${sign}${'0'.repeat(1_000)}`, int64)).to.equal(Number(`${sign}0`))
      expect(read(`${sign}${'9'.repeat(1_000_000)}`, int64)).to.equal('value out of range')
    }
    expect(numberOf(valuesOf('m=1'), 'n', int32)).to.equal(undefined)
    const several = errorOf(() => numberOf(valuesOf('n=%3Ca%3E%22%C3%BC&n=2'), 'n', int32))
    expect(several).to.equal('bad n: [<a>"ü 2]: strconv.ParseInt: parsing "<a>\\"ü": invalid syntax')
  })
})

describe('pixy 1.12: durations', () => {
  const durations: [text: string, durationMs: number | undefined][] = [
    ['1h2m3s4ms', 3_723_004],
    ['2000000ns', 2],
    ['3000us', 3],
    ['3000\u00b5s', 3],
    ['3000\u03bcs', 3],
    ['1500us', 2],
    ['.5s', 500],
    ['1.s', 1_000],
    ['0.25h', 900_000],
    ['-1.5s', -1_500],
    ['+2s', 2_000],
    ['1s-1s', undefined],
    ['0', 0],
    ['-0', 0],
    ['+0', 0],
    ['00', undefined],
    ['', undefined],
    ['-', undefined],
    ['.s', undefined],
    ['1.2.3s', undefined],
    ['1s1.2.3s', undefined],
    ['1s.s', undefined],
    ['1s5', undefined],
    ['5 s', undefined],
    [' 5s', undefined],
    ['5d', undefined],
    ['5S', undefined],
    ['1e3s', undefined],
    ['--1s', undefined]
  ]
  it('each text is the duration that Go reads in it, or none', () =>
    checkRows(durations, ([text, durationMs]) => {
      const found = goDurationMs(text)
      expect(found === undefined ? undefined : found + 0).to.equal(durationMs)
    }))
})

describe('pixy: the place that an event of a tail names', () => {
  it('is the next offset by partition', () => {
    const positions = new Map([
      [0, 17],
      [12, 0]
    ])
    expect(idOf(positions)).to.equal('0:17,12:0')
    expect(positionsOf('0:17,12:0')).to.deep.equal(positions)
    expect(positionsOf('2147483647:9007199254740991')).to.deep.equal(new Map([[2_147_483_647, 2 ** 53 - 1]]))
    expect(idOf(new Map())).to.equal('')
  })

  it('is refused in any other form', () => {
    const wrong = [
      '',
      '0',
      '0:',
      ':1',
      '0:1,',
      ',0:1',
      '0:1,1',
      '0:1;1:2',
      'x0:1',
      '0:1x',
      '-1:1',
      '0:-1',
      '0: 1',
      '0:1.5'
    ]
    const tooLong = ['12345678901:1', '0:12345678901234567', '0:9007199254740992']
    for (const id of [...wrong, ...tooLong]) expect(positionsOf(id), id).to.equal(undefined)
  })
})

describe('pixy: the target of a request', () => {
  const asked = (method: string, url: string) => ({ method, url }) as IncomingMessage

  it('has a path below the prefix and a query', () => {
    const parts = (url: string) => Object.values(sentPartsOf(asked('GET', url), '/pixy'))
    expect(parts('/pixy/topics')).to.deep.equal(['/topics', ''])
    expect(parts('/pixy/topics?a=?b')).to.deep.equal(['/topics', 'a=?b'])
    expect(parts('/pixy/topics?a#b?c')).to.deep.equal(['/topics', 'a'])
    expect(parts('/pixy/topics#b?c')).to.deep.equal(['/topics', ''])
    expect(parts('/pixy/http://host/pixy/topics')).to.deep.equal(['/http://host/pixy/topics', ''])
  })

  it('has a path whose letters with a meaning stay escaped when it is moved', () => {
    const moved = (path: string): unknown => {
      const odd = oddPathOf(path)
      return odd?.type === 'moved' ? odd.path : odd?.type
    }
    expect(moved('//a%23b')).to.equal('/a%23b')
    expect(moved('//a%3Fb')).to.equal('/a%3Fb')
    expect(moved('//a%20%C3%BC')).to.equal('/a%20%C3%BC')
    expect(moved('/a/b/../../..//')).to.equal('/')
    expect(moved('/topics/t/messages/..')).to.equal('/topics/t')
  })

  it('names a cluster by its name or, for the default one, its other name', () => {
    const [main, other] = [{} as Verbs, {} as Verbs]
    const both = new Map([
      ['default', main],
      ['other', other]
    ])
    expect([...withAlias(both, 'main').entries()]).to.deep.equal([...both.entries(), ['main', main]])
    expect([...withAlias(both, undefined).keys()]).to.deep.equal(['default', 'other'])
    expect([...withAlias(new Map([['other', other]]), 'main').keys()]).to.deep.equal(['other'])
  })
})

describe('pixy: a message', () => {
  const message = {
    partition: 2,
    offset: 9,
    timestampMs: 1_700_000_000_123,
    key: Buffer.from('k<'),
    value: Buffer.from([0xff, 0]),
    headers: [
      { key: 'A&', value: Buffer.from('ä') },
      { key: '', value: null }
    ]
  }
  const empty = { ...message, key: null, value: null, headers: [] }
  const plain = { asText: false, withTimestamp: false }
  const all = { asText: true, withTimestamp: true }

  it('counts its bytes, 36, and 10 for each header', () => {
    const [value, key] = [Buffer.alloc(100), Buffer.alloc(7)]
    expect(messageSizeOf(value, null, [])).to.equal(136)
    expect(messageSizeOf(value, key, [])).to.equal(143)
    expect(messageSizeOf(value, key, [{ key: 'ä', value: Buffer.alloc(5) }])).to.equal(160)
    expect(messageSizeOf(value, null, [{ key: 'abc', value: null }])).to.equal(149)
  })

  it('is written as the original does, further members where they are asked for', () => {
    const headers = [
      '    {\n      "key": "A\\u0026",\n      "value": "w6Q="\n    }',
      '    {\n      "key": "",\n      "value": null\n    }'
    ]
    expect(messageJson(message, plain)).to.equal(
      `{\n  "key": "azw=",\n  "value": "/wA=",\n  "partition": 2,\n  "offset": 9,\n  "headers": [\n${headers.join(',\n')}\n  ]\n}`
    )
    expect(messageJson(empty, plain)).to.equal(
      '{\n  "key": null,\n  "value": null,\n  "partition": 2,\n  "offset": 9,\n  "headers": []\n}'
    )
    expect(messageJson(message, all, '  ')).to.equal(
      '{\n    "key": "k\\u003c",\n    "value": "\ufffd\\u0000",\n    "partition": 2,\n    "offset": 9,\n    "headers": [\n      {\n        "key": "A\\u0026",\n        "value": "ä"\n      },\n      {\n        "key": "",\n        "value": null\n      }\n    ],\n    "timestamp": 1700000000123\n  }'
    )
  })

  it('is written on one line as well', () => {
    expect(lineJson(message, plain)).to.equal(
      '{"key":"azw=","value":"/wA=","partition":2,"offset":9,"headers":[{"key":"A\\u0026","value":"w6Q="},{"key":"","value":null}]}'
    )
    expect(lineJson(empty, all)).to.equal(
      '{"key":null,"value":null,"partition":2,"offset":9,"headers":[],"timestamp":1700000000123}'
    )
  })

  it('is the same with long parts, which are made while they leave', () => {
    const long = Buffer.from('€<\u2028\b'.repeat(5_000))
    const headers = [{ key: '\u0001'.repeat(20_000), value: long }]
    const record = { ...message, key: long, value: Buffer.concat([long, Buffer.from([0xff])]), headers }
    const [key, value, name] = [record.key, record.value, headers[0]!.key].map(one => goString(one.toString()))
    const json = lineJson(record, all)
    const text = `{"key":${key},"value":${value},"partition":2,"offset":9,"headers":[{"key":${name},"value":${key}}],"timestamp":1700000000123}`
    expect(wholeOf(json).equals(Buffer.from(text))).to.equal(true)
    expect(JSON.parse(messageJson(record, all))).to.deep.equal(JSON.parse(text))
    // A line outlives the bytes of its batch.
    record.value.fill(0)
    expect(wholeOf(json).equals(Buffer.from(text))).to.equal(true)
    expect((json as SegmentedBody).heldBytes).to.be.below(200_000)
  })

  it('is text where exactly that is asked for, and has its time where that is', () => {
    const options = (query: string) => messageOptionsOf(valuesOf(query))
    expect(options('')).to.deep.equal(plain)
    expect(options('encoding=text&timestamp=false')).to.deep.equal(all)
    expect(options('encoding=base64')).to.deep.equal(plain)
    expect(options('encoding=base64&encoding=text')).to.deep.equal(plain)
    expect(options('encoding')).to.deep.equal(plain)
  })
})
