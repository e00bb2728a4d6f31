import type { FetchPartition, FetchSessionCall } from '../../kafka/broker-client.js'
import { errorCodes } from '../../kafka/error-codes.js'
import type { Wanted } from './long-poll.js'

const NO_SESSION = 0
const NEW = 0
const LARGEST_EPOCH = 0x7fffffff
/**
 * Maximum number of topics that have left the session and whose names are kept. A session with more such names is
 * replaced.
 */
const MOST_FORMER_TOPICS = 1_000

/** Error codes for a session that the broker has forgotten or that differs from the broker's state. */
const sessionErrors: ReadonlySet<number> = new Set([
  errorCodes.FETCH_SESSION_ID_NOT_FOUND,
  errorCodes.INVALID_FETCH_SESSION_EPOCH,
  errorCodes.FETCH_SESSION_TOPIC_ID_ERROR
])

/** The part of a Fetch call that depends on the session. */
export interface SessionStep {
  readonly session: FetchSessionCall
  /** The partitions that the call names. */
  readonly partitions: readonly FetchPartition[]
}

/**
 * The fetch session (KIP-227) of the long polls of one broker. A call names only the partitions that have changed since
 * the last call, so a poll of thousands of idle partitions costs no more than an empty poll. A session does not belong
 * to a connection. A broker forgets sessions when it restarts, and when other clients need their places. If the state
 * of a session at the broker is unknown, the next call names all partitions. Such a call begins a new session and ends
 * the old one.
 */
export class FetchSession {
  readonly #maxBytes: number
  #id = NO_SESSION
  #epoch = NEW
  /** The partitions that the broker remembers, by `topic/partition`. */
  readonly #asked = new Map<string, FetchPartition>()
  readonly #names = new Map<string | undefined, string>()
  /**
   * Number of partitions in the session without a topic id. While there is one, calls name all topics by their names.
   */
  #withoutId = 0
  #usesTopicIds = true

  /** @param maxBytes limit of one partition in one response */
  constructor(maxBytes: number) {
    this.#maxBytes = maxBytes
  }

  /** True when the response to the call in flight, or else to the next one, leaves out partitions without news. */
  get isPartial(): boolean {
    return this.#epoch !== NEW
  }

  /**
   * Returns the next call. Partitions for which requests wait come first.
   *
   * @param changed the keys of all partitions that may differ from the last call
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

  /** @returns false: the broker does not know the session, and the next call begins another session */
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

  /** Lets the next call begin a new session, because the state of the session at the broker is unknown. */
  restart(): void {
    this.#epoch = NEW
    this.#asked.clear()
    this.#names.clear()
    this.#withoutId = 0
  }

  /** The changes since the last call; `undefined`: a new session is necessary or costs less. */
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

/** @param maxBytes limit of the partition in one response */
export const toAsk = (
  { topic, partition, position, identity }: Pick<Wanted, 'topic' | 'partition' | 'position' | 'identity'>,
  maxBytes: number
): FetchPartition => ({
  topic,
  topicId: identity.topicId,
  partition,
  fetchOffset: position,
  maxBytes,
  currentLeaderEpoch: identity.leaderEpoch
})
