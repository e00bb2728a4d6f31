import { getOrAdd } from '../../core/maps.js'
import { EndedIds, keyOfBegun } from '../calls/ended-ids.js'

/** The longest time that a call may take. */
const REMEMBERED_MS = 600_000

/**
 * Work that other processes have begun at this one and may end, by the process and a number that is unique there. An
 * end that comes before its beginning counts, too.
 */
export class BegunByOthers<How> {
  readonly #ends = new Map<unknown, Map<number, (how: How) => void>>()
  /** Ends whose beginning has not come. */
  readonly #endedEarly = new EndedIds(REMEMBERED_MS)

  /** @param end called at most once @returns false: it was ended already */
  begin(from: unknown, id: number, end: (how: How) => void): boolean {
    if (this.#endedEarly.has(keyOfBegun(from, id), performance.now())) return false
    getOrAdd(this.#ends, from, () => new Map()).set(id, end)
    return true
  }

  /** Called when the work has ended by itself. */
  over(from: unknown, id: number): void {
    this.#ends.get(from)?.delete(id)
  }

  end(from: unknown, id: number, how: How): void {
    const end = this.#ends.get(from)?.get(id)
    this.over(from, id)
    if (end === undefined) this.#endedEarly.add(keyOfBegun(from, id), performance.now())
    else end(how)
  }

  /** The process is gone, as far as is known. What it has ended stays ended: it may only have been silent. */
  endAllOf(from: unknown, how: How): void {
    const open = this.#ends.get(from)
    this.#ends.delete(from)
    for (const end of open?.values() ?? []) end(how)
  }
}
