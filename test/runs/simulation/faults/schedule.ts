import { SeededRandom } from '../../../support/random.js'
import type { World } from '../world/world.js'
import { type FaultName, faultKinds } from './catalogue.js'
import type { FaultTargets, Started } from './fault.js'

/** One fault of a run. What it does follows from its own seed, whatever other faults there are. */
export interface ScheduledFault {
  /** Its place in the schedule of its seed. */
  readonly id: number
  readonly kind: FaultName
  readonly atMs: number
  readonly durationMs: number
  readonly seed: number
}

/** No fault comes sooner: first everything has to work. */
const FIRST_MS = 1_000
const SHORTEST_MS = 20
const LONGEST_MS = 20_000
/** What happens to a call waits so long for one. */
const PATIENCE_MS = 20_000

/**
 * The faults of a seed, whatever the length of the run: a shorter run has the first of them.
 *
 * @param meanPauseMs between the beginnings of two
 */
export function drawSchedule(
  random: SeededRandom,
  kinds: readonly FaultName[],
  meanPauseMs: number,
  untilMs: number
): ScheduledFault[] {
  const schedule: ScheduledFault[] = []
  let atMs = FIRST_MS
  for (let id = 1; kinds.length > 0; id++) {
    atMs += -Math.log(1 - random.next()) * meanPauseMs
    // Short ones are as likely as long ones on a scale of orders of magnitude.
    const durationMs = Math.round(SHORTEST_MS * (LONGEST_MS / SHORTEST_MS) ** random.next())
    const fault = { id, kind: random.pick(kinds), atMs: Math.round(atMs), durationMs, seed: random.between(1, 2 ** 31) }
    if (fault.atMs >= untilMs) return schedule
    schedule.push(fault)
  }
  return schedule
}

export const describeFault = ({ id, kind, atMs, durationMs }: ScheduledFault): string =>
  `${String(id).padStart(3)}  at ${(atMs / 1_000).toFixed(3).padStart(7)} s for ${(durationMs / 1_000).toFixed(3).padStart(6)} s  ${kind}`

/** Begins and ends the faults of a run. */
export class FaultRunner {
  readonly #targets: FaultTargets
  readonly #world: World
  readonly #running = new Map<number, Started>()
  /** Those that somebody has met. */
  readonly met = new Set<number>()
  /** What each fault did, by id. */
  readonly done = new Map<number, string>()

  constructor(targets: FaultTargets) {
    this.#targets = targets
    this.#world = targets.world
  }

  arm(schedule: readonly ScheduledFault[]): void {
    for (const fault of schedule) {
      this.#world.time.schedule(fault.atMs, undefined, 'fault', () => this.#start(fault))
    }
  }

  /** Everything is mended. */
  stopAll(): void {
    for (const id of [...this.#running.keys()]) this.#stop(id)
  }

  #start({ id, kind, durationMs, seed }: ScheduledFault): void {
    const started = faultKinds[kind](this.#targets, new SeededRandom(seed), durationMs)
    this.done.set(id, started.what)
    this.#world.trace.say('fault', `${id} ${kind}: ${started.what}`)
    if (started.isMet === undefined) this.met.add(id)
    this.#running.set(id, started)
    if (started.stop === undefined) return
    if (started.firstMet === undefined) this.#after(durationMs, () => this.#stop(id))
    else {
      this.#after(PATIENCE_MS, () => started.isMet?.() !== true && this.#stop(id))
      void started.firstMet.then(() => this.#after(durationMs, () => this.#stop(id)))
    }
  }

  #after(ms: number, action: () => void): void {
    this.#world.time.schedule(ms, undefined, 'fault ends', action)
  }

  #stop(id: number): void {
    const started = this.#running.get(id)
    if (started === undefined) return
    this.#running.delete(id)
    if (started.isMet?.() === true) this.met.add(id)
    if (started.stop === undefined) return
    started.stop()
    this.#world.trace.say('fault', `${id} is over`)
  }
}
