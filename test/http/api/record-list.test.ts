import { expect } from 'chai'
import { type ListFormat, writeRecordList } from '../../../src/http/api/record-list.js'
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
      expect(body.toString()).to.equal(listOf(records, format))
      const size = records.reduce((sum, { key, value }) => sum + (key?.length ?? 0) + (value?.length ?? 0), 0)
      expect({ count, bytes, poison }).to.deep.equal({ count: 3, bytes: size, poison: undefined })
    })

    it(`writes an empty list as ${format}`, () => {
      const { body, ...rest } = writeRecordList([], format)
      expect(body.toString()).to.equal('[]')
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
      expect(body.toString()).to.equal(listOf(records.slice(0, 2), 'json'))
      expect({ count, poison }).to.deep.equal({
        count: 2,
        poison: { record: bad, cause: `has a ${part} that is not JSON` }
      })
      expect(bytes).to.equal(9 + Buffer.byteLength('"é€😀"'))
    }
  })

  it('writes an empty list and names the record when the first one is not JSON', () => {
    const { body, count, bytes, poison } = writeRecordList([recordOf(7, null, '{'), ...records], 'json')
    expect([body.toString(), count, bytes, poison?.record.offset]).to.deep.equal(['[]', 0, 0, 7])
  })

  it('goes past records that cannot be written: it leaves them out, or has other members in their place', () => {
    const bad = recordOf(2, null, '{')
    const some = [bad, records[0]!, bad, bad, records[1]!, bad]
    const skipped = writeRecordList(some, 'json', { insteadOf: () => '' })
    expect(skipped.body.toString()).to.equal(listOf(records.slice(0, 2), 'json'))
    const { body, count, poison } = writeRecordList(some, 'json', { insteadOf: ({ cause }) => `,"error":"${cause}"` })
    const written = JSON.parse(body.toString()) as { offset: number; error?: string }[]
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
    expect(writeRecordList([bad, bad], 'json', { insteadOf: () => '' }).body.toString()).to.equal('[]')
  })

  it('takes the causes that it is given for those of the same records', () => {
    const causes = [undefined, 'has no schema']
    const { count, poison } = writeRecordList([recordOf(0, null, '1'), recordOf(1, null, '2')], 'json', { causes })
    expect([count, poison?.record.offset, poison?.cause]).to.deep.equal([1, 1, 'has no schema'])
  })

  it('has space for texts whose JSON is far longer than their bytes', () => {
    const growing = [recordOf(0, null, '\u0001'.repeat(50_000)), recordOf(1, Buffer.alloc(50_000, 0xff), 'after')]
    expect(writeRecordList(growing, 'text').body.toString()).to.equal(listOf(growing, 'text'))
  })

  it('has space for further members, however long', () => {
    const { body } = writeRecordList(records, 'binary', {
      membersOf: ({ offset }) => `,"further":"${'€'.repeat(10_000)}${offset}"`
    })
    const written = JSON.parse(body.toString()) as { further: string; offset: number }[]
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
        expect(writeRecordList(some, format).body.toString()).to.equal(listOf(some, format))
    }
  })
})
