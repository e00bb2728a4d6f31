import type { Violation } from '../violation.js'
import type { LogEnd } from './reader.js'

export type QueueWord = 'accept' | 'release' | 'reject' | 'renew'

/** A message as a client was told of it. All times are simulated milliseconds. */
export interface Delivery {
  readonly token: string
  readonly partition: number
  readonly offset: number
  readonly deliveryCount: number
  /** What is left of its lock. */
  readonly lockMs: number
  /** The record as text. Absent: its value alone was told. */
  readonly text?: string | undefined
  readonly gateway: string
  readonly toldAt: number
}

/** A word that a client has said about a message. */
export interface Attempt {
  readonly token: string
  readonly word: QueueWord
  /** The gateway that was asked. */
  readonly gateway: string
  readonly sentAt: number
  /** Infinity: nobody has answered. */
  answeredAt: number
  /** Absent: nobody has answered. */
  outcome?: string
  reason?: string | undefined
}

export interface QueueOfHistory {
  readonly topic: string
  readonly partitions: number
  readonly deliveryLimit: number
  /** When Kafka has ended all locks before their time, which a gateway does not hear of. */
  readonly locksEndedAt: readonly number[]
}

/** What goes between a gateway and its client has arrived by then. */
const TRANSIT_MS = 100
/** Longer than any fault, and a lock. */
const LONGEST_STANDSTILL_MS = 40_000
/** Answers are remembered for so long. */
const REMEMBERED_MS = 60_000

const isFinal = ({ word }: Attempt): boolean => word === 'accept' || word === 'reject'
const isArchiving = ({ word, reason }: Attempt): boolean => word === 'release' && reason === 'archived'
const isDone = ({ outcome }: Attempt): boolean => outcome === 'done'
/** Whether the gateway that holds the message was certainly not asked. */
export const isUnheard = ({ outcome }: Attempt): boolean => outcome === 'elsewhere' || outcome === 'refused'
/** Whether Kafka may have taken it though nobody knows. */
const isDoubtful = ({ outcome }: Attempt): boolean => outcome === undefined || outcome === 'unknown'

/**
 * Whether it was acquired later. A gateway that has stood still does not know that its lock was ended, or that the leader has
 * moved, and tells what it has acquired before.
 */
function isLater(other: Delivery, than: Delivery): boolean {
  if (other.toldAt <= than.toldAt + TRANSIT_MS) return false
  const mayBeOlder = other.gateway !== than.gateway && other.toldAt < than.toldAt + LONGEST_STANDSTILL_MS
  return other.deliveryCount > than.deliveryCount || !mayBeOlder
}

/** What became of one message, as all clients and gateways together know it. */
class Fate {
  readonly deliveries: Delivery[] = []
  /** Of all its tokens. */
  readonly attempts: Attempt[] = []
  /** When a gateway has logged that it is archived. */
  readonly archivedAt: number[] = []
}

/** What was told of the messages of one queue, by all its gateways, and what must never be told. */
export class QueueHistory {
  readonly #fates = new Map<string, Fate>()
  readonly #placeOf = new Map<string, string>()
  /** When processes ended, by gateway. */
  readonly #ends = new Map<string, number[]>()
  /** When deliveries may have been lost on the way to a gateway, or with it. */
  readonly #troubles: number[] = []
  readonly #violations: Violation[] = []

  told(delivery: Delivery): void {
    const place = `${delivery.partition}@${delivery.offset}`
    const former = this.#placeOf.get(delivery.token)
    if (former !== undefined) this.#violated('given twice', `${place}: a token was given before, for ${former}`)
    this.#placeOf.set(delivery.token, place)
    this.#fateOf(place).deliveries.push(delivery)
  }

  /** @returns to be completed when it is answered */
  asked(attempt: Pick<Attempt, 'token' | 'word' | 'gateway' | 'sentAt'>): Attempt {
    const asked: Attempt = { ...attempt, answeredAt: Number.POSITIVE_INFINITY }
    this.#fateOf(this.#placeOf.get(attempt.token)!).attempts.push(asked)
    return asked
  }

  /** A gateway has told its log that Kafka archives a message. */
  archived(partition: number, offset: number, at: number): void {
    this.#fateOf(`${partition}@${offset}`).archivedAt.push(at)
  }

  /** The process of a gateway has ended. @param isKilled it could tell nobody what it takes along */
  ended(gateway: string, at: number, isKilled: boolean): void {
    this.#ends.set(gateway, [...(this.#ends.get(gateway) ?? []), at])
    if (isKilled) this.#troubles.push(at)
  }

  /** A gateway cannot reach a broker: what was acquired for it may be lost on the way. */
  troubled(at: number): void {
    this.#troubles.push(at)
  }

  /** @param log what was written to the topic */
  check(queue: QueueOfHistory, log: LogEnd): readonly Violation[] {
    const { topic, partitions, deliveryLimit } = queue
    for (let partition = 0; partition < partitions; partition++) {
      const { values } = log.livesOf(topic, partition)[0]!
      for (const offset of values.keys()) this.#checkSettled(`${partition}@${offset}`, queue)
      for (const [place, { deliveries }] of this.#fates) {
        if (!place.startsWith(`${partition}@`)) continue
        for (const { offset, text } of deliveries) {
          const written = values.get(offset)
          if (written === undefined) this.#violated('invented', place)
          else if (text !== undefined && text !== written) this.#violated('damaged', `${place}: ${text}`)
        }
      }
    }
    for (const [place, fate] of this.#fates) {
      this.#checkDeliveries(place, fate, deliveryLimit)
      this.#checkTokens(place, fate)
      this.#checkRepeats(place, fate)
    }
    return this.#violations
  }

  /** Each message is accepted, rejected or archived, and somebody was told. */
  #checkSettled(place: string, { deliveryLimit, locksEndedAt }: QueueOfHistory): void {
    const { deliveries, attempts, archivedAt } = this.#fateOf(place)
    const isSettled = attempts.some(one => isDone(one) && (isFinal(one) || isArchiving(one)))
    if (isSettled || archivedAt.length > 0) return
    const last = deliveries.reduce<Delivery | undefined>(
      (most, one) => (one.deliveryCount >= (most?.deliveryCount ?? 0) ? one : most),
      undefined
    )
    // A release at the last delivery archives the message.
    const mayBe = (one: Attempt): boolean => isDoubtful(one) && (isFinal(one) || this.#isLast(one, deliveryLimit))
    if (attempts.some(mayBe)) return
    if (last === undefined) {
      if (this.#troubles.length === 0) this.#violated('missing', `${place} was given to nobody`)
    } else if (last.deliveryCount < deliveryLimit) {
      // Its last deliveries were lost on their way to a gateway, or with it.
      if (!this.#troubles.some(at => at > last.toldAt - TRANSIT_MS))
        this.#violated('missing', `${place} after ${last.deliveryCount} deliveries of ${deliveryLimit}`)
    } else if (!this.#hasEndedSince(last) && !locksEndedAt.some(at => at > last.toldAt - TRANSIT_MS))
      this.#violated('archived untold', `${place}, given by ${last.gateway} at ${last.toldAt.toFixed(0)}`)
  }

  #isLast({ word, token }: Attempt, deliveryLimit: number): boolean {
    const { deliveries } = this.#fateOf(this.#placeOf.get(token)!)
    const delivery = deliveries.find(one => one.token === token)
    return word === 'release' && delivery!.deliveryCount >= deliveryLimit
  }

  #hasEndedSince({ gateway, toldAt }: Delivery): boolean {
    return (this.#ends.get(gateway) ?? []).some(at => at > toldAt - TRANSIT_MS)
  }

  #checkDeliveries(place: string, { deliveries }: Fate, deliveryLimit: number): void {
    for (const { deliveryCount, lockMs, gateway, toldAt } of deliveries) {
      if (deliveryCount < 1 || deliveryCount > deliveryLimit)
        this.#violated('miscounted', `${place}: delivery ${deliveryCount} of ${deliveryLimit}`)
      if (lockMs <= 0) this.#violated('given too late', `${place} by ${gateway} at ${toldAt.toFixed(0)}`)
    }
  }

  /** Only the newest token of a message settles it, and what is settled is not given again. */
  #checkTokens(place: string, fate: Fate): void {
    for (const attempt of fate.attempts) {
      if (!isDone(attempt)) continue
      const own = fate.deliveries.find(({ token }) => token === attempt.token)!
      const sentAt = this.#firstSentAt(fate, attempt)
      const later = fate.deliveries.filter(other => isLater(other, own))
      const isEnd = isFinal(attempt) || isArchiving(attempt)
      for (const other of later) {
        const what = `${place}: ${attempt.word} of delivery ${own.deliveryCount} was done at ${attempt.answeredAt.toFixed(0)}`
        if (isEnd && other.toldAt > attempt.answeredAt + TRANSIT_MS)
          this.#violated('given again', `${what}, and it was given at ${other.toldAt.toFixed(0)}`)
        else if (
          other.toldAt + TRANSIT_MS < (isFinal(attempt) ? attempt.answeredAt : sentAt) &&
          (other.gateway === own.gateway || (isFinal(attempt) && !this.#maySettleBefore(fate, attempt)))
        )
          this.#violated('stale token', `${what}, after it was given at ${other.toldAt.toFixed(0)}`)
      }
    }
  }

  /** Of the same word with the same token: a repeat gets the answer of the first one. */
  #firstSentAt({ attempts }: Fate, { token, word }: Attempt): number {
    const same = attempts.filter(one => one.token === token && one.word === word && !isUnheard(one))
    return Math.min(...same.map(({ sentAt }) => sentAt))
  }

  /**
   * Kafka says yes to any word about what is settled already, and a gateway does not hear of a lock that ended too soon. Releases
   * with a delay, and renewals for a client, are done without asking Kafka.
   */
  #maySettleBefore({ attempts, archivedAt }: Fate, { token, answeredAt }: Attempt): boolean {
    const may = (one: Attempt): boolean =>
      one.token !== token && one.sentAt < answeredAt && one.word !== 'renew' && (isDone(one) || isDoubtful(one))
    return attempts.some(may) || archivedAt.some(at => at < answeredAt)
  }

  /** The same word about the same token gets the same answer again. */
  #checkRepeats(place: string, { attempts }: Fate): void {
    for (const [at, first] of attempts.entries()) {
      if (first.word === 'renew' || !(first.outcome === 'done' || first.outcome === 'unknown')) continue
      for (const again of attempts.slice(at + 1)) {
        if (again.token !== first.token || again.word !== first.word || again.gateway !== first.gateway) continue
        if (again.outcome === undefined || again.sentAt < first.answeredAt) continue
        const isForgotten = again.sentAt > first.answeredAt + REMEMBERED_MS - TRANSIT_MS
        if (isForgotten || this.#hasEndedBetween(first, again)) continue
        if (this.#saidOtherwise(attempts, first, again)) continue
        if (again.outcome !== first.outcome)
          this.#violated('not repeated', `${place}: ${first.word} ${first.outcome}, then ${again.outcome}`)
      }
    }
  }

  #hasEndedBetween(first: Attempt, again: Attempt): boolean {
    return (this.#ends.get(first.gateway) ?? []).some(
      at => at > first.sentAt - TRANSIT_MS && at < again.answeredAt + TRANSIT_MS
    )
  }

  /** After another word, an answer is not remembered. */
  #saidOtherwise(attempts: readonly Attempt[], { token, word }: Attempt, { answeredAt }: Attempt): boolean {
    return attempts.some(one => one.token === token && one.word !== word && one.sentAt < answeredAt)
  }

  #fateOf(place: string): Fate {
    let fate = this.#fates.get(place)
    if (fate === undefined) this.#fates.set(place, (fate = new Fate()))
    return fate
  }

  #violated(rule: string, what: string): void {
    this.#violations.push({ rule, what })
  }
}
