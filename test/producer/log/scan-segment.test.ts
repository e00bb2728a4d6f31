import { expect } from 'chai'
import fc from 'fast-check'
import { ENTRY_HEADER_BYTES, ENTRY_MAGIC, encodeEntry, stampEntry } from '../../../src/producer/log/entry.js'
import { entriesIn, firstEntryOf } from '../../../src/producer/log/scan-segment.js'
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

const textOf = (sequence: number, body: string, offset: number): string =>
  `${sequence} at ${offset}: ${body.length} ${body.slice(0, 8)}`

/** All entries that are found, as text. */
function foundIn(pieces: readonly Buffer[], windowBytes?: number, endBytes?: number): string[] {
  const { file } = fileOf(pieces)
  return [...entriesIn(file, SALT, endBytes ?? file.sizeBytes, windowBytes)].map(found =>
    found.type === 'damagedBody'
      ? `damaged ${found.sequence} at ${found.offset}`
      : textOf(found.sequence, found.entry.body.toString('latin1'), found.offset)
  )
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

function expectedOf(pieces: readonly Piece[]): string[] {
  let offset = SEGMENT_HEADER_BYTES
  return pieces.flatMap((each, sequence) => {
    const at = offset
    offset += bytesOf(each, sequence).length
    if (each.kind === 'damagedBody') return `damaged ${sequence} at ${at}`
    return each.kind === 'entry' ? textOf(sequence, `${sequence}:`.padEnd(each.length + 8, 'x'), at) : []
  })
}

describe('the entries of a segment', () => {
  it('are all found that are whole, wherever windows end', () => {
    const tail = fc.oneof(fc.constant(0), fc.integer({ min: 1, max: 130 }))
    const windows = fc.constantFrom(ENTRY_HEADER_BYTES, 41, 100, 66_000, 1024 * 1024)
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), tail, windows, (pieces, tornBytes, windowBytes) => {
        const torn = entryOf(99, 'y'.repeat(200)).subarray(0, tornBytes)
        expect(foundIn([...pieces.map(bytesOf), torn], windowBytes)).to.deep.equal(expectedOf(pieces))
      }),
      { numRuns: 150 }
    )
  })

  it('are found behind a long gap wherever it ends, also across the end of a window', () => {
    // The first window is as long as the largest header; the next ones of 50 bytes follow it.
    for (let gap = 65_500; gap < 65_700; gap++) {
      const found = foundIn([Buffer.alloc(gap, 1), entryOf(7, 'behind it')], 50)
      expect(found, `${gap} bytes`).to.deep.equal([textOf(7, 'behind it', SEGMENT_HEADER_BYTES + gap)])
    }
  })

  it('end with the valid length, and with the file, though it should be longer', () => {
    const pieces = [entryOf(1, 'first'), entryOf(2, 'refused')]
    const endBytes = SEGMENT_HEADER_BYTES + pieces[0]!.length
    const first = textOf(1, 'first', SEGMENT_HEADER_BYTES)
    expect(foundIn(pieces, undefined, endBytes)).to.deep.equal([first])
    expect(foundIn(pieces, undefined, endBytes + 50), 'a part of the second').to.deep.equal([first])
    const outer = encodeEntry('default/orders', Buffer.concat([entryOf(9, 'within it'), Buffer.alloc(9)]), 1_000)
    stampEntry(outer, 0, { sequence: 2, salt: SALT, unsyncedCount: 0 })
    expect(foundIn([pieces[0]!, outer.subarray(0, -5)]), 'of a torn one').to.deep.equal([first])
    for (const missing of [1, 39, 40, 41, 5_000, 2_000_000]) {
      expect(foundIn([pieces[0]!], undefined, endBytes + missing)).to.deep.equal([first])
      expect(foundIn([pieces[0]!, Buffer.alloc(50)], undefined, endBytes + 50 + missing)).to.deep.equal([first])
    }
  })

  it('are read a window at a time, not one at a time', () => {
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
      expect([...entriesIn(file, SALT, file.sizeBytes, windowBytes)]).to.have.length(300)
      expect(count, `windows of ${windowBytes} bytes`).to.be.at.most(reads)
    }
  })
})

describe('the first entry of a file without a header', () => {
  it('has the salt of the entry with the highest sequence, also among those of an earlier life and wherever windows end', () => {
    const windows = fc.constantFrom(140_000, 200_000, 8 * 1024 * 1024)
    fc.assert(
      fc.property(fc.array(piece, { maxLength: 12 }), windows, (pieces, windowBytes) => {
        // Sequences of an earlier life are the lower ones.
        const sequenceOf = (place: number): number => place + (pieces[place]!.kind === 'ofAnotherLife' ? 0 : 100)
        const placeOf = (kind: Piece['kind']): number => pieces.findIndex(one => one.kind === kind)
        const [own, other] = [placeOf('entry'), placeOf('ofAnotherLife')]
        const expected = own >= 0 ? { salt: SALT, sequence: own + 100 } : { salt: SALT + 1, sequence: other }
        const { file } = fileOf(pieces.map((one, place) => bytesOf(one, sequenceOf(place))))
        const found = firstEntryOf(file, file.sizeBytes, windowBytes)
        expect(found).to.deep.equal(own < 0 && other < 0 ? undefined : expected)
      }),
      { numRuns: 150 }
    )
  })
})
