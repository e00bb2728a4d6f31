import type { AcquiredMessage, ReadAgain, TopicOffers } from '../consumer/group/consume-result.js'
import { Lanes, laneOfKey, type Turn } from '../consumer/group/lanes.js'
import type { ParkingSink } from '../consumer/group/loop-demand.js'
import { deleteFrom } from '../core/maps.js'
import type { KafkaRecord, Logger, MonotonicClock, Offset, TopicPartition } from '../core/model.js'
import type { Release } from '../core/places.js'
import type { Verbs } from '../verbs/verbs.js'
import { writeDeadLetter } from './dead-letters.js'
import { groupOfWebhook, type WebhookDefinition } from './definition.js'
import type { AttemptResult, AttemptSender } from './endpoint/attempt.js'
import { OpenPartition, OpenRecord, type Tries } from './open-records.js'
import type { Pace } from './pace.js'
import { type RequestSettings, requestOf } from './record-request.js'
import { answerOf, outcomeOf, pauseAfter, retryAfterOf, verdictOf } from './verdicts.js'
import type { SkipResult } from './webhook-desk.js'
import type { WebhookMemory } from './webhook-memory.js'
import type { AttemptNote, AttemptOutcome, OpenRecordView, WebhookPartition } from './webhook-status.js'

/** After so many dead letters in a row without a 2xx, no further one is written. */
const MOST_LETTERS_IN_ROW = 10
const MOST_NOTES = 20
/** Records whose attempts are remembered also while another gateway has them. */
const MOST_TRIES = 10_000
/** Pause before a record that could not be read is read again. */
const READ_PAUSE_MS = 1_000

/** A place for an attempt, which is given back where none is sent. */
interface AttemptPlace {
  readonly sender: AttemptSender
  readonly release: Release
  isUsed: boolean
}

export interface RecordRunDeps {
  readonly definition: () => WebhookDefinition
  readonly sender: () => AttemptSender
  readonly memory: WebhookMemory
  readonly pace: Pace
  readonly request: RequestSettings
  readonly verbs: Pick<Verbs, 'produce'>
  readonly clock: MonotonicClock
  /** Milliseconds since 1970. */
  readonly now: () => number
  /** [0, 1) */
  readonly random: () => number
  readonly log: Logger
  /** Whether attempts may begin, and records be taken. */
  readonly isRunning: () => boolean
  /** The endpoint has answered 410. */
  readonly onGone: () => void
  /** Records of the partition are taken again. */
  readonly wants: (partition: number) => void
  /** Lanes may have become empty. */
  readonly onFree: () => void
  /** Cuts what is under way. */
  readonly signal: AbortSignal
}

/**
 * Sends the records that a group gives. A lane has the records of one key, which are sent one after another.
 *
 *   given: parked ─▶ its turn: read, if it is not in memory ─▶ begun: sent ─▶ acknowledged
 *             ▲                                                  │ again
 *             └────────── the pause is over ◀── parked before the others of its lane
 *
 * The group may take parked records back at any time, which ends them here. What is begun is waited for.
 */
export class RecordRun implements ParkingSink {
  readonly #deps: RecordRunDeps
  readonly #lanes = new Lanes<OpenRecord>(({ lane }) => lane)
  readonly #partitions = new Map<number, OpenPartition>()
  /** Records that have left their lanes to be read, and that the group still counts as parked, by the number of their offer. */
  readonly #reading = new Map<number, OpenRecord>()
  /** Attempts at records that are not open here, by the ids of the records. */
  readonly #tries = new Map<string, Tries>()
  /** Partitions of which a record was refused. */
  readonly #refused = new Set<number>()
  readonly #notes: AttemptNote[] = []
  readonly requests = new Map<AttemptOutcome, number>()
  readonly totals = { deadLetters: 0, skipped: 0, lost: 0, headersLeftOut: 0 }
  #delivered = 0
  #lettersInRow = 0
  /** Since when no attempt got a 2xx, in milliseconds since 1970. */
  #failingSince: number | undefined
  #timer: NodeJS.Timeout | undefined

  constructor(deps: RecordRunDeps) {
    this.#deps = deps
  }

  /** The last attempts, newest first. */
  get notes(): readonly AttemptNote[] {
    return this.#notes
  }
  /** Since when no attempt got a 2xx, in milliseconds since 1970. `undefined`: the last one did, or no record is open. */
  get failingSince(): number | undefined {
    return this.#partitions.size === 0 ? undefined : this.#failingSince
  }
  get deadLettersStopped(): boolean {
    return this.#lettersInRow >= MOST_LETTERS_IN_ROW
  }
  /** Whether few records wait for their first attempt. Those that were refused before keep no others from being taken. */
  get wantsMore(): boolean {
    return this.#lanes.fresh < this.#deps.definition().maxInFlight
  }

  /** The partitions with open records, and those with a position. */
  partitions(positions: ReadonlyMap<number, Offset>): readonly WebhookPartition[] {
    const numbers = [...new Set([...positions.keys(), ...this.#partitions.keys()])].sort((a, b) => a - b)
    const { clock, now, definition } = this.#deps
    const { topic } = definition()
    const tellOf = ({ offset, timestampMs, tries, record, dueAt }: OpenRecord): OpenRecordView => ({
      offset,
      timestampMs,
      key: record?.key,
      attempts: tries?.attempts ?? 0,
      nextAttemptAt: dueAt === undefined ? undefined : now() + dueAt - clock()
    })
    return numbers.map(partition => {
      const open = this.#partitions.get(partition) ?? new OpenPartition({ topic, partition })
      return open.view(positions.get(partition) ?? open.oldest?.offset ?? 0, tellOf)
    })
  }

  mayPark({ partition }: TopicPartition): boolean {
    const mayOpen = this.#mayOpen(partition)
    const open = this.#partitions.get(partition)
    if (open !== undefined) open.isStalled = !mayOpen
    if (mayOpen && this.#deps.isRunning()) return true
    this.#refused.add(partition)
    return false
  }

  #mayOpen(partition: number): boolean {
    const open = this.#partitions.get(partition)
    if (open === undefined) return true
    if (!open.mayOpen) return false
    const { memory, definition } = this.#deps
    if (memory.open.mayOpen(definition().name, open.size)) return true
    memory.open.wait(this.#takeRefused)
    return false
  }

  park(message: AcquiredMessage, offers: TopicOffers): void {
    const { partition } = message
    const others = this.#partitions.get(partition) ?? new OpenPartition(message)
    const open = new OpenRecord(this.#laneOf(message), message, offers, others)
    // An attempt of before it was given again may be under way.
    open.tries = others.get(open.offset)?.tries ?? this.#recall(open)
    this.#partitions.set(partition, others)
    others.add(open)
    const { memory, definition } = this.#deps
    memory.open.add(definition().name)
    const isBehind = this.#lanes.park(open)
    open.lane = undefined
    if (isBehind || !memory.mayKeep(definition().name, open.bytes)) return
    this.#hold(open)
    open.keep(message)
  }

  #laneOf({ partition, key }: AcquiredMessage): string | undefined {
    return key === null || this.#deps.definition().order === 'none' ? undefined : laneOfKey(partition, key)
  }

  #hold(open: OpenRecord): void {
    if (open.isHeld) return
    open.isHeld = true
    this.#deps.memory.take(this.#deps.definition().name, open.bytes)
  }

  #forget(open: OpenRecord): void {
    open.record = undefined
    if (!open.isHeld) return
    open.isHeld = false
    this.#deps.memory.release(this.#deps.definition().name, open.bytes)
  }

  parkedEnded(serial: number): void {
    const open = this.#lanes.itemOf(serial) ?? this.#reading.get(serial)
    if (open !== undefined) this.#over(open)
  }

  lost(topicPartition: TopicPartition, from: Offset, to: Offset, records: number): void {
    this.totals.lost += records
    // With group and offset each line is written, however many there are.
    const groupId = groupOfWebhook(this.#deps.definition().name)
    const fields = { ...topicPartition, groupId, offset: from, from, to, records }
    this.#deps.log.error(fields, 'records were gone from Kafka before the webhook had delivered them: they are lost')
  }

  /** State or pace has changed: attempts begin, and records are taken, as far as they may. */
  goOn(): void {
    this.#takeRefused()
    this.#startReady()
  }

  readonly #takeRefused = (): void => {
    if (!this.#deps.isRunning()) return
    for (const partition of this.#refused) this.#takeAgain(partition)
  }

  #takeAgain(partition: number): void {
    if (!this.#mayOpen(partition)) return
    this.#refused.delete(partition)
    const open = this.#partitions.get(partition)
    if (open !== undefined) open.isStalled = false
    this.#deps.wants(partition)
  }

  readonly #startReady = (): void => {
    const { isRunning, pace, memory, definition, sender } = this.#deps
    const { name } = definition()
    while (this.#lanes.ready > 0 && isRunning() && pace.mayBegin) {
      if (pace.inFlight > 0 && !memory.maySend(name)) {
        memory.wait(name, this.#startReady)
        break
      }
      const asked = sender()
      const release = asked.place(this.#startReady)
      if (release === undefined) break
      void this.#take(this.#lanes.next()!, { sender: asked, release, isUsed: false })
    }
    this.#wakeAfterPause()
    this.#deps.onFree()
  }

  #wakeAfterPause(): void {
    clearTimeout(this.#timer)
    this.#timer = undefined
    const { pace, clock } = this.#deps
    const until = pace.pausedUntil
    if (until === undefined || this.#lanes.ready === 0) return
    this.#timer = setTimeout(this.#startReady, Math.max(1, Math.ceil(until - clock())))
  }

  /** A record has its turn. */
  async #take(turn: Turn<OpenRecord>, place: AttemptPlace): Promise<void> {
    const { pace, isRunning } = this.#deps
    const open = turn.item
    const attempt = pace.begin()
    open.turn = turn
    open.enter('reading')
    this.#reading.set(open.serial, open)
    this.#hold(open)
    const restMs = this.#restOf(open)
    const found = restMs > 0 ? 'notNow' : (open.record ?? (await this.#read(open)))
    await open.settling
    if (!open.isOver) {
      if (found === 'notNow') this.#pause(open, restMs || READ_PAUSE_MS)
      else if (found === 'gone') this.#gone(open)
      else if (!isRunning()) this.#pause(open, 0)
      else if (found !== 'over' && open.offers.begin(open)) await this.#beginSafely(open, found, attempt, place)
      else this.#over(open)
    }
    pace.end()
    if (!place.isUsed) place.release()
    if (open.turn === turn && !open.isPausing) {
      open.turn = undefined
      this.#lanes.leave(turn)
    }
    this.#startReady()
  }

  /** The rest of a record's pause, even if it was given again meanwhile. Timers may be early by a part of a millisecond. */
  #restOf({ tries }: OpenRecord): number {
    const restMs = tries === undefined ? 0 : tries.notBefore - this.#deps.clock()
    return restMs >= 1 ? restMs : 0
  }

  /** `over`: the group has taken it back meanwhile. */
  #read(open: OpenRecord): Promise<ReadAgain | 'over'> {
    if (open.isOver) return Promise.resolve('over')
    return new Promise(resolve => {
      const end = (found: ReadAgain | 'over'): void => {
        open.whenOver?.delete(over)
        resolve(found)
      }
      const over = (): void => end('over')
      open.whenOver ??= new Set()
      open.whenOver.add(over)
      open.offers.readAgain(open, end)
    })
  }

  /** A bug costs an attempt, and neither the lane nor the process. */
  async #beginSafely(open: OpenRecord, record: KafkaRecord, attempt: number, place: AttemptPlace): Promise<void> {
    try {
      await this.#begun(open, record, attempt, place)
    } catch (error) {
      this.#deps.log.error({ err: error, partition: open.partition, offset: open.offset }, 'an attempt has met a bug')
      if (!open.isOver) this.#again(open, pauseAfter(this.#triesOf(open).attempts, this.#deps.random()))
    }
  }

  async #begun(open: OpenRecord, record: KafkaRecord, attempt: number, place: AttemptPlace): Promise<void> {
    this.#reading.delete(open.serial)
    open.enter('sending')
    open.record = record
    const { definition, request: settings, sender, clock, random, signal } = this.#deps
    const tries = this.#triesOf(open)
    const { timeoutMs } = definition()
    // If the record is given again meanwhile, another attempt begins beside this one.
    const number = ++tries.attempts
    const request = requestOf(definition(), open.id, open.partition, record, number, settings)
    if ('unsendable' in request) {
      if (await this.#giveUp(open, record, 'unsendable', request.unsendable)) return
      this.#unsendable(open, number, request.unsendable)
      this.#again(open, pauseAfter(number, random()))
      return
    }
    this.totals.headersLeftOut += request.leftOut
    const startedAt = clock()
    const asked = sender()
    // The url has changed since then: an attempt takes a place of the endpoint that it is for.
    place.isUsed = place.sender === asked
    if (!place.isUsed) place.release()
    const result = await asked.send({ ...request.attempt, timeoutMs }, signal, place.isUsed ? place.release : undefined)
    this.#note(open, number, answerOf(result), outcomeOf(result), clock() - startedAt)
    await open.settling
    // If the url has changed meanwhile, the answer of the former endpoint counts for its record only.
    const isOfNow = asked === sender()
    if (verdictOf(result) === 'done') this.#wasDelivered()
    else if (isOfNow) this.#learn(result)
    if (!open.isOver) await this.#judge(open, record, tries, result, isOfNow ? attempt : undefined)
  }

  /** Applies what the answer says about all records, even if a person has settled this one meanwhile. */
  #learn(result: AttemptResult): void {
    const { pace, onGone } = this.#deps
    pace.hold(retryAfterOf(result).allMs)
    if (verdictOf(result) === 'gone') onGone()
  }

  /** @param attempt its number; `undefined`: it says nothing of the endpoint of now */
  async #judge(
    open: OpenRecord,
    record: KafkaRecord,
    tries: Tries,
    result: AttemptResult,
    attempt: number | undefined
  ): Promise<void> {
    const { pace, definition, now, random } = this.#deps
    const verdict = verdictOf(result)
    if (verdict === 'done') {
      this.#settle(open)
      return
    }
    this.#failingSince ??= now()
    if (verdict !== 'record' && attempt !== undefined) pace.failed(attempt)
    const { recordMs } = retryAfterOf(result)
    const isProven = tries.attempts > 1 && this.#delivered > tries.delivered
    tries.delivered = this.#delivered
    if (verdict === 'endpoint' && isProven) tries.counted++
    const isEnough = verdict === 'endpoint' && tries.counted >= definition().maxAttempts
    const reason = isEnough ? 'attempts' : 'answer'
    const isOver = verdict === 'record' || isEnough
    if (isOver && (await this.#giveUp(open, record, reason, String(answerOf(result))))) return
    this.#tellFailure(open, tries.attempts, result)
    this.#again(open, Math.max(recordMs, pauseAfter(tries.attempts, random())))
  }

  /** The log repeats a line of a webhook ever more seldom, so that it has the first failure, and not all. */
  #tellFailure({ id }: OpenRecord, attempt: number, result: AttemptResult): void {
    const { signal, log } = this.#deps
    if (signal.aborted) return
    const because = result.kind === 'status' ? undefined : result.message
    log.warn({ id, attempt, answer: answerOf(result), because }, 'an endpoint has not taken a record: it is sent again')
  }

  #wasDelivered(): void {
    this.#deps.pace.succeeded()
    this.#delivered++
    this.#lettersInRow = 0
    this.#failingSince = undefined
  }

  #triesOf(open: OpenRecord): Tries {
    open.tries ??= { attempts: 0, counted: 0, delivered: this.#delivered, notBefore: 0 }
    return open.tries
  }

  #recall(open: OpenRecord): Tries | undefined {
    if (this.#tries.size === 0) return undefined
    const { id } = open
    const tries = this.#tries.get(id)
    this.#tries.delete(id)
    return tries
  }

  /** The record may be given again here. */
  #remember({ id, tries }: OpenRecord): void {
    if (tries === undefined) return
    this.#tries.set(id, tries)
    if (this.#tries.size > MOST_TRIES) this.#tries.delete(this.#tries.keys().next().value!)
  }

  /** Lets the record, and those of its key behind it, wait until a person acts. */
  #unsendable(open: OpenRecord, attempt: number, because: string): void {
    const { partition, offset } = open
    this.#failingSince ??= this.#deps.now()
    this.#note(open, attempt, 'unsendable', 'unsendable', 0)
    this.#deps.log.warn({ partition, offset, attempt, because }, 'a record of a webhook cannot be sent: it stays open')
  }

  #note(open: OpenRecord, attempt: number, answer: AttemptNote['answer'], outcome: AttemptOutcome, ms: number): void {
    const { id, partition, offset } = open
    this.#notes.unshift({ id, partition, offset, attempt, answer, ms: Math.round(ms), at: this.#deps.now() })
    this.#notes.length = Math.min(this.#notes.length, MOST_NOTES)
    this.requests.set(outcome, (this.requests.get(outcome) ?? 0) + 1)
  }

  /** Writes a dead letter where the definition allows it. @returns false: the record is open */
  async #giveUp(open: OpenRecord, record: KafkaRecord, reason: string, status: string): Promise<boolean> {
    if (this.#deps.definition().deadLetters === undefined || this.deadLettersStopped) return false
    if (!open.offers.isOpen(open)) return false
    return this.#settling(open, this.#writeAndSettle(open, record, reason, status))
  }

  async #writeAndSettle(open: OpenRecord, record: KafkaRecord, reason: string, status: string): Promise<boolean> {
    this.#lettersInRow++
    const problem = await this.#write(open, record, reason, status)
    if (problem === undefined) this.#settle(open)
    else this.#lettersInRow = Math.max(0, this.#lettersInRow - 1)
    return problem === undefined
  }

  async #write(open: OpenRecord, record: KafkaRecord, reason: string, status: string): Promise<string | undefined> {
    const { definition, verbs, log } = this.#deps
    const { name: webhook, topic, deadLetters: to } = definition()
    const { id, partition, offset } = open
    const attempts = open.tries?.attempts ?? 0
    const letter = { webhook, id, topic, partition, to: to!, reason, status, attempts }
    const problem = await writeDeadLetter(verbs, record, letter)
    const fields = { topic, partition, offset, to, reason, status, attempts }
    if (problem === undefined) {
      this.totals.deadLetters++
      log.warn(fields, 'a record is given up: it is in the topic of dead letters')
    } else log.warn({ ...fields, problem }, 'a dead letter was not written: the record is sent again')
    return problem
  }

  #settle(open: OpenRecord): void {
    open.offers.ackAll(open.asOffers)
    open.tries = undefined
    this.#over(open)
    // No record waits for the endpoint.
    if (this.#partitions.size === 0) this.#failingSince = undefined
  }

  #gone(open: OpenRecord): void {
    this.lost({ topic: open.topic, partition: open.partition }, open.offset, open.offset + 1, 1)
    this.#settle(open)
  }

  /** Parks a begun record again, before those behind it. */
  #again(open: OpenRecord, ms: number): void {
    if (open.tries !== undefined) open.tries.notBefore = this.#deps.clock() + ms
    const parked = open.isOver ? undefined : open.offers.parkAgain(open, this)
    if (parked === undefined) {
      open.offers.releaseUnread(open.asOffers)
      this.#over(open)
      return
    }
    open.serial = parked.serial
    this.#pause(open, ms)
  }

  /** A parked record that has its turn keeps its lane for this pause. */
  #pause(open: OpenRecord, ms: number): void {
    const { memory, definition, clock } = this.#deps
    const { record } = open
    this.#reading.delete(open.serial)
    this.#forget(open)
    if (record !== undefined && memory.mayKeep(definition().name, open.bytes)) {
      this.#hold(open)
      open.record = record
    }
    this.#lanes.parkAgain(open.turn!, open)
    open.enter('pausing')
    open.dueAt = clock() + ms
    open.timer = setTimeout(() => {
      this.#leavePause(open)
      this.#startReady()
    }, ms)
  }

  #leavePause(open: OpenRecord): void {
    clearTimeout(open.timer)
    open.timer = open.dueAt = undefined
    open.enter('parked')
    const turn = open.turn!
    open.turn = undefined
    this.#lanes.leave(turn)
  }

  #over(open: OpenRecord): void {
    if (open.isOver) return
    open.isOver = true
    const { memory, definition, isRunning } = this.#deps
    this.#reading.delete(open.serial)
    this.#forget(open)
    this.#lanes.drop(open.serial)
    if (open.stage === 'pausing') this.#leavePause(open)
    // A record that was given again meanwhile has its own tries.
    if (deleteFrom(this.#partitions, open.partition, open)) this.#remember(open)
    for (const tell of [...(open.whenOver ?? [])]) tell()
    memory.open.release(definition().name)
    if (this.#refused.has(open.partition) && isRunning()) this.#takeAgain(open.partition)
  }

  /** A person settles a record. */
  async skip(partition: number, offset: Offset): Promise<SkipResult> {
    const open = this.#partitions.get(partition)?.get(offset)
    await open?.settling
    if (open === undefined || open.isOver || open.settling !== undefined) return { type: 'notAtHand' }
    return this.#settling(open, this.#skip(open))
  }

  async #settling<Result>(open: OpenRecord, work: Promise<Result>): Promise<Result> {
    open.settling = work
    try {
      return await work
    } finally {
      open.settling = undefined
    }
  }

  async #skip(open: OpenRecord): Promise<SkipResult> {
    if (this.#deps.definition().deadLetters !== undefined) {
      const problem = await this.#writeSkipped(open)
      if (problem !== undefined) return { type: 'notWritten', message: problem }
    }
    if (open.isOver || !open.offers.isOpen(open)) return { type: 'notAtHand' }
    this.totals.skipped++
    this.#settle(open)
    this.#startReady()
    return { type: 'skipped' }
  }

  /** @returns why there is no dead letter; `undefined`: there is one, or the record is over, or gone */
  async #writeSkipped(open: OpenRecord): Promise<string | undefined> {
    const { memory, definition } = this.#deps
    const { isHeld } = open
    if (!isHeld && !memory.maySend(definition().name)) return 'too many records are in memory at the moment'
    this.#hold(open)
    try {
      const record = open.record ?? (await this.#read(open))
      if (record === 'notNow') return 'the record cannot be read at the moment'
      if (record === 'over' || record === 'gone' || !open.offers.isOpen(open)) return undefined
      const { answer = '' } = this.#notes.find(({ id }) => id === open.id) ?? {}
      return await this.#write(open, record, 'skipped', String(answer))
    } finally {
      if (!isHeld && (open.stage === 'parked' || open.isPausing)) this.#forget(open)
    }
  }

  /** Ends all timers. */
  stop(): void {
    clearTimeout(this.#timer)
    this.#deps.memory.leave(this.#startReady)
    this.#deps.memory.open.leave(this.#takeRefused)
    for (const open of [...this.#reading.values(), ...this.#lanes.takeAll()]) this.#over(open)
  }
}
