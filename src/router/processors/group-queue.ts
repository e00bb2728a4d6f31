import { type OpenRequest, stillOpen } from '../requests/open-requests.js'

/** Returns true when a call may be made for the group now. */
export interface MayGo {
  (groupId: string): boolean
  /** All groups for which a call may be made, if they are few. The waiting groups then need not be searched. */
  readonly few?: () => ReadonlySet<string> | undefined
}
export const everyGroup: MayGo = () => true

/**
 * Requests by group and partition. The group that has waited longest goes first, with all its partitions in one call.
 *
 *   billing -> orders/0: X   orders/1: Y
 *   audit   -> orders/0: Z
 */
export class GroupQueue<Entry> {
  readonly #groups = new Map<string, Map<string, Entry>>()

  get isEmpty(): boolean {
    return this.#groups.size === 0
  }

  get(groupId: string, key: string): Entry | undefined {
    return this.#groups.get(groupId)?.get(key)
  }

  /** Sets an entry. A new entry takes the place of the old entry. */
  set(groupId: string, key: string, entry: Entry): void {
    let partitions = this.#groups.get(groupId)
    if (!partitions) this.#groups.set(groupId, (partitions = new Map()))
    partitions.set(key, entry)
  }

  isEmptyFor(mayGo: MayGo): boolean {
    return this.#firstOf(mayGo) === undefined
  }

  /** Takes out the group that has waited longest among the groups that `mayGo` accepts. */
  takeFirst(mayGo: MayGo): { readonly groupId: string; readonly partitions: Map<string, Entry> } | undefined {
    const groupId = this.#firstOf(mayGo)
    if (groupId === undefined) return undefined
    const partitions = this.#groups.get(groupId)!
    this.#groups.delete(groupId)
    return { groupId, partitions }
  }

  #firstOf(mayGo: MayGo): string | undefined {
    const few = mayGo.few?.()
    if (few === undefined || few.size > this.#groups.size) {
      for (const groupId of this.#groups.keys()) if (mayGo(groupId)) return groupId
    } else for (const groupId of few) if (this.#groups.has(groupId) && mayGo(groupId)) return groupId
    return undefined
  }

  takeGroup(groupId: string): Entry[] {
    const entries = [...(this.#groups.get(groupId)?.values() ?? [])]
    this.#groups.delete(groupId)
    return entries
  }

  drain(): Entry[] {
    const entries = [...this.#groups.values()].flatMap(partitions => [...partitions.values()])
    this.#groups.clear()
    return entries
  }
}

/** Entries with requests that are still open. */
export function openEntries<Waiter extends OpenRequest>(
  partitions: ReadonlyMap<string, readonly Waiter[]>
): Map<string, Waiter[]> {
  const open = new Map<string, Waiter[]>()
  for (const [key, waiters] of partitions) {
    const left = stillOpen(waiters)
    if (left.length > 0) open.set(key, left)
  }
  return open
}
