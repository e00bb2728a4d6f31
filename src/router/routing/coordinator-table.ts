import { forgetOldest } from './forget-oldest.js'

interface Search {
  readonly attempts: number
  readonly endedAt: number
}

/** Users choose group ids, so the number of remembered groups has a limit. */
const MAX_GROUPS = 10_000
/** After a pause of this length the attempts of a group are counted from zero again. */
const FORGET_AFTER_MS = 10_000

/** Which broker coordinates which group, and for which groups the coordinator is being searched. */
export class CoordinatorTable {
  readonly #nodes = new Map<string, number>()
  /** Groups whose coordinator is being searched, with the number of the attempt. */
  readonly #searching = new Map<string, number>()
  /** Searches that have ended, in the order in which they ended. */
  readonly #over = new Map<string, Search>()

  /** Searches that are running or remembered. */
  get searches(): number {
    return this.#searching.size + this.#over.size
  }

  nodeOf(groupId: string): number | undefined {
    return this.#nodes.get(groupId)
  }

  /** Begins a search. Returns how many attempts came before it, or `undefined` when a search is already running. */
  beginSearch(groupId: string, now: number): number | undefined {
    if (this.#searching.has(groupId)) return undefined
    const last = this.#over.get(groupId)
    const attempts = last && now - last.endedAt <= FORGET_AFTER_MS ? last.attempts : 0
    this.#over.delete(groupId)
    this.#searching.set(groupId, attempts + 1)
    return attempts
  }

  endSearch(groupId: string, now: number): void {
    const attempts = this.#searching.get(groupId)
    if (attempts === undefined) return
    this.#searching.delete(groupId)
    this.#over.set(groupId, { attempts, endedAt: now })
    forgetOldest(this.#over, MAX_GROUPS)
  }

  found(groupId: string, nodeId: number): void {
    this.#nodes.delete(groupId)
    this.#nodes.set(groupId, nodeId)
    forgetOldest(this.#nodes, MAX_GROUPS)
  }

  /** Forgets the coordinator of a group, if it still is this node. */
  forget(groupId: string, nodeId: number): void {
    if (this.#nodes.get(groupId) === nodeId) this.#nodes.delete(groupId)
  }

  /** Searches that are running continue. */
  forgetAll(): void {
    this.#nodes.clear()
  }

  tidy(now: number): void {
    for (const [groupId, { endedAt }] of this.#over) {
      if (now - endedAt > FORGET_AFTER_MS) this.#over.delete(groupId)
    }
  }
}
