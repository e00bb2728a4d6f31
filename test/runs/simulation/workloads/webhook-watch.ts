import { acksIn } from '../../../../src/consumer/group/ack-encoding.js'
import type { ProduceRecord } from '../../../../src/core/model.js'
import { CommittedOffsets, GroupCoordinator } from '../../../../src/embedded-broker/groups/group-coordinator.js'
import { KafkaVerbs } from '../../../../src/verbs/kafka-verbs.js'
import type { Attempt, AttemptResult } from '../../../../src/webhooks/endpoint/attempt.js'
import { Endpoint } from '../../../../src/webhooks/endpoint/endpoint.js'
import { Pace } from '../../../../src/webhooks/pace.js'
import type { Brokers } from '../brokers.js'
import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import type { World } from '../world/world.js'
import { aroundWhile } from './around.js'
import { noteFirst, placeOf, type WebhookFacts } from './webhook-facts.js'

/** Kafka deletes the commits of a group so long after its last member left. In truth it waits seven days. */
const COMMITS_LAST_MS = 40_000
const LOOK_EVERY_MS = 500
const MOST_LETTERS_IN_ROW = 10
const OF_RECORD: ReadonlySet<string> = new Set(['400', '413', '415', '422', '431'])
const OF_ALL: ReadonlySet<number> = new Set([429, 503])
const LONGEST_RETRY_AFTER_MS = 3_600_000
/** The webhook of an attempt stands in its content type. */
export const CONTENT_TYPE = 'application/x-hook-'

/** A record as one process of a gateway has tried it. */
interface Tried {
  /** As the webhook says it. */
  attempts: number
  /** Those after which another record had got a 2xx since the one before. */
  counted: number
  delivered: number
  last: string
  hold: Hold
  /** It has a 2xx or a dead letter. Attempts count on where it was given again before that. */
  isOver: boolean
}

/** What an endpoint has asked for with `Retry-After`. */
interface Hold {
  readonly askedAt: number
  readonly until: number
}

const NO_HOLD: Hold = { askedAt: 0, until: 0 }
/** A person who resumes a webhook, or gives it another url, ends what its endpoint has asked for: at all gateways by then. */
const RESUMED_BY_MS = 10_000

/** What one process of a gateway has done for one webhook. */
class Life {
  readonly tried = new Map<string, Tried>()
  inFlight = 0
  /** Records with a 2xx. */
  delivered = 0
  /** Dead letters without a 2xx between. */
  inRow: object[] = []
  hold = NO_HOLD
}

/** The watch of the world that is played now. */
let now: WebhookWatch | undefined

/**
 * What webhooks do inside of gateways, and what Kafka stores of it: attempts and their ends, dead letters, commits, members. Checks
 * what is wrong at once: no flood of dead letters, each has a reason, windows, `Retry-After`, numbers of attempts.
 */
export class WebhookWatch implements Workload {
  readonly name = 'watch of webhooks'
  readonly host: Host
  readonly counts: Record<string, number> = { attempts: 0, delivered: 0, letters: 0, commits: 0, lost: 0 }
  readonly isFinished = true
  readonly #world: World
  readonly #brokers: Brokers
  readonly #webhooks: ReadonlyMap<string, WebhookFacts>
  readonly #lives = new Map<string, Life>()
  readonly #violations: Violation[] = []
  readonly #emptySince = new Map<string, number>()
  coordinator: GroupCoordinator | undefined

  constructor(world: World, brokers: Brokers, webhooks: readonly WebhookFacts[]) {
    this.#world = world
    this.#brokers = brokers
    this.host = world.host('watch of webhooks')
    this.#webhooks = new Map(webhooks.map(webhook => [webhook.name, webhook]))
    now = this
  }

  start(): void {
    this.#look()
  }

  stop(): void {}

  tryOnceMore(succeeded: () => void): void {
    succeeded()
  }

  check(): readonly Violation[] {
    return this.#violations
  }

  violated(rule: string, what: string): void {
    this.#violations.push({ rule, what: `${what} at ${Math.round(this.#world.time.now)}` })
  }

  #look(): void {
    for (const { group } of this.#webhooks.values()) {
      const members = this.coordinator?.get(group)?.members.length ?? 0
      const since = this.#emptySince.get(group) ?? this.#world.time.now
      this.#emptySince.set(group, members > 0 ? this.#world.time.now : since)
      if (members > 0 || this.#world.time.now - since < COMMITS_LAST_MS) continue
      this.violated('commits gone', `${group} has had no member since ${Math.round(since)}`)
      this.#emptySince.set(group, Number.POSITIVE_INFINITY)
    }
    setTimeout(() => this.#look(), LOOK_EVERY_MS)
  }

  #lifeOf(webhook: string): Life {
    const key = `${this.#world.time.current.name} ${webhook}`
    const life = this.#lives.get(key) ?? new Life()
    this.#lives.set(key, life)
    return life
  }

  /** @returns to be told how it ended; `undefined`: it is that of no record */
  began({ headers }: Attempt): ((result: AttemptResult) => void) | undefined {
    const named = new Map(headers)
    const webhook = this.#webhooks.get(named.get('content-type')?.slice(CONTENT_TYPE.length) ?? '')
    if (webhook === undefined || named.has('x-castellan-test')) return undefined
    const { now: at, current } = this.#world.time
    const [partition, offset, attempt] = ['partition', 'offset', 'attempt'].map(name =>
      Number(named.get(`x-castellan-${name}`))
    ) as [number, number, number]
    const place = placeOf(partition, offset)
    this.counts.attempts!++
    webhook.attempts.push({ at, host: current.name, partition, offset })
    const life = this.#lifeOf(webhook.name)
    this.#checkBegun(webhook, life, place, attempt)
    const before = life.tried.get(place)
    const isAnew = before === undefined || (attempt === 1 && before.isOver)
    const known = isAnew ? { counted: 0, delivered: 0, last: '', hold: NO_HOLD } : before
    const tried = Object.assign(known, { attempts: attempt, isOver: false })
    life.tried.set(place, tried)
    life.inFlight++
    this.#world.trace.say(this.name, `${current.name} begins ${webhook.name} ${place}`)
    return result => this.#ended(webhook, life, place, tried, result)
  }

  #checkBegun(
    { name, maxInFlight, freshAt, delivered, skips }: WebhookFacts,
    life: Life,
    place: string,
    attempt: number
  ): void {
    const { now: at, current } = this.#world.time
    const who = `${current.name} ${name} ${place}`
    const before = life.tried.get(place)
    const isNext = attempt === (before?.attempts ?? 0) + 1
    if (!isNext && !(attempt === 1 && (before?.isOver || delivered.has(place) || skips.has(place))))
      this.violated('attempts miscounted', `${who} is attempt ${attempt} after ${before?.attempts}`)
    if (life.inFlight >= maxInFlight) this.violated('window', `${who}: ${life.inFlight} are under way`)
    for (const [whose, { askedAt, until }] of [
      ['webhook', life.hold],
      ['record', before?.hold ?? NO_HOLD]
    ] as const) {
      const isVoid = freshAt.some(fresh => fresh > askedAt - RESUMED_BY_MS && fresh <= at)
      if (at < Math.floor(until) && !isVoid)
        this.violated('retry-after shortened', `${who}: the ${whose} was to wait until ${Math.round(until)}`)
    }
  }

  #ended(webhook: WebhookFacts, life: Life, place: string, tried: Tried, result: AttemptResult): void {
    const { now: at } = this.#world.time
    life.inFlight--
    this.#world.trace.say(
      this.name,
      `${this.#world.time.current.name} ends ${webhook.name} ${place}: ${result.kind === 'status' ? result.status : result.kind}`
    )
    const isDelivered = result.kind === 'status' && result.status >= 200 && result.status < 300
    if (tried.last !== '' && life.delivered > tried.delivered) tried.counted++
    tried.delivered = life.delivered
    tried.last = String(result.kind === 'status' ? result.status : result.kind)
    if (result.kind === 'status') {
      const until = at + Math.min(result.retryAfterMs ?? 0, LONGEST_RETRY_AFTER_MS)
      if (!OF_ALL.has(result.status)) tried.hold = { askedAt: at, until }
      else if (until > life.hold.until) life.hold = { askedAt: at, until }
    }
    if (!isDelivered) return
    this.counts.delivered!++
    life.delivered++
    life.inRow = []
    tried.isOver = true
    if (!webhook.delivered.has(place)) this.violated('no such 2xx', `${webhook.name} ${place}`)
  }

  /** A dead letter is handed to Kafka. @returns to be told whether Kafka has it */
  letter({ headers = [] }: ProduceRecord): (isWritten: boolean) => void {
    const said = (name: string): string =>
      String(headers.findLast(({ key }) => key === `castellan-${name}`)?.value ?? '')
    const webhook = this.#webhooks.get(said('webhook'))!
    const place = placeOf(Number(said('partition')), Number(said('offset')))
    const life = this.#lifeOf(webhook.name)
    const tried = life.tried.get(place)
    const who = `${this.#world.time.current.name} ${webhook.name} ${place}`
    const [reason, status] = [said('reason'), said('status')]
    this.counts[`letters ${reason}`] = (this.counts[`letters ${reason}`] ?? 0) + 1
    noteFirst(webhook.letters, place, this.#world.time.now)
    const isGood =
      reason === 'skipped'
        ? webhook.skips.has(place)
        : reason === 'answer'
          ? OF_RECORD.has(status)
          : reason === 'attempts' && (tried?.counted ?? 0) >= webhook.maxAttempts
    if (!isGood)
      this.violated(
        'given up without cause',
        `${who}: ${reason} ${status}, ${tried?.counted} of ${tried?.attempts} count`
      )
    if (reason !== 'skipped' && status !== tried?.last)
      this.violated('untrue dead letter', `${who}: ${status} instead of ${tried?.last}`)
    if (reason === 'skipped') return () => undefined
    const one = {}
    life.inRow.push(one)
    if (life.inRow.length > MOST_LETTERS_IN_ROW)
      this.violated('flood of dead letters', `${who} is number ${life.inRow.length}`)
    return isWritten => {
      if (isWritten && tried !== undefined) tried.isOver = true
      else life.inRow = life.inRow.filter(other => other !== one)
    }
  }

  committed(offsets: Parameters<CommittedOffsets['commit']>[0]): void {
    for (const { groupId, topic, partition, offset, metadata } of offsets) {
      const webhook = [...this.#webhooks.values()].find(one => one.group === groupId && one.topic === topic)
      if (webhook === undefined || offset < 0) continue
      this.counts.commits!++
      const acked = acksIn({ offset, metadata }) ?? []
      const logStart = this.#brokers.cluster.logStartOffset(topic, partition)
      webhook.commits.push({ at: this.#world.time.now, partition, offset, acked, logStart })
      webhook.position.set(partition, offset)
      this.#world.trace.say(
        this.name,
        `${webhook.name} is at ${partition}@${offset}, ${JSON.stringify(acked)} of ${logStart}`
      )
    }
  }

  /** A line of the log. */
  lost(fields: object): void {
    const { webhook, partition, from, to } = fields as {
      readonly webhook: string
      readonly partition: number
      readonly from: number
      readonly to: number
    }
    this.counts.lost! += to - from
    this.#world.trace.say(
      this.name,
      `${webhook} has lost ${from} to ${to} of ${partition} at ${this.#world.time.current.name}`
    )
    this.#webhooks.get(webhook)!.lost.push({ partition, from, to })
  }
}

const around = aroundWhile(() => now !== undefined)

around(Endpoint.prototype, 'send', real => (self, ...args) => {
  const ended = now!.began(args[0] as unknown as Attempt)
  const sending = real(self, ...args) as Promise<AttemptResult>
  if (ended === undefined) return sending
  return sending.then(result => {
    ended(result)
    return result
  })
})
around(KafkaVerbs.prototype, 'produce', real => (self, ...args) => {
  const pending = real(self, ...args) as ReturnType<KafkaVerbs['produce']>
  for (const record of args[0] as unknown as readonly ProduceRecord[]) {
    if (!record.headers?.some(({ key }) => key === 'castellan-webhook')) continue
    const ended = now!.letter(record)
    void pending.outcomes().then(([outcome]) => ended(outcome?.type === 'delivered'))
  }
  return pending
})
around(CommittedOffsets.prototype, 'commit', real => (self, ...args) => {
  const done = real(self, ...args)
  now!.committed(args[0] as unknown as Parameters<CommittedOffsets['commit']>[0])
  return done
})
around(GroupCoordinator.prototype, 'join', real => (self, ...args) => {
  now!.coordinator = self
  return real(self, ...args)
})
around(Pace.prototype, 'begin', real => (self, ...args) => {
  if (self.pausedUntil !== undefined) now!.violated('pause', 'an attempt begins although the webhook pauses')
  const begun = real(self, ...args)
  if (self.window < 1 || self.inFlight > self.window)
    now!.violated('window', `${self.inFlight} of ${self.window} are under way`)
  return begun
})
