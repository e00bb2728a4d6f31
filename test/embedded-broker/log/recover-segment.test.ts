import { expect } from 'chai'
import fc from 'fast-check'
import { SegmentedLog } from '../../../src/embedded-broker/log/partition-log.js'
import type { DamagedRange } from '../../../src/embedded-broker/log/recover-segment.js'
import { MemoryBytes } from '../../../src/embedded-broker/log/segment.js'
import { BatchView } from '../../../src/embedded-broker/protocol/record-batch.js'
import { decodeStoredRecords } from '../../../src/embedded-broker/protocol/records.js'
import { batchOf } from '../../support/raw-kafka.js'

const NEWEST_EPOCH = 3

interface Found {
  readonly records: readonly string[]
  readonly damaged: readonly DamagedRange[]
  readonly nextOffset: number
  readonly bytes: MemoryBytes
  readonly log: SegmentedLog
}

const textOf = ({ offset, value }: { readonly offset: number; readonly value: Buffer | null }) => `${offset}=${value}`

/** What a log holds that is made of one segment. */
function recover(stored: Buffer, baseOffset = 0): Found {
  const bytes = new MemoryBytes(stored.length)
  bytes.append(stored)
  const damaged: DamagedRange[] = []
  const open = (base: number) => (base === baseOffset ? bytes : new MemoryBytes(0))
  const log = new SegmentedLog({ open, segmentBytes: 1_000_000, rollsAtGaps: true })
  log.recover({
    isCompacted: false,
    missing: () => undefined,
    baseOffsets: [baseOffset],
    logStartOffset: baseOffset,
    newestEpoch: NEWEST_EPOCH,
    damaged: range => damaged.push(range)
  })
  return { records: readAll(log), damaged, nextOffset: log.highWatermark, bytes, log }
}

/** As a client reads: from the first offset on, and on from where the last batch ended. */
function readAll(log: SegmentedLog): string[] {
  const records: string[] = []
  for (let offset = log.logStartOffset; offset < log.highWatermark; ) {
    const bytes = log.read(offset, 1_000_000, true, log.highWatermark)
    if (bytes.length === 0) break
    for (let at = 0; at < bytes.length; ) {
      const size = bytes.readInt32BE(at + 8) + 12
      const batch = new BatchView(bytes.subarray(at, at + size))
      if (!batch.hasGoodCrc) throw new Error(`a client would get a damaged batch at offset ${offset}`)
      records.push(...decodeStoredRecords(batch).map(textOf))
      offset = batch.lastOffset + 1
      at += size
    }
  }
  return records
}

/** A log as it is in a file, and what is in which of its batches. */
function logOf(values: readonly (readonly string[])[], baseOffset = 0) {
  let offset = baseOffset
  const batches = values.map((records, index) => {
    const bytes = batchOf(records, { timestampMs: 1_700_000_000_000 })
    const view = new BatchView(bytes)
    view.place(offset, Math.min(NEWEST_EPOCH, Math.floor(index / 2)))
    const texts = decodeStoredRecords(view).map(textOf)
    offset += records.length
    return { bytes, texts }
  })
  return { bytes: Buffer.concat(batches.map(({ bytes }) => bytes)), batches, nextOffset: offset }
}

const VALUES = [['a', 'b'], ['c'], ['d', 'e', 'f']]

describe('broker: reading a log back', () => {
  it('a flipped bit, wherever it is, costs at most the batch it is in, and is told of', () => {
    const { bytes, batches, nextOffset } = logOf(VALUES)
    let start = 0
    for (const [index, batch] of batches.entries()) {
      const others = batches.filter((_, other) => other !== index).flatMap(({ texts }) => texts)
      const all = batches.flatMap(({ texts }) => texts)
      for (let bit = start * 8; bit < (start + batch.bytes.length) * 8; bit++) {
        const flipped = Buffer.from(bytes)
        flipped[bit >> 3]! ^= 1 << (bit & 7)
        const found = recover(flipped)
        const where = `bit ${bit & 7} of byte ${(bit >> 3) - start} of batch ${index}`
        // Base offset, length, epoch and magic can be put right; everything else is covered by the checksum.
        if ((bit >> 3) - start < 17) {
          expect(found.records, where).to.deep.equal(all)
          expect(found.damaged, where).to.deep.equal([])
        } else {
          expect(found.records, where).to.deep.equal(others)
          expect(found.damaged, where).to.have.length(1)
          expect(found.damaged[0], where).to.include({ position: start, sizeBytes: batch.bytes.length })
        }
        // No offset that was given is given again.
        expect(found.nextOffset, where).to.be.at.least(nextOffset - batch.texts.length + 1)
        expect(found.log.append(new BatchView(batchOf(['new'])), NEWEST_EPOCH, 0), where).to.equal(found.nextOffset)
        expect(readAll(found.log).at(-1), where).to.equal(`${found.nextOffset}=new`)
      }
      start += batch.bytes.length
    }
  })

  it('a log cut at any byte keeps its whole batches, and nothing is called damaged', () => {
    const { bytes, batches } = logOf(VALUES)
    const ends = batches.map((_, index) =>
      batches.slice(0, index + 1).reduce((sum, batch) => sum + batch.bytes.length, 0)
    )
    for (let size = 0; size <= bytes.length; size++) {
      const whole = ends.filter(end => end <= size).length
      const found = recover(bytes.subarray(0, size))
      expect(found.records, `cut at ${size}`).to.deep.equal(batches.slice(0, whole).flatMap(({ texts }) => texts))
      expect(found.damaged, `cut at ${size}`).to.deep.equal([])
      expect(found.bytes.sizeBytes, `cut at ${size}`).to.equal(whole === 0 ? 0 : ends[whole - 1])
    }
  })

  it('any damage of any log leaves what is read true, in order, and the rest reported', () => {
    const values = fc.array(fc.array(fc.string({ maxLength: 20 }), { minLength: 1, maxLength: 4 }), {
      minLength: 1,
      maxLength: 8
    })
    const damage = fc.record({ at: fc.nat(), bytes: fc.uint8Array({ minLength: 1, maxLength: 80 }) })
    fc.assert(
      fc.property(values, fc.nat(1000), damage, (contents, baseOffset, { at, bytes: garbage }) => {
        const { bytes, batches } = logOf(contents, baseOffset)
        const start = at % bytes.length
        Buffer.from(garbage).copy(bytes, start)
        const found = recover(bytes, baseOffset)
        const all = batches.flatMap(({ texts }) => texts)
        expect(found.records).to.deep.equal(all.filter(text => found.records.includes(text)))
        let position = 0
        for (const batch of batches) {
          const end = position + batch.bytes.length
          if (end <= start || position >= start + garbage.length) expect(found.records).to.include.members(batch.texts)
          position = end
        }
      }),
      { numRuns: 300 }
    )
  })

  describe('a length that claims the following batch, too', () => {
    const damagedLog = () => {
      const { bytes, batches } = logOf([['a', 'b'], ['c'], ['d']])
      const [first, second] = batches.map(batch => batch.bytes.length) as [number, number]
      bytes.writeInt32BE(first + second - 12, 8)
      return { bytes, first }
    }

    it('is corrected when nothing else is wrong', () => {
      const found = recover(damagedLog().bytes)
      expect(found.records).to.deep.equal(['0=a', '1=b', '2=c', '3=d'])
      expect(found.damaged).to.deep.equal([])
    })

    it('takes no batch with it when the records are damaged, too', () => {
      const { bytes, first } = damagedLog()
      bytes[20]! ^= 1
      const found = recover(bytes)
      expect(found.records).to.deep.equal(['2=c', '3=d'])
      expect(found.damaged).to.have.length(1)
      expect(found.damaged[0]).to.include({ position: 0, sizeBytes: first })
    })
  })

  it('a batch inside a record is not taken for one of the log', () => {
    const inner = batchOf(['forged'])
    new BatchView(inner).place(2, 0)
    const first = batchOf([{ value: inner }])
    const second = batchOf(['true'])
    new BatchView(second).place(1, 0)
    const stored = Buffer.concat([first, second])
    stored.writeInt32BE(stored.readInt32BE(8) ^ 64, 8)
    const { records, damaged } = recover(stored)
    expect(records).to.have.length(2)
    expect(records[1]).to.equal('1=true')
    expect(damaged).to.deep.equal([])
    const flipped = Buffer.concat([first, second])
    flipped[30]! ^= 1
    expect(recover(flipped).records).to.deep.equal(['1=true'])
  })

  it('gaps that an earlier version left in a file are no damage', () => {
    const parts = [0, 5, 6, 7].map(offset => {
      const batch = batchOf([`at ${offset}`])
      new BatchView(batch).place(offset, 0)
      return batch
    })
    const { records, damaged } = recover(Buffer.concat(parts))
    expect(records).to.deep.equal(['0=at 0', '5=at 5', '6=at 6', '7=at 7'])
    expect(damaged).to.deep.equal([])
  })
})
