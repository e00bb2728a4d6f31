import { ConsumerGroups } from '../../../../src/consumer/group/consumer-groups.js'
import { OffsetTracker } from '../../../../src/consumer/group/offset-tracker.js'
import { TopicConsumer } from '../../../../src/consumer/group/topic-consumer.js'
import { WaitingRequest } from '../../../../src/consumer/group/waiting-request.js'
import { GatewayPeers } from '../../../../src/deployment/gateways/gateway-peers.js'
import { Loans } from '../../../../src/deployment/lending/loans.js'
import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import { aroundWhile } from './around.js'

/** A request waits so much longer for a message that is on its way. */
const LONGEST_TAKE_MS = 500
/** A take that is older may be given up for another one. */
const SLOW_TAKE_MS = 500
/** The end of a loan is remembered for a minute. */
const REMEMBERED_MS = 60_000

interface Bound {
  readonly sinceMs: number
  readonly deadlineAt: number
}

interface Lent {
  readonly from: unknown
  readonly id: number
  readonly serials: readonly number[]
  end: 'acknowledged' | 'delivered' | 'released' | undefined
}

type Add = Loans<unknown>['add']
type Offers = NonNullable<Parameters<Add>[2]['offers']>

/** The watch of the world that is played now. */
let now: LendingWatch | undefined

/**
 * What gateways that lend each other messages must never do, seen inside of them: each loan ends once and as it was told, own
 * clients are first, a request has one take under way, and is not told that there is no message meanwhile; a lent answer begins the
 * topic, and no end of an offer takes a newer one back.
 */
export class LendingWatch implements Workload {
  readonly name = 'lending'
  readonly host: Host
  readonly counts: Record<string, number> = { loans: 0, delivered: 0, released: 0, 'ended first': 0, calls: 0 }
  readonly isFinished = true
  readonly violations: Violation[] = []
  readonly clock: () => number
  readonly #bound = new WeakMap<WaitingRequest, Bound>()
  readonly #lent = new WeakMap<object, Map<string, Lent>>()
  /** When the end of a loan came that had not begun. */
  readonly #ended = new WeakMap<object, Map<string, number>>()
  readonly #bySerial = new Map<number, Lent>()
  readonly #watched = new WeakMap<Offers, Offers>()

  /** @param clock of the simulated world */
  constructor(host: Host, clock: () => number) {
    this.host = host
    this.clock = clock
    now = this
  }

  start(): void {}

  stop(): void {}

  tryOnceMore(succeeded: () => void): void {
    succeeded()
  }

  check(): readonly Violation[] {
    return this.violations
  }

  violated(rule: string, what: string): void {
    this.violations.push({ rule, what: `${what} at ${Math.round(this.clock())}` })
  }

  bound(request: WaitingRequest): void {
    const { sinceMs } = this.#bound.get(request) ?? { sinceMs: Number.NEGATIVE_INFINITY }
    if (this.clock() - sinceMs < SLOW_TAKE_MS) this.violated('two takes', `for one request since ${sinceMs}`)
    const deadlineAt = this.#bound.get(request)?.deadlineAt ?? request.deadlineAt
    this.#bound.set(request, { sinceMs: this.clock(), deadlineAt })
  }

  unbound(request: WaitingRequest): void {
    this.#bound.delete(request)
  }

  noMessage(request: WaitingRequest): void {
    const bound = this.#bound.get(request)
    if (bound !== undefined && this.clock() < bound.deadlineAt + LONGEST_TAKE_MS - 1)
      this.violated('no message during a take', `taken at ${bound.sinceMs}`)
  }

  /** @returns the loan with offers that are watched; the same offers are watched by the same object */
  added(loans: object, from: unknown, id: number, taken: Parameters<Add>[2]): Parameters<Add>[2] {
    const offers = taken.offers!
    let watched = this.#watched.get(offers)
    if (watched === undefined) {
      const settled = (end: 'acknowledged' | 'released') => (some: Parameters<Offers['ackAll']>[0]) => {
        for (const [, list] of some) for (const { serial } of list) this.#settled(serial, end)
        return end === 'acknowledged' ? offers.ackAll(some) : offers.releaseUnread(some)
      }
      watched = { ...offers, ackAll: settled('acknowledged'), releaseUnread: settled('released') }
      this.#watched.set(offers, watched)
    }
    const ofLoans = this.#lent.get(loans) ?? new Map<string, Lent>()
    this.#lent.set(loans, ofLoans)
    const lent: Lent = { from, id, serials: taken.messages.map(({ serial }) => serial), end: undefined }
    ofLoans.set(`${from}/${id}`, lent)
    for (const serial of lent.serials) this.#bySerial.set(serial, lent)
    this.counts.loans!++
    return { ...taken, offers: watched }
  }

  #settled(serial: number, end: 'acknowledged' | 'released'): void {
    // All clients of this world acknowledge by themselves.
    if (end === 'acknowledged') this.violated('acknowledged by none', `offer ${serial}`)
    const lent = this.#bySerial.get(serial)
    if (lent === undefined) this.violated('settled twice', `offer ${serial}`)
    else if (lent.end === 'delivered') this.violated('taken from its client', `loan ${lent.id}, ${end}`)
    else {
      lent.end = end
      this.counts[end] = (this.counts[end] ?? 0) + 1
      this.#bySerial.delete(serial)
    }
  }

  /** Before the loans are told. */
  told(
    loans: object,
    from: unknown,
    { acknowledged, delivered, returned }: Parameters<Loans<unknown>['settle']>[1]
  ): void {
    if (acknowledged.length > 0) this.violated('acknowledged by none', `loans ${acknowledged}`)
    for (const id of [...delivered, ...returned]) {
      const lent = this.#lent.get(loans)?.get(`${from}/${id}`)
      if (lent !== undefined) {
        if (delivered.includes(id) && lent.end === undefined) {
          lent.end = 'delivered'
          this.counts.delivered!++
        }
        continue
      }
      const ended = this.#ended.get(loans) ?? new Map<string, number>()
      this.#ended.set(loans, ended)
      ended.set(`${from}/${id}`, this.clock())
      this.counts['ended first']!++
    }
  }

  /** After the loans were told. */
  ended(loans: object, from: unknown, ids: readonly number[] | 'all'): void {
    for (const lent of this.#lent.get(loans)?.values() ?? []) {
      const isMeant = lent.from === from && (ids === 'all' || ids.includes(lent.id))
      if (isMeant && lent.end === undefined) {
        this.violated('not offered again', `loan ${lent.id}`)
        lent.end = 'released'
      }
    }
  }

  taken(loans: object, from: unknown, id: number, messages: number): void {
    const at = this.#ended.get(loans)?.get(`${from}/${id}`)
    if (messages > 0 && at !== undefined && this.clock() - at < REMEMBERED_MS)
      this.violated('lent after its end', `loan ${id}, ended at ${at}`)
  }
}

const around = aroundWhile(() => now !== undefined)

around(WaitingRequest.prototype, 'answer', real => (self, ...args) => {
  const [result] = args as unknown as Parameters<WaitingRequest['answer']>
  if (!self.settled && result.type === 'timedOut') now!.noMessage(self)
  return real(self, ...args)
})
around(ConsumerGroups.prototype, 'holdForTake', real => (self, ...args) => {
  now!.bound(args[0] as unknown as WaitingRequest)
  return real(self, ...args)
})
around(ConsumerGroups.prototype, 'endTake', real => (self, ...args) => {
  now!.unbound(args[2] as unknown as WaitingRequest)
  return real(self, ...args)
})
around(ConsumerGroups.prototype, 'answer', real => (self, ...args) => {
  const [groupId, topic] = args as unknown as Parameters<ConsumerGroups['answer']>
  const done = real(self, ...args)
  if (!self.beginningOf(groupId, topic, undefined).atEarliest)
    now!.violated('begins at an end', `${topic} after a message of another gateway`)
  return done
})
around(OffsetTracker.prototype, 'released', real => (self, ...args) => {
  const [offset, serial] = args as unknown as Parameters<OffsetTracker['released']>
  const before = self.offerOf(offset)?.serial
  const isReleased = real(self, ...args)
  if (isReleased === true && before !== serial) now!.violated('newer offer taken back', `${offset} of ${serial}`)
  return isReleased
})
around(TopicConsumer.prototype, 'lend', real => (self, ...args) => {
  const waiting = self.requests.length
  const lent = real(self, ...args)
  if (lent !== undefined && waiting > 0) now!.violated('own client passed over', `${waiting} wait`)
  return lent
})
around(Loans.prototype as Loans<unknown>, 'add', real => (self, ...args) => {
  const [from, id, taken] = args as unknown as Parameters<Add>
  const isAdded = real(self, ...([from, id, now!.added(self, from, id, taken)] as unknown as never[]))
  if (isAdded === true) now!.taken(self, from, id, taken.messages.length)
  return isAdded
})
around(Loans.prototype as Loans<unknown>, 'settle', real => (self, ...args) => {
  const [from, settled] = args as unknown as Parameters<Loans<unknown>['settle']>
  now!.told(self, from, settled)
  const done = real(self, ...args)
  now!.ended(self, from, settled.returned)
  return done
})
around(Loans.prototype as Loans<unknown>, 'gone', real => (self, ...args) => {
  const done = real(self, ...args)
  now!.ended(self, args[0], 'all')
  return done
})
around(GatewayPeers.prototype, 'call', real => (self, ...args) => {
  const [, name] = args as unknown as Parameters<GatewayPeers['call']>
  if (name.startsWith('lend ')) now!.counts.calls!++
  return real(self, ...args)
})
