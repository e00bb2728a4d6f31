import { expect } from 'chai'
import fc from 'fast-check'
import { ENTRY_HEADER_BYTES, ENTRY_MAGIC, encodeEntry, stampEntry } from '../../../src/producer/log/entry.js'
import { SegmentCursor } from '../../../src/producer/log/scan-segment.js'
import { SEGMENT_HEADER_BYTES } from '../../../src/producer/log/segment-header.js'
import { SimulatedDisk } from '../../support/simulated-disk.js'

const SALT = 0x12345678
const HEADER_BYTES = ENTRY_HEADER_BYTES + 'default/orders'.length

function entryOf(sequence: number, body: string, salt = SALT): Buffer {
  const bytes = encodeEntry('default/orders', Buffer.from(body), 1_000)
  stampEntry(bytes, 0, { sequence, salt, unsyncedCount: 0 })
  return bytes
}

const flipped = (bytes: Buffer, at: number): Buffer => {
  const damaged = Buffer.from(bytes)
  damaged[at]! ^= 1
  return damaged
}

/** A segment with these pieces behind its header. */
function fileOf(pieces: readonly Buffer[]) {
  const disk = new SimulatedDisk()
  const file = disk.directory.open('a', 'create')
  file.write(Buffer.concat([Buffer.alloc(SEGMENT_HEADER_BYTES), ...pieces]), 0)
  return { disk, file }
}

/** All that a cursor finds, as text. */
function foundIn(pieces: readonly Buffer[], windowBytes?: number, endBytes?: number): string[] {
  const { file } = fileOf(pieces)
  const cursor = new SegmentCursor(file, SALT, SEGMENT_HEADER_BYTES, endBytes ?? file.sizeBytes, windowBytes)
  const all: string[] = []
  for (;;) {
    const before = cursor.offset
    const found = cursor.next()
    if (found.type === 'end') return [...all, `end ${found.tornBytes}`]
    expect(cursor.offset - before, 'it moves behind what it found').to.equal(found.sizeBytes)
    if (found.type === 'gap') all.push(`gap ${found.sizeBytes}`)
    else if (found.type === 'damagedBody') all.push(`damaged ${found.sequence}`)
    else all.push(`${found.entry.sequence} ${found.entry.body.length} ${found.entry.body.toString('latin1', 0, 8)}`)
  }
}

/** Around the largest header a window has to hold, windows end in many places. */
const lengths = fc.oneof(
  { weight: 3, arbitrary: fc.nat(80) },
  { weight: 1, arbitrary: fc.integer({ min: 65_450, max: 65_700 }) }
)
const piece = fc.oneof(
  { weight: 4, arbitrary: fc.record({ kind: fc.constant('entry' as const), length: lengths }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('damagedBody' as const), length: lengths }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('damagedHeader' as const), length: lengths }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('ofAnotherLife' as const), length: lengths }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('zeros' as const), length: lengths }) },
  { weight: 1, arbitrary: fc.record({ kind: fc.constant('magics' as const), length: fc.nat(80) }) }
)
type Piece = typeof piece extends fc.Arbitrary<infer T> ? T : never

function bytesOf({ kind, length }: Piece, sequence: number): Buffer {
  const body = `${sequence}:`.padEnd(length + 8, 'x')
  switch (kind) {
    case 'entry':
      return entryOf(sequence, body)
    case 'damagedBody':
      return flipped(entryOf(sequence, body), HEADER_BYTES)
    case 'damagedHeader':
      return flipped(entryOf(sequence, body), 17)
    case 'ofAnotherLife':
      return entryOf(sequence, body, SALT + 1)
    case 'zeros':
      return Buffer.alloc(length)
    case 'magics':
      return Buffer.alloc(length, ENTRY_MAGIC)
  }
}

/** What a cursor is to find: bytes that belong to no entry count together, and at the end they are torn. */
function expectedOf(pieces: readonly Piece[], tornBytes: number): string[] {
  const expected: string[] = []
  let gapBytes = 0
  for (const [sequence, each] of pieces.entries()) {
    const { length } = bytesOf(each, sequence)
    if (each.kind !== 'entry' && each.kind !== 'damagedBody') {
      gapBytes += length
      continue
    }
    if (gapBytes > 0) expected.push(`gap ${gapBytes}`)
    gapBytes = 0
    const body = `${sequence}:`.padEnd(each.length + 8, 'x')
    expected.push(each.kind === 'entry' ? `${sequence} ${body.length} ${body.slice(0, 8)}` : `damaged ${sequence}`)
  }
  // The header of an entry that is cut off later says that one was begun here.
  if (gapBytes === 0 || tornBytes < HEADER_BYTES) return [...expected, `end ${gapBytes + tornBytes}`]
  return [...expected, `gap ${gapBytes}`, `end ${tornBytes}`]
}

describe('a cursor over a segment', () => {
  it('finds every whole entry and what lies between them, wherever its windows end', () => {
    const tail = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 130 }))
    const windows = fc.constantFrom(ENTRY_HEADER_BYTES, 41, 100, 66_000, 1024 * 1024)
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), tail, windows, (pieces, tornBytes, windowBytes) => {
        const torn = entryOf(99, 'y'.repeat(200)).subarray(0, tornBytes)
        const bytes = [...pieces.map(bytesOf), torn]
        expect(foundIn(bytes, windowBytes)).to.deep.equal(expectedOf(pieces, torn.length))
      }),
      { numRuns: 150 }
    )
  })

  it('finds an entry behind a long gap wherever it begins, also across the end of a window', () => {
    // The first window is as long as the largest header; the next ones of 50 bytes follow it.
    for (let gap = 65_500; gap < 65_700; gap++) {
      const found = foundIn([Buffer.alloc(gap, 1), entryOf(7, 'behind it')], 50)
      expect(found, `${gap} bytes`).to.deep.equal([`gap ${gap}`, '7 9 behind i', 'end 0'])
    }
  })

  it('looks no further than the valid length', () => {
    const first = entryOf(1, 'first')
    const pieces = [first, entryOf(2, 'refused')]
    const endBytes = SEGMENT_HEADER_BYTES + first.length
    expect(foundIn(pieces, undefined, endBytes)).to.deep.equal(['1 5 first', 'end 0'])
    expect(foundIn(pieces, undefined, endBytes + 50), 'a part of the second').to.deep.equal(['1 5 first', 'end 50'])
    expect(foundIn([Buffer.alloc(20), ...pieces], undefined, endBytes + 20)).to.deep.equal([
      'gap 20',
      '1 5 first',
      'end 0'
    ])
  })

  it('goes on where the file has grown meanwhile', () => {
    const [first, second] = [entryOf(1, 'first'), entryOf(2, 'second')]
    const { file } = fileOf([first])
    const cursor = new SegmentCursor(file, SALT, SEGMENT_HEADER_BYTES, file.sizeBytes)
    expect([cursor.next().type, cursor.next().type]).to.deep.equal(['entry', 'end'])
    file.write(second, cursor.offset)
    cursor.endBytes = file.sizeBytes
    expect(cursor.next()).to.deep.include({ type: 'entry', sequence: 2 })
    expect([cursor.offset, cursor.next().type]).to.deep.equal([file.sizeBytes, 'end'])
  })

  it('ends where the file does, though it should be longer', () => {
    const pieces = [entryOf(1, 'first')]
    const endBytes = SEGMENT_HEADER_BYTES + pieces[0]!.length
    for (const missing of [1, 39, 40, 41, 5_000, 2_000_000]) {
      expect(foundIn(pieces, undefined, endBytes + missing)).to.deep.equal(['1 5 first', `end ${missing}`])
      expect(foundIn([...pieces, Buffer.alloc(50)], undefined, endBytes + 50 + missing)).to.deep.equal([
        '1 5 first',
        `end ${50 + missing}`
      ])
    }
  })

  it('reads a window at a time, not an entry at a time', () => {
    const entries = Array.from({ length: 300 }, (_, at) => entryOf(at, 'x'.repeat(1_000)))
    for (const [windowBytes, reads] of [
      [undefined, 1],
      [200_000, 3]
    ] as const) {
      const { disk, file } = fileOf(entries)
      let count = 0
      disk.faults.before = operation => {
        if (operation === 'read') count++
      }
      const cursor = new SegmentCursor(file, SALT, SEGMENT_HEADER_BYTES, file.sizeBytes, windowBytes)
      let found = 0
      while (cursor.next().type === 'entry') found++
      expect(found).to.equal(300)
      expect(count, `windows of ${windowBytes} bytes`).to.be.at.most(reads)
    }
  })
})
