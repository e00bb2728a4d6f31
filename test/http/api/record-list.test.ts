import { expect } from 'chai'
import { isJson } from '../../../src/core/json/is-json.js'
import { type ListFormat, writeRecordList } from '../../../src/http/api/record-list.js'
import { type PiecedBody, wholeOf } from '../../../src/http/exchange/pieced-body.js'
import type { InstanceRecord } from '../../../src/verbs/verbs.js'
import { SeededRandom } from '../../support/random.js'

const recordOf = (offset: number, key: Buffer | string | null, value: Buffer | string | null): InstanceRecord => ({
  topic: 'orders',
  partition: 2_147_483_647,
  offset,
  timestampMs: 1_700_000_000_000,
  key: typeof key === 'string' ? Buffer.from(key) : key,
  value: typeof value === 'string' ? Buffer.from(value) : value,
  headers: []
})

/** The list as it is made of strings, one record after another. */
function listOf(records: readonly InstanceRecord[], format: ListFormat): string {
  const contentOf = (bytes: Buffer | null): string => {
    if (bytes === null) return 'null'
    if (format === 'binary') return `"${bytes.toString('base64')}"`
    return format === 'text' ? JSON.stringify(bytes.toString()) : bytes.toString()
  }
  const entries = records.map(
    ({ topic, key, value, partition, offset }) =>
      `{"topic":"${topic}","key":${contentOf(key)},"value":${contentOf(value)},"partition":${partition},"offset":${offset}}`
  )
  return `[${entries.join(',')}]`
}

const textOf = (body: PiecedBody): string => wholeOf(body).toString()

/** The bytes of a body as they leave, from one buffer that is filled again and again. */
function piecesOf(body: PiecedBody, pieceBytes: number): Buffer[] {
  const piece = Buffer.alloc(pieceBytes, '#')
  const pieces: Buffer[] = []
  const fillings = body.fill(piece)
  for (let one = fillings.next(); one.done !== true; one = fillings.next()) {
    pieces.push(Buffer.from(one.value))
    piece.fill('#')
  }
  return pieces
}

describe('writeRecordList', () => {
  const largest = Number.MAX_SAFE_INTEGER
  const records = [
    recordOf(0, null, '{"a" : 1}'),
    recordOf(1, '"é€😀"', null),
    recordOf(largest, '1', `"${'x'.repeat(100_000)}"`)
  ]

  for (const format of ['json', 'binary', 'text'] as const) {
    it(`writes keys and values as ${format}, to the byte`, () => {
      const { body, count, bytes, poison } = writeRecordList(records, format)
      expect(textOf(body)).to.equal(listOf(records, format))
      const size = records.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0)
      expect({ count, bytes, poison }).to.deep.equal({ count: 3, bytes: size, poison: undefined })
    })

    it(`writes an empty list as ${format}`, () => {
      const { body, ...rest } = writeRecordList([], format)
      expect(textOf(body)).to.equal('[]')
      expect(rest).to.deep.equal({ count: 0, bytes: 0, poison: undefined })
    })
  }

  it('writes what precedes a value or a key that is not JSON, and names that record', () => {
    for (const [part, bad] of [
      ['value', recordOf(2, null, 'no JSON')],
      ['key', recordOf(2, '', '1')],
      ['value', recordOf(2, null, Buffer.of(0x22, 0xff, 0x22))]
    ] as const) {
      const { body, count, bytes, poison } = writeRecordList([...records.slice(0, 2), bad, ...records], 'json')
      expect(textOf(body)).to.equal(listOf(records.slice(0, 2), 'json'))
      expect({ count, poison }).to.deep.equal({
        count: 2,
        poison: { record: bad, cause: `has a ${part} that is not JSON` }
      })
      expect(bytes).to.equal(9 + Buffer.byteLength('"é€😀"'))
    }
  })

  it('writes an empty list and names the record when the first one is not JSON', () => {
    const { body, count, bytes, poison } = writeRecordList([recordOf(7, null, '{'), ...records], 'json')
    expect([textOf(body), count, bytes, poison?.record.offset]).to.deep.equal(['[]', 0, 0, 7])
  })

  it('goes past records that cannot be written: it leaves them out, or has other members in their place', () => {
    const bad = recordOf(2, null, '{')
    const some = [bad, records[0]!, bad, bad, records[1]!, bad]
    const skipped = writeRecordList(some, 'json', { insteadOf: () => '' })
    expect(textOf(skipped.body)).to.equal(listOf(records.slice(0, 2), 'json'))
    const { body, count, poison } = writeRecordList(some, 'json', { insteadOf: ({ cause }) => `,"error":"${cause}"` })
    const written = JSON.parse(textOf(body)) as { offset: number; error?: string }[]
    expect(written.map(({ offset, error }) => [offset, error])).to.deep.equal([
      [2, 'has a value that is not JSON'],
      [0, undefined],
      [2, 'has a value that is not JSON'],
      [2, 'has a value that is not JSON'],
      [1, undefined],
      [2, 'has a value that is not JSON']
    ])
    const { topic, partition } = bad
    expect(written[0]).to.deep.equal({
      topic,
      key: null,
      value: null,
      partition,
      offset: 2,
      error: 'has a value that is not JSON'
    })
    expect([skipped.count, count, skipped.poison, poison]).to.deep.equal([6, 6, undefined, undefined])
    expect(textOf(writeRecordList([bad, bad], 'json', { insteadOf: () => '' }).body)).to.equal('[]')
  })

  it('takes the causes that it is given for those of the same records', () => {
    const causes = [undefined, 'has no schema']
    const { count, poison } = writeRecordList([recordOf(0, null, '1'), recordOf(1, null, '2')], 'json', { causes })
    expect([count, poison?.record.offset, poison?.cause]).to.deep.equal([1, 1, 'has no schema'])
  })

  it('has space for texts whose JSON is far longer than their bytes', () => {
    const growing = [recordOf(0, null, '\u0001'.repeat(50_000)), recordOf(1, Buffer.alloc(50_000, 0xff), 'after')]
    expect(textOf(writeRecordList(growing, 'text').body)).to.equal(listOf(growing, 'text'))
  })

  it('has space for further members, however long', () => {
    const { body } = writeRecordList(records, 'binary', {
      membersOf: ({ offset }) => `,"further":"${'€'.repeat(10_000)}${offset}"`
    })
    const written = JSON.parse(textOf(body)) as { further: string; offset: number }[]
    expect(written.map(({ further }) => further.slice(9_998))).to.deep.equal(['€€0', '€€1', `€€${largest}`])
  })

  it('writes the same bytes as strings would for records of random sizes', () => {
    const random = new SeededRandom(4)
    const content = (): Buffer | null => {
      const size = random.pick([-1, 0, 1, 2, 3, 100, 5_000])
      return size < 0 ? null : Buffer.from(JSON.stringify('ü'.repeat(size)))
    }
    for (let round = 0; round < 200; round++) {
      const some = Array.from({ length: random.between(0, 20) }, (_, at) => recordOf(at, content(), content()))
      for (const format of ['json', 'binary', 'text'] as const)
        expect(textOf(writeRecordList(some, format).body)).to.equal(listOf(some, format))
    }
  })

  describe('in pieces', () => {
    const contents: (Buffer | null)[] = [
      null,
      ...['', '"', '{"a":"ü€😀"}', '__proto__', '\u0000\u001f', 'null', '[]'].map(text => Buffer.from(text)),
      ...[1, 2, 3, 4, 5, 6, 7].map(size => Buffer.alloc(size, 0xfe)),
      Buffer.from(JSON.stringify('ß'.repeat(90)))
    ]
    const odd = contents.flatMap((key, at): InstanceRecord[] => [
      { ...recordOf(at, key, contents.at(-at)!), topic: at % 5 < 2 ? '__proto__' : 'orders', partition: at % 3 },
      recordOf(10 ** at + (at % 2) - 1, contents.at(-at)!, key)
    ])
    const membersOf = ({ offset }: InstanceRecord): string =>
      offset % 2 === 0 ? '' : `,"headers":[{"key":"ké${offset}"}]`

    for (const format of ['binary', 'text', 'json'] as const) {
      const records = odd.filter(
        ({ key, value }) => format !== 'json' || [key, value].every(one => one === null || isJson(one))
      )

      it(`has the same bytes as ${format} whatever the size of a piece, and tells their number before`, () => {
        const expected = listOf(records, format)
        for (const some of [records, records.slice(0, 1), []]) {
          const { body } = writeRecordList(some, format)
          const text = some === records ? expected : listOf(some, format)
          expect(body.length).to.equal(Buffer.byteLength(text))
          for (let pieceBytes = 8; pieceBytes < 600; pieceBytes++) {
            const pieces = piecesOf(body, pieceBytes)
            expect(Buffer.concat(pieces).toString(), `pieces of ${pieceBytes}`).to.equal(text)
            expect(pieces.every(({ length }) => length > 0 && length <= pieceBytes)).to.equal(true)
          }
        }
      })

      it(`has the further members of records as ${format} in pieces of any size`, () => {
        const { body } = writeRecordList(records, format, { membersOf })
        const whole = wholeOf(body)
        expect(JSON.parse(whole.toString())).to.have.length(records.length)
        for (const pieceBytes of [8, 9, 10, 11, 64, 255, whole.length - 1, whole.length, whole.length + 1])
          expect(Buffer.concat(piecesOf(body, pieceBytes)).equals(whole), `pieces of ${pieceBytes}`).to.equal(true)
        expect(piecesOf(body, whole.length)).to.have.length(1)
      })
    }

    it('has a value of 5 MB between small ones', () => {
      for (const rest of [0, 1, 2]) {
        const large = Buffer.alloc(5_000_000 + rest, 'abc\n')
        const some = [recordOf(0, null, 'x'), recordOf(1, 'key', large), recordOf(2, large.subarray(0, 70_000), 'y')]
        for (const format of ['binary', 'text'] as const) {
          const pieces = piecesOf(writeRecordList(some, format).body, 256 * 1024)
          expect(Buffer.concat(pieces).equals(Buffer.from(listOf(some, format)))).to.equal(true)
          expect(pieces.length).to.be.within(20, 32)
        }
      }
    })

    it('has null in the place of a record that cannot be written', () => {
      const some = odd.slice(0, 12)
      const { body } = writeRecordList(some, 'json', { insteadOf: ({ cause }) => `,"error":"é ${cause}"` })
      const whole = wholeOf(body)
      expect((JSON.parse(whole.toString()) as object[]).length).to.equal(some.length)
      for (let pieceBytes = 8; pieceBytes < 200; pieceBytes++)
        expect(Buffer.concat(piecesOf(body, pieceBytes)).equals(whole)).to.equal(true)
    })
  })
})
