import { expect } from 'chai'
import fc from 'fast-check'
import { JsonAhead } from '../../../src/core/json/json-ahead.js'
import { JsonReader } from '../../../src/core/json/json-reader.js'
import { JsonRewriter } from '../../../src/core/json/json-rewriter.js'
import {
  readElements,
  readInteger,
  readListOfRecords,
  readStringBytes,
  readValueBytes
} from '../../../src/core/json/json-slices.js'
import { skipValue, ValueSkipper } from '../../../src/core/json/json-values.js'
import { atOnce, type InPieces } from '../../../src/core/loop-turns.js'
import { checkRows } from '../../support/rows.js'

/** Where the reader stands, or how it has failed. */
function endOf(bytes: Buffer, read: (reader: JsonReader) => void): string {
  const reader = new JsonReader(bytes)
  try {
    read(reader)
    return `${reader.index}`
  } catch (error) {
    return (error as Error).message
  }
}

const skipInSteps =
  (stepBytes: number) =>
  (reader: JsonReader): void => {
    const skipper = new ValueSkipper(reader)
    while (!skipper.skip(reader.index + stepBytes)) {}
  }

describe('a value that is skipped in steps', () => {
  const spaced = fc.json({ maxDepth: 4 }).map(json => JSON.stringify(JSON.parse(json), undefined, '\t'))
  const escaped = fc.string({ unit: 'grapheme', maxLength: 9 }).map(text => {
    const units = Array.from(text, unit => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`)
    return `[ "${units.join('')}" , {"\\n" : -1.5e+3}]`
  })

  it('ends where it ends when it is skipped at once, and fails with the same words, wherever the steps are', () => {
    const text = fc.oneof(spaced, escaped)
    fc.assert(
      fc.property(
        text,
        fc.nat(),
        fc.constantFrom('', ',', ']', '}', '"', '\\', '1', ' '),
        fc.integer({ min: 1, max: 9 }),
        (json, at, other, step) => {
          const place = at % (json.length + 1)
          for (const changed of [json, json.slice(0, place), json.slice(0, place) + other + json.slice(place + 1)]) {
            const bytes = Buffer.from(changed)
            expect(endOf(bytes, skipInSteps(step)), changed).to.equal(endOf(bytes, skipValue))
          }
        }
      )
    )
  })

  it('fails with the words of its place where brackets, names and commas are wrong', () =>
    checkRows(
      [
        ['[', 'EOF while parsing a list at line 1 column 1'],
        ['{', 'EOF while parsing an object at line 1 column 1'],
        ['[1', 'EOF while parsing a list at line 1 column 2'],
        ['[1,', 'EOF while parsing a value at line 1 column 3'],
        ['{"a":1,', 'EOF while parsing an object at line 1 column 7'],
        ['[,', 'expected value at line 1 column 2'],
        ['{,', 'key must be a string at line 1 column 2'],
        ['[1}', 'expected `,` or `]` at line 1 column 3'],
        ['{"a":1]', 'expected `,` or `}` at line 1 column 7'],
        ['{"a" 1}', 'expected `:` at line 1 column 6']
      ] as const,
      ([json, words]) => expect(endOf(Buffer.from(json), skipInSteps(1))).to.equal(words)
    ))
})

describe('JSON that is rewritten in steps', () => {
  it('is the same as that which is rewritten at once', () => {
    const bytes = Buffer.from('{ "a\\u0041" : [ "\\ud83d\\ude00\\/\\u001f\\"", 1 ] }')
    const whole = new JsonRewriter(bytes, 0, bytes.length, 'compact').write()!
    expect(whole.toString()).to.equal('{"aA":["😀/\\u001F\\"",1]}')
    const inSteps = new JsonRewriter(bytes, 0, bytes.length, 'compact')
    for (let until = 1; until < bytes.length; until++) expect(inSteps.write(until)).to.equal(undefined)
    expect(inSteps.write()).to.deep.equal(whole)
  })
})

describe('long records that are looked at before they are read', () => {
  const BLANKS = ' \n'.repeat(100_000)
  const ESCAPES = '\\u0061\\u000a'.repeat(30_000)
  const RECORDS: readonly string[] = [
    '{"value":1}',
    `{"value":[${BLANKS}${BLANKS}1${BLANKS}]${BLANKS}}`,
    `{"value":"${ESCAPES}"}`,
    `{ "value" : ["${ESCAPES}"] }`,
    `{"${ESCAPES}":{}}`,
    `{"value":${'['.repeat(900)}${'{},'.repeat(70_000)}"\\u0000"${']'.repeat(900)}}`,
    `{"value":${'1'.repeat(100_000)}}`,
    `{"value":"${'é'.repeat(100_000)}"}`
  ]

  /** The members of records, and where they end. */
  function* membersOf(
    bytes: Buffer,
    read: (reader: JsonReader) => Buffer,
    ahead?: (reader: JsonReader) => JsonAhead
  ): InPieces<readonly string[]> {
    const reader = new JsonReader(bytes)
    const members: string[] = []
    yield* readListOfRecords(reader, ahead?.(reader), () => {
      for (let name = reader.firstMember(); name !== undefined; name = reader.nextMember())
        members.push(name, read(reader).toString('latin1'), String(reader.index))
    })
    return members
  }
  const list = Buffer.from(`[${RECORDS.join(',')}]`)

  it('are read as others are, whether their values are made compact or not', () => {
    const compact = (reader: JsonReader): Buffer => readValueBytes(reader, list)
    const ahead = (compactDepth: number) => (reader: JsonReader) => new JsonAhead(reader, list, compactDepth)
    const expected = atOnce(membersOf(list, compact))
    expect(atOnce(membersOf(list, compact, ahead(1))).join() === expected.join()).to.equal(true)
    expect(atOnce(membersOf(list, compact, ahead(0))).join() === expected.join()).to.equal(true)
  })

  it('have their mistakes in the same line and column, wherever these are', () => {
    const fine = ['{"a":1}\n', `[\n${'\n1,'.repeat(60_000)}\n2]`, '\n\n{}']
    for (const wrong of [
      'x',
      `[${'\n'.repeat(200_000)}x`,
      `{"a":\n${'[1,\n'.repeat(500)}x`,
      `"\\n${'\\u000a'.repeat(30_000)}\n"`
    ])
      for (const before of [0, 1, 2, 3, 90]) {
        const records = Array.from({ length: before }, (_, at) => fine[at % 3])
        const bytes = Buffer.from(`[\n${[...records, wrong].join(',\n')}`)
        const messageOf = (ahead?: (reader: JsonReader) => JsonAhead): string =>
          endOf(bytes, reader => atOnce(readListOfRecords(reader, ahead?.(reader), () => skipValue(reader))))
        const expected = messageOf()
        expect(expected).to.match(/ at line \d+ column \d+$/)
        expect(messageOf(reader => new JsonAhead(reader, bytes))).to.equal(expected)
      }
  })

  it('have mistakes that are found when they are read, before what was looked at', () => {
    const bytes = Buffer.from(`[\n1,\n[\n"x",${'\n1,'.repeat(60_000)}\n2]]`)
    const messageOf = (ahead?: (reader: JsonReader) => JsonAhead): string =>
      endOf(bytes, reader => {
        const read = (): void => {
          if (reader.peekToken() !== 0x5b) skipValue(reader)
          else readElements(reader, () => readInteger(reader, bytes))
        }
        atOnce(readListOfRecords(reader, ahead?.(reader), read))
      })
    expect(messageOf()).to.equal('expected a whole number at line 4 column 3')
    expect(messageOf(reader => new JsonAhead(reader, bytes))).to.equal(messageOf())
  })

  it('have the first one of their mistakes, in the words for a short record, however long their parts are', () => {
    for (const length of [10, 20_000, 200_000]) {
      const filler = (text: string): string => text.repeat(Math.ceil(length / text.length))
      for (const wrong of [
        `{"a":1,"b":"${filler('x')}",}`,
        `{"a":"${filler('x')}\u0001"}`,
        `{"a":"${filler('\\u0041')}\u0001"}`,
        `{"a":"${filler('\\u0041')}\\x"}`,
        `{"a":"${filler('\\n')}`,
        `{"${filler('\\u0041')}\\ud800":1}`,
        `{"a":1,"b":[${filler('{"c":[1]},')}}`,
        `{"a":"x","b":["${filler('\\n')}\u0001"]}`,
        `{"a":"x",${filler(' ')}"b"${filler(' ')}}`,
        `{"a":"x","b":{"c":"${filler('\\n')}"],"d":1}`
      ])
        for (const isString of [true, false]) {
          const bytes = Buffer.from(`[${wrong}]`)
          const read = (reader: JsonReader): Buffer =>
            isString ? readStringBytes(reader) : readValueBytes(reader, bytes)
          const messageOf = (ahead?: (reader: JsonReader) => JsonAhead): string => {
            try {
              return atOnce(membersOf(bytes, read, ahead)).join()
            } catch (error) {
              return (error as Error).message
            }
          }
          expect(messageOf(reader => new JsonAhead(reader, bytes))).to.equal(messageOf(), wrong.slice(0, 50))
        }
    }
  })

  it('have strings that are no UTF-8 refused, also long ones with escapes', () => {
    for (const length of [10, 20_000]) {
      const bytes = Buffer.concat([Buffer.from(`[{"a":"\\n${'x'.repeat(length)}`), Buffer.of(0xff), Buffer.from('"}]')])
      const all = membersOf(bytes, readStringBytes, reader => new JsonAhead(reader, bytes))
      expect(() => atOnce(all)).to.throw('invalid unicode code point')
    }
  })

  it('give the content of their strings, also where it is escaped', () => {
    const bytes = Buffer.from(`[{"a":"${ESCAPES}"},{"a":"b"}]`)
    const [, first, , , second] = atOnce(membersOf(bytes, readStringBytes, reader => new JsonAhead(reader, bytes)))
    expect([first === 'a\n'.repeat(30_000), second]).to.deep.equal([true, 'b'])
  })

  it('are looked at in pieces: none costs more than 64 KiB', () => {
    const work = membersOf(
      list,
      reader => readValueBytes(reader, list),
      reader => new JsonAhead(reader, list, 1)
    )
    const costs: number[] = []
    for (let piece = work.next(); piece.done !== true; piece = work.next()) costs.push(piece.value)
    expect(costs.length).to.be.greaterThan(list.length / (64 * 1024))
    expect(costs.filter((cost, at) => cost > 64 * 1024 && costs[at - 1] !== 64 * 1024)).to.deep.equal([])
  })

  it('have at most 10,000 members, which are read in one step', () => {
    const bytes = Buffer.from(`[{"a":1},{${'"a":1,'.repeat(10_000)}"a":1}]`)
    const read = (reader: JsonReader): Buffer => readValueBytes(reader, bytes)
    expect(() => atOnce(membersOf(bytes, read))).to.throw('a record has more than 10000 members')
    const others = Buffer.from(`[${new Array(20_000).fill('{"a":1}').join()}]`)
    expect(atOnce(membersOf(others, reader => readValueBytes(reader, others)))).to.have.length(60_000)
  })
})
