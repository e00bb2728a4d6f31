import { expect } from 'chai'
import fc from 'fast-check'
import { type LogReadRequest, wantedFrom } from '../../../src/producer/log/entry-reader.js'
import type { LogStore } from '../../../src/producer/log/log-store.js'
import { recover } from '../../../src/producer/log/recovery.js'
import { entriesAside } from '../../../src/producer/log/salvage.js'
import { eio, SimulatedDisk } from '../../support/simulated-disk.js'
import { group, openStore, readEntries } from './stage.js'

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

/** Of all topics, of one, of all but one, or of two from sequences of their own. */
type WantedTopics =
  | { readonly type: 'all' }
  | { readonly type: 'one'; readonly topic: number }
  | { readonly type: 'from'; readonly topic: number; readonly shares: readonly [number, number] }

type Command =
  | { readonly type: 'append'; readonly sizes: readonly number[]; readonly topic: number }
  | { readonly type: 'complete'; readonly share: number; readonly count: number }
  /** All but every n-th: some topic is stuck. */
  | { readonly type: 'thinOut'; readonly every: number }
  | { readonly type: 'read'; readonly wanted: WantedTopics }
  | { readonly type: 'sync' }
  | { readonly type: 'restart' }
  | { readonly type: 'kill' }
  | { readonly type: 'powerCut'; readonly seed: number }
  /** Time passes: segments with few open entries are merged. */
  | { readonly type: 'tick' }
  /** The process dies, or the power goes, before one of the disk operations of an append, a completion or a merge. */
  | {
      readonly type: 'die'
      readonly during: 'append' | 'complete' | 'tick'
      readonly operations: number
      readonly seed: number | undefined
      readonly sizes: readonly number[]
    }
  /** One bit of a segment is flipped while nobody looks; `place` is the share of the file before it. */
  | { readonly type: 'flip'; readonly segment: number; readonly place: number; readonly bit: number }
  | { readonly type: 'failWrite'; readonly sizes: readonly number[] }
  | { readonly type: 'failSync'; readonly sizes: readonly number[] }
  | { readonly type: 'note'; readonly key: number; readonly value: number }

const sizes = fc.array(fc.integer({ min: 0, max: 300 }), { minLength: 1, maxLength: 8 })
const share = fc.double({ min: 0, max: 1, noNaN: true })
const wanted: fc.Arbitrary<WantedTopics> = fc.oneof(
  fc.record({ type: fc.constant('all' as const) }),
  fc.record({ type: fc.constant('one' as const), topic: fc.nat(3) }),
  fc.record({ type: fc.constant('from' as const), topic: fc.nat(3), shares: fc.tuple(share, share) })
)
const command: fc.Arbitrary<Command> = fc.oneof(
  { weight: 8, arbitrary: fc.record({ type: fc.constant('append' as const), sizes, topic: fc.nat(3) }) },
  {
    weight: 6,
    arbitrary: fc.record({
      type: fc.constant('complete' as const),
      share,
      count: fc.integer({ min: 1, max: 20 })
    })
  },
  {
    weight: 3,
    arbitrary: fc.record({ type: fc.constant('thinOut' as const), every: fc.integer({ min: 4, max: 20 }) })
  },
  { weight: 3, arbitrary: fc.record({ type: fc.constant('read' as const), wanted }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('sync' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('tick' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('restart' as const) }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('kill' as const) }) },
  { weight: 2, arbitrary: fc.record({ type: fc.constant('powerCut' as const), seed: fc.nat() }) },
  {
    weight: 3,
    arbitrary: fc.record({
      type: fc.constant('die' as const),
      during: fc.constantFrom(
        'append' as const,
        'append' as const,
        'complete' as const,
        'tick' as const,
        'tick' as const
      ),
      operations: fc.nat(12),
      seed: fc.option(fc.nat(), { nil: undefined }),
      sizes
    })
  },
  {
    weight: 1,
    arbitrary: fc.record({ type: fc.constant('flip' as const), segment: fc.nat(20), place: share, bit: fc.nat(7) })
  },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('failWrite' as const), sizes }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('failSync' as const), sizes }) },
  { weight: 1, arbitrary: fc.record({ type: fc.constant('note' as const), key: fc.nat(3), value: fc.nat(200) }) }
)

/** Many small entries, of which few stay. */
const manySizes = fc.array(fc.integer({ min: 0, max: 60 }), { minLength: 20, maxLength: 60 })
const mergingCommand: fc.Arbitrary<Command> = fc.oneof(
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('append' as const), sizes: manySizes, topic: fc.nat(3) })
  },
  {
    weight: 4,
    arbitrary: fc.record({ type: fc.constant('thinOut' as const), every: fc.integer({ min: 4, max: 12 }) })
  },
  { weight: 6, arbitrary: fc.record({ type: fc.constant('tick' as const) }) },
  {
    weight: 4,
    arbitrary: fc.record({
      type: fc.constant('die' as const),
      during: fc.constant('tick' as const),
      operations: fc.nat(30),
      seed: fc.option(fc.nat(), { nil: undefined }),
      sizes
    })
  },
  { weight: 2, arbitrary: command }
)

const topicOf = (topic: number): string => `default/topic-${topic}`

class Run {
  readonly #model = new Model()
  readonly #disk = new SimulatedDisk()
  readonly #syncPuts: boolean
  readonly #destinations = new Map<number, string>()
  #store: LogStore
  #hasDamage = false
  #clock = 0
  #bodies = 0

  constructor(syncPuts: boolean) {
    this.#syncPuts = syncPuts
    this.#store = this.#open()
  }

  get #options() {
    return { syncPuts: this.#syncPuts, clock: () => this.#clock, maxIndexBytes: 20_000, maxWastedBytes: 0 }
  }

  #open(): LogStore {
    return openStore(this.#disk, this.#options).store
  }

  do(command: Command): void {
    switch (command.type) {
      case 'append':
        this.#append(command.sizes, topicOf(command.topic))
        break
      case 'complete':
        this.#complete(command)
        break
      case 'thinOut':
        for (const [at, sequence] of this.#openSequences().entries())
          if (at % command.every > 0) this.#completeOne(sequence)
        break
      case 'read':
        this.#check(command.wanted)
        break
      case 'sync':
        if (this.#store.sync()) this.#model.unsynced.clear()
        return
      case 'tick':
        this.#store.tick()
        this.#check({ type: 'all' })
        return
      case 'restart':
        this.#store.close()
        this.#model.unsynced.clear()
        this.#store = this.#open()
        this.#check({ type: 'all' })
        break
      case 'kill':
        this.#store = this.#open()
        this.#reconcile(false)
        this.#check({ type: 'all' })
        break
      case 'powerCut':
        this.#disk.powerCut(randomOf(command.seed))
        this.#store = this.#open()
        this.#reconcile(true)
        this.#check({ type: 'all' })
        break
      case 'die':
        this.#die(command)
        break
      case 'flip':
        this.#flip(command)
        break
      case 'failWrite':
      case 'failSync':
        this.#failing(command.type === 'failWrite' ? 'write' : 'sync', command.sizes)
        break
      case 'note':
        this.#store.note([{ key: `key-${command.key}`, value: Buffer.alloc(command.value % 40, command.value) }])
        return
    }
  }

  #bodiesOf(sizes: readonly number[]): string[] {
    return sizes.map(size => `${this.#bodies++}:`.padEnd(size, '.'))
  }

  /** @param isDying no refusal is told any more */
  #append(sizes: readonly number[], destination: string, isDying = false): void {
    const bodies = this.#bodiesOf(sizes)
    const staged = bodies.length >> 1
    const parts = [bodies.slice(0, staged), bodies.slice(staged)].filter(({ length }) => length > 0)
    const { firstSequence, committedCount, refusal } = this.#store.commit(
      ...parts.map(part => group(part, destination))
    )
    for (let index = 0; index < committedCount; index++) {
      const sequence = firstSequence + index
      expect(this.#model.stored.has(sequence), `sequence ${sequence} is new`).to.equal(false)
      this.#model.stored.set(sequence, bodies[index]!)
      this.#destinations.set(sequence, destination)
      if (!this.#syncPuts) this.#model.unsynced.add(sequence)
    }
    if (refusal && (isDying || !refusal.isCertain))
      for (const body of bodies.slice(committedCount)) this.#model.possible.add(body)
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

  #die({ during, operations, seed, sizes }: Extract<Command, { type: 'die' }>): void {
    this.#disk.operationsLeft = operations
    if (during === 'append') this.#append(sizes, topicOf(0), true)
    else if (during === 'complete') this.#complete({ share: 0, count: 20 })
    else this.#store.tick()
    this.#disk.operationsLeft = Number.POSITIVE_INFINITY
    if (seed !== undefined) this.#disk.powerCut(randomOf(seed))
    this.#store = this.#open()
    this.#reconcile(seed !== undefined)
    this.#check({ type: 'all' })
  }

  #flip({ segment, place, bit }: Extract<Command, { type: 'flip' }>): void {
    const segments = [...this.#disk.files()].filter(([name]) => name.endsWith('.slab'))
    const [name, bytes] = segments[segment % segments.length] ?? []
    if (name === undefined || bytes!.length === 0) return
    const offset = Math.min(bytes!.length - 1, Math.floor(place * bytes!.length))
    this.#disk.patch(name, whole => {
      whole[offset]! ^= 1 << bit
      return whole
    })
    const { store, reports } = openStore(this.#disk, this.#options)
    this.#store = store
    const before = this.#openSequences()
    this.#reconcile(false)
    const found = new Set(readEntries(store).map(({ sequence }) => sequence))
    const missing = before.filter(sequence => !found.has(sequence))
    const salvageable = new Set(this.#sequencesAside())
    const lost = missing.filter(sequence => !salvageable.has(sequence))
    const { damagedEntries, tornEntries, tornBytes, quarantinedFiles } = store.recovered
    const isNoticed = damagedEntries + tornEntries + tornBytes + quarantinedFiles.length + reports.length > 0
    expect(missing.length === 0 || isNoticed, 'damage is noticed').to.equal(true)
    if (quarantinedFiles.length === 0) expect(lost.length, 'a bit costs one entry').to.be.at.most(1)
    for (const sequence of missing) this.#model.stored.delete(sequence)
    this.#hasDamage = true
    this.#check({ type: 'all' })
  }

  #sequencesAside(): number[] {
    const { directory } = this.#disk
    return recover(directory)
      .aside.flatMap(segment => [...entriesAside(directory, segment, () => undefined)])
      .map(({ sequence }) => sequence)
  }

  #complete({ share, count }: { share: number; count: number }): void {
    const open = this.#openSequences()
    for (const sequence of open.slice(Math.floor(share * open.length), Math.floor(share * open.length) + count)) {
      this.#completeOne(sequence)
    }
  }

  #completeOne(sequence: number): void {
    this.#store.complete([{ first: sequence, count: 1 }])
    this.#model.completed.add(sequence)
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
        // What ended a segment may have been in a header that was damaged: then what it took back is there again.
        const isPossible = this.#hasDamage || this.#model.possible.has(body)
        expect(isPossible, `${body} at ${sequence} was appended once`).to.equal(true)
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

  #check(topics: WantedTopics): void {
    const wanted = this.#wanted(topics)
    const request = { fromSequence: 1, maxBytes: 0, ...wanted }
    const expected = this.#openSequences()
      .filter(sequence => sequence >= wantedFrom(request, this.#destinations.get(sequence)!))
      .map(sequence => [sequence, this.#model.stored.get(sequence)])
    const found = readEntries(this.#store, wanted).map(({ sequence, body }) => [sequence, body.toString()])
    expect(found).to.deep.equal(expected)
    if (topics.type === 'all') this.#checkBacklog()
  }

  #wanted(topics: WantedTopics): Pick<LogReadRequest, 'destinations'> {
    const last = Math.max(0, ...this.#model.stored.keys())
    switch (topics.type) {
      case 'all':
        return {}
      case 'one':
        return { destinations: new Map([[topicOf(topics.topic), 0]]) }
      case 'from':
        return {
          destinations: new Map(
            topics.shares.map((share, index) => [topicOf(topics.topic + index), Math.round(share * last)])
          )
        }
    }
  }

  #checkBacklog(): void {
    const expected = new Map<string, { firstSequence: number; openEntries: number }>()
    for (const sequence of this.#openSequences()) {
      const destination = this.#destinations.get(sequence)!
      const before = expected.get(destination)
      if (before) before.openEntries++
      else expected.set(destination, { firstSequence: sequence, openEntries: 1 })
    }
    expect(this.#store.backlog()).to.deep.equal(expected)
  }

  end(): void {
    this.#check({ type: 'all' })
    if (!this.#hasDamage) expect(this.#store.stats.damagedEntries, 'no crash makes damage').to.equal(0)
    const open = this.#openSequences()
    for (const sequence of open) this.#store.complete([{ first: sequence, count: 1 }])
    this.#store.close()
    const segments = [...this.#disk.files().keys()].filter(name => name.endsWith('.slab'))
    expect(segments.length, 'finished segments are removed').to.be.at.most(1)
  }
}

const randomOf = (seed: number) => (): number => {
  seed = (seed * 1_664_525 + 1_013_904_223) >>> 0
  return seed / 0x1_0000_0000
}

const runs = Number(process.env.MODEL_RUNS ?? 300)

describe('the durable log against its model', function () {
  this.timeout(180_000)

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

  it('keeps its promises while segments with few open entries are merged', () => {
    fc.assert(
      fc.property(fc.array(mergingCommand, { minLength: 5, maxLength: 40 }), commands => {
        const run = new Run(true)
        for (const one of commands) run.do(one)
        run.end()
      }),
      { numRuns: runs }
    )
  })
})
