import type { ClusterChange } from '../../core/model.js'

/** The id of the cluster that the Router is connected to. All metadata, and every connection, belongs to that cluster. */
export class ClusterIdentity {
  #id: string | undefined

  /** `undefined`: no broker has named it yet. */
  get id(): string | undefined {
    return this.#id
  }

  /** False when a broker names another cluster. A broker that names none is taken to belong to this one. */
  isSame(clusterId: string | null): boolean {
    return clusterId === null || this.#id === undefined || clusterId === this.#id
  }

  /** Notes the cluster id of an answer. Returns the change, if the id is another one than before. */
  see(clusterId: string | null): ClusterChange | undefined {
    if (clusterId === null || clusterId === this.#id) return undefined
    const change = { before: this.#id, now: clusterId }
    this.#id = clusterId
    return change
  }
}
