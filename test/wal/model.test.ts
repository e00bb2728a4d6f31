import { expect } from 'chai'
import fc from 'fast-check'
import type { LogStore } from '../../src/wal/log-store.js'
import { eio, SimulatedDisk } from '../support/simulated-disk.js'
import { group, openStore, readEntries } from './fixtures.js'

/**
 * What the log promises, as plainly as it can be said: entries acknowledged and not completed are there, in order;
 * completed ones may come again after a crash; refused ones come only when the refusal was not certain, or after a
 * crash in the middle of the append.
 */
class Model {
  /** Acknowledged bodies by sequence. */
  readonly stored = new Map<number, string>()
  readonly completed = new Set<number>()
  /** Bodies that may appear, though nobody was told that they are stored. */
  readonly possible = new Set<string>()
  /** Acknowledged without a sync: a power cut may take them. */
  readonly unsynced = new Set<number>()
  /** Their sync failed, and no later one can be believed. */
  readonly unsafe = new Set<number>()
}

type Command =
  | { readonly type: 'append'; readonly sizes: readonly number[]; readonly topic: number }
  | { readonly type: 'complete'; readonly share: number; readonly count: number }
  | { readonly type: 'read'; readonly topic: number | undefined }
  | { readonly type: 'sync' }
  | { readonly type: 'restart' }
  | { readonly type: 'kill' }
  | { readonly type: 'powerCut'; readonly seed: number }
  | { readonly type: 'failWrite'; readonly sizes: readonly number[] }
  | { readonly type: 'failSync'; readonly sizes: readonly number[] }
  | { readonly type: 'note'; readonly key: number; readonly value: number }

const sizes = fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 8 })
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant('append' as const), sizes, topic: fc.nat(3) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('complete' as const),
      share: fc.double({ min: 0, max: 1, noNaN: true }),
      count: fc.integer({ min: 1, max: 20 })
    })
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('read' as const), topic: fc.option(fc.nat(3), { nil: undefined }) })
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('sync' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('kill' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('powerCut' as const), seed: fc.nat() }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('failWrite' as const), sizes }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('failSync' as const), sizes }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('note' as const), key: fc.nat(3), value: fc.nat(200) }) }
)

const topicOf = (topic: number): string => `default/topic-${topic}`

class Run {
  readonly #model = new Model()
  readonly #disk = new SimulatedDisk()
  readonly #syncPuts: boolean
  readonly #destinations = new Map<number, string>()
  #store: LogStore
  #clock = 0
  #bodies = 0

  constructor(syncPuts: boolean) {
    this.#syncPuts = syncPuts
    this.#store = this.#open()
  }

  #open(): LogStore {
    return openStore(this.#disk, { syncPuts: this.#syncPuts, now: () => this.#clock }).store
  }

  do(command: Command): void {
    switch (command.type) {
      case 'append':
        this.#append(command.sizes, topicOf(command.topic))
        break
      case 'complete':
        this.#complete(command)
        break
      case 'read':
        this.#check(command.topic)
        break
      case 'sync':
        if (this.#store.sync()) this.#model.unsynced.clear()
        return
      case 'restart':
        this.#store.close()
        this.#model.unsynced.clear()
        this.#store = this.#open()
        this.#check(undefined)
        break
      case 'kill':
        this.#store = this.#open()
        this.#reconcile(false)
        this.#check(undefined)
        break
      case 'powerCut':
        this.#disk.powerCut(randomOf(command.seed))
        this.#store = this.#open()
        this.#reconcile(true)
        this.#check(undefined)
        break
      case 'failWrite':
      case 'failSync':
        this.#failing(command.type === 'failWrite' ? 'write' : 'sync', command.sizes)
        break
      case 'note':
        this.#store.note(`key-${command.key}`, Buffer.alloc(command.value % 40, command.value))
        return
    }
  }

  #bodiesOf(sizes: readonly number[]): string[] {
    return sizes.map(size => `${this.#bodies++}:`.padEnd(size, '.'))
  }

  #append(sizes: readonly number[], destination: string): void {
    const bodies = this.#bodiesOf(sizes)
    const { firstSequence, committedCount, refusal } = this.#store.commit(group(bodies, destination))
    for (let index = 0; index < committedCount; index++) {
      const sequence = firstSequence + index
      expect(this.#model.stored.has(sequence), `sequence ${sequence} is new`).to.equal(false)
      this.#model.stored.set(sequence, bodies[index]!)
      this.#destinations.set(sequence, destination)
      if (!this.#syncPuts) this.#model.unsynced.add(sequence)
    }
    if (refusal && !refusal.isCertain) for (const body of bodies.slice(committedCount)) this.#model.possible.add(body)
    if (!refusal) expect(committedCount).to.equal(bodies.length)
  }

  #failing(operation: 'write' | 'sync', sizes: readonly number[]): void {
    let isArmed = true
    this.#disk.faults.before = current => {
      if (!isArmed || current !== operation) return
      isArmed = false
      throw eio()
    }
    this.#append(sizes, topicOf(0))
    delete this.#disk.faults.before
    this.#clock += 10_000
    if (operation === 'sync') for (const sequence of this.#model.unsynced) this.#model.unsafe.add(sequence)
  }

  #complete({ share, count }: { share: number; count: number }): void {
    const open = this.#openSequences()
    for (const sequence of open.slice(Math.floor(share * open.length), Math.floor(share * open.length) + count)) {
      this.#store.complete([{ first: sequence, count: 1 }])
      this.#model.completed.add(sequence)
    }
  }

  #openSequences(): number[] {
    return [...this.#model.stored.keys()].filter(sequence => !this.#model.completed.has(sequence)).sort((a, b) => a - b)
  }

  /** After a crash: completions may be lost, unsynced entries too, and what was possible may have come true. */
  #reconcile(wasPowerCut: boolean): void {
    const found = new Map(readEntries(this.#store).map(({ sequence, body }) => [sequence, body.toString()]))
    for (const [sequence, body] of found) {
      if (this.#model.stored.get(sequence) === body) this.#model.completed.delete(sequence)
      else {
        expect(this.#model.possible.has(body), `${body} at ${sequence} was appended once`).to.equal(true)
        this.#model.stored.set(sequence, body)
        this.#destinations.set(sequence, topicOf(0))
      }
    }
    if (!wasPowerCut) {
      this.#model.unsynced.clear()
      return
    }
    for (const sequence of [...this.#model.unsynced, ...this.#model.unsafe]) {
      if (!found.has(sequence)) {
        this.#model.stored.delete(sequence)
        this.#model.completed.delete(sequence)
      }
    }
    this.#model.unsynced.clear()
  }

  #check(topic: number | undefined): void {
    const destinations = topic === undefined ? undefined : new Set([topicOf(topic)])
    const expected = this.#openSequences()
      .filter(sequence => !destinations || destinations.has(this.#destinations.get(sequence)!))
      .map(sequence => [sequence, this.#model.stored.get(sequence)])
    const found = readEntries(this.#store, destinations).map(({ sequence, body }) => [sequence, body.toString()])
    expect(found).to.deep.equal(expected)
  }

  end(): void {
    this.#check(undefined)
    // Of what was not synced a power cut may leave any part, holes included.
    if (this.#syncPuts) expect(this.#store.stats.damagedEntries, 'no crash makes damage').to.equal(0)
    const open = this.#openSequences()
    for (const sequence of open) this.#store.complete([{ first: sequence, count: 1 }])
    this.#store.close()
    const slabs = [...this.#disk.files().keys()].filter(name => name.endsWith('.slab'))
    expect(slabs.length, 'finished slabs are removed').to.be.at.most(1)
  }
}

const randomOf = (seed: number) => (): number => {
  seed = (seed * 1_664_525 + 1_013_904_223) >>> 0
  return seed / 0x1_0000_0000
}

const runs = Number(process.env.MODEL_RUNS ?? 300)

describe('the durable log against its model', function () {
  this.timeout(60_000)

  for (const syncPuts of [true, false]) {
    it(`keeps its promises through crashes, power cuts and failures, ${syncPuts ? 'synced' : 'unsynced'}`, () => {
      fc.assert(
        fc.property(fc.array(command, { minLength: 5, maxLength: 60 }), commands => {
          const run = new Run(syncPuts)
          for (const one of commands) run.do(one)
          run.end()
        }),
        { numRuns: runs }
      )
    })
  }
})
