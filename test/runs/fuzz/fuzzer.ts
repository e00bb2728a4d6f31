import { Choices } from './choices.js'
import { clock } from './clock.js'
import { answerCount, type DifferenceKind } from './comparison.js'
import { makeScript } from './make-script.js'
import { nameOf, type Pair } from './open-differences.js'
import { type Difference, type Patience, Play, type Played } from './play.js'
import type { Script } from './script.js'
import { shrink } from './shrink.js'
import type { Ticks } from './ticks.js'

/** The servers look once a second for connections that send too much behind their last answer. */
const PATIENCE: Patience = { ticks: 8, differentTicks: 300, differentMs: 4_000 }
/** A connection that is alone on the machine waits less. */
const ALONE: Patience = { ticks: 12, differentTicks: 60, differentMs: 60 }

/** Longest for making one case smaller. */
const SHRINK_MS = 20_000

export interface FuzzOptions {
  readonly seed: number
  /** Number of the first connection. */
  readonly first: number
  /** Ends after so many connections. */
  readonly connections: number
  /** Ends after so many compared answers. */
  readonly requests: number
  /** Ends after so many seconds. */
  readonly seconds: number
  /** Connections at a time to each side of a pair. */
  readonly atOnce: number
  /** Ends after so many differences. */
  readonly maxDifferences: number
  readonly shrinkTries: number
  /** Called at once for each difference, before it is made smaller. */
  readonly onFound?: (kind: DifferenceKind, index: number) => void
}

/** A script that two servers do not answer alike. */
export interface Found extends Difference {
  /** Number of the connection; with the seed it makes the script again. */
  readonly index: number
  /** The pair that differs. */
  readonly pair: Pair
  readonly script: Script
  /** False: it differed beside other connections only, and could not be made smaller. */
  readonly isShrunk: boolean
}

export interface FuzzCounts {
  connections: number
  /** Answers that were alike on both sides. */
  requests: number
  bytes: number
  /** The numbers of the connections that differ in ways that the documents name. */
  readonly named: Map<string, number[]>
  /** Time of the run without making cases smaller, and the time of the processor in it. */
  seconds: number
  cpuSeconds: number
}

/** Makes scripts and plays each to a pair of servers, many at a time. */
export class Fuzzer {
  readonly counts: FuzzCounts = { connections: 0, requests: 0, bytes: 0, named: new Map(), seconds: 0, cpuSeconds: 0 }
  readonly found: Found[] = []
  /** Found until now, and not made smaller yet. */
  readonly #different: Omit<Found, 'isShrunk'>[] = []
  readonly #pairs: readonly Pair[]
  readonly #ticks: Ticks
  readonly #options: FuzzOptions
  readonly #until: number
  #next: number

  constructor(pairs: readonly Pair[], ticks: Ticks, options: FuzzOptions) {
    this.#pairs = pairs
    this.#ticks = ticks
    this.#options = options
    this.#next = options.first
    this.#until = clock() + options.seconds * 1_000
  }

  /** How many scripts have differed until now, without those that the documents name. */
  get differences(): number {
    return this.#different.length
  }

  get #isOver(): boolean {
    const { first, connections, requests, maxDifferences } = this.#options
    if (this.#next >= first + connections) return true
    return this.counts.requests >= requests || this.#different.length >= maxDifferences || clock() >= this.#until
  }

  /** Plays until the options say that it is enough, then makes what it has found smaller. */
  async run(): Promise<void> {
    const worker = async (): Promise<void> => {
      while (!this.#isOver) {
        const index = this.#next++
        const found = await this.play(index)
        if (found === undefined) continue
        this.#different.push(found)
        this.#options.onFound?.(found.kind, index)
      }
    }
    const startedAt = clock()
    const before = process.cpuUsage()
    await Promise.all(Array.from({ length: this.#options.atOnce }, worker))
    const { user, system } = process.cpuUsage(before)
    this.counts.seconds = (clock() - startedAt) / 1_000
    this.counts.cpuSeconds = (user + system) / 1e6
    for (const found of this.#different) this.found.push(await this.#smaller(found))
  }

  /** Plays the script of one connection. */
  async play(index: number): Promise<Omit<Found, 'isShrunk'> | undefined> {
    const script = makeScript(Choices.ofScript(this.#options.seed, index))
    const pair = this.#pairs[index % this.#pairs.length]!
    const { difference, seen } = await playEach([script, script], pair.sides, this.#ticks, PATIENCE)
    const { counts } = this
    counts.connections++
    counts.bytes += script.bytes.length
    if (difference === undefined) {
      counts.requests += answerCount(seen.answers)
      return undefined
    }
    const name = await nameOf(script, difference, pair, (scripts, sides) =>
      playEach(scripts, sides, this.#ticks, PATIENCE)
    )
    if (name === undefined) return { ...difference, index, pair, script }
    counts.named.set(name, [...(counts.named.get(name) ?? []), index])
    return undefined
  }

  async #smaller(found: Omit<Found, 'isShrunk'>): Promise<Found> {
    const { pair, kind } = found
    let last: Difference | undefined
    const until = clock() + SHRINK_MS
    const shows = async (script: Script): Promise<boolean> => {
      if (clock() > until) return false
      const { difference, name } = await playAlone(script, pair, this.#ticks)
      if (difference?.kind !== kind || name !== undefined) return false
      last = difference
      return true
    }
    if (!(await shows(found.script))) return { ...found, isShrunk: false }
    const script = await shrink(found.script, shows, this.#options.shrinkTries)
    return { ...found, ...last!, script, isShrunk: true }
  }
}

const playEach = (
  scripts: readonly [Script, Script],
  sides: Pair['sides'],
  ticks: Ticks,
  patience: Patience
): Promise<Played> => new Play(scripts, sides, ticks, patience).run()

export interface PlayedAlone {
  readonly difference: Difference | undefined
  /** By which the documents name it. */
  readonly name: string | undefined
}

/** Plays one script while nothing else is played. */
export async function playAlone(
  script: Script,
  pair: Pair,
  ticks: Ticks,
  patience: Patience = ALONE
): Promise<PlayedAlone> {
  const { difference } = await playEach([script, script], pair.sides, ticks, patience)
  if (difference === undefined) return { difference, name: undefined }
  const name = await nameOf(script, difference, pair, (scripts, sides) => playEach(scripts, sides, ticks, patience))
  return { difference, name }
}

export type { DifferenceKind }
