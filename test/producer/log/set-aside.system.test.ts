import { expect } from 'chai'
import { ENTRY_MAGIC } from '../../../src/producer/log/entry.js'
import type { LogStore } from '../../../src/producer/log/log-store.js'
import { OutcomeRows } from '../../../src/producer/log/outcomes.js'
import { salvageLog } from '../../../src/producer/log/salvage.js'
import { SeededRandom, testSeed } from '../../support/random.js'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readEntries, recordBody, storeOptions, textOf } from './fixtures.js'

interface Entry {
  readonly sequence: number
  readonly text: string
  readonly destination: string
  /** A power cut does not take it. */
  isSafe: boolean
}

const STEPS = 40
const SEAL_BYTES = 24

/** A log on a disk that dies, loses power, fails to read files, and flips bits, by the numbers of a seed. */
class World {
  readonly #random: SeededRandom
  readonly #disk = new SimulatedDisk()
  readonly #syncPuts: boolean
  #open: Entry[] = []
  #named = 0
  #store: LogStore
  /** In how many steps some entries were set aside. */
  asideCount = 0

  constructor(seed: number) {
    this.#random = new SeededRandom(seed)
    this.#syncPuts = this.#isDrawn(0.6)
    this.#store = this.#opened()
  }

  /** Fails where an acknowledged entry is lost, doubled or moved. */
  run(): void {
    for (let step = 0; step < STEPS; step++) {
      this.#pick(
        [0.35, this.#append],
        [0.25, this.#complete],
        [0.12, this.#tick],
        [0.06, this.#sync],
        [0.22, this.#restart]
      )
      if (this.#isDrawn(0.3)) this.#check(`step ${step}`)
      if (this.#isDrawn(0.04)) this.#salvage()
    }
    this.#salvage()
    const texts = readEntries(this.#store).map(({ body }) => textOf(body))
    expect(texts.length, 'doubled').to.equal(new Set(texts).size)
    expect(texts, 'lost').to.include.members(this.#open.map(({ text }) => text))
  }

  #isDrawn(share: number): boolean {
    return this.#random.next() < share
  }

  #pick(...choices: readonly (readonly [share: number, act: () => void])[]): void {
    let left = this.#random.next()
    const [, act] = choices.find(([share]) => (left -= share) < 0) ?? choices.at(-1)!
    act.call(this)
  }

  #opened(): LogStore {
    return openStore(this.#disk, {
      syncPuts: this.#syncPuts,
      syncTakes: this.#isDrawn(0.5),
      maxWastedBytes: this.#isDrawn(0.7) ? 0 : 500,
      receipts: { maxBytes: 1_000_000, retentionMs: 1_000_000_000 }
    }).store
  }

  #append(): void {
    const destination = `default/t${this.#random.between(0, 2)}`
    const texts = Array.from({ length: this.#random.between(1, 6) }, () => `e${++this.#named}`)
    const bodies = texts.map(text => recordBody(text.padEnd(this.#random.between(20, 170), '.')))
    const { firstSequence, committedCount } = this.#store.commit(group(bodies, destination))
    for (const [at, text] of texts.slice(0, committedCount).entries())
      this.#open.push({ sequence: firstSequence + at, text, destination, isSafe: this.#syncPuts })
  }

  /** Only what can be read is delivered; one topic may be stuck. A journal that takes nothing loses completions. */
  #complete(): void {
    const [share, isStuck] = [this.#isDrawn(0.3) ? 0.95 : 0.4, this.#isDrawn(0.7)]
    const read = new Set(readEntries(this.#store).map(({ sequence }) => sequence))
    const isDone = ({ sequence, destination }: Entry): boolean =>
      read.has(sequence) && !(isStuck && destination === 'default/t0') && this.#isDrawn(share)
    const done = this.#open.filter(isDone)
    const rows = new OutcomeRows()
    for (const { sequence, destination } of done)
      rows.add(destination, sequence, { partition: 0, offset: 1_000 + sequence, timestampMs: 7 })
    if (this.#isDrawn(0.3)) this.#fail((operation, name) => operation === 'write' && name.endsWith('.progress'))
    this.#store.complete(
      done.map(({ sequence }) => ({ first: sequence, count: 1 })),
      rows.take()
    )
    this.#heal()
    this.#open = this.#open.filter(entry => !done.includes(entry))
  }

  #tick(): void {
    this.#store.tick()
  }

  #sync(): void {
    if (this.#store.sync()) this.#allSafe()
  }

  #allSafe(): void {
    for (const entry of this.#open) entry.isSafe = true
  }

  /** A stop, a kill, or a power cut; then a file may be unreadable for a while. Without syncs of puts, power stays. */
  #restart(): void {
    const ways = [this.#stop, this.#kill, this.#cutPower].slice(0, this.#syncPuts ? 3 : 2)
    this.#random.pick(ways).call(this)
    const segments = [...this.#disk.files().keys()].filter(name => name.endsWith('.slab'))
    if (this.#isDrawn(0.4) && segments.length > 0) {
      const bad = this.#random.pick(segments)
      this.#fail((operation, name) => operation === 'read' && name === bad)
    }
    try {
      this.#store = this.#opened()
    } catch (error) {
      expect((error as Error).message).to.include('cannot read')
      this.#heal()
      this.#store = this.#opened()
    }
    if (this.#isDrawn(0.5)) this.#check('while a file cannot be read')
    this.#heal()
  }

  #stop(): void {
    this.#store.close()
    this.#allSafe()
    const segments = [...this.#disk.files().keys()].filter(name => name.endsWith('.slab'))
    if (this.#isDrawn(0.15) && segments.length > 0) this.#flipBit(this.#random.pick(segments))
  }

  /** Of a header or a seal: a bit of an entry is lost for good. */
  #flipBit(name: string): void {
    this.#disk.patch(name, bytes => {
      if (bytes.subarray(-SEAL_BYTES, -16).toString() !== 'CASTSEAL') return bytes
      const sealAt = bytes.lastIndexOf(ENTRY_MAGIC)
      const at = this.#isDrawn(0.3) ? this.#random.between(0, 63) : this.#random.between(sealAt, bytes.length - 1)
      bytes[at]! ^= 1 << this.#random.between(0, 7)
      return bytes
    })
  }

  #kill(): void {
    this.#die(29, () => this.#store.tick())
  }

  #cutPower(): void {
    this.#die(9, () => (this.#isDrawn(0.5) ? this.#store.tick() : this.#store.close()))
    this.#disk.powerCut(() => this.#random.next())
    this.#open = this.#open.filter(({ isSafe }) => isSafe)
  }

  #die(mostOperations: number, doing: () => void): void {
    this.#disk.operationsLeft = this.#random.between(0, mostOperations)
    try {
      doing()
    } catch {
      // It died.
    }
    this.#disk.operationsLeft = Number.POSITIVE_INFINITY
  }

  #fail(isBad: (operation: string, name: string) => boolean): void {
    this.#disk.faults.before = (operation, name) => {
      if (isBad(operation, name)) throw eio()
    }
  }

  #heal(): void {
    delete this.#disk.faults.before
  }

  #salvage(): void {
    this.#store.close()
    this.#allSafe()
    salvageLog(storeOptions(this.#disk, [], {}), () => undefined)
    this.#store = this.#opened()
  }

  /** Each acknowledged entry can be read where it was, or waits in quarantine. */
  #check(when: string): void {
    const read = new Map(readEntries(this.#store).map(({ body, sequence }) => [textOf(body), sequence]))
    for (const { text, sequence, isSafe } of this.#open) {
      const isAside = !read.has(text) && this.#store.openRuns({ first: sequence, count: 1 }).length > 0
      if (isSafe && !isAside) expect(read.get(text), `${when}: ${text}`).to.equal(sequence)
    }
    if (this.#store.stats.setAsideEntries > 0) this.asideCount++
  }
}

describe('a log on a disk that fails by lot', () => {
  it('loses, doubles and moves no acknowledged entry, salvaged ones included', () => {
    const seed = testSeed()
    let asideCount = 0
    for (let nth = 0; nth < Number(process.env.LOG_WORLDS ?? 400); nth++) {
      const world = new World(seed + nth)
      try {
        world.run()
      } catch (error) {
        throw new Error(`seed ${seed + nth}: ${(error as Error).message}`, { cause: error })
      }
      asideCount += world.asideCount
    }
    // Else this tests nothing.
    expect(asideCount).to.be.above(100)
  }).timeout(600_000)
})
