import type {
  AcknowledgeResult,
  AcknowledgeType,
  OnSettled,
  QueueReader,
  QueueReaderEvents
} from '../../../src/consumer/queue/queue-reader.js'
import type { Lock } from '../../../src/consumer/queue/share-locks.js'
import type { SeededRandom } from '../../support/random.js'
import { lockOf } from './lock-of.js'

const TOPIC_ID = 'AAAAAAAAAAAAAAAAAAAAAQ'
const LONGEST_ANSWER_MS = 40
export const RECORD_BYTES = 10

/** Kafka's side of a lock. */
interface Delivery {
  readonly session: object
  lockEndsAt: number
}

interface Shared {
  readonly offset: number
  deliveries: number
  state: 'available' | 'acquired' | 'accepted' | 'rejected' | 'archived'
  lock: Delivery | undefined
}

/**
 * One partition as Kafka shares it, and a reader of it, which loses answers, sessions and the leader at random. Like Kafka it
 * knows one member only, so it takes the word about any message that is acquired.
 */
export class SharePartitionModel
  implements Pick<QueueReader, 'wake' | 'settle' | 'begun' | 'close' | 'partitionErrors'>
{
  readonly partitionErrors = new Map<number, never>()
  readonly messages: Shared[]
  readonly #random: SeededRandom
  readonly #now: () => number
  readonly #events: QueueReaderEvents
  readonly #lockMs: number
  /** The newest lock of each message, as a session knows it: none once its leader has moved. */
  readonly #locks = new Map<number, Lock>()
  readonly #limit: number
  #session = {}
  #timer: NodeJS.Timeout | undefined
  #isClosed = false

  constructor(
    count: number,
    {
      random,
      now,
      events,
      lockMs,
      limit
    }: {
      random: SeededRandom
      now: () => number
      events: QueueReaderEvents
      lockMs: number
      limit: number
    }
  ) {
    this.messages = Array.from({ length: count }, (_, offset) => {
      return { offset, deliveries: 0, state: 'available', lock: undefined }
    })
    this.#random = random
    this.#now = now
    this.#events = events
    this.#lockMs = lockMs
    this.#limit = limit
  }

  wake(): void {
    this.#timer ??= setTimeout(() => this.#fetch(), 5)
  }

  async begun(): Promise<void> {}

  async close(): Promise<void> {
    this.#isClosed = true
    clearTimeout(this.#timer)
    this.loseSession()
  }

  settle(lock: Lock, word: AcknowledgeType, settled: OnSettled): void {
    const message = this.messages[lock.offset]!
    const luck = this.#random.next()
    const answer = (result: AcknowledgeResult, renewedUntil?: number): void => {
      const tell = (): void => {
        // As sessions do: an answer counts while the lock is the one that was settled, and lasts.
        const isHeld = this.#locks.get(lock.offset) === lock && lock.endsAt > this.#now()
        if (result.outcome === 'done' && isHeld) lock.endsAt = renewedUntil ?? lock.endsAt
        settled(result.outcome === 'done' && !isHeld ? { outcome: 'unknown' } : result)
      }
      setTimeout(tell, this.#random.between(0, LONGEST_ANSWER_MS))
    }
    setTimeout(
      () => {
        if (luck < 0.05) answer({ outcome: 'failed', code: 30, message: 'refused at random' })
        else if (luck < 0.1) answer({ outcome: 'unknown' })
        else {
          const [result, renewedUntil] = this.#settled(message, lock.session, word)
          answer(luck < 0.15 ? { outcome: 'unknown' } : result, renewedUntil)
        }
      },
      this.#random.between(0, LONGEST_ANSWER_MS)
    )
  }

  /** The connection is lost: its locks are over, and the deliveries count. */
  loseSession(): void {
    const session = this.#session
    this.#session = {}
    for (const message of this.messages) if (message.lock?.session === session) this.#giveUp(message)
    this.#events.lost(session)
  }

  /** The leader moves: its locks are forgotten, and the deliveries do not count. */
  moveLeader(): void {
    for (const message of this.messages) {
      if (message.state !== 'acquired') continue
      message.state = 'available'
      message.lock = undefined
      message.deliveries--
    }
    this.#locks.clear()
    this.#events.lost(this.#session, { topicId: TOPIC_ID, partition: 0 })
  }

  expire(): void {
    for (const message of this.messages)
      if (message.lock && this.#now() >= message.lock.lockEndsAt) this.#giveUp(message)
  }

  /** @returns the new end of the lock, too, where it was renewed */
  #settled(message: Shared, session: object, word: AcknowledgeType): readonly [AcknowledgeResult, number?] {
    this.expire()
    if (message.lock?.session !== session) return [{ outcome: 'lost' }]
    if (word === 'renew') {
      message.lock.lockEndsAt = this.#now() + this.#lockMs
      return [{ outcome: 'done' }, message.lock.lockEndsAt]
    }
    if (word === 'release') this.#giveUp(message)
    else {
      message.lock = undefined
      message.state = word === 'accept' ? 'accepted' : 'rejected'
    }
    return [{ outcome: 'done' }]
  }

  #giveUp(message: Shared): void {
    message.lock = undefined
    message.state = message.deliveries >= this.#limit ? 'archived' : 'available'
  }

  #fetch(): void {
    this.#timer = undefined
    if (this.#isClosed) return
    this.expire()
    const { messages: wanted } = this.#events.demand()
    if (wanted === 0) return
    const found = this.messages.filter(({ state }) => state === 'available').slice(0, wanted)
    this.wake()
    if (found.length === 0) return
    for (const message of found) {
      message.state = 'acquired'
      message.deliveries++
      message.lock = { session: this.#session, lockEndsAt: this.#now() + this.#lockMs }
    }
    const locks = found.map(({ offset, deliveries, lock }) =>
      lockOf({ offset, deliveryCount: deliveries, endsAt: lock!.lockEndsAt, session: lock!.session })
    )
    for (const lock of locks) this.#locks.set(lock.offset, lock)
    this.#events.acquired(
      locks.map(lock => ({
        lock,
        record: { offset: lock.offset, timestampMs: 0, key: null, value: Buffer.alloc(RECORD_BYTES), headers: [] }
      }))
    )
  }
}
