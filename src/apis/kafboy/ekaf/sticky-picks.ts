/** Topics whose partition is remembered; beyond, the one that was chosen first is forgotten. */
const MAX_TOPICS = 1_000
/** The partition is changed at most this often. */
const CHANGE_INTERVAL_MS = 1_000

interface Sticky {
  partition: number
  picks: number
  checkedAt: number
}

/**
 * ekaf's `sticky_round_robin`: records stay on a partition; once a second, when it has been picked more often than a
 * number says, another one is drawn.
 */
export class StickyPicks {
  readonly #clock: () => number
  readonly #random: () => number
  readonly #byTopic = new Map<string, Sticky>()

  /** @param clock monotonic milliseconds */
  constructor(clock: () => number, random: () => number) {
    this.#clock = clock
    this.#random = random
  }

  pick(topic: string, partitionCount: number, maxRecords: number): number {
    const sticky = this.#byTopic.get(topic) ?? this.#add(topic, partitionCount)
    const nowMs = this.#clock()
    if (nowMs - sticky.checkedAt >= CHANGE_INTERVAL_MS) {
      sticky.checkedAt = nowMs
      if (sticky.picks > maxRecords) this.#move(sticky, partitionCount)
    }
    if (sticky.partition >= partitionCount) this.#move(sticky, partitionCount)
    sticky.picks++
    return sticky.partition
  }

  #add(topic: string, partitionCount: number): Sticky {
    if (this.#byTopic.size >= MAX_TOPICS) this.#byTopic.delete(this.#byTopic.keys().next().value!)
    const sticky = { partition: this.#draw(partitionCount), picks: 0, checkedAt: this.#clock() }
    this.#byTopic.set(topic, sticky)
    return sticky
  }

  /** To another partition than the present one, where there is another. */
  #move(sticky: Sticky, partitionCount: number): void {
    const others = partitionCount - (sticky.partition < partitionCount ? 1 : 0)
    const drawn = others === 0 ? 0 : this.#draw(others)
    sticky.partition = sticky.partition < partitionCount && others > 0 && drawn >= sticky.partition ? drawn + 1 : drawn
    sticky.picks = 0
  }

  #draw(count: number): number {
    return Math.floor(this.#random() * count)
  }
}
