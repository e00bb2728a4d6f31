import type { UnplacedRecord } from '../../src/consumer/instance/stored-instance.js'
import type { RouterMessage } from '../../src/router/messages/operations.js'

type Bytes = UnplacedRecord['key']
const bufferOf = (bytes: Bytes): Buffer | null => (bytes === null ? null : Buffer.from(bytes as string))

/** The topic with the states of consumer instances, and what a Router replies to those who ask for it. */
export class StateTopic {
  /** Compaction leaves holes between the offsets. */
  readonly log: (UnplacedRecord & { readonly offset: number })[] = []
  end = 0
  /** A new leader shows no record from here on, and tells the end all the same. */
  shownTo = Number.POSITIVE_INFINITY
  /** The first offset of each leader's records; none: brokers tell no epochs. */
  readonly leaders: { readonly leaderEpoch: number; readonly offset: number }[] = []
  readonly #name: string

  constructor(name = '__castellan_instances') {
    this.#name = name
  }

  /** @returns its offset */
  append(record: UnplacedRecord): number {
    this.log.push({ ...record, offset: this.end })
    return this.end++
  }

  /** Another leader is elected whose log ends here. */
  cut(end: number): void {
    this.log.splice(this.log.filter(({ offset }) => offset < end).length)
    this.end = end
    this.leaders.push({ leaderEpoch: this.leaders.length, offset: end })
  }

  /** @returns `undefined`: the topic has no answer to that */
  answer(message: RouterMessage): unknown {
    switch (message.type) {
      case 'fetchTopicMetadata':
        return {
          type: 'success',
          topics: new Map([[this.#name, { errorCode: 0, topicId: 'id', partitions: [{ partition: 0 }] }]])
        }
      case 'produce': {
        const append = (record: UnplacedRecord) => ({ type: 'delivered', partition: 0, offset: this.append(record) })
        return { type: 'done', outcomes: message.records.map(append) }
      }
      case 'fetchOffset':
        return { type: 'success', offset: message.offsetType === 'latest' ? this.end : 0, ...this.#leader }
      case 'fetchEpochEnd': {
        const { leaderEpoch } = message
        const endOffset = this.leaders.find(next => next.leaderEpoch > leaderEpoch)?.offset ?? this.end
        return { type: 'success', leaderEpoch, endOffset, currentLeaderEpoch: this.leaders.at(-1)!.leaderEpoch }
      }
      case 'fetchData': {
        const shown = this.log.filter(({ offset }) => offset >= message.offset && offset < this.shownTo)
        if (shown.length === 0 && this.shownTo < this.end) return { type: 'noMessages' }
        if (message.offset === this.end) return { type: 'noMessages', ...this.#leader }
        if (shown.length === 0) return { type: 'noMessages', nextOffset: this.end }
        const records = shown.map(({ offset, key, value, headers = [] }) => ({
          offset,
          key: bufferOf(key),
          value: bufferOf(value),
          headers
        }))
        const leaderEpochs = this.leaders.filter(({ offset }) => offset <= shown.at(-1)!.offset)
        const batch = Object.assign(records, { nextOffset: shown.at(-1)!.offset + 1, leaderEpochs })
        return { type: 'success', batch, ...this.#leader }
      }
      default:
        return undefined
    }
  }

  get #leader(): { readonly leaderEpoch?: number } {
    const leader = this.leaders.at(-1)
    return leader ? { leaderEpoch: leader.leaderEpoch } : {}
  }
}
