import { addTo } from '../core/maps.js'
import { noTime } from './codec-host.js'

/** An owner whose work took longer than this waits behind others for ten times that duration, for a minute at most. */
const LONG_MS = 20
const DEBT_FACTOR = 10
const MAX_DEBT_MS = 60_000

/** The fields of a job that the lines use. */
export interface JobOfOwner {
  readonly owner: string | undefined
  /** Moves when it is done again. */
  overdueAtMs: number
  /** Called once. */
  readonly settle: (error: Error) => void
}

/** The jobs that wait for the thread, in a line for each owner, and whose turn it is. */
export class OwnerLines<Job extends JobOfOwner> {
  /** The first owner is next. */
  readonly #lines = new Map<string | undefined, Job[]>()
  /** Time until which an owner waits behind others, since its work has taken long. */
  readonly #debts = new Map<string | undefined, number>()

  get isEmpty(): boolean {
    return this.#lines.size === 0
  }

  add(job: Job): void {
    addTo(this.#lines, job.owner, job)
  }

  /** The owner whose turn it is, and whether it is one that waits behind others. */
  next(): readonly [owner: string | undefined, isSlow: boolean] {
    const now = performance.now()
    let [next, least]: [string | undefined, number] = [undefined, Number.POSITIVE_INFINITY]
    for (const owner of this.#lines.keys()) {
      const until = this.#debts.get(owner) ?? 0
      if (until <= now) return [owner, false]
      if (until < least) [next, least] = [owner, until]
    }
    return [next, true]
  }

  /** Takes the next job of an owner whose time is not over. */
  take(owner: string | undefined): Job | undefined {
    for (;;) {
      const line = this.#lines.get(owner)
      if (line === undefined) return undefined
      const job = line.shift()!
      this.#lines.delete(owner)
      if (line.length > 0) this.#lines.set(owner, line)
      if (performance.now() < job.overdueAtMs) return job
      job.settle(noTime())
    }
  }

  takeAll(): Job[] {
    const jobs = [...this.#lines.values()].flat()
    this.#lines.clear()
    return jobs
  }

  /** Fails jobs that have waited too long, even those of owners who get no turn while others have work. */
  failOverdue(): void {
    const now = performance.now()
    for (const [owner, line] of this.#lines) {
      const waiting = line.filter(({ overdueAtMs }) => now < overdueAtMs)
      if (waiting.length === line.length) continue
      for (const { overdueAtMs, settle } of line) if (now >= overdueAtMs) settle(noTime())
      if (waiting.length > 0) this.#lines.set(owner, waiting)
      else this.#lines.delete(owner)
    }
  }

  /** Work of the owner took so long. */
  charge(owner: string | undefined, tookMs: number): void {
    if (tookMs < LONG_MS) return
    const now = performance.now()
    for (const [other, until] of this.#debts) if (until <= now) this.#debts.delete(other)
    const until = Math.max(now, this.#debts.get(owner) ?? 0) + DEBT_FACTOR * tookMs
    this.#debts.set(owner, Math.min(until, now + MAX_DEBT_MS))
  }
}
