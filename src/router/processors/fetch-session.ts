import type { FetchPartition, FetchSessionCall } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Wanted } from './wanted.js'

const NO_SESSION = 0
const NEW = 0
const LARGEST_EPOCH = 0x7fffffff
/** Names of topics that have left a session are kept until it ends. */
const MOST_FORMER_TOPICS = 1_000

/** What a broker says of a session that it has forgotten, or does not understand. */
const sessionErrors: ReadonlySet<number> = new Set([
  errorCodes.FETCH_SESSION_ID_NOT_FOUND,
  errorCodes.INVALID_FETCH_SESSION_EPOCH,
  errorCodes.FETCH_SESSION_TOPIC_ID_ERROR
])

/** The part of a Fetch call that depends on the session. */
export interface SessionStep {
  readonly session: FetchSessionCall
  /** The partitions to name. */
  readonly partitions: readonly FetchPartition[]
}

/**
 * The fetch session (KIP-227) of the long polls of one broker. A call names the partitions that have changed since the call
 * before, so a poll of thousands of idle partitions costs as much as one of none. Brokers keep sessions apart from
 * connections, and forget them: when they restart, and when others need the place. Whenever it is in doubt what a broker
 * remembers, the next call names all partitions, which begins a new session and ends the one before.
 */
export class FetchSession {
  readonly #maxBytes: number
  #id = NO_SESSION
  #epoch = NEW
  /** What the broker remembers, by `topic/partition`. */
  readonly #asked = new Map<string, FetchPartition>()
  readonly #names = new Map<string | undefined, string>()
  /** Partitions of the session without a topic id: while there is one, all topics go by their names. */
  #withoutId = 0
  #usesTopicIds = true

  /** @param maxBytes of one partition in one answer */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** True when the answer to the next call leaves out partitions without news. */
  get isPartial(): boolean {
    return this.#epoch !== NEW
  }

  /**
   * The next call. Partitions for which requests wait come first.
   *
   * @param changed the keys of all that may differ from the call before
   */
  next(partitions: ReadonlyMap<string, Wanted>, changed: Iterable<string>): SessionStep {
    const step = this.isPartial ? this.#changes(partitions, changed) : undefined
    if (step) return step
    this.restart()
    const awaited: FetchPartition[] = []
    const others: FetchPartition[] = []
    for (const [key, wanted] of partitions) {
      const asked = this.#remember(key, wanted)
      if (wanted.waiters.length > 0) awaited.push(asked)
      else others.push(asked)
    }
    this.#usesTopicIds = this.#withoutId === 0
    return this.#step([...awaited, ...others], [])
  }

  /** @returns false: the broker does not know the session, the next call begins another one */
  answered(errorCode: number, sessionId: number): boolean {
    const isLost = this.isPartial && sessionErrors.has(errorCode)
    const isKept = errorCode === errorCodes.NONE && sessionId !== NO_SESSION
    if (!isKept || (this.isPartial && sessionId !== this.#id)) {
      // A session that the broker does not know need not be ended.
      if (isLost || sessionId === NO_SESSION) this.#id = NO_SESSION
      this.restart()
      return !isLost
    }
    this.#id = sessionId
    this.#epoch = this.#epoch === LARGEST_EPOCH ? 1 : this.#epoch + 1
    return true
  }

  /** It is in doubt what the broker remembers. */
  restart(): void {
    this.#epoch = NEW
    this.#asked.clear()
    this.#names.clear()
    this.#withoutId = 0
  }

  /** `undefined`: a session that is begun anew tells it better. */
  #changes(partitions: ReadonlyMap<string, Wanted>, changed: Iterable<string>): SessionStep | undefined {
    if (this.#names.size > MOST_FORMER_TOPICS + this.#asked.size) return undefined
    const named: FetchPartition[] = []
    const forgotten: FetchPartition[] = []
    for (const key of changed) {
      const wanted = partitions.get(key)
      const known = this.#asked.get(key)
      if (wanted === undefined) {
        if (known === undefined) continue
        this.#forget(key, known)
        forgotten.push(known)
      } else if (known === undefined) named.push(this.#remember(key, wanted))
      else if (known.topicId !== wanted.identity.topicId) return undefined
      else if (known.fetchOffset !== wanted.position || known.currentLeaderEpoch !== wanted.identity.leaderEpoch) {
        this.#forget(key, known)
        named.push(this.#remember(key, wanted))
      }
    }
    return this.#usesTopicIds === (this.#withoutId === 0) ? this.#step(named, forgotten) : undefined
  }

  #step(named: readonly FetchPartition[], forgotten: readonly FetchPartition[]): SessionStep {
    const session = {
      id: this.#id,
      epoch: this.#epoch,
      usesTopicIds: this.#usesTopicIds,
      forgotten,
      partitions: this.#asked,
      names: this.#names
    }
    return { session, partitions: named }
  }

  #remember(key: string, wanted: Wanted): FetchPartition {
    const asked = toAsk(wanted, this.#maxBytes)
    const { topic, topicId } = asked
    this.#asked.set(key, asked)
    if (topicId === undefined) this.#withoutId++
    else this.#names.set(topicId, topic)
    return asked
  }

  #forget(key: string, { topicId }: FetchPartition): void {
    this.#asked.delete(key)
    if (topicId === undefined) this.#withoutId--
  }
}

/** @param maxBytes of the partition in one answer */
export const toAsk = ({ topic, partition, position, identity }: Wanted, maxBytes: number): FetchPartition => ({
  topic,
  topicId: identity.topicId,
  partition,
  fetchOffset: position,
  maxBytes,
  currentLeaderEpoch: identity.leaderEpoch
})
