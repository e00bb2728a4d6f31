import { mkdtempSync, readdirSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect } from 'chai'
import { silentLogger } from '../../../src/core/model.js'
import { type FeedTarget, LogFeed } from '../../../src/producer/disk/log-feed.js'
import type { DurableLog } from '../../../src/producer/log/durable-log.js'
import type { StoredEntry } from '../../../src/producer/log/entry.js'
import { type OpenDurableLog, openDurableLog } from '../../../src/producer/log/open-durable-log.js'
import { walSettings } from '../../../src/producer/log/settings.js'
import { heldBytes } from '../../support/held-bytes.js'

const DESTINATION = 'default/orders'
const MIB = 1024 * 1024

/** Takes one entry after another, and keeps what it is told. */
class Reader implements FeedTarget {
  readonly destination = DESTINATION
  readonly entries: StoredEntry[] = []
  readonly told: string[] = []
  #next = 1
  #wake: () => void = () => undefined

  nextWanted(): number {
    return this.#next
  }

  offer(entry: StoredEntry): void {
    this.entries.push(entry)
  }

  offered(sequence: number, isAtEnd: boolean): void {
    this.#next = sequence
    this.told.push(isAtEnd ? 'end' : 'more')
    this.#wake()
  }

  async until(isTrue: () => boolean): Promise<void> {
    while (!isTrue()) await new Promise<void>(resolve => (this.#wake = resolve))
  }
}

/** The acceptance cases of durable-queue that are about taking; test/producer/log has the others. */
describe('durable-queue', () => {
  let directory: string
  let opened: OpenDurableLog
  let log: DurableLog
  beforeEach(async () => {
    directory = mkdtempSync(join(tmpdir(), 'castellan-queue-'))
    const settings = walSettings.parse({ directory: join(directory, 'wal'), segmentBytes: 8 * MIB })
    opened = await openDurableLog(settings, {
      log: silentLogger,
      now: Date.now,
      onBroken: error => expect.fail(String(error))
    })
    log = opened.log
  })
  afterEach(async () => {
    await opened.close()
    rmSync(directory, { recursive: true, force: true })
  })

  const put = (value: Buffer): Promise<unknown> =>
    new Promise((resolve, reject) => {
      const record = { key: null, value, headers: [], timestampMs: 0 }
      const refusal = log.append([{ destination: DESTINATION, record }], ({ refusal: late }) =>
        late ? reject(new Error(late.message)) : resolve(undefined)
      )
      if (refusal) reject(new Error(refusal.message))
    })

  it('durable-queue 6: taking from an empty log is answered at once, and who waits is woken by a put', async () => {
    const request = { fromSequence: 1, maxBytes: MIB, destinations: new Map([[DESTINATION, 0]]) }
    expect(await log.read(request)).to.deep.include({ entries: [], isAtEnd: true })
    const reader = new Reader()
    const feed = new LogFeed(each => log.read(each), silentLogger)
    feed.want(reader)
    await reader.until(() => reader.told.length > 0)
    expect([reader.entries, reader.told.at(-1)]).to.deep.equal([[], 'end'])
    await put(Buffer.from('hello'))
    feed.want(reader)
    await reader.until(() => reader.entries.length > 0)
    expect(reader.entries.map(({ sequence }) => sequence)).to.deep.equal([1])
    await feed.stop()
  })

  it('durable-queue 17: records of 1 MB in great number leave memory and disk as they were', async () => {
    const value = Buffer.alloc(1_000_000, 'x')
    const records = 400
    // Other tests of the process hold some, too.
    const heldBefore = await heldBytes()
    let largestBytes = 0
    let segments = 0
    for (let from = 1; from <= records; from += 4) {
      await Promise.all([put(value), put(value), put(value), put(value)])
      const { entries } = await log.read({ fromSequence: from, maxBytes: 8 * MIB })
      expect(entries.map(({ sequence }) => sequence)).to.deep.equal([from, from + 1, from + 2, from + 3])
      log.complete(from, 4)
      if (from % 40 === 1) largestBytes = Math.max(largestBytes, (await heldBytes()) - heldBefore)
      segments = Math.max(segments, readdirSync(join(directory, 'wal')).filter(name => name.endsWith('.slab')).length)
    }
    expect(largestBytes).to.be.below(256 * MIB)
    expect(segments).to.be.below(10)
    // Completions are written a little later, many together.
    while ((await log.look()).openEntries > 0) await new Promise(resolve => setTimeout(resolve, 5))
    expect((await log.look()).enqueued).to.equal(records)
  }).timeout(120_000)
})
