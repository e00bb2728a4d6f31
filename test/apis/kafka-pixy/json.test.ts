import { expect } from 'chai'
import fc from 'fast-check'
import { checkJson, GoJsonError, goJson, goQuoted, goString } from '../../../src/apis/kafka-pixy/go-json.js'
import { offsetChangesOf } from '../../../src/apis/kafka-pixy/look-ups-endpoint.js'
import { offsetsBody } from '../../../src/apis/kafka-pixy/routes.js'
import { checkRows } from '../../support/rows.js'

/** The text of the error; `taken` when there is none. */
function refusalOf(text: string): string {
  try {
    checkJson(text)
    return 'taken'
  } catch (error) {
    expect(error).to.be.instanceOf(GoJsonError)
    return (error as Error).message
  }
}

const END = 'unexpected end of JSON input'

describe('pixy: JSON that Go takes', () => {
  const taken = [
    '0',
    '-0',
    '10',
    '1234567890',
    '0.5',
    '-1.25',
    '0e1',
    '0E+19',
    '1e-9',
    '9.90E0',
    'true',
    'false',
    'null',
    '""',
    '" !~\x7f\xff"',
    '"\\b\\f\\n\\r\\t\\/\\\\\\""',
    '"\\u09afAF"',
    '"\\uABCD"',
    '{}',
    '[]',
    '{ }',
    '[ ]',
    '{"a":1}',
    '{"a":1,"b":[{},[]]}',
    '[1,2,3]',
    ' \t\r\n{ \t\r\n"a" \t\r\n: \t\r\n1 \t\r\n} \t\r\n',
    ' [ 1 , "a" , null ] '
  ]
  it('each unusual text is taken as Go takes it', () =>
    checkRows(taken, text => expect(refusalOf(text)).to.equal('taken')))

  it('may have many lists beside each other: only those inside each other count', () => {
    expect(refusalOf(`[${Array.from({ length: 2_000 }, () => '[{}]').join()}]`)).to.equal('taken')
    const inside = (depth: number): string => '{"a":['.repeat(depth / 2) + ']}'.repeat(depth / 2)
    expect(refusalOf(inside(1_000))).to.equal('taken')
    expect(refusalOf(`[${inside(1_000)}]`)).to.equal("invalid character '[' exceeded max depth")
  })

  it('may have 100,000 values', () => {
    const listOf = (values: number): string => `[${Array.from({ length: values }, () => '{}').join()}]`
    expect(refusalOf(listOf(99_999))).to.equal('taken')
    expect(refusalOf(listOf(100_000))).to.equal('more than 100000 values')
  })
})

describe('pixy: JSON that Go refuses', () => {
  const beginning = 'looking for beginning of value'
  const refused: [text: string, error: string][] = [
    ['', END],
    [' \n', END],
    ['{', END],
    ['[', END],
    ['[1', END],
    ['[1,', END],
    ['{"a', END],
    ['{"a"', END],
    ['{"a":', END],
    ['{"a":1', END],
    ['{"a":1,', END],
    ['"', END],
    ['"\\', "invalid character ' ' in string escape code"],
    ['"\\u', "invalid character ' ' in \\u hexadecimal character escape"],
    ['"\\u12a', "invalid character ' ' in \\u hexadecimal character escape"],
    ['-', "invalid character ' ' in numeric literal"],
    ['1.', "invalid character ' ' after decimal point in numeric literal"],
    ['1e', "invalid character ' ' in exponent of numeric literal"],
    ['1e+', "invalid character ' ' in exponent of numeric literal"],
    ['t', "invalid character ' ' in literal true (expecting 'r')"],
    ['fals', "invalid character ' ' in literal false (expecting 'e')"],
    ['nul', "invalid character ' ' in literal null (expecting 'l')"],
    ['x', `invalid character 'x' ${beginning}`],
    ['\v', `invalid character '\\v' ${beginning}`],
    ["'a'", `invalid character '\\'' ${beginning}`],
    ['+1', `invalid character '+' ${beginning}`],
    ['.5', `invalid character '.' ${beginning}`],
    [':', `invalid character ':' ${beginning}`],
    ['/', `invalid character '/' ${beginning}`],
    ['[,1]', `invalid character ',' ${beginning}`],
    ['[1,]', `invalid character ']' ${beginning}`],
    ['{"a":}', `invalid character '}' ${beginning}`],
    ['[}', `invalid character '}' ${beginning}`],
    ['[1}', "invalid character '}' after array element"],
    ['[1:2]', "invalid character ':' after array element"],
    ['{1:2}', "invalid character '1' looking for beginning of object key string"],
    ['{,}', "invalid character ',' looking for beginning of object key string"],
    ['{"a":1,2}', "invalid character '2' looking for beginning of object key string"],
    ['{"a"}', "invalid character '}' after object key"],
    ['{"a","b"}', "invalid character ',' after object key"],
    ['{"a":1]', "invalid character ']' after object key:value pair"],
    ['{"a":1:', "invalid character ':' after object key:value pair"],
    ['{} {}', "invalid character '{' after top-level value"],
    ['1 2', "invalid character '2' after top-level value"],
    ['01', "invalid character '1' after top-level value"],
    ['-01', "invalid character '1' after top-level value"],
    ['1-', "invalid character '-' after top-level value"],
    ['1.5.', "invalid character '.' after top-level value"],
    ['1e5e', "invalid character 'e' after top-level value"],
    ['""x', "invalid character 'x' after top-level value"],
    ['null"', "invalid character '\"' after top-level value"],
    ['"\x1f"', "invalid character '\\x1f' in string literal"],
    ['"\0"', "invalid character '\\x00' in string literal"],
    ['"\r"', "invalid character '\\r' in string literal"],
    ['"\\a"', "invalid character 'a' in string escape code"],
    ['"\\U"', "invalid character 'U' in string escape code"],
    ['"\\ "', "invalid character ' ' in string escape code"],
    ['"\\\'"', "invalid character '\\'' in string escape code"],
    ['"\\ug000"', "invalid character 'g' in \\u hexadecimal character escape"],
    ['"\\u000/"', "invalid character '/' in \\u hexadecimal character escape"],
    ['"\\u00"', "invalid character '\"' in \\u hexadecimal character escape"],
    ['--1', "invalid character '-' in numeric literal"],
    ['-.5', "invalid character '.' in numeric literal"],
    ['1.e5', "invalid character 'e' after decimal point in numeric literal"],
    ['1..5', "invalid character '.' after decimal point in numeric literal"],
    ['1e.', "invalid character '.' in exponent of numeric literal"],
    ['1e+-', "invalid character '-' in exponent of numeric literal"],
    ['tRUE', "invalid character 'R' in literal true (expecting 'r')"],
    ['fulse', "invalid character 'u' in literal false (expecting 'a')"],
    ['nulL', "invalid character 'L' in literal null (expecting 'l')"],
    // Each character of the text is a byte; Go shows it as the letter of this number.
    ['\xe4', `invalid character 'ä' ${beginning}`],
    ['\x7f', `invalid character '\\x7f' ${beginning}`],
    ['\x85', `invalid character '\\u0085' ${beginning}`],
    ['\xad', `invalid character '\\u00ad' ${beginning}`]
  ]
  it('each malformed text has the error that Go gives', () =>
    checkRows(refused, ([text, error]) => expect(refusalOf(text)).to.equal(error)))
})

describe('pixy: texts as Go writes them', () => {
  it('are quoted in messages, with a number for what cannot be printed', () => {
    const quoted: [text: string, written: string][] = [
      ['', '""'],
      [' ~', '" ~"'],
      ['"\\', '"\\"\\\\"'],
      ['\x07\b\f\n\r\t\v', '"\\a\\b\\f\\n\\r\\t\\v"'],
      ['\0\x1f\x7f', '"\\x00\\x1f\\x7f"'],
      ['\x80\xa0', '"\\u0080\\u00a0"'],
      ['\u200b\u2028\ufeff', '"\\u200b\\u2028\\ufeff"'],
      ['\u{e0001}', '"\\U000e0001"'],
      ["äß€😀'", '"äß€😀\'"']
    ]
    for (const [text, written] of quoted) expect(goQuoted(text)).to.equal(written)
  })

  it('are JSON whose control characters are numbers, but for line breaks and tabs', () => {
    const control = String.fromCharCode(...Array.from({ length: 32 }, (_, code) => code))
    const short = new Map([
      ['\n', '\\n'],
      ['\r', '\\r'],
      ['\t', '\\t']
    ])
    const written = [...control].map(
      letter => short.get(letter) ?? `\\u00${letter.charCodeAt(0).toString(16).padStart(2, '0')}`
    )
    expect(goString(control)).to.equal(`"${written.join('')}"`)
  })

  it('are JSON to the byte wherever a letter stands', () => {
    expect(goString('x<y>&\u2028z\\<\\')).to.equal('"x\\u003cy\\u003e\\u0026\\u2028z\\\\\\u003c\\\\"')
    expect(goString('\\u003c')).to.equal('"\\\\u003c"')
    expect(goString('a\udc00b\ud83d\ude00')).to.equal('"a\ufffdb😀"')
  })

  it('are what JavaScript writes, but for seven characters, whatever stands beside them', () => {
    const numbers = new Map(
      Array.from('<>&\b\f\u2028\u2029', one => [one, one.charCodeAt(0).toString(16).padStart(4, '0')])
    )
    const ofLetter = (letter: string): string => {
      const number = numbers.get(letter)
      return number === undefined ? JSON.stringify(letter).slice(1, -1) : `\\u${number}`
    }
    const letters = fc.constantFrom(
      ...numbers.keys(),
      '\\',
      '"',
      'b',
      'f',
      'u',
      '\n',
      '\0',
      'é',
      '\u2027',
      '\u202a',
      '😀'
    )
    fc.assert(
      fc.property(fc.array(letters), all => {
        expect(goString(all.join(''))).to.equal(`"${all.map(ofLetter).join('')}"`)
      })
    )
  })

  it('take no longer where a record has nothing but characters that are escaped', () => {
    const text = '<'.repeat(4_000_000)
    const before = process.cpuUsage()
    expect(goString(text)).to.have.length(6 * text.length + 2)
    expect(process.cpuUsage(before).user / 1_000, 'ms').to.be.below(500)
  })

  it('are sorted by their bytes where they are names of a map, and otherwise not', () => {
    const letters = ['\u{1f600}', '\uff5e', 'b', 'B', 'aa', 'a']
    const written = (members: object): string[] =>
      Object.keys(JSON.parse(goJson(members as never).replaceAll('\n', '')) as object)
    expect(written(new Map(letters.map(letter => [letter, 1])))).to.deep.equal([
      'B',
      'a',
      'aa',
      'b',
      '\uff5e',
      '\u{1f600}'
    ])
    expect(written(Object.fromEntries(letters.map(letter => [letter, 1])))).to.deep.equal(letters)
  })
})

describe('pixy 1.7: offsets in the body of a request', () => {
  const changes = (json: string) => [...offsetChangesOf(Buffer.from(json))]
  const refusal = (json: string): string => {
    try {
      return JSON.stringify(changes(json))
    } catch (error) {
      expect(error).to.be.instanceOf(GoJsonError)
      return (error as Error).message
    }
  }

  it('are read wherever the schema in /openapi.json takes them', () => {
    const partitions = [0, -1, 2 ** 31 - 1, 2 ** 31, 1.5, '1', null, true]
    const offsets = [0, -2, Number.MAX_SAFE_INTEGER, 2 ** 53, 0.5, '7', null, []]
    const metadata = [undefined, '', 'm', 5, null]
    let taken = 0
    for (const partition of partitions) {
      for (const offset of offsets) {
        for (const one of metadata) {
          const body = [{ partition, offset, ...(one !== undefined && { metadata: one }) }]
          if (!offsetsBody.safeParse(body).success) continue
          taken++
          const { metadata: text } = body[0]!
          const place = { offset, ...(text && { metadata: text }) }
          expect(changes(JSON.stringify(body))).to.deep.equal([[partition, place]])
        }
      }
    }
    expect(taken).to.equal(3 * 3 * 3)
    for (const body of [[], {}, [[]], [5]]) {
      expect(offsetsBody.safeParse(body).success).to.equal(Array.isArray(body) && body.length === 0)
    }
  })

  it('are by partition; what is missing or null is 0, and what is not known is passed over', () => {
    expect(changes('null')).to.deep.equal([])
    expect(changes('[]')).to.deep.equal([])
    expect(changes('[{}]')).to.deep.equal([[0, { offset: 0 }]])
    expect(changes('[null]')).to.deep.equal([[0, { offset: 0 }]])
    expect(changes('[{"partition":3},{"offset":7,"partition":1}]')).to.deep.equal([
      [3, { offset: 0 }],
      [1, { offset: 7 }]
    ])
    const nulls = '"partition":null,"offset":null,"metadata":null'
    expect(changes(`[{${nulls},"other":{"a":[]},"lag":5}]`)).to.deep.equal([[0, { offset: 0 }]])
    expect(changes('[{"metadata":"a\u00e4\\u20ac"}]')).to.deep.equal([[0, { offset: 0, metadata: 'aä€' }]])
    expect(changes('[{"metadata":""}]')).to.deep.equal([[0, { offset: 0 }]])
    expect(changes('[{"OFFSET":1,"Partition":2,"MetaData":"m"}]')).to.deep.equal([[2, { offset: 1, metadata: 'm' }]])
  })

  it('are negative where they have a meaning, and as large as a number of 32 bits where they are partitions', () => {
    expect(changes('[{"offset":-2}]')).to.deep.equal([[0, { offset: -2 }]])
    expect(changes('[{"partition":2147483647,"offset":9007199254740991}]')).to.deep.equal([
      [2_147_483_647, { offset: Number.MAX_SAFE_INTEGER }]
    ])
    expect(changes('[{"partition":-2147483648}]')).to.deep.equal([[-2_147_483_648, { offset: 0 }]])
    const tooLarge = 'into Go struct field partitionInfo.partition of type int32'
    for (const number of ['2147483648', '-2147483649', '4294967296', '1.5']) {
      expect(refusal(`[{"partition":${number}}]`)).to.equal(`json: cannot unmarshal number ${number} ${tooLarge}`)
    }
  })

  const kinds: [json: string, kind: string][] = [
    ['"1"', 'string'],
    ['true', 'bool'],
    ['[1]', 'array'],
    ['{}', 'object']
  ]
  const types = new Map([
    ['partition', 'int32'],
    ['begin', 'int64'],
    ['end', 'int64'],
    ['count', 'int64'],
    ['offset', 'int64'],
    ['lag', 'int64'],
    ['metadata', 'string'],
    ['sparse_acks', 'string']
  ])
  it('each member takes its type only', () =>
    checkRows(types, ([member, type]) => {
      for (const [json, kind] of kinds) {
        if (kind === type) continue
        const error = `json: cannot unmarshal ${kind} into Go struct field partitionInfo.${member} of type ${type}`
        expect(refusal(`[{"${member.toUpperCase()}":${json}}]`)).to.equal(error)
      }
      const right = type === 'string' ? '"x"' : '7'
      const wrong = type === 'string' ? '7' : '7.5'
      expect(refusal(`[{"${member}":${right}}]`)).not.to.include('json')
      expect(refusal(`[{"${member}":${wrong}}]`)).to.match(/^json: cannot unmarshal number/)
    }))

  it('are a list of objects', () => {
    for (const [json, kind] of [...kinds, ['7', 'number']] as const) {
      if (kind !== 'array') {
        expect(refusal(json)).to.equal(`json: cannot unmarshal ${kind} into Go value of type []httpsrv.partitionInfo`)
      }
      if (kind !== 'object') {
        const error = `json: cannot unmarshal ${kind} into Go value of type httpsrv.partitionInfo`
        expect(refusal(`[${json}]`)).to.equal(error)
      }
    }
    expect(refusal('[{"metadata":7}]')).to.equal(
      'json: cannot unmarshal number into Go struct field partitionInfo.metadata of type string'
    )
  })
})
