import type { Outcome } from '../../../support/history-checker.js'
import { GATEWAY_PORT } from '../http-gateway.js'
import { filler } from '../record-text.js'
import type { Violation } from '../violation.js'
import type { Workload } from '../workload.js'
import type { Host } from '../world/host.js'
import { percent } from '../world/randomness.js'
import { certaintiesIn, neverRead, PERSISTED, RECEIPT } from './certainties.js'
import { Client } from './client.js'
import { HttpConnection, type HttpResponse } from './http-connection.js'
import type { ClientRecord, ToldRecord } from './produce-api.js'
import type { PusherDeps, PusherOptions } from './pusher-options.js'

interface SentRecord {
  readonly id: string
  /** Its topic and key. */
  readonly producer: string
}

interface Request {
  readonly records: readonly SentRecord[]
  readonly isSync: boolean
  /** When the last of it was sent, as far as it was. */
  sentAt: number
  /** The process that has it, and for how long it had stood still then. */
  readonly gateway: Host
  heldUpMs: number
  /** All of it has been sent. */
  isWhole: boolean
  /** Told when the answer comes; undefined: nobody waits for it yet, since the request before it has none. */
  answered: (() => boolean) | undefined
}

const RECONNECT_MS = 200
const MOST_PIPELINED = 6
/** A client that does not read goes away after so long. */
const DEAF_FOR_MS = 5_000
const PIECE_BYTES = 40

/** An HTTP client that pushes records to one of the APIs. */
export class Pusher extends Client<PusherOptions, PusherDeps> implements Workload {
  readonly counts: Record<string, number> = { requests: 0, records: 0, 'cut off': 0 }
  /** Without an answer, in order. */
  #open: Request[] = []
  /** Accepted, with nobody waiting for what becomes of them. */
  readonly #pending: string[] = []
  #connection: HttpConnection | undefined
  #isSending = false

  start(): void {
    if (this.isStopped) return void this.#leave()
    if (this.#connection === undefined) this.#connect()
    if (this.#maySend) this.#push()
    setTimeout(() => this.start(), this.deps.random.between(...this.options.pauseMs))
  }

  get isFinished(): boolean {
    return this.isStopped && this.#open.length === 0 && this.#connection === undefined
  }

  override check(): readonly Violation[] {
    const { accepted, isInKafka } = this.deps
    const outcomes = accepted.outcomes(isInKafka)
    for (const id of this.#pending.splice(0)) this.#complete(id, outcomes.get(id) ?? { type: 'ok' })
    return this.violations
  }

  /** A record to each topic, over connections of their own. */
  tryOnceMore(succeeded: () => void): void {
    const { topics } = this.options
    const next = (at: number): void => {
      if (at === topics.length) return void succeeded()
      this.#pushAlone(topics[at]!, isTaken => setTimeout(() => next(isTaken ? at + 1 : at), RECONNECT_MS))
    }
    next(0)
  }

  #pushAlone(topic: string, then: (isTaken: boolean) => void): void {
    const { api, syncPercent } = this.options
    const isSync = syncPercent > 0
    const records: SentRecord[] = []
    const text = api.requestOf([this.#record(records, topic)], isSync)
    const request = this.#requestWith(records, isSync)
    let isTaken: boolean | undefined
    const connection = new HttpConnection('127.0.0.1', GATEWAY_PORT, {
      onResponse: response => {
        isTaken = this.#told(request, response)
        connection.end()
      },
      onClose: () => {
        if (isTaken === undefined) this.#complete(records[0]!.id, { type: 'unknown', answered: false })
        then(isTaken ?? false)
      }
    })
    connection.send(text)
  }

  get #maySend(): boolean {
    const { manners } = this.options
    if (this.#isSending) return false
    return this.#open.length < (manners === 'pipelining' || manners === 'deaf' ? MOST_PIPELINED : 1)
  }

  /** Ends the connection when nothing is open on it. */
  #leave(): void {
    if (this.#open.length === 0) this.#connection?.end()
    if (this.#connection !== undefined) setTimeout(() => this.#leave(), RECONNECT_MS)
  }

  #connect(): void {
    const connection = new HttpConnection('127.0.0.1', GATEWAY_PORT, {
      onResponse: response => {
        // One that it has left may still be answered.
        if (this.#connection === connection) this.#answered(response)
      },
      onClose: () => this.#closed(connection)
    })
    this.#connection = connection
    if (this.options.manners !== 'deaf') return
    connection.pause()
    setTimeout(
      () => {
        if (percent(this.deps.random, 50)) connection.destroy()
        else connection.resume()
      },
      this.deps.random.between(1, DEAF_FOR_MS)
    )
  }

  #closed(connection: HttpConnection): void {
    if (this.#connection !== connection) return
    this.#connection = undefined
    this.#isSending = false
    for (const { records, answered, isWhole, sentAt } of this.#open.splice(0)) {
      answered?.()
      const isOurDoing = this.options.manners === 'deaf' || !isWhole || this.options.seesHangUps !== true
      if (!isOurDoing && !this.#mayHangUp(sentAt)) this.violated('hung up', `${records[0]!.id}, sent at ${sentAt}`)
      this.counts['cut off']! += records.length
      for (const { id } of records) this.#complete(id, { type: 'unknown', answered: false })
    }
  }

  #mayHangUp(sentAt: number): boolean {
    const { silenceLimitMs = Number.POSITIVE_INFINITY } = this.options.api
    return this.deps.mayHangUp(sentAt) || this.deps.now() - sentAt >= silenceLimitMs
  }

  #push(): void {
    const { random } = this.deps
    const { manners, syncPercent, api } = this.options
    const isSync = percent(random, syncPercent)
    const records: SentRecord[] = []
    const text = api.requestOf(this.#records(records), isSync)
    this.counts.requests!++
    if (manners === 'cutting' && percent(random, 30)) return void this.#cutOff(text, records)
    const request = this.#requestWith(records, isSync)
    this.#open.push(request)
    if (manners === 'slow') this.#sendInPieces(text, request)
    else this.#connection!.send(text)
    this.#awaitFirst()
  }

  #requestWith(records: readonly SentRecord[], isSync: boolean): Request {
    const { host } = this.deps.gateway
    const isWhole = this.options.manners !== 'slow'
    const { heldUpMs } = host
    return { records, isSync, sentAt: this.deps.now(), gateway: host, heldUpMs, isWhole, answered: undefined }
  }

  /**
   * The time of a request has begun when it was sent, whatever was before it on its connection. But its answer comes
   * behind the others.
   */
  #awaitFirst(): void {
    const [first] = this.#open
    if (first === undefined || !first.isWhole || first.answered !== undefined) return
    if (this.options.manners === 'deaf') return
    const { answeredWithinMs = Number.POSITIVE_INFINITY, acceptedWithinMs = 0 } = this.options
    const { records, isSync, sentAt, gateway, heldUpMs } = first
    const sinceMs = this.deps.now() - sentAt - (gateway.heldUpMs - heldUpMs)
    const timeoutMs = (isSync ? answeredWithinMs : acceptedWithinMs) - sinceMs
    first.answered = this.deps.answers.ask(`${this.name} ${records[0]!.id}`, Math.max(0, timeoutMs), gateway)
  }

  #records(sent: SentRecord[]): ClientRecord[] {
    const { random } = this.deps
    const { api, maxRecords, topics } = this.options
    const topic = random.pick(topics)
    const length = api.takes === 'one' ? 1 : random.between(1, maxRecords)
    return Array.from({ length }, () => this.#record(sent, api.takes === 'several' ? random.pick(topics) : topic))
  }

  #record(sent: SentRecord[], topic: string): ClientRecord {
    const { random, history } = this.deps
    const { api, keys, maxValueBytes } = this.options
    const id = `${this.name}.${++this.counts.records!}`
    const key = `${this.name}-key-${random.between(1, keys)}`
    const value = `${id}|${filler(random.between(0, maxValueBytes), api.carriesText)}`
    sent.push({ id, producer: `${topic}/${key}` })
    history.invoke({ id, topic, key, value })
    return { topic, key, data: value }
  }

  /** Sends a part, or all of it, and is gone. A request that never came whole is never written. */
  #cutOff(text: string, records: readonly SentRecord[]): void {
    const { random } = this.deps
    const bytes = percent(random, 30) ? text.length : random.between(0, text.length - 1)
    const connection = this.#connection!
    const isWhole = bytes === text.length
    this.#connection = undefined
    connection.send(text.slice(0, bytes))
    setTimeout(() => connection.destroy(), random.between(0, 3))
    for (const { id } of records) this.#complete(id, isWhole ? { type: 'unknown', answered: false } : { type: 'fail' })
  }

  #sendInPieces(text: string, request: Request): void {
    const connection = this.#connection!
    this.#isSending = true
    const next = (from: number): void => {
      if (this.#connection !== connection) return
      connection.send(text.slice(from, from + PIECE_BYTES))
      if (from + PIECE_BYTES < text.length) setTimeout(() => next(from + PIECE_BYTES), this.deps.random.between(1, 60))
      else {
        this.#isSending = false
        request.isWhole = true
        request.sentAt = this.deps.now()
        request.heldUpMs = request.gateway.heldUpMs
        this.#awaitFirst()
      }
    }
    next(0)
  }

  #answered(response: HttpResponse): void {
    const request = this.#open.shift()
    if (request === undefined) return void this.violated('answered twice', `${response.status} to nothing`)
    request.answered?.()
    this.#told(request, response)
    this.#awaitFirst()
  }

  /** @returns whether all records are in Kafka, or were accepted for it */
  #told({ records, isSync, sentAt, gateway }: Request, { status, headers, body }: HttpResponse): boolean {
    const persisted = headers.get(PERSISTED)
    const { id } = records[0]!
    this.#count(`${status} ${isSync ? 'sync' : 'async'}`)
    this.deps.trace.say(this.name, `${id}…${records.length} ${status} persisted ${persisted} ${body}`)
    if (persisted === undefined) {
      if (!neverRead.has(status)) this.violated('no certainty told', `${status} to ${id}: ${body}`)
      for (const record of records) this.#complete(record.id, { type: 'fail' })
      return false
    }
    const certainties = certaintiesIn(persisted, records.length)
    if (certainties === undefined) this.violated('no certainty told', `${persisted} for ${records.length} records`)
    const told = isSync ? this.options.api.toldIn(status, body, records.length) : []
    records.forEach((record, index) => {
      const certainty = certainties?.[index] ?? 'unknown'
      const place = told[index]
      if (place !== undefined && place.isInKafka !== (certainty === 'yes'))
        this.violated('untrue', `${status} ${body} with ${persisted} to ${record.id}`)
      this.#settle(record, certainty, sentAt, place)
      const [receipt, process] = [headers.get(RECEIPT), gateway]
      const { isDurable = false } = this.options
      if (receipt !== undefined)
        this.deps.receipts.push({ id: record.id, receipt, index, certainty, process, isDurable })
    })
    return certainties?.every(certainty => certainty === (isSync ? 'yes' : 'pending')) ?? false
  }

  #settle(
    { id, producer }: SentRecord,
    certainty: string,
    sentAt: number,
    { partition, offset = -1 }: Partial<ToldRecord> = {}
  ): void {
    const isPending = certainty === 'pending'
    // What the durable log has is nobody's to lose.
    if (this.options.isDurable !== true) this.deps.accepted.answered({ id, producer, sentAt, isPending })
    if (isPending) this.#pending.push(id)
    // -1: Kafka has it and has not said where.
    else if (certainty === 'yes')
      this.#complete(id, offset < 0 ? { type: 'ok' } : { type: 'ok', partition: partition!, offset })
    else this.#complete(id, certainty === 'no' ? { type: 'fail' } : { type: 'unknown', answered: true })
  }

  #complete(id: string, outcome: Outcome): void {
    this.#count(outcome.type)
    this.deps.history.complete(id, outcome)
  }

  #count(what: string): void {
    this.counts[what] = (this.counts[what] ?? 0) + 1
  }
}
