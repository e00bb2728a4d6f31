interface Search {
  readonly attempts: number
  readonly endedAt: number
}

/** Groups are named by users; more than this are not remembered. */
const MAX_GROUPS = 10_000
/** Quiet for so long, a group's next search is a first one again. */
const FORGET_AFTER_MS = 10_000

/** Which broker coordinates which group, and which groups are being looked for. */
export class CoordinatorTable {
  readonly #nodes = new Map<string, number>()
  /** Groups that are being looked for, and which attempt in a row that is. */
  readonly #searching = new Map<string, number>()
  /** Searches that are over, the one that ended last behind the others. */
  readonly #over = new Map<string, Search>()

  /** Searches that are on or remembered. */
  get searches(): number {
    return this.#searching.size + this.#over.size
  }

  nodeOf(groupId: string): number | undefined {
    return this.#nodes.get(groupId)
  }

  /** Begins a search. Gives how many came before it in a row, or `undefined` when one is on already. */
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
    dropOldest(this.#over)
  }

  found(groupId: string, nodeId: number): void {
    this.#nodes.delete(groupId)
    this.#nodes.set(groupId, nodeId)
    dropOldest(this.#nodes)
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
    for (const [groupId, { endedAt }] of this.#over) {
      if (now - endedAt > FORGET_AFTER_MS) this.#over.delete(groupId)
    }
  }
}

function dropOldest(groups: Map<string, unknown>): void {
  for (const oldest of groups.keys()) {
    if (groups.size <= MAX_GROUPS) return
    groups.delete(oldest)
  }
}
