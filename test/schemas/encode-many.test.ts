import { isAscii } from 'node:buffer'
import { expect } from 'chai'
import fc from 'fast-check'
import { hasLongDigits } from '../../src/schemas/codec.js'
import type { HostedCodec } from '../../src/schemas/codec-host.js'
import { CodecsInPlace } from '../support/codecs-in-place.js'

/** JSON in some spelling, of a value of an Avro schema, with the bytes that the specification gives it. */
interface Spelled {
  readonly json: string
  readonly bytes: Buffer
}
type Typed = readonly [schema: unknown, value: fc.Arbitrary<Spelled>]

function zigzag(value: bigint): Buffer {
  const bytes: number[] = []
  let rest = BigInt.asUintN(64, (value << 1n) ^ (value >> 63n))
  for (; rest >= 0x80n; rest >>= 7n) bytes.push(Number(rest & 0x7fn) | 0x80)
  return Buffer.from([...bytes, Number(rest)])
}

const framed = (text: string): Buffer => Buffer.concat([zigzag(BigInt(Buffer.byteLength(text))), Buffer.from(text)])
const join = (parts: readonly Spelled[], open: string, close: string, space: string): string =>
  `${open}${space}${parts.map(({ json }) => json).join(`${space},${space}`)}${close}`
const all = (parts: readonly Spelled[]): Buffer => Buffer.concat(parts.map(({ bytes }) => bytes))

const SHORT = new Map([...'"\\/\b\f\n\r\t'].map((character, at) => [character, `\\${'"\\/bfnrt'[at]}`]))
const escaped = (unit: string): string => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`

/** A text as JSON, some of its characters as escapes. */
const spellings = (text: string): fc.Arbitrary<string> =>
  fc.array(fc.boolean(), { minLength: text.length, maxLength: text.length }).map(isPlain => {
    const units = text.split('').map((unit, at) => {
      const isPair = /[\ud800-\udfff]/.test(unit)
      const isFirst = /[\ud800-\udbff]/.test(unit)
      // Both halves of a pair are written alike.
      if (isPlain[isPair && !isFirst ? at - 1 : at] && unit >= ' ' && !'"\\'.includes(unit)) return unit
      return SHORT.get(unit) ?? escaped(unit)
    })
    return `"${units.join('')}"`
  })

const digits = fc.string({ unit: fc.constantFrom(...'0123456789'), minLength: 14, maxLength: 40 })
const ascii = fc.string({ unit: fc.constantFrom(...'abc "\\/:,{}[]\n\t\0\x7f'), maxLength: 90 })
const texts = fc.oneof(ascii, ascii, digits, fc.string({ unit: 'binary', maxLength: 90 }))
const strings = texts.chain(text => spellings(text).map((json): Spelled => ({ json, bytes: framed(text) })))

const longs = fc
  .bigInt({ min: -(2n ** 63n), max: 2n ** 63n - 1n })
  .chain(large => fc.constantFrom(large, large >> 12n, large >> 40n, large >> 60n))
  .map((value): Spelled => ({ json: String(value), bytes: zigzag(value) }))
const ints = fc
  .record({ value: fc.integer(), as: fc.constantFrom('', '.0', 'e0', 'E+00') })
  .map(({ value, as }): Spelled => ({ json: `${value}${as}`, bytes: zigzag(BigInt(value)) }))
const doubles = fc
  .double({ noNaN: true, noDefaultInfinity: true })
  .chain(value =>
    fc.constantFrom(Object.is(value, -0) ? '-0' : String(value), value.toExponential(), value.toFixed(20))
  )
  .map((json): Spelled => {
    const bytes = Buffer.alloc(8)
    bytes.writeDoubleLE(Number(json))
    return { json, bytes }
  })
const of = (json: string, hex: string): fc.Arbitrary<Spelled> => fc.constant({ json, bytes: Buffer.from(hex, 'hex') })

const SIMPLE: readonly Typed[] = [
  ['string', strings],
  ['long', longs],
  ['int', ints],
  ['double', doubles],
  ['boolean', fc.oneof(of('true', '01'), of('false', '00'))],
  ['null', of('null', '')]
]
const spaces = fc.constantFrom('', '', ' ', '\n\t')

const arrayOf = ([items, value]: Typed): Typed => [
  { type: 'array', items },
  fc.tuple(fc.array(value, { maxLength: 4 }), spaces).map(([parts, space]): Spelled => {
    const count = parts.length === 0 ? Buffer.alloc(0) : zigzag(BigInt(parts.length))
    return { json: join(parts, '[', ']', space), bytes: Buffer.concat([count, all(parts), Buffer.alloc(1)]) }
  })
]
const nullable = ([type, value]: Typed): Typed => [
  ['null', type],
  fc.oneof(
    of('null', '00'),
    value.map(({ json, bytes }) => ({ json: `{"${type}":${json}}`, bytes: Buffer.concat([Buffer.from([2]), bytes]) }))
  )
]
let records = 0
/** Members in the order of the fields, or in another one. */
const recordOf = (fields: readonly Typed[]): Typed => [
  { type: 'record', name: `R${++records}`, fields: fields.map(([type], at) => ({ name: `field_${at}`, type })) },
  fc.tuple(fc.tuple(...fields.map(([, value]) => value)), fc.boolean(), spaces).chain(([values, isInOrder, space]) => {
    const members = values.map(({ json }, at) => ({
      json: `"field_${at}"${space}:${space}${json}`,
      bytes: Buffer.of()
    }))
    const order = fc.shuffledSubarray(members, { minLength: members.length })
    return (isInOrder ? fc.constant(members) : order).map(
      (members): Spelled => ({ json: join(members, '{', '}', space), bytes: all(values) })
    )
  })
]

const simple = fc.constantFrom(...SIMPLE)
const members = fc.oneof(simple, simple.map(arrayOf), simple.filter(([type]) => type !== 'null').map(nullable))
const flat = fc.array(members, { maxLength: 8 }).map(recordOf)
const typed = fc
  .array(fc.oneof(members, members, flat, flat.map(arrayOf)), { minLength: 1, maxLength: 8 })
  .map(recordOf)
const jobs = typed.chain(([schema, value]) =>
  fc.record({ schema: fc.constant(schema), values: fc.array(value, { minLength: 1, maxLength: 6 }) })
)

describe('the values of a request', () => {
  let host: CodecsInPlace
  const codecOf = async (schema: unknown): Promise<HostedCodec> => {
    const source = { text: JSON.stringify(schema), used: new Map<string, string>() }
    const codec = { number: 1, source: { format: 'AVRO', source, isStrict: false } as const }
    expect(await host.open(codec)).to.have.property('type', 'opened')
    return codec
  }
  const encode = (codec: HostedCodec, jsons: readonly (string | Buffer)[], maxBytes = 1_000_000) =>
    host
      .now({
        type: 'encode',
        items: jsons.map(json => ({ codec, bytes: Buffer.from(json), id: 7 })),
        maxBytes,
        owner: undefined
      })
      .map(result => ('type' in result ? `${result.type} ${result.path}: ${result.message}` : result.toString('hex')))
  beforeEach(() => {
    host = new CodecsInPlace()
  })

  it('have the bytes of the specification, whatever their schema and their spelling', async () => {
    await fc.assert(
      fc.asyncProperty(jobs, async ({ schema, values }) => {
        const codec = await codecOf(schema)
        const wanted = values.map(({ bytes }) => `0000000007${bytes.toString('hex')}`)
        expect(
          encode(
            codec,
            values.map(({ json }) => json)
          )
        ).to.deep.equal(wanted)
      }),
      { numRuns: 300 }
    )
  })

  it('are each as they are alone, also beside others that fail', async () => {
    const codec = await codecOf({
      type: 'record',
      name: 'R',
      fields: [
        { name: 'a', type: 'string' },
        { name: 'b', type: 'long' }
      ]
    })
    const jsons = [
      '{"a":"x","b":1}',
      '{"a":"\u00e4","b":12345678901234567}',
      '{"a":"\\ud800","b":1}',
      '{"a":"\\udc00\\ud800","b":1}',
      '{"b":-0,"a":"1234567890123456"}',
      '{"a":"x","b":1e3}',
      '{"a":"x","b":9223372036854775808}',
      '{"a":"x","b":1.5}',
      '{"a":"x","a":"y","b":2}',
      '{"a":"x","b":1,"c":1}',
      '{"a":"x","b":1,}',
      '{"a":"x","b":01}',
      '{"a":"x\n","b":1}',
      '{"a":"x","b":1} x',
      '{"a":"x"}',
      '',
      Buffer.from([0x22, 0xff, 0x22])
    ]
    const alone = jsons.map(json => encode(codec, [json])[0]!)
    expect(encode(codec, jsons)).to.deep.equal(alone)
    const plain = jsons.filter(json => isAscii(Buffer.from(json)))
    expect(encode(codec, plain)).to.deep.equal(plain.map(json => alone[jsons.indexOf(json)]))
    expect(alone).to.deep.equal([
      '00000000070278' + '02',
      `000000000704c3a4${zigzag(12_345_678_901_234_567n).toString('hex')}`,
      'misfit a: expected string, got string "\\ud800"',
      'misfit a: expected string, got string "\\udc00\\ud800"',
      '0000000007' + '20' + '31323334353637383930313233343536' + '00',
      '00000000070278' + 'd00f',
      'misfit b: expected long, got 9223372036854775808',
      'misfit b: expected long, got 1.5',
      '00000000070279' + '04',
      'misfit c: record R has no such field',
      ...new Array(4).fill('misfit : it is not JSON'),
      'misfit b: expected long, got nothing',
      ...new Array(2).fill('misfit : it is not JSON')
    ])
  })

  it('end where all together are too large, and later ones that fit are written', async () => {
    const codec = await codecOf('string')
    const full = 'full undefined: all have more bytes than they may have together'
    expect(encode(codec, ['"aaaa"', '"bbbbbbbbbb"', '"c"'], 20)).to.deep.equal([
      '00000000070861616161',
      full,
      '00000000070263'
    ])
  })

  it('are looked through for 16 digits in a row wherever these are', () => {
    const units = fc.constantFrom(...'0123456789', '0123456', 'a', '"', '-', '.', '\u0661', '\ud835')
    fc.assert(
      fc.property(fc.string({ unit: units, maxLength: 80 }), text => {
        expect(hasLongDigits(text)).to.equal(/\d{16}/.test(text))
      }),
      { numRuns: 2_000 }
    )
    for (let at = 0; at < 40; at++) {
      expect(hasLongDigits(`${' '.repeat(at)}${'7'.repeat(16)}`), `${at}`).to.equal(true)
      expect(hasLongDigits(`${' '.repeat(at)}${'7'.repeat(15)} 7`), `${at}`).to.equal(false)
    }
  })
})
