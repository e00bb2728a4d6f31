import type { ErrorCode } from '../../core/errors.js'
import { type MonotonicClock, SECOND_MS } from '../../core/model.js'
import { codesOf } from '../../kafka/error-codes.js'
import type { Failure } from '../../router/messages/request.js'

/** A failure that may pass is told when it has lasted for so long. */
export const LASTING_MS = 30 * SECOND_MS
/** A failure of a queue that is not open any more is forgotten so long after it. */
const FORGET_FAILURE_MS = 60 * SECOND_MS
/** Longer than the ten minutes of the alert for messages that were archived. */
const FORGET_ARCHIVED_MS = 660 * SECOND_MS
/** Names of topics and groups come from clients. */
const MAX_KEPT = 1_000
/** Limit of partitions that are kept for one queue. */
const MAX_PARTITIONS = 100
const NO_ERRORS: ReadonlyMap<number, LastingError> = new Map()
/** Codes of mistakes of clients, which are no trouble of the gateway. */
const OF_CLIENTS: ReadonlySet<ErrorCode> = new Set([
  'unknownTopic',
  'invalidTopic',
  'invalidRequest',
  'forbidden',
  'shuttingDown'
])
const otherKindCodes = codesOf('GROUP_ID_NOT_FOUND', 'INCONSISTENT_GROUP_PROTOCOL')

interface QueueName {
  readonly topic: string
  readonly groupId: string
}

/** Error of one partition. */
export interface LastingError {
  /** Kafka's. */
  readonly name: string
  readonly forMs: number
}

/** Present and recent problems of a queue. */
export interface QueueTrouble {
  /** Why it cannot be served, and for how long. `undefined`: it is served, or fails for moments. */
  readonly notServed: { readonly message: string; readonly forMs: number } | undefined
  /** How long ago a message was archived at its last delivery. `undefined`: none was lately. */
  readonly archivedAgoMs: number | undefined
}

interface KeptTrouble extends QueueName {
  failure?: { message: string; readonly isRetriable: boolean; readonly since: number; lastAt: number } | undefined
  archivedAt?: number | undefined
  /** Errors of the partitions at the time when the queue was left. */
  errors?: { readonly byPartition: ReadonlyMap<number, LastingError>; readonly at: number } | undefined
}

/** Remembers problems of queues, even of queues that were left, for as long as an operator has to see them. */
export class QueueTroubles {
  readonly #now: MonotonicClock
  readonly #byName = new Map<string, KeptTrouble>()

  constructor(now: MonotonicClock) {
    this.#now = now
  }

  failed(queue: QueueName, { code, errorCode, message, retriable }: Failure): void {
    if (OF_CLIENTS.has(code) || (errorCode !== undefined && otherKindCodes.has(errorCode))) return
    const now = this.#now()
    const kept = this.#keep(queue)
    const { since, lastAt } = kept.failure ?? { since: now, lastAt: now }
    kept.failure = {
      message,
      isRetriable: retriable,
      since: now - lastAt > FORGET_FAILURE_MS ? now : since,
      lastAt: now
    }
  }

  served(queue: QueueName): void {
    const kept = this.#byName.get(queueKey(queue))
    if (kept !== undefined) kept.failure = kept.errors = undefined
  }

  /** A queue that is refused for good is left at once. Of its errors, the first hundred are kept. */
  left(queue: QueueName, errors: ReadonlyMap<number, LastingError>): void {
    if (errors.size === 0) return
    this.#keep(queue).errors = { byPartition: new Map([...errors].slice(0, MAX_PARTITIONS)), at: this.#now() }
  }

  /** Errors by partition of a queue that was left within the last minute. */
  partitionErrorsOf(queue: QueueName): ReadonlyMap<number, LastingError> {
    const errors = this.#byName.get(queueKey(queue))?.errors
    return isKept(errors?.at, this.#now()) ? errors!.byPartition : NO_ERRORS
  }

  archived(queue: QueueName): void {
    this.#keep(queue).archivedAt = this.#now()
  }

  /** @param isOpen its failure lasts until it is served */
  of(queue: QueueName, isOpen: boolean): QueueTrouble {
    return this.#viewOf(this.#byName.get(queueKey(queue)), isOpen)
  }

  /** Queues with trouble, except those that are open. Forgets what is over. */
  *ofLeft(isOpen: (queue: QueueName) => boolean): Iterable<QueueName & QueueTrouble> {
    for (const [name, kept] of this.#byName) {
      if (isOpen(kept)) continue
      const trouble = this.#viewOf(kept, false)
      if (this.#isOver(kept)) this.#byName.delete(name)
      else if (trouble.notServed !== undefined || trouble.archivedAgoMs !== undefined)
        yield { topic: kept.topic, groupId: kept.groupId, ...trouble }
    }
  }

  #keep({ topic, groupId }: QueueName): KeptTrouble {
    const name = queueKey({ topic, groupId })
    const kept = this.#byName.get(name) ?? { topic, groupId }
    this.#byName.delete(name)
    if (this.#byName.size >= MAX_KEPT) this.#byName.delete(this.#byName.keys().next().value!)
    this.#byName.set(name, kept)
    return kept
  }

  #viewOf(kept: KeptTrouble | undefined, isOpen: boolean): QueueTrouble {
    const now = this.#now()
    const { failure, archivedAt = Number.NEGATIVE_INFINITY } = kept ?? {}
    const lasts = failure !== undefined && (isOpen || isKept(failure.lastAt, now))
    const forMs = lasts ? now - failure.since : 0
    const isTold = lasts && (forMs >= LASTING_MS || !failure.isRetriable)
    return {
      notServed: isTold ? { message: failure.message, forMs } : undefined,
      archivedAgoMs: now - archivedAt <= FORGET_ARCHIVED_MS ? now - archivedAt : undefined
    }
  }

  #isOver({ failure, errors, archivedAt = Number.NEGATIVE_INFINITY }: KeptTrouble): boolean {
    const now = this.#now()
    return !isKept(failure?.lastAt, now) && !isKept(errors?.at, now) && now - archivedAt > FORGET_ARCHIVED_MS
  }
}

const isKept = (at: number | undefined, now: number): boolean => at !== undefined && now - at <= FORGET_FAILURE_MS

/** Names of clients may contain any character. */
export const queueKey = ({ topic, groupId }: QueueName): string => `${topic.length}/${topic}/${groupId}`
