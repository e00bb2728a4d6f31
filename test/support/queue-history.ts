import type { SettleOutcome } from '../../src/verbs/verbs.js'

export type QueueWord = 'accept' | 'release' | 'reject' | 'renew'

/** A fault that began so long before a word may have met what Kafka did with the word. */
const JUST_BEGUN_MS = 5_000

/** What a client was told of one word about one delivery. */
export interface Told {
  readonly word: QueueWord
  /** `none`: no answer came. `refused`: the whole request was answered with a problem. */
  readonly outcome: SettleOutcome | 'none' | 'refused'
  /** The answer had the reason `archived`. */
  readonly isArchived: boolean
  readonly sentAt: number
  readonly at: number
}

/** A message that a client has got with a token of its own. Times are milliseconds of one clock. */
export interface Delivery {
  readonly count: number
  /** When its acquire was sent, and when it was answered. */
  readonly askedAt: number
  readonly at: number
  readonly told: Told[]
}

/** A time in which messages may have been acquired that no client has got: a fault, or a client that went away. */
export interface Unseen {
  readonly from: number
  readonly to: number
  readonly isFault: boolean
}

export interface QueueVerdict {
  readonly problems: readonly string[]
  readonly figures: Readonly<Record<string, number>>
  /** How each message ended that was archived: by the message, why. */
  readonly archived: ReadonlyMap<string, string>
}

interface EndOfRun {
  readonly deliveryLimit: number
  /** What logs of gateways say about messages that are archived: by the message, the reasons. */
  readonly logged: ReadonlyMap<string, readonly string[]>
  /** The message of each copy. `undefined`: none are written. */
  readonly deadLetters?: readonly string[] | undefined
}

const isFinal = ({ word }: Told): boolean => word === 'accept' || word === 'reject'
const isDone = ({ outcome }: Told): boolean => outcome === 'done'
/** Kafka may have taken the word. */
const mayBeDone = ({ outcome }: Told): boolean => outcome === 'done' || outcome === 'unknown' || outcome === 'none'

/** All that the clients of one queue were told. The verdict is given when Kafka has nothing left to offer. */
export class QueueHistory {
  readonly #deliveries = new Map<string, Delivery[]>()
  readonly #unseen: Unseen[] = []
  readonly #problems: string[] = []

  written(message: string): void {
    this.#deliveries.set(message, [])
  }

  given(message: string, delivery: Omit<Delivery, 'told'>): Delivery {
    const one = { ...delivery, told: [] }
    const all = this.#deliveries.get(message)
    if (all === undefined) this.problem(`${message} was given, and was not written`)
    else all.push(one)
    return one
  }

  unseen(one: Unseen): void {
    this.#unseen.push(one)
  }

  problem(text: string): void {
    if (this.#problems.length < 200) this.#problems.push(text)
  }

  get size(): number {
    return this.#deliveries.size
  }

  /** How many have been accepted, rejected or archived, as far as clients know. */
  get settled(): number {
    let count = 0
    for (const all of this.#deliveries.values())
      if (all.some(({ told }) => told.some(one => one.isArchived || (isFinal(one) && mayBeDone(one))))) count++
    return count
  }

  verdict(end: EndOfRun): QueueVerdict {
    const check = new Check(this.#unseen, end, this.#problems)
    for (const [message, deliveries] of this.#deliveries) check.message(message, deliveries)
    return check.verdict()
  }
}

/** Looks at one message after another. */
class Check {
  readonly #faults: readonly Unseen[]
  readonly #gone: readonly Unseen[]
  readonly #end: EndOfRun
  readonly #problems: string[]
  readonly #figures: Record<string, number> = {}
  readonly #archived = new Map<string, string>()
  readonly #deadLetters: ReadonlyMap<string, number>

  constructor(unseen: readonly Unseen[], end: EndOfRun, problems: readonly string[]) {
    this.#faults = unseen.filter(({ isFault }) => isFault)
    this.#gone = unseen.filter(({ isFault }) => !isFault).sort((one, other) => one.from - other.from)
    this.#end = end
    this.#problems = [...problems]
    const letters = new Map<string, number>()
    for (const message of end.deadLetters ?? []) letters.set(message, (letters.get(message) ?? 0) + 1)
    this.#deadLetters = letters
  }

  message(message: string, unsorted: readonly Delivery[]): void {
    const deliveries = unsorted.toSorted((one, other) => one.at - other.at)
    const told = deliveries.flatMap(one => one.told)
    this.#count('messages')
    this.#count('deliveries', deliveries.length)
    for (const { word, outcome } of told) this.#count(`${word} ${outcome}`)
    this.#checkFinal(message, deliveries)
    for (const delivery of deliveries) this.#checkToken(message, delivery, deliveries)
    this.#checkEnd(message, deliveries, told)
    this.#checkCounts(message, deliveries)
  }

  verdict(): QueueVerdict {
    if (this.#end.deadLetters !== undefined) {
      this.#count('dead letters', this.#end.deadLetters.length)
      this.#count('dead letters, each once', this.#deadLetters.size)
    }
    return { problems: this.#problems, figures: this.#figures, archived: this.#archived }
  }

  #problem(message: string, what: string, deliveries: readonly Delivery[]): void {
    this.#count('problems')
    if (this.#problems.length < 200) this.#problems.push(`${message} ${what}: ${storyOf(deliveries)}`)
  }

  #count(what: string, by = 1): void {
    this.#figures[what] = (this.#figures[what] ?? 0) + by
  }

  /** One client at most is told that it has settled the message, and nobody is offered it afterwards. */
  #checkFinal(message: string, deliveries: readonly Delivery[]): void {
    const ends = deliveries.flatMap(delivery => {
      const done = delivery.told.find(one => (isFinal(one) || one.isArchived) && isDone(one))
      return done === undefined ? [] : [{ delivery, at: done.at }]
    })
    if (ends.length > 1) this.#problem(message, 'was settled by several clients', deliveries)
    for (const { delivery, at } of ends)
      if (deliveries.some(other => other !== delivery && other.askedAt > at))
        this.#problem(message, 'was offered after it was settled', deliveries)
    const words = deliveries.flatMap(({ told }) => told.filter(isFinal).filter(mayBeDone))
    if (words.length > 0 && ends.length === 0) this.#count('settled without a known answer')
    const rest = deliveries.filter(({ told }) => told.some(one => isFinal(one) && mayBeDone(one)))
    if (rest.length > 1) this.#count('settled again after an answer that was not known')
  }

  /** Words by a token that is not the newest one, or after another word of the same token, do nothing. */
  #checkToken(message: string, delivery: Delivery, deliveries: readonly Delivery[]): void {
    const { told, at } = delivery
    for (const [number, one] of told.entries()) {
      if (!isDone(one)) continue
      const before = told.slice(0, number)
      const isOver = before.some(({ word, outcome, at }) => {
        return word !== 'renew' && word !== one.word && outcome === 'done' && at < one.sentAt
      })
      if (isOver) this.#problem(message, `was settled twice by one token (${one.word})`, deliveries)
      const isRepeated = one.word === 'release' && before.some(told => told.word === 'release' && mayBeDone(told))
      const newer = deliveries.find(other => other.askedAt > at && other.at < one.sentAt)
      if (newer !== undefined && !isRepeated)
        this.#problem(message, `was settled by a stale token (${one.word})`, deliveries)
    }
    if (deliveries.some(other => other.askedAt > at) && told.some(({ outcome }) => outcome === 'lost'))
      this.#count('tokens that were lost')
  }

  /** Nothing is left: each message was settled, or archived for a reason, and dead letters are what was given up. */
  #checkEnd(message: string, deliveries: readonly Delivery[], told: readonly Told[]): void {
    const accepted = told.some(one => one.word === 'accept' && isDone(one))
    const rejected = told.some(one => one.word === 'reject' && mayBeDone(one))
    const isSettled = told.some(one => isFinal(one) && mayBeDone(one))
    const why = this.#whyArchived(message, deliveries, told)
    if (!isSettled && why !== undefined) {
      this.#archived.set(message, why)
      this.#count(`archived: ${why}`)
    } else if (!isSettled) this.#problem(message, 'is missing', deliveries)
    else if (why !== undefined && accepted) this.#count('accepted, and archived by the log')
    if (this.#end.deadLetters === undefined) return
    const isDead = this.#deadLetters.has(message)
    if (isDead && accepted) this.#problem(message, 'was accepted, and is a dead letter', deliveries)
    else if (isDead && !rejected && why === undefined)
      this.#problem(message, 'is a dead letter for no reason', deliveries)
    const givenUp = told.find(one => (one.word === 'reject' || one.isArchived) && isDone(one))
    if (isDead || (givenUp === undefined && isSettled)) return
    // Seen once, while leaders moved: it may be that a leader stores the word, then moves before it has written the copy.
    const isBesideFault =
      givenUp !== undefined &&
      this.#faults.some(({ from }) => from <= givenUp.at && from >= givenUp.sentAt - JUST_BEGUN_MS)
    if (isBesideFault) this.#count('no dead letter: a fault had just begun')
    else this.#problem(message, 'is no dead letter', deliveries)
  }

  #whyArchived(message: string, deliveries: readonly Delivery[], told: readonly Told[]): string | undefined {
    if (told.some(({ isArchived }) => isArchived)) return 'told to a client'
    const logged = this.#end.logged.get(message)
    if (logged !== undefined) return `in the log: ${logged.at(-1)}`
    const last = deliveries.at(-1)
    if (last === undefined) return undefined
    const left = this.#end.deliveryLimit - last.count
    const faults = this.#faults.filter(({ to }) => to >= last.askedAt).length
    if (left === 0 && faults > 0) return 'its gateway was killed or stood still at the last delivery'
    const gone = this.#gone.filter(({ to }) => to >= last.askedAt).length
    return left > 0 && left <= 2 && left <= faults + gone ? 'its last deliveries were seen by nobody' : undefined
  }

  /** A count goes up by one with each delivery, and by more only where messages were acquired for nobody. */
  #checkCounts(message: string, deliveries: readonly Delivery[]): void {
    let [before, since] = [0, 0]
    for (const { count, askedAt, at } of deliveries) {
      const more = count - before - 1
      if (count > this.#end.deliveryLimit)
        this.#problem(message, `was delivered ${count} times, which is above the limit`, deliveries)
      if (more < 0) this.#count('counts that did not rise')
      else if (more > 0) {
        this.#count('deliveries that nobody has seen', more)
        const faults = this.#faults.filter(({ from, to }) => from <= at && to >= since).length
        const isOfFault = faults > 0
        const gone = isOfFault ? 0 : this.#gone.filter(({ from, to }) => from <= at && to >= since).length
        this.#count(isOfFault ? 'of them beside a fault' : 'of them of clients that went away', more)
        if (more > faults + gone) this.#problem(message, `has ${more} deliveries that nothing explains`, deliveries)
      }
      before = Math.max(before, count)
      since = Math.min(askedAt, at)
    }
  }
}

/** `1 (12000-12040: accept lost at 29000), 2 (…)`: the counts, when each was asked for and got, and what was told. */
function storyOf(deliveries: readonly Delivery[]): string {
  const round = Math.round
  return deliveries
    .map(({ count, askedAt, at, told }) => {
      const words = told.map(({ word, outcome, isArchived, sentAt, at }) => {
        return ` ${word} ${outcome}${isArchived ? ' (archived)' : ''} ${round(sentAt)}-${round(at)}`
      })
      return `${count} (${round(askedAt)}-${round(at)}:${words.join(',')})`
    })
    .join(', ')
}
