import {
  type Attempt,
  type Delivery,
  type Disturbance,
  type EndOfRun,
  type Fate,
  isArchiving,
  isDone,
  isDoubtful,
  isFinal,
  isUnheard,
  type Problem,
  type QueueVerdict
} from './queue-events.js'

/** A fault that began so long before a word may have met what Kafka did with the word. */
const JUST_BEGUN_MS = 5_000
/** Longer than any gateway stands still, and than a lock. */
const LONGEST_STANDSTILL_MS = 40_000
/** Answers are remembered for so long. */
const REMEMBERED_MS = 60_000

/** Kafka may have taken the word. */
const mayBeDone = (one: Attempt): boolean => isDone(one) || isDoubtful(one)
const isEnd = (one: Attempt): boolean => isFinal(one) || isArchiving(one)
const isFault = ({ ends }: Disturbance): boolean => ends !== 'nothing'
const unseenIn = (disturbances: readonly Disturbance[]): number =>
  disturbances.reduce((sum, { unseen }) => sum + unseen, 0)

/** The rules of a queue. It looks at one message after another. */
export class QueueCheck {
  readonly #end: EndOfRun
  readonly #disturbances: readonly Disturbance[]
  readonly #knowsWritten: boolean
  readonly #problems: Problem[] = []
  readonly #figures: Record<string, number> = {}
  readonly #archived = new Map<string, string>()
  readonly #deadLetters: ReadonlySet<string>

  /** @param knowsWritten whether the history was told what is in the log */
  constructor(end: EndOfRun, disturbances: readonly Disturbance[], knowsWritten: boolean) {
    this.#end = end
    this.#disturbances = disturbances
    this.#knowsWritten = knowsWritten
    this.#deadLetters = new Set(end.deadLetters)
  }

  look(message: string, told: Fate): void {
    const deliveries = told.deliveries.toSorted((one, other) => one.at - other.at)
    const look = new Look(this.#end, this.#disturbances, { ...told, deliveries })
    this.#count('messages')
    this.#count('deliveries', deliveries.length)
    for (const { word, outcome } of told.attempts) this.#count(`${word} ${outcome ?? 'none'}`)
    look.checkText(this.#knowsWritten)
    look.checkTokens()
    look.checkSettledOnce()
    look.checkRepeats()
    look.checkCounts()
    if (told.isWritten) {
      const why = look.checkOver()
      if (why !== undefined) this.#archived.set(message, why)
      if (this.#end.deadLetters !== undefined) look.checkDeadLetter(this.#deadLetters.has(message), why)
    }
    for (const [what, count] of Object.entries(look.figures)) this.#count(what, count)
    for (const rule of look.broken) this.#problems.push({ rule, what: `${message}: ${storyOf(told)}` })
  }

  verdict(): QueueVerdict {
    this.#count('problems', this.#problems.length)
    if (this.#end.deadLetters !== undefined) {
      this.#count('dead letters', this.#end.deadLetters.length)
      this.#count('dead letters, each once', this.#deadLetters.size)
    }
    return { problems: this.#problems, figures: this.#figures, archived: this.#archived }
  }

  #count(what: string, by = 1): void {
    this.#figures[what] = (this.#figures[what] ?? 0) + by
  }
}

/** A look at one message. */
class Look {
  readonly figures: Record<string, number> = {}
  /** The rules that are broken. */
  readonly broken: string[] = []
  readonly #end: EndOfRun
  readonly #disturbances: readonly Disturbance[]
  readonly #fate: Fate

  /** @param fate the deliveries in the order in which clients got them */
  constructor(end: EndOfRun, disturbances: readonly Disturbance[], fate: Fate) {
    this.#end = end
    this.#disturbances = disturbances
    this.#fate = fate
  }

  checkText(knowsWritten: boolean): void {
    const { deliveries, isWritten, text } = this.#fate
    if (knowsWritten && !isWritten && deliveries.length > 0) this.broken.push('invented')
    for (const told of deliveries)
      if (isWritten && text !== undefined && told.text !== undefined && told.text !== text) this.broken.push('damaged')
  }

  /** Only the newest token of a message settles it, and what is settled is not given again. */
  checkTokens(): void {
    const { deliveries, attempts } = this.#fate
    for (const attempt of attempts.filter(isDone)) {
      const own = this.#deliveryOf(attempt)
      if (this.#isOver(attempt)) this.broken.push('another word')
      for (const other of deliveries.filter(one => this.#isLater(one, own))) {
        if (isEnd(attempt) && this.#givenFrom(other) > attempt.answeredAt) this.broken.push('given again')
        else if (this.#isStale(attempt, own, other)) this.broken.push('stale token')
      }
    }
    for (const { token, at } of deliveries) {
      const isLost = attempts.some(one => one.token === token && one.outcome === 'lost')
      if (isLost && deliveries.some(other => other.askedAt > at)) this.#count('tokens that were lost')
    }
  }

  /** One client at most is told that it has settled the message. */
  checkSettledOnce(): void {
    const { attempts } = this.#fate
    const ends = attempts.filter(one => isEnd(one) && isDone(one))
    const gateways = new Map(ends.map(one => [one.token, this.#deliveryOf(one).gateway]))
    const isExcused = this.#end.locksEndUnheard && new Set(gateways.values()).size === gateways.size
    if (gateways.size > 1 && !isExcused) this.broken.push('settled twice')
    const finals = attempts.filter(one => isFinal(one) && mayBeDone(one))
    if (finals.length > 0 && ends.length === 0) this.#count('settled without a known answer')
    if (new Set(finals.map(({ token }) => token)).size > 1)
      this.#count('settled again after an answer that was not known')
  }

  /** The same word about the same token gets the same answer again. */
  checkRepeats(): void {
    const { attempts } = this.#fate
    for (const [at, first] of attempts.entries()) {
      if (first.word === 'renew' || !(first.outcome === 'done' || first.outcome === 'unknown')) continue
      for (const again of attempts.slice(at + 1)) {
        if (again.token !== first.token || again.word !== first.word || again.gateway !== first.gateway) continue
        if (again.outcome === undefined || isUnheard(again) || again.sentAt < first.answeredAt) continue
        const isForgotten = again.sentAt > first.answeredAt + REMEMBERED_MS - this.#end.transitMs
        if (isForgotten || this.#hasEndedBetween(first, again) || this.#saidOtherwise(first, again)) continue
        if (again.outcome !== first.outcome) this.broken.push('not repeated')
      }
    }
  }

  /** A count goes up by one with each delivery, and by more only where messages were acquired for nobody. */
  checkCounts(): void {
    const { deliveries } = this.#fate
    let [before, since] = [0, 0]
    for (const { deliveryCount, lockMs, askedAt, at } of deliveries) {
      if (deliveryCount < 1 || deliveryCount > this.#end.deliveryLimit) this.broken.push('miscounted')
      if (lockMs !== undefined && lockMs <= 0) this.broken.push('given too late')
      const more = deliveryCount - before - 1
      if (more < 0) this.#count('counts that did not rise')
      else if (more > 0) this.#explain(more, since, at)
      before = Math.max(before, deliveryCount)
      since = Math.min(askedAt, at)
    }
  }

  /**
   * Nothing is left: each message was accepted or rejected, or archived for a reason.
   *
   * @returns why it was archived; `undefined`: it was not, as far as is known
   */
  checkOver(): string | undefined {
    const { attempts } = this.#fate
    const isSettled = attempts.some(one => isFinal(one) && mayBeDone(one))
    const why = this.#whyArchived()
    if (isSettled) {
      const isAccepted = attempts.some(one => one.word === 'accept' && isDone(one))
      if (why !== undefined && isAccepted) this.#count('accepted, and archived by the log')
      return why
    }
    if (why !== undefined) this.#count(`archived: ${why}`)
    else if ((this.#last?.deliveryCount ?? 0) < this.#end.deliveryLimit) this.broken.push('missing')
    else this.broken.push('archived untold')
    return why
  }

  /** What was given up is a dead letter, and what was accepted is none. @param why it was archived */
  checkDeadLetter(isDead: boolean, why: string | undefined): void {
    const { attempts } = this.#fate
    const isAccepted = attempts.some(one => one.word === 'accept' && isDone(one))
    const isRejected = attempts.some(one => one.word === 'reject' && mayBeDone(one))
    if (isDead && isAccepted) this.broken.push('dead letter of an accepted message')
    else if (isDead && !isRejected && why === undefined) this.broken.push('dead letter for no reason')
    const givenUp = attempts.find(one => (one.word === 'reject' || isArchiving(one)) && isDone(one))
    const isSettled = attempts.some(one => isFinal(one) && mayBeDone(one))
    if (isDead || (givenUp === undefined && isSettled)) return
    // Seen once, while leaders moved: it may be that a leader stores the word, then moves before it has written the copy.
    const isBesideFault =
      givenUp !== undefined &&
      this.#disturbances.some(
        one => isFault(one) && one.from <= givenUp.answeredAt && one.from >= givenUp.sentAt - JUST_BEGUN_MS
      )
    if (isBesideFault) this.#count('no dead letter: a fault had just begun')
    else this.broken.push('no dead letter')
  }

  /** The delivery with the highest count. */
  get #last(): Delivery | undefined {
    return this.#fate.deliveries.reduce<Delivery | undefined>(
      (most, one) => (one.deliveryCount >= (most?.deliveryCount ?? 0) ? one : most),
      undefined
    )
  }

  #whyArchived(): string | undefined {
    const { attempts, archived } = this.#fate
    if (attempts.some(one => isArchiving(one) && isDone(one))) return 'told to a client'
    const logged = archived.at(-1)
    if (logged !== undefined) return `in the log: ${logged.because}`
    const { deliveryLimit, mostUnseen = Number.POSITIVE_INFINITY } = this.#end
    // A release at the last delivery archives the message.
    const isLast = (one: Attempt): boolean => this.#deliveryOf(one).deliveryCount >= deliveryLimit
    if (attempts.some(one => one.word === 'release' && isDoubtful(one) && isLast(one))) return 'released, it may be'
    const last = this.#last
    const from = last === undefined ? Number.NEGATIVE_INFINITY : this.#givenFrom(last)
    const since = this.#disturbances.filter(({ to }) => to >= from)
    const left = deliveryLimit - (last?.deliveryCount ?? 0)
    if (left > 0)
      return left <= Math.min(unseenIn(since), mostUnseen) ? 'its last deliveries were seen by nobody' : undefined
    const mayEnd = (one: Disturbance): boolean => isFault(one) && (one.gateway ?? last!.gateway) === last!.gateway
    return since.some(mayEnd) ? 'its lock was over at the last delivery, unheard' : undefined
  }

  #explain(more: number, since: number, at: number): void {
    const { mostUnseen } = this.#end
    if (mostUnseen === undefined) return
    this.#count('deliveries that nobody has seen', more)
    const within = this.#disturbances.filter(({ from, to }) => from <= at && to >= since)
    const faults = unseenIn(within.filter(isFault))
    this.#count(faults > 0 ? 'of them beside a fault' : 'of them of clients that went away', more)
    if (more > (faults > 0 ? faults : unseenIn(within))) this.broken.push('unexplained deliveries')
  }

  /** When it was given at the earliest. */
  #givenFrom({ askedAt, at }: Delivery): number {
    return Math.max(askedAt, at - this.#end.transitMs)
  }

  /**
   * Whether it was given later. A gateway that has stood still does not know that its lock was ended, or that the leader has
   * moved, and gives what it has acquired before.
   */
  #isLater(other: Delivery, than: Delivery): boolean {
    const from = this.#givenFrom(other)
    if (other.token === than.token || from <= than.at) return false
    const mayBeOlder =
      this.#end.locksEndUnheard && other.gateway !== than.gateway && other.at < than.at + LONGEST_STANDSTILL_MS
    return other.deliveryCount > than.deliveryCount || !mayBeOlder
  }

  /** Whether the client of a later delivery had it before the word was done. */
  #isStale(attempt: Attempt, own: Delivery, other: Delivery): boolean {
    const isKafkas = isFinal(attempt)
    const doneFrom = Math.max(attempt.sentAt, attempt.answeredAt - this.#end.transitMs)
    if (other.at >= (isKafkas ? doneFrom : this.#firstSentAt(attempt))) return false
    // Releases with a delay, and renewals for a client, are done without asking Kafka.
    return other.gateway === own.gateway || (isKafkas && !this.#maySettleBefore(attempt))
  }

  /** Of the same word with the same token: a repeat gets the answer of the first one. */
  #firstSentAt({ token, word, sentAt }: Attempt): number {
    if (word === 'renew') return sentAt
    const same = this.#fate.attempts.filter(one => one.token === token && one.word === word && !isUnheard(one))
    return Math.min(...same.map(one => one.sentAt))
  }

  /** Kafka says yes to any word about what is settled already, and a gateway does not hear of a lock that ended too soon. */
  #maySettleBefore({ token, answeredAt }: Attempt): boolean {
    if (!this.#end.locksEndUnheard) return false
    const { attempts, archived } = this.#fate
    const may = (one: Attempt): boolean =>
      one.token !== token && one.sentAt < answeredAt && one.word !== 'renew' && mayBeDone(one)
    return attempts.some(may) || archived.some(({ at }) => at < answeredAt)
  }

  /** Whether another word of the token, which ends it, had been done before. */
  #isOver({ token, word, sentAt }: Attempt): boolean {
    return this.#fate.attempts.some(
      one => one.token === token && one.word !== 'renew' && one.word !== word && isDone(one) && one.answeredAt < sentAt
    )
  }

  #hasEndedBetween(first: Attempt, again: Attempt): boolean {
    const { transitMs } = this.#end
    return this.#disturbances.some(
      ({ ends, gateway, from, to }) =>
        ends === 'process' &&
        (gateway ?? first.gateway) === first.gateway &&
        to > first.sentAt - transitMs &&
        from < again.answeredAt + transitMs
    )
  }

  /** After another word, an answer is not remembered. */
  #saidOtherwise({ token, word }: Attempt, { answeredAt }: Attempt): boolean {
    return this.#fate.attempts.some(one => one.token === token && one.word !== word && one.sentAt < answeredAt)
  }

  #deliveryOf({ token }: Attempt): Delivery {
    return this.#fate.deliveries.find(one => one.token === token)!
  }

  #count(what: string, by = 1): void {
    this.figures[what] = (this.figures[what] ?? 0) + by
  }
}

/** `1 (12000-12040 left: accept lost 29000-29010), 2 (…)`: counts, when each was asked for and got, and what was said. */
function storyOf({ deliveries, attempts, archived }: Fate): string {
  const round = (at: number): string => at.toFixed(0)
  const said = deliveries.map(({ token, deliveryCount, gateway, askedAt, at }) => {
    const words = attempts
      .filter(one => one.token === token)
      .map(({ word, outcome = 'none', reason, sentAt, answeredAt, gateway: asked }) => {
        const by = asked === gateway ? '' : ` by ${asked}`
        return ` ${word} ${outcome}${reason === undefined ? '' : ` (${reason})`}${by} ${round(sentAt)}-${round(answeredAt)}`
      })
    return `${deliveryCount} (${round(askedAt)}-${round(at)} ${gateway}:${words.join(',')})`
  })
  return [...said, ...archived.map(({ at, because }) => `archived ${round(at)}: ${because}`)].join(', ')
}
