/** A record in the log of the present incarnation of a topic. Its id is in its value. */
export interface LoggedRecord {
  readonly partition: number
  readonly offset: number
  readonly id: string
}

/**
 * The promise that each acknowledged record is offered to every group whose first request for its topic was answered before
 * the record was written. Records that a topic lost with its deletion, or with the end of its log, are promised to nobody.
 * Times come from one clock, in milliseconds.
 */
export class OfferCheck {
  /** By id: when its writer began to write it, and whether it was acknowledged. */
  readonly #written = new Map<string, { readonly atMs: number; isAcknowledged: boolean }>()
  /** By group and topic: when the first request was answered. */
  readonly #answeredAtMs = new Map<string, number>()
  /** By group and topic: the ids that were offered. */
  readonly #offered = new Map<string, Set<string>>()

  /** Before the record is sent. */
  written(id: string, atMs: number): void {
    this.#written.set(id, { atMs, isAcknowledged: false })
  }

  acknowledged(id: string): void {
    this.#written.get(id)!.isAcknowledged = true
  }

  /** A request of the group was answered, with a message or without one. Failures do not count. */
  answered(groupId: string, topic: string, atMs: number): void {
    const name = nameOf(groupId, topic)
    if (!this.#answeredAtMs.has(name)) this.#answeredAtMs.set(name, atMs)
  }

  isAnswered(groupId: string, topic: string): boolean {
    return this.#answeredAtMs.has(nameOf(groupId, topic))
  }

  /** @returns whether it was offered before */
  offered(groupId: string, topic: string, id: string): boolean {
    const name = nameOf(groupId, topic)
    const ids = this.#offered.get(name)
    if (ids === undefined) this.#offered.set(name, new Set([id]))
    else if (ids.has(id)) return true
    else ids.add(id)
    return false
  }

  /** The records of the log that are promised to the group. */
  promised(groupId: string, topic: string, log: readonly LoggedRecord[]): LoggedRecord[] {
    const since = this.#answeredAtMs.get(nameOf(groupId, topic)) ?? Number.POSITIVE_INFINITY
    return log.filter(({ id }) => {
      const written = this.#written.get(id)
      return written?.isAcknowledged === true && written.atMs > since
    })
  }

  /** The records of the log that are promised to the group and were not offered. */
  missing(groupId: string, topic: string, log: readonly LoggedRecord[]): string[] {
    const offered = this.#offered.get(nameOf(groupId, topic))
    return this.promised(groupId, topic, log)
      .filter(({ id }) => offered?.has(id) !== true)
      .map(({ partition, offset, id }) => `${partition}@${offset} ${id}`)
  }
}

const nameOf = (groupId: string, topic: string): string => `${groupId} ${topic}`
