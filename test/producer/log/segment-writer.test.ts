import { expect } from 'chai'
import { encodeEndMark, encodeEntry, stampEntry } from '../../../src/producer/log/entry.js'
import type { LogFile } from '../../../src/producer/log/files.js'
import { LogSegment } from '../../../src/producer/log/segment.js'
import { SEGMENT_HEADER_BYTES } from '../../../src/producer/log/segment-header.js'
import { SegmentIndex } from '../../../src/producer/log/segment-index.js'
import {
  encodeSeal,
  readSealedIndex,
  readSealedSequences,
  readTrailer
} from '../../../src/producer/log/segment-writer.js'
import { SimulatedDisk } from '../../support/simulated-disk.js'

const SALT = 0xcafef00d
const TRAILER_BYTES = 24

/** A segment of three entries with its index, and where its entries end. Its sequences have gaps when it is merged. */
function sealed(isMerged: boolean) {
  const index = new SegmentIndex()
  const entries = [3, 7, 8].map((sequence, at) => {
    const entry = encodeEntry(`default/topic-${at % 2}`, Buffer.from(`body ${at}`), 1_000)
    stampEntry(entry, 0, { sequence: isMerged ? sequence : 3 + at, salt: SALT, unsyncedCount: 0 })
    return entry
  })
  let endBytes = SEGMENT_HEADER_BYTES
  for (const [at, { length }] of entries.entries()) {
    index.add(`default/topic-${at % 2}`, endBytes)
    endBytes += length
  }
  const sequences = isMerged ? Float64Array.from([3, 7, 8]) : undefined
  const segment = new LogSegment({ id: 1, salt: SALT, firstSequence: 3 }, { endBytes, entryCount: 3 }, sequences)
  const seal = encodeSeal(segment, index)
  const bytes = Buffer.concat([Buffer.alloc(SEGMENT_HEADER_BYTES), ...entries, seal])
  return { segment, index, seal, bytes }
}

function fileOf(bytes: Buffer): LogFile {
  const file = new SimulatedDisk().directory.open('a', 'create')
  file.write(bytes, 0)
  return file
}

const shown = (index: SegmentIndex | undefined): unknown =>
  index && Array.from({ length: index.count }, (_, at) => [index.names[index.destinationAt(at)], index.offsetAt(at)])

describe('the seal of a segment', () => {
  for (const isMerged of [false, true]) {
    const kind = isMerged ? 'a merged segment' : 'a segment'

    it(`tells how far the entries of ${kind} reach, and where they are`, () => {
      const { segment, index, bytes } = sealed(isMerged)
      const file = fileOf(bytes)
      const extent = { endBytes: segment.endBytes, entryCount: 3 }
      expect(readTrailer(file, SALT)).to.deep.equal(extent)
      expect(shown(readSealedIndex(file, segment))).to.deep.equal(shown(index))
      if (isMerged) {
        const sequences = Float64Array.from([3, 7, 8])
        expect(readSealedSequences(file, SALT)).to.deep.equal({ ...extent, sequences })
      }
    })

    it(`of ${kind} is not believed when a bit of it is wrong or bytes are missing`, () => {
      const { segment, bytes } = sealed(isMerged)
      for (let bit = segment.endBytes * 8; bit < bytes.length * 8; bit++) {
        const damaged = Buffer.from(bytes)
        damaged[bit >> 3]! ^= 1 << (bit & 7)
        const file = fileOf(damaged)
        expect(readSealedIndex(file, segment), `bit ${bit}`).to.equal(undefined)
        if (isMerged) expect(readSealedSequences(file, SALT), `bit ${bit}`).to.equal(undefined)
        const isInTrailer = bit >> 3 >= bytes.length - TRAILER_BYTES
        expect(readTrailer(file, SALT) === undefined, `bit ${bit}`).to.equal(isInTrailer)
      }
      for (let length = 0; length < bytes.length; length++) {
        const file = fileOf(bytes.subarray(0, length))
        expect(readTrailer(file, SALT), `${length} bytes`).to.equal(undefined)
        expect(readSealedIndex(file, segment), `${length} bytes`).to.equal(undefined)
        expect(readSealedSequences(file, SALT), `${length} bytes`).to.equal(undefined)
      }
    })
  }

  it('of an earlier life of the file is not believed', () => {
    const { segment, bytes } = sealed(false)
    const file = fileOf(bytes)
    expect(readTrailer(file, SALT + 1)).to.equal(undefined)
    const other = new LogSegment({ ...segment, salt: SALT + 1 }, segment)
    expect(readSealedIndex(file, other)).to.equal(undefined)
  })

  it('of a segment of another length or with other entries is not believed', () => {
    const { segment, bytes } = sealed(false)
    const file = fileOf(bytes)
    expect(readSealedIndex(file, new LogSegment(segment, { endBytes: segment.endBytes - 1, entryCount: 3 }))).to.equal(
      undefined
    )
    expect(readSealedIndex(file, new LogSegment(segment, { endBytes: segment.endBytes, entryCount: 2 }))).to.equal(
      undefined
    )
  })

  it('is none where the trailer points to something else, or to itself', () => {
    const { segment, seal, bytes } = sealed(false)
    const trailer = seal.subarray(seal.length - TRAILER_BYTES)
    const mark = encodeEndMark(6, SALT, 0)
    const record = bytes.subarray(SEGMENT_HEADER_BYTES, SEGMENT_HEADER_BYTES + 40)
    for (const other of [mark, record, Buffer.alloc(seal.length - TRAILER_BYTES)]) {
      const file = fileOf(Buffer.concat([bytes.subarray(0, segment.endBytes), other, trailer]))
      expect(readTrailer(file, SALT)).to.deep.equal({ endBytes: segment.endBytes, entryCount: 3 })
      expect(readSealedIndex(file, segment)).to.equal(undefined)
      expect(readSealedSequences(file, SALT)).to.equal(undefined)
    }
    for (const seal of [Buffer.alloc(0), Buffer.alloc(1)]) {
      const file = fileOf(Buffer.concat([bytes.subarray(0, segment.endBytes), seal, trailer]))
      expect(readTrailer(file, SALT) !== undefined, `${seal.length} bytes of it are left`).to.equal(seal.length > 0)
    }
    expect(readTrailer(fileOf(trailer), SALT)).to.equal(undefined)
  })
})
