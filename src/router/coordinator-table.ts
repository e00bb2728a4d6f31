interface Search {
  attempts: number
  lastAt: number
  isOn: boolean
}

/** Groups are named by users; more than this are not remembered. */
const MAX_GROUPS = 10_000
/** Quiet for so long, a group's next search is a first one again. */
const FORGET_AFTER_MS = 10_000

/** Which broker coordinates which group, and which groups are being looked for. */
export class CoordinatorTable {
  readonly #nodes = new Map<string, number>()
  readonly #searches = new Map<string, Search>()

  nodeOf(groupId: string): number | undefined {
    return this.#nodes.get(groupId)
  }

  /** Begins a search. Gives how many came before it in a row, or `undefined` when one is on already. */
  beginSearch(groupId: string, now: number): number | undefined {
    const search = this.#searches.get(groupId)
    if (search?.isOn) return undefined
    const attempts = search && now - search.lastAt <= FORGET_AFTER_MS ? search.attempts : 0
    this.#searches.set(groupId, { attempts: attempts + 1, lastAt: now, isOn: true })
    return attempts
  }

  endSearch(groupId: string, now: number): void {
    const search = this.#searches.get(groupId)
    if (search) this.#searches.set(groupId, { ...search, isOn: false, lastAt: now })
  }

  found(groupId: string, nodeId: number): void {
    this.#nodes.delete(groupId)
    this.#nodes.set(groupId, nodeId)
    for (const oldest of this.#nodes.keys()) {
      if (this.#nodes.size <= MAX_GROUPS) break
      this.#nodes.delete(oldest)
    }
  }

  /** Forgets a group whose coordinator is another one now, unless something newer is known. */
  forget(groupId: string, nodeId: number): void {
    if (this.#nodes.get(groupId) === nodeId) this.#nodes.delete(groupId)
  }

  /** Searches that are on go on. */
  forgetAll(): void {
    this.#nodes.clear()
  }

  tidy(now: number): void {
    for (const [groupId, search] of this.#searches) {
      if (!search.isOn && now - search.lastAt > FORGET_AFTER_MS) this.#searches.delete(groupId)
    }
  }
}
