import type { ClusterChange } from '../model.js'

/** Which cluster the Router works with. What it knows, and every connection to a broker, belongs to that one. */
export class ClusterIdentity {
  #id: string | undefined

  /** `undefined`: no broker has told. */
  get id(): string | undefined {
    return this.#id
  }

  /** False when a broker names another cluster. One that does not tell is believed to belong here. */
  isSame(clusterId: string | null): boolean {
    return clusterId === null || this.#id === undefined || clusterId === this.#id
  }

  /** Takes note of what an answer says; gives the change when it is one. */
  see(clusterId: string | null): ClusterChange | undefined {
    if (clusterId === null || clusterId === this.#id) return undefined
    const change = { before: this.#id, now: clusterId }
    this.#id = clusterId
    return change
  }
}
